//! Any bytes as an assembly text.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    fabric::fuzz::assembly(data);
});
