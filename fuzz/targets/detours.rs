//! Any bytes as a grid with defects and a cut, for which a model is compiled.
#![no_main]

use models::ModelDir;
use std::path::Path;
use std::sync::LazyLock;

static MODEL: LazyLock<ModelDir> = LazyLock::new(|| {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    ModelDir::open(&root.join("../examples/oracle/bad/control-good/model")).expect("a sound model")
});

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let weights = MODEL.weights().expect("the model has weights");
    compiler::fuzz::detours(MODEL.graph(), weights, data);
});
