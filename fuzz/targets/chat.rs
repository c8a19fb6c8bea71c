//! Any bytes as chat_template.jinja.
#![no_main]

use models::fuzz::Scratch;
use std::cell::LazyCell;

thread_local! {
    static SCRATCH: LazyCell<Scratch> = LazyCell::new(|| Scratch::of("llama-gqa-rope-llama3"));
}

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    SCRATCH.with(|scratch| scratch.chat(data));
});
