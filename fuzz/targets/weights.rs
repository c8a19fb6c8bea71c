//! Any bytes as model.safetensors.
#![no_main]

use models::fuzz::Scratch;
use std::cell::LazyCell;

thread_local! {
    static SCRATCH: LazyCell<Scratch> = LazyCell::new(|| Scratch::of("bad/control-good"));
}

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    SCRATCH.with(|scratch| scratch.weights(data));
});
