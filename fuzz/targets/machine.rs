//! Any bytes as a machine file.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    fabric::fuzz::machine(data);
});
