//! Any bytes as a binary image.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    fabric::fuzz::image(data);
});
