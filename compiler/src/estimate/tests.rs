//! Is the code of real programs within what the estimate takes it for?

use crate::check::check;
use crate::stage::Work;
use crate::{Mapping, Numerics, Options, Wired, assemble, wire};
use fabric::{DefectMap, Machine, PeIdx, presets};
use models::{
    Activation, Block, DecoderGraph, FeedForward, MlpKind, ModelDir, Norm, NormKind, Residual,
};
use pe_isa::DType;
use std::path::Path;

type Change = fn(&mut DecoderGraph);

/// One row, one column, fewer rows than heads or experts, more; several layers.
const CUTS: [(u32, u32, u32); 6] =
    [(24, 1, 1), (1, 30, 1), (11, 3, 2), (5, 8, 2), (3, 41, 1), (9, 13, 3)];

/// A model among the tests' data of the crate `models`.
fn model(name: &str) -> ModelDir {
    let data = Path::new(env!("CARGO_MANIFEST_DIR")).join("../models/tests/data/oracle");
    ModelDir::open(data.join(name).join("model")).expect("the model opens")
}

/// Code of a PE with a program.
struct Code {
    /// Layers of its stage of layers; 0 in any other stage.
    layers: u32,
    bytes: u64,
    bound: u64,
}

/// The code of all PEs of a graph on a cut, by tile. None is longer than its bound.
fn codes(
    model: &ModelDir,
    graph: &DecoderGraph,
    cut: (u32, u32, u32),
    options: &Options,
) -> Vec<Code> {
    let preset = presets::preset(presets::DEFAULT).expect("the default is a preset");
    let mut machine = Machine { width: 64, height: 64, ..preset };
    // Room for work vectors of several tokens on every cut.
    machine.pe.sram_bytes = 256 * 1024;
    let (stage_width, stage_height, layers_per_stage) = cut;
    let mapping = Mapping { stage_width, stage_height, layers_per_stage, ..options.mapping };
    let options = Options { mapping, ..options.clone() };
    let estimate = check(graph, &machine, &options).expect("the graph can be lowered");
    let map = &DefectMap::of(&machine);
    let Wired { stages, laid, lanes, .. } =
        wire((&machine, map), &estimate, &options).expect("it can be placed");
    let placed = assemble::Placed { stages: &stages, laid: &laid, lanes: &lanes };
    let weights = model.weights().expect("weights are there");
    let (image, _) = assemble::assemble(graph, Some(weights), &estimate, &placed).expect("it fits");
    let layers_at = |at| match stages.iter().find(|stage| stage.contains(at)).map(|s| &s.work) {
        Some(Work::Layers(layers)) => layers.len() as u32,
        _ => 0,
    };
    let code = |tile| {
        let bytes = image.program(tile)?.code_bytes().into();
        let layers = layers_at(image.coord(tile));
        let bound = estimate.code_bytes(layers);
        assert!(bytes <= bound, "{cut:?}: {bytes} bytes for {layers} layers, not {bound}");
        Some(Code { layers, bytes, bound })
    };
    (0..image.tiles.len() as u32).map(PeIdx).filter_map(code).collect()
}

/// Formats and requests that make code longer.
fn options() -> [Options; 4] {
    let wide = Numerics { weights: DType::F32, activations: DType::F32, accumulate: DType::F32 };
    let some = Options { contexts: vec![8], ..Options::default() };
    let many = Options { contexts: vec![40; 3], logits_to_host: true, ..some.clone() };
    let mapping = Mapping { prefill_chunk: 8, ..Mapping::default() };
    let chunks = Options { mapping, ..some.clone() };
    [Options { numerics: wide, ..some.clone() }, some, many, chunks]
}

/// The model's graph, changed, with as many layers as the longest stage has.
fn graph(model: &ModelDir, change: Change) -> DecoderGraph {
    let mut graph = model.graph().clone();
    change(&mut graph);
    let blocks = graph.blocks.iter().cycle().take(3).cloned();
    graph.blocks = blocks.collect();
    graph
}

/// Looks at a model's graph, changed, on all cuts and with several formats and requests.
fn assert_bounded(name: &str, change: Change) {
    let model = model(name);
    let graph = graph(&model, change);
    let mut largest = 0.0;
    for options in &options() {
        for code in CUTS.iter().flat_map(|&cut| codes(&model, &graph, cut, options)) {
            if code.layers > 0 {
                largest = f64::max(largest, code.bytes as f64 / code.bound as f64);
            }
        }
    }
    // A bound of several times the code would keep layers apart that could share a stage.
    assert!(largest > 1.0 / 3.0, "{name}: {largest:.3} of the bound at most");
}

/// What a change adds to the code of plain layers must be no more than the bound adds for it.
fn assert_growth_bounded(change: Change) {
    let model = model("qwen2");
    let plain = graph(&model, without_biases);
    let mut changed = plain.clone();
    change(&mut changed);
    for options in &options() {
        for cut in CUTS {
            let before = codes(&model, &plain, cut, options);
            for (old, new) in before.iter().zip(codes(&model, &changed, cut, options)) {
                let (grown, allowed) = (new.bytes.saturating_sub(old.bytes), new.bound - old.bound);
                assert!(
                    new.layers == 0 || grown <= allowed,
                    "{cut:?}: {grown} bytes more for {} layers, not {allowed}",
                    new.layers
                );
            }
        }
    }
}

fn blocks(graph: &mut DecoderGraph, change: impl Fn(&mut Block)) {
    graph.blocks.iter_mut().for_each(change);
}

/// Changes the layers of MLPs and experts.
fn feed_forwards(graph: &mut DecoderGraph, change: impl Fn(&mut FeedForward)) {
    blocks(graph, |block| match &mut block.mlp.kind {
        MlpKind::Dense(layers) => change(layers),
        MlpKind::Experts(mixture) => mixture.experts.iter_mut().for_each(&change),
    });
}

/// Norms of queries and keys with all that norms can have.
fn with_head_norms(graph: &mut DecoderGraph) {
    let bias = Some(graph.final_norm.weight);
    blocks(graph, |block| {
        let norm = Norm { kind: NormKind::Layer, bias, ..block.attention.norm.clone() };
        block.attention.query_norm = Some(norm.clone());
        block.attention.key_norm = Some(norm);
    });
}

fn with_norms_behind(graph: &mut DecoderGraph) {
    blocks(graph, |block| {
        block.attention.post_norm = Some(block.attention.norm.clone());
        block.mlp.post_norm = Some(block.mlp.norm.clone());
    });
}

fn with_gelu(graph: &mut DecoderGraph) {
    feed_forwards(graph, |layers| layers.activation = Activation::Gelu);
}

fn without_biases(graph: &mut DecoderGraph) {
    blocks(graph, |block| {
        let a = &mut block.attention;
        for linear in [&mut a.query, &mut a.key, &mut a.value, &mut a.output] {
            linear.bias = None;
        }
    });
}

#[test]
fn does_the_code_of_plain_layers_fit_its_bound() {
    assert_bounded("qwen2", without_biases);
}

#[test]
fn does_the_code_of_each_extra_fit_its_bound() {
    assert_bounded("qwen2", |_| {});
    assert_bounded("qwen3", |_| {});
    assert_bounded("gpt2", |_| {});
    assert_bounded("gpt-neox", |_| {});
    assert_bounded("phi", |_| {});
    assert_bounded("gemma2", |_| {});
    assert_bounded("qwen3-moe", |_| {});
    assert_bounded("gpt-oss", |_| {});
}

#[test]
fn does_the_bound_of_each_extra_alone_hold_what_it_adds() {
    assert_growth_bounded(with_head_norms);
    assert_growth_bounded(|g| {
        with_head_norms(g);
        blocks(g, |block| {
            let norms = [&mut block.attention.query_norm, &mut block.attention.key_norm];
            for norm in norms.into_iter().flatten() {
                (norm.kind, norm.bias) = (NormKind::Rms, None);
            }
        });
    });
    assert_growth_bounded(with_norms_behind);
    assert_growth_bounded(with_gelu);
    assert_growth_bounded(|g| blocks(g, |block| block.residual = Residual::Parallel));
    assert_growth_bounded(|g| {
        let bias = Some(g.final_norm.weight);
        blocks(g, |block| {
            // A norm's bias stands for those of the layers behind it.
            (block.attention.norm.bias, block.mlp.norm.bias) = (bias, bias);
            block.attention.output.bias = bias;
        });
        feed_forwards(g, |layers| layers.down.bias = bias);
    });
}

#[test]
fn does_the_code_of_all_extras_together_fit_its_bound() {
    fn all(graph: &mut DecoderGraph) {
        with_head_norms(graph);
        with_norms_behind(graph);
        with_gelu(graph);
        graph.logit_soft_cap = Some(30.0);
        blocks(graph, |block| block.attention.score_soft_cap = Some(50.0));
    }
    assert_bounded("gpt-oss", all);
    assert_bounded("gemma2", all);
    assert_bounded("qwen2", all);
}
