//! Do layers with sliding windows, attention sinks and ropes of their own compute on the wafer what the host's forward pass does,
//! on any cut? A small model's graph is changed, so that any mixture of layers can be had; the run is in f32.

mod request;

use compiler::{Compiled, Mapping, NewToken, Numerics, Options, Plan};
use models::{DecoderGraph, ModelDir, Reference, Rope, RopeRef};
use pe_isa::DType;
use request::{LIMIT, Listener, Logits, examples, machine, script};
use sim_core::engine;

/// Largest difference of a logit that counts as the same: what rounding makes stays below a tenth of it.
const TOLERANCE: f32 = 1e-3;

/// Less than what the slightest mistake that the tests look for makes.
const MISTAKE: f32 = 0.5;

/// Two layers, eight query heads, two key-value heads.
fn model() -> ModelDir {
    ModelDir::open(examples("oracle/llama-gqa-rope-llama3/model")).expect("the model opens")
}

/// The model's graph with as many layers as there are windows, the model's own layers by turns.
fn windowed(model: &ModelDir, windows: &[Option<usize>]) -> DecoderGraph {
    let mut graph = model.graph().clone();
    let blocks = graph.blocks.iter().cycle().zip(windows);
    graph.blocks = blocks
        .map(|(block, &window)| {
            let mut block = block.clone();
            block.attention.window = window;
            block
        })
        .collect();
    graph.eos_ids.clear();
    graph
}

/// Requests that are on the wafer together, their lengths apart.
struct Batch {
    prompts: Vec<Vec<u32>>,
    new: Vec<u32>,
}

impl Batch {
    fn new(lengths: &[(u32, u32)]) -> Batch {
        let id = |request: usize, at: u32| (request as u32 * 131 + at * at * 7 + at * 37) % 380 + 1;
        let prompt = |(request, &(len, _))| (0..len).map(|at| id(request, at)).collect();
        Batch {
            prompts: lengths.iter().enumerate().map(prompt).collect(),
            new: lengths.iter().map(|&(_, new)| new).collect(),
        }
    }

    fn compile(&self, model: &ModelDir, graph: &DecoderGraph, cut: (u32, u32, u32)) -> Compiled {
        let prompts = self.prompts.iter().zip(&self.new);
        let contexts = prompts.map(|(prompt, new)| prompt.len() as u32 + new - 1).collect();
        compile(model, graph, contexts, cut)
    }

    fn run(&self, compiled: &Compiled) -> Answers<'_> {
        let mut listener = Listener::new(compiled, self.new.iter().sum(), &[]);
        let mut logits = Logits::of(&compiled.image);
        let script = script(compiled, &self.prompts, &self.new);
        engine::run(&compiled.image, &script, &mut listener, LIMIT, &mut logits);
        assert_eq!(listener.tokens.len() as u32, self.new.iter().sum::<u32>());
        Answers { batch: self, tokens: listener.tokens, logits: logits.values }
    }
}

/// The cut: columns and rows of a stage, layers of each.
fn compile(
    model: &ModelDir,
    graph: &DecoderGraph,
    contexts: Vec<u32>,
    (stage_width, stage_height, layers_per_stage): (u32, u32, u32),
) -> Compiled {
    let mapping = Mapping { stage_width, stage_height, layers_per_stage, ..Mapping::default() };
    let numerics = Numerics { activations: DType::F32, ..Numerics::default() };
    let options = Options { contexts, mapping, numerics };
    let weights = model.weights().expect("weights are there");
    compiler::compile(graph, weights, &machine(64, 64), &options).expect("it compiles")
}

/// New tokens in the order in which they came, and the logits from which each was chosen.
struct Answers<'a> {
    batch: &'a Batch,
    tokens: Vec<NewToken>,
    logits: Vec<f32>,
}

impl Answers<'_> {
    /// The largest difference of a logit from what the forward pass of `graph` computes for the same tokens.
    fn differ_from(&self, model: &ModelDir, graph: &DecoderGraph) -> f32 {
        let mut reference = Reference::new(graph, model.weights().expect("weights are there"));
        let mut largest = 0.0;
        for (request, prompt) in self.batch.prompts.iter().enumerate() {
            reference.reset();
            let (last, before) = prompt.split_last().expect("a prompt has a token");
            for (position, &id) in before.iter().enumerate() {
                reference.step(id, position);
            }
            let mut id = *last;
            let found = self.tokens.iter().zip(self.logits.chunks_exact(graph.vocab));
            let found = found.filter(|(token, _)| token.request == request);
            for (position, (token, logits)) in (before.len()..).zip(found) {
                let expected = reference.step(id, position);
                let gaps = logits.iter().zip(&expected).map(|(a, b)| (a - b).abs());
                largest = gaps.fold(largest, |a: f32, b| if b.is_nan() { b } else { a.max(b) });
                id = token.id;
            }
        }
        largest
    }
}

/// Runs a graph on one cut: the logits must be those of the forward pass, and not those of the `mistaken` graphs.
fn check(
    model: &ModelDir,
    batch: &Batch,
    (graph, mistaken): (&DecoderGraph, &[DecoderGraph]),
    cut: (u32, u32, u32),
) {
    let compiled = batch.compile(model, graph, cut);
    let answers = batch.run(&compiled);
    let gap = answers.differ_from(model, graph);
    assert!(gap < TOLERANCE, "{cut:?}: logits differ by {gap}");
    for (at, mistaken) in mistaken.iter().enumerate() {
        let gap = answers.differ_from(model, mistaken);
        assert!(gap > MISTAKE, "{cut:?}: mistake {at} makes only {gap}");
    }
}

#[test]
fn does_a_window_of_any_size_on_any_cut_hold_just_its_tokens() {
    let model = model();
    let batch = Batch::new(&[(23, 14), (1, 9), (9, 25)]);
    // One column and one row, columns that divide the window and that do not, more columns than the window.
    let cuts = [(1, 12, 1), (13, 1, 1), (4, 6, 1), (5, 4, 2), (3, 8, 1), (8, 3, 2)];
    for (window, cut) in [16, 7, 8, 3, 5, 1].into_iter().zip(cuts) {
        let of = |window| windowed(&model, &[Some(window); 2]);
        let mut mistaken = vec![of(window + 1)];
        mistaken.extend((window > 1).then(|| of(window - 1)));
        check(&model, &batch, (&of(window), &mistaken), cut);
    }
}

#[test]
fn do_layers_with_and_without_windows_share_a_stage() {
    let model = model();
    let batch = Batch::new(&[(23, 14), (2, 9), (9, 25)]);
    let windows = [Some(4), None, Some(11), Some(11), None];
    let graph = windowed(&model, &windows);
    let mistaken = [0, 2].map(|layer| {
        let mut graph = graph.clone();
        graph.blocks[layer].attention.window = None;
        graph
    });
    // Stages of one kind and of several, and a last one that is shorter.
    for cut in [(6, 8, 1), (7, 10, 2), (8, 16, 5)] {
        check(&model, &batch, (&graph, &mistaken), cut);
    }
}

#[test]
fn do_sinks_take_part_in_the_softmax_of_their_head() {
    let model = model();
    let batch = Batch::new(&[(11, 9), (1, 12)]);
    let mut graph = windowed(&model, &[Some(5), None, Some(3)]);
    let without = graph.clone();
    // The first elements of a norm's weight are as good as any numbers; one score is above all others.
    for (block, from) in [(0, 0), (2, 1)] {
        graph.blocks[block].attention.sinks = Some(graph.blocks[from].mlp.norm.weight);
    }
    let exchanged = {
        let mut graph = graph.clone();
        graph.blocks[0].attention.sinks = graph.blocks[2].attention.sinks;
        graph
    };
    for cut in [(1, 12, 1), (14, 1, 1), (5, 8, 3), (3, 20, 2)] {
        check(&model, &batch, (&graph, &[without.clone(), exchanged.clone()]), cut);
    }
}

#[test]
fn does_each_layer_turn_by_its_own_rope() {
    let model = model();
    let batch = Batch::new(&[(7, 8), (12, 5)]);
    let mut graph = windowed(&model, &[None, Some(6), None, Some(6)]);
    let one = graph.clone();
    let first = &graph.ropes[0];
    let slower = first.inverse_frequencies.iter().map(|f| f * 0.4).collect();
    let second = Rope { inverse_frequencies: slower, attention_factor: 1.25, ..first.clone() };
    graph.ropes.push(second);
    for layer in [1, 3] {
        graph.blocks[layer].attention.rope = Some(RopeRef(1));
    }
    for cut in [(5, 6, 1), (6, 7, 2), (12, 12, 4)] {
        check(&model, &batch, (&graph, &[one.clone()]), cut);
    }
}

#[test]
fn does_a_window_that_no_request_outgrows_cost_nothing() {
    let model = model();
    let image = |window| {
        let graph = windowed(&model, &[window; 2]);
        compile(&model, &graph, vec![20, 13], (5, 6, 1)).image
    };
    let whole = image(None);
    assert!(image(Some(20)) == whole);
    assert!(image(Some(19)) != whole);
}

#[test]
fn is_the_longest_context_the_one_that_the_caches_of_all_layers_still_hold() {
    let model = model();
    let plan = |windows: &[Option<usize>], context: u32| -> Plan {
        let mut graph = windowed(&model, windows);
        graph.context = 1_000_000;
        compile(&model, &graph, vec![context], (6, 8, 2)).plan
    };
    let whole = plan(&[None; 2], 8).longest_context;
    let mixed = plan(&[None, Some(16)], 8).longest_context;
    assert!(whole < mixed && mixed < 1_000_000, "{whole} and {mixed}");
    assert_eq!(plan(&[Some(16); 2], 8).longest_context, 1_000_000);
    assert_eq!(plan(&[None, Some(16)], mixed).longest_context, mixed);
}
