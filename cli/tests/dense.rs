//! Do the operations of dense decoders compute on the wafer what the host's forward pass does, on any cut? Graphs of small models
//! are changed, so that any mixture can be had; the run is in f32.

mod request;

use compiler::Options;
use models::{Activation, DecoderGraph, ModelDir, Norm, NormKind, Residual, Rope};
use request::batch::{self, Change, with_tensors};
use request::{assert_answered, family_model as model, machine};

/// One row, one column, rows that divide nothing, more rows than heads and fewer, two layers in a stage.
const CUTS: [(u32, u32, u32); 6] =
    [(24, 1, 1), (1, 30, 1), (5, 7, 1), (4, 13, 1), (9, 2, 1), (12, 11, 2)];

/// Runs a model's graph without windows, changed by `change`, on all cuts; with any of `mistakes` on top, the logits must differ.
fn assert_right(name: &str, change: impl Fn(&mut DecoderGraph), mistakes: &[Change]) {
    assert_right_on(&CUTS, name, change, mistakes);
}

/// The same on some cuts.
fn assert_right_on(
    cuts: &[(u32, u32, u32)],
    name: &str,
    change: impl Fn(&mut DecoderGraph),
    mistakes: &[Change],
) {
    let change = |graph: &mut DecoderGraph| {
        graph.blocks.iter_mut().for_each(|block| block.attention.window = None);
        change(graph);
    };
    batch::assert_right(&model(name), cuts, change, mistakes);
}

fn set_activation(graph: &mut DecoderGraph, activation: Activation) {
    for block in &mut graph.blocks {
        let models::MlpKind::Dense(dense) = &mut block.mlp.kind else { panic!("it is dense") };
        dense.activation = activation;
    }
}

/// Changes the gates; the limit and the offset.
fn set_gate(graph: &mut DecoderGraph, limit: Option<f32>, up_offset: f32) {
    for block in &mut graph.blocks {
        let models::MlpKind::Dense(dense) = &mut block.mlp.kind else { panic!("it is dense") };
        let gate = dense.gate.as_mut().expect("it has a gate");
        (gate.limit, gate.up_offset) = (limit, up_offset);
    }
}

fn residual_norms(graph: &mut DecoderGraph) -> Vec<&mut Norm> {
    let of_blocks =
        graph.blocks.iter_mut().flat_map(|block| [&mut block.attention.norm, &mut block.mlp.norm]);
    of_blocks.chain([&mut graph.final_norm]).collect()
}

/// Norms of queries and keys: the first elements of a longer weight are as good as any numbers.
fn set_head_norms(graph: &mut DecoderGraph, kind: NormKind, epsilon: f32) {
    for block in &mut graph.blocks {
        let norm = Norm { kind, epsilon, ..block.attention.norm.clone() };
        block.attention.key_norm = Some(Norm { weight: block.mlp.norm.weight, ..norm.clone() });
        block.attention.query_norm = Some(norm);
    }
}

#[test]
fn are_families_answered_as_by_transformers_on_odd_grids() {
    let grids = [(13, 20), (9, 7), (40, 2), (2, 60)];
    let names = ["gpt2", "gpt-neox", "phi", "gemma2", "qwen3"];
    names.into_iter().zip(grids.into_iter().cycle()).for_each(|(name, grid)| {
        assert_answered(name, grid);
    });
}

#[test]
fn is_each_activation_told_from_the_others_with_a_gate_and_without() {
    let others: [fn(&mut DecoderGraph); 4] = [
        |g| set_activation(g, Activation::Silu { alpha: 1.702 }),
        |g| set_activation(g, Activation::Gelu),
        |g| set_activation(g, Activation::GeluTanh),
        |g| set_activation(g, Activation::Relu),
    ];
    for (at, change) in others.iter().enumerate() {
        let mistakes: Vec<_> =
            others.iter().enumerate().filter(|(other, _)| *other != at).map(|(_, f)| *f).collect();
        assert_right_on(&CUTS[2..4], "gpt2", change, &mistakes);
        assert_right_on(
            &CUTS[2..3],
            "gemma2",
            change,
            &[|g| set_activation(g, Activation::Silu { alpha: 1.0 })],
        );
    }
}

#[test]
fn are_gates_cut_off_and_raised() {
    assert_right(
        "gemma2",
        |g| set_gate(g, Some(0.4), 1.0),
        &[
            |g| set_gate(g, None, 1.0),
            |g| set_gate(g, Some(0.5), 1.0),
            |g| set_gate(g, Some(0.4), 0.0),
        ],
    );
}

#[test]
fn does_a_part_of_each_head_turn() {
    for dims in [2, 6, 10, 16] {
        let change = |g: &mut DecoderGraph| {
            let inverse_frequencies = (0..dims / 2).map(|p| 0.7_f32.powi(p)).collect();
            let rotary_dims = dims as usize;
            g.ropes[0] = Rope { rotary_dims, inverse_frequencies, ..g.ropes[0].clone() };
        };
        let slower: fn(&mut DecoderGraph) =
            |g| g.ropes[0].inverse_frequencies.iter_mut().for_each(|f| *f *= 0.5);
        assert_right_on(&CUTS[1..5], "gpt-neox", change, &[slower]);
    }
}

#[test]
fn do_layer_norms_take_off_the_mean_and_add_their_bias() {
    assert_right(
        "gpt2",
        |_| {},
        &[
            |g| residual_norms(g).into_iter().for_each(|norm| norm.kind = NormKind::Rms),
            |g| g.blocks[0].attention.norm.bias = None,
            |g| g.blocks[1].mlp.norm.bias = None,
            |g| g.final_norm.bias = None,
            |g| g.final_norm.kind = NormKind::Rms,
        ],
    );
}

#[test]
fn do_learned_positions_reach_the_stream() {
    assert_right("gpt2", |_| {}, &[|g| g.embedding.positions = None]);
}

#[test]
fn do_both_halves_read_the_same_stream_behind_one_norm_or_two() {
    let sequential: fn(&mut DecoderGraph) =
        |g| g.blocks.iter_mut().for_each(|block| block.residual = Residual::Sequential);
    let parallel: fn(&mut DecoderGraph) =
        |g| g.blocks.iter_mut().for_each(|block| block.residual = Residual::Parallel);
    assert_right("phi", |_| {}, &[sequential, |g| g.head.bias = None]);
    assert_right("gpt-neox", |_| {}, &[sequential]);
    assert_right("gpt-neox", sequential, &[parallel]);
    let without_biases = |g: &mut DecoderGraph| {
        for block in &mut g.blocks {
            block.residual = Residual::Parallel;
            block.mlp.norm = block.attention.norm.clone();
            (block.attention.post_norm, block.mlp.post_norm) = (None, None);
        }
    };
    assert_right("gemma2", without_biases, &[sequential]);
}

#[test]
fn are_queries_and_keys_normed_over_all_rows_of_their_head() {
    let exchanged: fn(&mut DecoderGraph) = |g| {
        for block in &mut g.blocks {
            std::mem::swap(&mut block.attention.query_norm, &mut block.attention.key_norm);
        }
    };
    let without: fn(&mut DecoderGraph) = |g| {
        for block in &mut g.blocks {
            (block.attention.query_norm, block.attention.key_norm) = (None, None);
        }
    };
    // Gemma's projections still lack their factor, Phi's have their bias. Both epsilons are large enough to matter.
    let more_epsilon: fn(&mut DecoderGraph) = |g| set_head_norms(g, NormKind::Rms, 0.6);
    assert_right(
        "gemma2",
        |g| set_head_norms(g, NormKind::Rms, 0.3),
        &[exchanged, without, more_epsilon],
    );
    assert_right(
        "phi",
        |g| set_head_norms(g, NormKind::Layer, 0.3),
        &[
            without,
            |g| set_head_norms(g, NormKind::Rms, 0.3),
            |g| set_head_norms(g, NormKind::Layer, 0.6),
        ],
    );
}

#[test]
fn are_queries_normed_whose_elements_hardly_differ() {
    // All elements of a query are its bias, one number for each head: rounding makes the variance of some negative, by more than
    // the epsilon.
    let (_copy, model) = with_tensors(&model("phi"), |name, data| {
        if name.ends_with("q_proj.weight") {
            data.fill(0);
        }
        if name.ends_with("q_proj.bias") {
            // f16 from 1 on: 3C00 and 1,024 steps up to 2.
            let element = |at: usize| 0x3C00 + 97 * (1 + at as u16 / 16);
            let places = data.chunks_exact_mut(2).enumerate();
            places.for_each(|(at, place)| place.copy_from_slice(&element(at).to_le_bytes()));
        }
    });
    let change = |g: &mut DecoderGraph| set_head_norms(g, NormKind::Layer, 1e-8);
    batch::assert_right(&model, &CUTS, change, &[]);
}

#[test]
fn are_halves_normed_behind_and_scores_and_logits_capped() {
    fn no_post_norm(g: &mut DecoderGraph) {
        g.blocks.iter_mut().for_each(|block| block.mlp.post_norm = None);
    }
    assert_right(
        "gemma2",
        |_| {},
        &[
            no_post_norm,
            |g| g.blocks.iter_mut().for_each(|block| block.attention.post_norm = None),
            |g| g.blocks.iter_mut().for_each(|block| block.attention.score_soft_cap = None),
            |g| g.logit_soft_cap = None,
            |g| g.embedding.scale = 1.0,
            |g| residual_norms(g).into_iter().for_each(|norm| norm.weight_offset = 0.0),
        ],
    );
}

/// Why the compiler refuses a graph for a request of so many positions.
fn refused(model: &ModelDir, graph: &DecoderGraph, positions: u32) -> String {
    let options = Options { contexts: vec![positions], ..Options::default() };
    let weights = model.weights().expect("weights are there");
    compiler::compile(graph, weights, &machine(64, 64), &options)
        .expect_err("it is refused")
        .to_string()
}

#[test]
fn are_positions_refused_that_the_table_does_not_have() {
    let model = model("gpt2");
    let mut graph = model.graph().clone();
    let rows = graph.tensor(graph.embedding.positions.expect("a table")).shape[0];
    // What the configuration says of the context is not what counts.
    graph.context = 10 * rows;
    let message = refused(&model, &graph, rows as u32 + 1);
    assert!(
        message.contains(&format!("table of learned positions, which has {rows}")),
        "{message}"
    );
    let options = Options { contexts: vec![rows as u32], ..Options::default() };
    let weights = model.weights().expect("weights are there");
    assert!(compiler::compile(&graph, weights, &machine(64, 64), &options).is_ok());
}

#[test]
fn are_norms_that_cannot_share_a_stream_refused() {
    let (gpt2, gemma2) = (model("gpt2"), model("gemma2"));
    let mut mixed = gpt2.graph().clone();
    mixed.final_norm.kind = NormKind::Rms;
    assert!(refused(&gpt2, &mixed, 8).contains("layer norms and RMS norms"));
    let mut behind = gemma2.graph().clone();
    residual_norms(&mut behind).into_iter().for_each(|norm| norm.kind = NormKind::Layer);
    assert!(refused(&gemma2, &behind, 8).contains("norms behind a half"));
}
