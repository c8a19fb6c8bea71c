//! Any bytes as the header of a safetensors file, behind their true length.
#![no_main]

use models::fuzz::Scratch;
use std::cell::LazyCell;

thread_local! {
    static SCRATCH: LazyCell<Scratch> = LazyCell::new(|| Scratch::of("bad/control-good"));
}

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    SCRATCH.with(|scratch| scratch.header(data, &[0; 4096]));
});
