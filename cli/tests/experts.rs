//! Do mixtures of experts compute on the wafer what the host's forward pass does, on any cut, and do only the chosen ones work? Graphs
//! of small models are changed, so that any mixture of layers can be had; the run is in f32.

mod call;
mod request;

use call::wafersim;
use compiler::{Compiled, Mapping, Options};
use fabric::PeCoord;
use models::{
    Activation, Block, DecoderGraph, Experts, FeedForward, LinearRef, MlpKind, ModelDir, NormKind,
    Residual, Weighting,
};
use request::batch::{Batch, Change, assert_right, check, with_tensors};
use request::{Request, assert_answered, family_model as model, machine};
use sim_core::NoObserver;

/// Four experts, two of them chosen; biases, limits, sinks, windows. Two layers.
const BIASED: &str = "gpt-oss";
/// Eight experts, two of them chosen; the second of three layers is dense and has another inner width.
const MIXED: &str = "qwen3-moe";

/// One row, one column, rows that divide nothing, as many as experts, more than experts and inner width, several layers.
const CUTS: [(u32, u32, u32); 6] =
    [(24, 1, 1), (1, 30, 1), (11, 3, 3), (5, 8, 2), (3, 41, 1), (7, 13, 3)];

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
        let cuts = if chosen == 3 { &CUTS[2..4] } else { &CUTS[..4] };
        assert_right(&model(MIXED), cuts, change, &[]);
        let all = |g: &mut DecoderGraph| {
            change(g);
            exchange_weightings(g);
        };
        assert_right(&model(MIXED), &CUTS[2..4], all, &[]);
    }
}

/// Makes mixtures of as many experts as a matrix of `[any, hidden]` has rows, with that for a router: each of them has the projection up
/// of one of the eight experts and the projection down of another. They have no gates, so that many fit.
fn with_experts(g: &mut DecoderGraph, router: LinearRef, chosen: usize) {
    for mixture in mixtures(g) {
        let old = mixture.experts.clone();
        let expert = |at: usize| {
            let (up, down) = (old[at % 8].up, old[(at / 8 + at) % 8].down);
            FeedForward { gate: None, up, down, ..old[0] }
        };
        mixture.experts = (0..router.out_features).map(expert).collect();
        (mixture.router, mixture.chosen) = (router, chosen);
    }
}

#[test]
fn are_experts_told_apart_however_many_a_row_has() {
    let model = model(MIXED);
    let swap = |g: &mut DecoderGraph, by: usize| {
        mixtures(g).for_each(|m| m.experts.rotate_left(by));
    };
    let mistakes: [Change; 2] =
        [|g| mixtures(g).for_each(|m| m.chosen = 4), |g| mixtures(g).for_each(|m| m.chosen = 6)];
    let sixty_four = |g: &mut DecoderGraph| with_experts(g, g.blocks[0].attention.query, 5);
    assert_right(&model, &[(32, 1, 1), (11, 3, 1), (3, 41, 1)], sixty_four, &mistakes);
    let batch = Batch::new(&[(4, 3)]);
    let mut graph = model.graph().clone();
    graph.eos_ids.clear();
    let wide = graph.blocks[1].mlp.dense().expect("a dense layer").up;
    with_experts(&mut graph, wide, 7);
    // Experts of other registers' bits.
    let mut mistaken = graph.clone();
    swap(&mut mistaken, 32);
    for cut in [(32, 1, 1), (11, 3, 1)] {
        check(&model, &batch, (&graph, std::slice::from_ref(&mistaken)), cut);
    }
}

#[test]
fn are_more_experts_than_a_row_can_tell_apart_refused() {
    let model = model(MIXED);
    let mut graph = model.graph().clone();
    let head = graph.head;
    with_experts(&mut graph, head, 2);
    let mapping = Mapping { stage_height: 2, layers_per_stage: 1, ..Mapping::default() };
    let options = Options { contexts: vec![8], mapping, ..Options::default() };
    let weights = model.weights().expect("weights are there");
    let refused = compiler::compile(&graph, weights, &machine(64, 64), &options);
    let refused = refused.expect_err("192 experts a row are too many").to_string();
    assert!(refused.contains("192 experts on a row") && refused.contains("128"), "{refused}");
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
    with_tensors(&model(name), |name, data| {
        let is_bias = name.ends_with("mlp.router.bias");
        if is_bias || name.ends_with("mlp.router.weight") || name.ends_with("mlp.gate.weight") {
            data.fill(0);
        }
        if is_bias {
            for (place, value) in data.chunks_exact_mut(2).zip(bias) {
                place.copy_from_slice(&value.to_le_bytes()[2..]); // bf16
            }
        }
    })
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

#[test]
fn is_an_expert_that_weighs_nothing_worked_on_like_any_other() {
    for cut in [(5, 8), (5, 2), (7, 1)] {
        let with = |bias: &[f32]| {
            let (_copy, model) = with_router(BIASED, bias);
            row_cycles(&model, cut)
        };
        // e^(50 − 200) is 0 in f32.
        assert_eq!(with(&[4.0, 0.0, 3.0, 0.0]), with(&[200.0, 0.0, 50.0, 0.0]), "{cut:?}");
    }
}
