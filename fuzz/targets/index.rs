//! Any bytes as model.safetensors.index.json.
#![no_main]

use models::fuzz::Scratch;
use std::cell::LazyCell;

thread_local! {
    static SCRATCH: LazyCell<Scratch> = LazyCell::new(|| Scratch::of("llama-sharded"));
}

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    SCRATCH.with(|scratch| scratch.index(data));
});
