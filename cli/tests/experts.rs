//! Do mixtures of experts compute on the wafer what the host's forward pass does, on any cut, and do only the chosen ones work? Graphs
//! of small models are changed, so that any mixture of layers can be had; the run is in f32.

mod call;
mod request;

use call::wafersim;
use compiler::{Compiled, Mapping, Options};
use fabric::PeCoord;
use models::{
    Activation, Block, DecoderGraph, Experts, FeedForward, MlpKind, ModelDir, NormKind, Residual,
    Weighting,
};
use request::batch::{Batch, check};
use request::{Request, assert_answered, family_model as model, machine};
use sim_core::NoObserver;
use std::path::PathBuf;

/// Four experts, two of them chosen; biases, limits, sinks, windows. Two layers.
const BIASED: &str = "gpt-oss";
/// Eight experts, two of them chosen; the second of three layers is dense and has another inner width.
const MIXED: &str = "qwen3-moe";

/// One row, one column, rows that divide nothing, as many as experts, more than experts and inner width, several layers.
const CUTS: [(u32, u32, u32); 6] =
    [(24, 1, 1), (1, 30, 1), (11, 3, 3), (5, 8, 2), (3, 41, 1), (7, 13, 3)];

type Change = fn(&mut DecoderGraph);

fn mixtures(graph: &mut DecoderGraph) -> impl Iterator<Item = &mut Experts> {
    graph.blocks.iter_mut().filter_map(|block| match &mut block.mlp.kind {
        MlpKind::Experts(mixture) => Some(mixture),
        MlpKind::Dense(_) => None,
    })
}

fn each_expert(graph: &mut DecoderGraph, change: impl Fn(&mut FeedForward)) {
    mixtures(graph).flat_map(|mixture| &mut mixture.experts).for_each(change);
}

fn each_block(graph: &mut DecoderGraph, change: impl Fn(&mut Block)) {
    graph.blocks.iter_mut().for_each(change);
}

/// The model's graph, changed, on these cuts; with any of `mistakes` on top, the logits must differ.
fn assert_right(
    model: &ModelDir,
    cuts: &[(u32, u32, u32)],
    change: impl Fn(&mut DecoderGraph),
    mistakes: &[Change],
) {
    let batch = Batch::exact(&[(7, 4), (2, 6)]);
    let mut right = model.graph().clone();
    right.eos_ids.clear();
    change(&mut right);
    let wrong = |mistake: &Change| {
        let mut graph = right.clone();
        mistake(&mut graph);
        graph
    };
    let wrong: Vec<DecoderGraph> = mistakes.iter().map(wrong).collect();
    cuts.iter().for_each(|&cut| check(model, &batch, (&right, &wrong), cut));
}

fn exchange_weightings(graph: &mut DecoderGraph) {
    for mixture in mixtures(graph) {
        mixture.weighting = match mixture.weighting {
            Weighting::OverAll => Weighting::OverChosen,
            Weighting::OverChosen => Weighting::OverAll,
        };
    }
}

#[test]
fn are_families_answered_as_by_transformers_on_odd_grids() {
    for grid in [(13, 20), (9, 7), (40, 2), (2, 60)] {
        [BIASED, MIXED].into_iter().for_each(|name| assert_answered(name, grid));
    }
}

#[test]
fn is_each_token_worked_on_by_the_experts_that_its_logits_choose() {
    let mistakes: [Change; 4] = [
        |g| mixtures(g).for_each(|mixture| mixture.experts.rotate_left(1)),
        |g| mixtures(g).for_each(|mixture| mixture.chosen = 1),
        |g| mixtures(g).for_each(|mixture| mixture.chosen = 3),
        exchange_weightings,
    ];
    assert_right(&model(MIXED), &CUTS, |_| {}, &mistakes);
    assert_right(&model(MIXED), &CUTS[2..5], exchange_weightings, &mistakes);
    assert_right(&model(BIASED), &CUTS, |_| {}, &mistakes);
}

#[test]
fn are_any_number_of_experts_chosen() {
    for chosen in [1, 3, 8] {
        let change = |g: &mut DecoderGraph| mixtures(g).for_each(|mixture| mixture.chosen = chosen);
        assert_right(&model(MIXED), &CUTS[2..4], change, &[]);
        let all = |g: &mut DecoderGraph| {
            change(g);
            exchange_weightings(g);
        };
        assert_right(&model(MIXED), &CUTS[2..4], all, &[]);
    }
}

#[test]
fn are_biases_added_and_gates_cut_off_and_raised() {
    assert_right(
        &model(BIASED),
        &CUTS,
        |g| each_expert(g, |layers| layers.gate.as_mut().expect("a gate").limit = Some(0.4)),
        &[
            |g| mixtures(g).for_each(|mixture| mixture.router.bias = None),
            |g| each_expert(g, |layers| layers.up.bias = None),
            |g| each_expert(g, |layers| layers.gate.as_mut().expect("a gate").linear.bias = None),
            |g| each_expert(g, |layers| layers.down.bias = None),
            |g| each_expert(g, |layers| layers.gate.as_mut().expect("a gate").limit = None),
            |g| each_expert(g, |layers| layers.gate.as_mut().expect("a gate").up_offset = 0.0),
        ],
    );
}

#[test]
fn do_experts_share_blocks_with_other_operations() {
    let sequential: Change = |g| each_block(g, |block| block.residual = Residual::Sequential);
    let parallel: Change = |g| each_block(g, |block| block.residual = Residual::Parallel);
    let cuts = &CUTS[2..4];
    for name in [BIASED, MIXED] {
        let model = model(name);
        assert_right(&model, cuts, parallel, &[sequential]);
        let with_one_norm = |g: &mut DecoderGraph| {
            parallel(g);
            each_block(g, |block| block.mlp.norm = block.attention.norm.clone());
        };
        assert_right(&model, cuts, with_one_norm, &[sequential]);
        let normed_behind = |g: &mut DecoderGraph| {
            each_block(g, |block| block.mlp.post_norm = Some(block.mlp.norm.clone()));
        };
        let not: Change = |g| each_block(g, |block| block.mlp.post_norm = None);
        assert_right(&model, cuts, normed_behind, &[not]);
        let without_gates = |g: &mut DecoderGraph| {
            each_expert(g, |layers| {
                (layers.gate, layers.activation) = (None, Activation::Gelu);
            });
        };
        let relu: Change = |g| each_expert(g, |layers| layers.activation = Activation::Relu);
        assert_right(&model, cuts, without_gates, &[relu]);
        assert_right(&model, cuts, with_layer_norms, &[]);
    }
}

/// Layer norms whose biases (a norm's weight is as good as any) the router and the experts see.
fn with_layer_norms(g: &mut DecoderGraph) {
    let bias = Some(g.final_norm.weight);
    for block in &mut g.blocks {
        for norm in [&mut block.attention.norm, &mut block.mlp.norm] {
            (norm.kind, norm.bias) = (NormKind::Layer, bias);
        }
    }
    g.final_norm.kind = NormKind::Layer;
}

/// Why the compiler refuses the model's graph, changed; empty where it does not.
fn refusal(model: &ModelDir, change: impl Fn(&mut DecoderGraph)) -> String {
    let mut graph = model.graph().clone();
    change(&mut graph);
    let options = Options { contexts: vec![8], ..Options::default() };
    let weights = model.weights().expect("weights are there");
    match compiler::compile(&graph, weights, &machine(64, 64), &options) {
        Ok(_) => String::new(),
        Err(refused) => refused.to_string(),
    }
}

#[test]
fn does_the_report_say_that_timing_depends_on_the_data() {
    let model = model(MIXED);
    let path = model.path().to_str().expect("a path in UTF-8");
    let args = ["run", path, "--prompt-ids", "1,2", "--max-new-tokens", "2"];
    let (table, json) = (wafersim(&args), wafersim(&[&args[..], &["--json"]].concat()));
    for call in [&table, &json] {
        assert_eq!((call.code, call.err.as_str()), (Some(0), ""));
    }
    assert!(table.out.contains("2 of 8 a token") && table.out.contains("depends on the data"));
    let report: serde_json::Value = serde_json::from_str(&json.out).expect("a document");
    let expected =
        serde_json::json!({ "layers": 2, "experts": 8, "chosen": 2, "choice": "router" });
    assert_eq!(report["model"]["experts"], expected);
}

#[test]
fn are_experts_that_no_one_program_computes_refused() {
    let other: [Change; 3] = [
        |g| mixtures(g).for_each(|m| m.experts[1].activation = Activation::Relu),
        |g| mixtures(g).for_each(|m| m.experts[2].down.bias = None),
        |g| mixtures(g).for_each(|m| m.experts[3].gate = None),
    ];
    for change in other {
        assert!(refusal(&model(BIASED), change).contains("layer 0: experts that differ"));
    }
    let none: Change = |g| mixtures(g).for_each(|m| m.chosen = 0);
    assert!(refusal(&model(BIASED), none).contains("choose no expert"));
}

/// A copy of a family's model in which router weights are zero, and biases, where it has them, `bias`.
fn with_router(name: &str, bias: &[f32]) -> (tempfile::TempDir, ModelDir) {
    let from: PathBuf = model(name).path().to_path_buf();
    let copy = tempfile::tempdir().expect("a directory can be made");
    for entry in std::fs::read_dir(from).expect("the model is there") {
        let path = entry.expect("an entry").path();
        std::fs::copy(&path, copy.path().join(path.file_name().expect("a name"))).expect("a copy");
    }
    let path = copy.path().join("model.safetensors");
    let mut bytes = std::fs::read(&path).expect("the copy is there");
    let size = u64::from_le_bytes(bytes[..8].try_into().expect("eight bytes")) as usize;
    let header: serde_json::Value =
        serde_json::from_slice(&bytes[8..8 + size]).expect("the header is JSON");
    for (name, tensor) in header.as_object().expect("tensors by name") {
        let is_weight = name.ends_with("mlp.router.weight") || name.ends_with("mlp.gate.weight");
        if !is_weight && !name.ends_with("mlp.router.bias") {
            continue;
        }
        let at = |end: usize| tensor["data_offsets"][end].as_u64().expect("a place") as usize;
        let data = &mut bytes[8 + size + at(0)..8 + size + at(1)];
        data.fill(0);
        if !is_weight {
            assert_eq!(tensor["dtype"], "BF16");
            for (place, value) in data.chunks_exact_mut(2).zip(bias) {
                place.copy_from_slice(&value.to_le_bytes()[2..]);
            }
        }
    }
    std::fs::write(&path, bytes).expect("it can be written");
    let model = ModelDir::open(copy.path()).expect("the copy opens");
    (copy, model)
}

#[test]
fn is_the_lower_of_equal_experts_chosen() {
    let mistakes: [Change; 1] = [|g| mixtures(g).for_each(|mixture| mixture.experts.reverse())];
    let (_copy, model) = with_router(MIXED, &[]);
    assert_right(&model, &CUTS[1..5], |_| {}, &mistakes);
    let (_copy, model) = with_router(BIASED, &[1.0, 2.0, 2.0, 2.0]);
    let third_for_second: Change = |g| mixtures(g).for_each(|mixture| mixture.experts.swap(2, 3));
    assert_right(&model, &CUTS[1..5], |_| {}, &[third_for_second]);
}

/// Datapath cycles of each row of the first stage of layers, over a short request.
fn row_cycles(model: &ModelDir, (width, height): (u32, u32)) -> (Vec<u64>, u64) {
    let request = Request { prompt: vec![3, 5, 8], new: 4, eos: Vec::new() };
    let mapping = Mapping {
        stage_width: width,
        stage_height: height,
        layers_per_stage: 1,
        ..Mapping::default()
    };
    let compiled: Compiled = request.compile(model, &machine(64, 64), mapping);
    let (_, outcome) = request.run(&compiled, &mut NoObserver);
    let stage = compiled.image.stages.iter().find(|s| s.name == "layers 0-0").expect("a layer");
    let busy = |x: u32, y: u32| {
        let at = PeCoord::new(stage.origin.x + x, stage.origin.y + y);
        outcome.state.pes[compiled.image.index(at).0 as usize].busy_cycles
    };
    let row = |y: u32| (0..width).map(|x| busy(x, y)).sum();
    ((0..height).map(row).collect(), outcome.cycle.0)
}

#[test]
fn do_only_the_rows_of_chosen_experts_work() {
    let cut = (5, 8);
    let with = |bias: &[f32]| {
        let (_copy, model) = with_router(BIASED, bias);
        row_cycles(&model, cut)
    };
    // Two rows for each of four experts.
    let (first, _) = with(&[4.0, 0.0, 3.0, 0.0]);
    let (second, _) = with(&[0.0, 3.0, 0.0, 4.0]);
    for row in 0..8 {
        let (works, rests) = match row / 2 % 2 {
            0 => (first[row], second[row]),
            _ => (second[row], first[row]),
        };
        assert!(5 * works > 6 * rests, "row {row}: {works} cycles chosen, {rests} not");
    }
    // On two rows, two chosen experts of one row take turns: they take longer than one on each.
    let on_two_rows = |bias: &[f32]| {
        let (_copy, model) = with_router(BIASED, bias);
        row_cycles(&model, (5, 2)).1
    };
    let (apart, together) =
        (on_two_rows(&[4.0, 0.0, 3.0, 0.0]), on_two_rows(&[4.0, 3.0, 0.0, 0.0]));
    assert!(20 * together > 21 * apart, "{together} cycles on one row, {apart} on two");
}
