//! Writes a model of the size of GPT-2 small with seeded random weights, 248 MB, for `wafersim run`:
//! `cargo run --release --example gpt2_small -- FOLDER`.

#[path = "../benches/shape/mod.rs"]
mod shape;

use std::path::Path;

fn main() -> anyhow::Result<()> {
    let folder = std::env::args().nth(1);
    let folder = folder.ok_or_else(|| anyhow::anyhow!("usage: gpt2_small FOLDER"))?;
    std::fs::create_dir_all(&folder)?;
    Ok(shape::gpt2_small(Path::new(&folder))?)
}
