//! Any bytes as the defects of a machine file.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    fabric::fuzz::defects(data);
});
