//! Requests that run together, compared with the forward pass on the host.

use super::{LIMIT, Listener, Logits, machine, script};
use compiler::{Compiled, Mapping, NewToken, Numerics, Options};
use models::{DecoderGraph, ModelDir, Reference};
use pe_isa::DType;
use sim_core::engine;

const ACTIVATIONS_F32: Numerics =
    Numerics { weights: DType::F16, activations: DType::F32, accumulate: DType::F32 };

/// Requests that are on the wafer together, their lengths apart.
pub(crate) struct Batch {
    prompts: Vec<Vec<u32>>,
    new: Vec<u32>,
    numerics: Numerics,
    /// Largest difference of a logit that counts as the same: what rounding makes stays below a tenth of it.
    tolerance: f32,
    /// Less than what the slightest mistake that the tests look for makes.
    mistake: f32,
}

impl Batch {
    /// Prompts of these lengths and numbers of new tokens; activations in f32.
    pub(crate) fn new(lengths: &[(u32, u32)]) -> Batch {
        let id = |request: usize, at: u32| (request as u32 * 131 + at * at * 7 + at * 37) % 380 + 1;
        let prompt = |(request, &(len, _))| (0..len).map(|at| id(request, at)).collect();
        Batch {
            prompts: lengths.iter().enumerate().map(prompt).collect(),
            new: lengths.iter().map(|&(_, new)| new).collect(),
            numerics: ACTIVATIONS_F32,
            tolerance: 1e-3,
            mistake: 2e-2,
        }
    }

    /// The same, weights in f32 too, so that slighter mistakes show.
    pub(crate) fn exact(lengths: &[(u32, u32)]) -> Batch {
        let numerics = Numerics { weights: DType::F32, ..ACTIVATIONS_F32 };
        Batch { numerics, tolerance: 1e-4, mistake: 3e-4, ..Batch::new(lengths) }
    }

    fn compile(&self, model: &ModelDir, graph: &DecoderGraph, cut: (u32, u32, u32)) -> Compiled {
        let prompts = self.prompts.iter().zip(&self.new);
        let contexts = prompts.map(|(prompt, new)| prompt.len() as u32 + new - 1).collect();
        compile_with(model, graph, contexts, cut, self.numerics)
    }

    fn run(&self, compiled: &Compiled) -> Answered<'_> {
        let mut listener = Listener::new(compiled, self.new.iter().sum(), &[]);
        let mut logits = Logits::of(&compiled.image);
        let script = script(compiled, &self.prompts, &self.new);
        engine::run(&compiled.image, &script, &mut listener, LIMIT, &mut logits);
        assert_eq!(listener.tokens.len() as u32, self.new.iter().sum::<u32>());
        Answered { batch: self, tokens: listener.tokens, logits: logits.values }
    }
}

/// Compiles a graph in which activations are f32. The cut: columns and rows of a stage, layers of each.
pub(crate) fn compile(
    model: &ModelDir,
    graph: &DecoderGraph,
    contexts: Vec<u32>,
    cut: (u32, u32, u32),
) -> Compiled {
    compile_with(model, graph, contexts, cut, ACTIVATIONS_F32)
}

fn compile_with(
    model: &ModelDir,
    graph: &DecoderGraph,
    contexts: Vec<u32>,
    (stage_width, stage_height, layers_per_stage): (u32, u32, u32),
    numerics: Numerics,
) -> Compiled {
    let mapping = Mapping { stage_width, stage_height, layers_per_stage, ..Mapping::default() };
    let options = Options { contexts, mapping, numerics, ..Options::default() };
    let weights = model.weights().expect("weights are there");
    compiler::compile(graph, weights, &machine(64, 64), &options).expect("it compiles")
}

/// New tokens in the order in which they came, and the logits from which each was chosen.
pub(crate) struct Answered<'a> {
    batch: &'a Batch,
    tokens: Vec<NewToken>,
    logits: Vec<f32>,
}

impl Answered<'_> {
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
                for gap in logits.iter().zip(&expected).map(|(a, b)| (a - b).abs()) {
                    largest = f32::max(largest, if gap.is_nan() { f32::INFINITY } else { gap });
                }
                id = token.id;
            }
        }
        largest
    }
}

/// A change of a graph.
pub(crate) type Change = fn(&mut DecoderGraph);

/// Runs the model's graph without ends, changed by `change`, on these cuts; with any of `mistakes` on top, the logits must differ.
pub(crate) fn assert_right(
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

/// A copy of a model in which the elements of some tensors are others: `change` has the name of each and its bytes, two an element.
pub(crate) fn with_tensors(
    model: &ModelDir,
    change: impl Fn(&str, &mut [u8]),
) -> (tempfile::TempDir, ModelDir) {
    let copy = tempfile::tempdir().expect("a directory can be made");
    for entry in std::fs::read_dir(model.path()).expect("the model is there") {
        let path = entry.expect("an entry").path();
        std::fs::copy(&path, copy.path().join(path.file_name().expect("a name"))).expect("a copy");
    }
    let path = copy.path().join("model.safetensors");
    let mut bytes = std::fs::read(&path).expect("the copy is there");
    let size = u64::from_le_bytes(bytes[..8].try_into().expect("eight bytes")) as usize;
    let header: serde_json::Value =
        serde_json::from_slice(&bytes[8..8 + size]).expect("the header is JSON");
    for (name, tensor) in header.as_object().expect("tensors by name") {
        let Some(offsets) = tensor["data_offsets"].as_array() else { continue };
        assert_ne!(tensor["dtype"], "F32");
        let at = |end: usize| 8 + size + offsets[end].as_u64().expect("a place") as usize;
        change(name, &mut bytes[at(0)..at(1)]);
    }
    std::fs::write(&path, bytes).expect("it can be written");
    let model = ModelDir::open(copy.path()).expect("the copy opens");
    (copy, model)
}

/// Runs a graph on one cut: the logits must be those of the forward pass, and not those of the `mistaken` graphs.
pub(crate) fn check(
    model: &ModelDir,
    batch: &Batch,
    (graph, mistaken): (&DecoderGraph, &[DecoderGraph]),
    cut: (u32, u32, u32),
) {
    let compiled = batch.compile(model, graph, cut);
    let answers = batch.run(&compiled);
    let gap = answers.differ_from(model, graph);
    assert!(gap < batch.tolerance, "{cut:?}: logits differ by {gap}");
    for (at, mistaken) in mistaken.iter().enumerate() {
        let gap = answers.differ_from(model, mistaken);
        assert!(gap > batch.mistake, "{cut:?}: mistake {at} makes only {gap}");
    }
}
