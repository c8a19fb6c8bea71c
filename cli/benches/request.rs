//! A whole request, told in tokens (prompt and new) by the second: `cargo bench --bench request [-- FILTER]`.
//!
//! * `stdlib-1m`: the README's, 5 tokens of prompt and 128 new ones, on the default machine.

#[path = "../../sim-core/benches/meter/mod.rs"]
mod meter;
mod model;
#[path = "../../sim-core/benches/scene/mod.rs"]
mod scene;

use fabric::presets;
use meter::Meter;
use scene::End;

/// New tokens.
const NEW: u32 = 128;

fn main() {
    let mut meter = Meter::new("request");
    scene::bench(&mut meter, "stdlib-1m", || {
        let model = model::stdlib_1m();
        let tokenizer = model.tokenizer().expect("the example has one");
        let prompt = tokenizer.encode("if __name__ ==").expect("text that it knows");
        let machine = presets::preset(presets::DEFAULT).expect("a preset");
        let (image, script) = model::request(&model, &machine, &prompt, NEW);
        let tokens = Some(prompt.len() as u64 + u64::from(NEW));
        (image, script, End { words: NEW as usize * model::TOKEN_WORDS, tokens, ..End::default() })
    });
    meter.end();
}
