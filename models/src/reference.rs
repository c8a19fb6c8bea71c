//! The forward pass on the host, in f32 and plain loops: what simulated results are compared with.
//!
//! Transcendental functions come from `libm`, and sums are taken in a fixed order, so that every host computes the same
//! bits. Read `step` first; each function below it is one kind of layer.

use half::{bf16, f16};

use crate::error::ModelError;
use crate::graph::{
    Activation, Attention, Block, DecoderGraph, Mlp, MlpKind, Norm, NormKind, Residual,
};
use crate::rope::Rope;
use crate::tensors::{LinearRef, TensorRef};
use crate::weights::Weights;

/// What happens to the weights before they are used; arithmetic is f32 in any case.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum WeightRounding {
    /// Taken as stored.
    #[default]
    None,
    /// Rounded to the nearest binary16, ties to even; beyond its range they become infinite.
    F16,
    /// Rounded to the nearest bfloat16, ties to even.
    Bf16,
}

/// A model being run token by token: its weights as f32 (4 bytes for each parameter) and the KV cache so far.
pub struct Reference<'a> {
    graph: &'a DecoderGraph,
    /// One buffer for each tensor of the graph.
    tensors: Vec<Vec<f32>>,
    /// One for each block.
    caches: Vec<Cache>,
    /// Positions computed so far.
    positions: usize,
}

/// Keys (rotated) and values of one block, both `[positions, kv_heads · head_dim]`.
#[derive(Default)]
struct Cache {
    keys: Vec<f32>,
    values: Vec<f32>,
}

impl<'a> Reference<'a> {
    /// A fresh run of `graph` with its `weights`, taken as stored.
    pub fn new(graph: &'a DecoderGraph, weights: &Weights) -> Reference<'a> {
        Reference::with_rounding(graph, weights, WeightRounding::None)
    }

    /// A fresh run of `graph` with `weights` that are rounded first.
    pub fn with_rounding(
        graph: &'a DecoderGraph,
        weights: &Weights,
        rounding: WeightRounding,
    ) -> Reference<'a> {
        let round = |value: &mut f32| match rounding {
            WeightRounding::None => {}
            WeightRounding::F16 => *value = f16::from_f32(*value).to_f32(),
            WeightRounding::Bf16 => *value = bf16::from_f32(*value).to_f32(),
        };
        let load = |(tensor, _)| {
            let mut values = weights.vector(tensor);
            values.iter_mut().for_each(round);
            values
        };
        let tensors = graph.tensor_refs().map(load).collect();
        let caches = graph.blocks.iter().map(|_| Cache::default()).collect();
        Reference { graph, tensors, caches, positions: 0 }
    }

    /// Forgets all positions, so that another request can be run.
    pub fn reset(&mut self) {
        self.caches.fill_with(Cache::default);
        self.positions = 0;
    }

    /// Computes `token` at `position` and returns the logits of the token after it, shape `[vocab]`.
    ///
    /// # Panics
    /// Where `position` is not the one after the last step's (0 at first) or not within the context, or `token` is
    /// outside the vocabulary; [`DecoderGraph::check_request`] rules the last two out.
    pub fn step(&mut self, token: u32, position: usize) -> Vec<f32> {
        let graph = self.graph;
        assert_eq!(position, self.positions, "positions are computed in order");
        assert!(
            position < graph.context,
            "position {position} is outside the context of {}",
            graph.context
        );
        let mut x = self.embed(token, position); // [hidden]
        for (index, block) in graph.blocks.iter().enumerate() {
            self.block(index, block, position, &mut x);
        }
        self.positions += 1;
        let x = self.norm(&graph.final_norm, &x);
        self.linear(&graph.head, &x) // [vocab]
    }

    /// Runs `prompt` and then picks the likeliest token, at most `max_new` times; an end-of-sequence token is the last
    /// one returned. Starts afresh.
    ///
    /// # Errors
    /// As [`DecoderGraph::check_request`].
    pub fn generate(&mut self, prompt: &[u32], max_new: usize) -> Result<Vec<u32>, ModelError> {
        self.graph.check_request(prompt, max_new)?;
        self.reset();
        let mut logits = Vec::new();
        for (position, &token) in prompt.iter().enumerate() {
            logits = self.step(token, position);
        }
        let mut answer = Vec::new();
        while answer.len() < max_new {
            let token = argmax(&logits);
            answer.push(token);
            if self.graph.eos_ids.contains(&token) || answer.len() == max_new {
                break;
            }
            logits = self.step(token, self.positions);
        }
        Ok(answer)
    }

    fn tensor(&self, tensor: TensorRef) -> &[f32] {
        &self.tensors[tensor.0 as usize]
    }

    fn embed(&self, token: u32, position: usize) -> Vec<f32> {
        let embedding = &self.graph.embedding;
        let row =
            |table: TensorRef, row: usize| self.tensor(table)[row * self.graph.hidden..].iter();
        let mut x: Vec<f32> =
            row(embedding.table, token as usize).take(self.graph.hidden).copied().collect();
        x.iter_mut().for_each(|x| *x *= embedding.scale);
        if let Some(positions) = embedding.positions {
            add(&mut x, row(positions, position));
        }
        x
    }

    fn block(&mut self, index: usize, block: &Block, position: usize, x: &mut [f32]) {
        match block.residual {
            Residual::Sequential => {
                add(x, self.attention(index, &block.attention, position, x).iter());
                add(x, self.mlp(&block.mlp, x).iter());
            }
        }
    }

    fn norm(&self, norm: &Norm, x: &[f32]) -> Vec<f32> {
        let weight = self.tensor(norm.weight);
        match norm.kind {
            NormKind::Rms => {
                let mean_square = dot(x, x) / x.len() as f32;
                let scale = (mean_square + norm.epsilon).sqrt().recip();
                x.iter().zip(weight).map(|(x, weight)| x * scale * weight).collect()
            }
        }
    }

    /// `[in_features]` to `[out_features]`.
    fn linear(&self, linear: &LinearRef, x: &[f32]) -> Vec<f32> {
        let rows = self.tensor(linear.weight).chunks_exact(linear.in_features);
        let mut y: Vec<f32> = rows.map(|row| dot(row, x)).collect();
        if let Some(bias) = linear.bias {
            add(&mut y, self.tensor(bias).iter());
        }
        y
    }

    fn attention(
        &mut self,
        index: usize,
        attention: &Attention,
        position: usize,
        x: &[f32],
    ) -> Vec<f32> {
        let head_dim = attention.head_dim;
        let x = self.norm(&attention.norm, x);
        let mut queries = self.linear(&attention.query, &x); // [heads, head_dim]
        let mut keys = self.linear(&attention.key, &x); // [kv_heads, head_dim]
        let values = self.linear(&attention.value, &x); // [kv_heads, head_dim]
        if let Some(rope) = attention.rope {
            let rope = self.graph.rope(rope);
            rotate(rope, position, head_dim, &mut queries);
            rotate(rope, position, head_dim, &mut keys);
        }
        let cache = &mut self.caches[index];
        cache.keys.extend_from_slice(&keys);
        cache.values.extend_from_slice(&values);

        let first = attention.window.map_or(0, |window| (position + 1).saturating_sub(window));
        let row = attention.kv_heads * head_dim;
        let mut mixed = vec![0.0; queries.len()]; // [heads, head_dim]
        for (head, (query, out)) in
            queries.chunks_exact(head_dim).zip(mixed.chunks_exact_mut(head_dim)).enumerate()
        {
            let column = head / (attention.heads / attention.kv_heads) * head_dim;
            let at = |position: usize| position * row + column..position * row + column + head_dim;
            let mut scores: Vec<f32> = (first..=position)
                .map(|past| dot(query, &cache.keys[at(past)]) * attention.score_scale)
                .collect();
            softmax(&mut scores);
            for (past, score) in (first..=position).zip(&scores) {
                out.iter_mut()
                    .zip(&cache.values[at(past)])
                    .for_each(|(out, value)| *out += score * value);
            }
        }
        self.linear(&attention.output, &mixed)
    }

    fn mlp(&self, mlp: &Mlp, x: &[f32]) -> Vec<f32> {
        let x = self.norm(&mlp.norm, x);
        match &mlp.kind {
            MlpKind::Gated { gate, up, down, activation } => {
                let mut inner = self.linear(gate, &x); // [intermediate]
                let up = self.linear(up, &x); // [intermediate]
                inner
                    .iter_mut()
                    .zip(&up)
                    .for_each(|(gate, up)| *gate = activate(*activation, *gate) * up);
                self.linear(down, &inner)
            }
        }
    }
}

/// Index of the largest logit, the lowest one among equals.
pub fn argmax(logits: &[f32]) -> u32 {
    let mut best = 0;
    for (index, logit) in logits.iter().enumerate() {
        if *logit > logits[best] {
            best = index;
        }
    }
    best as u32
}

fn activate(activation: Activation, x: f32) -> f32 {
    match activation {
        Activation::Silu => x / (1.0 + libm::expf(-x)),
    }
}

/// Turns the leading dimensions of every head in `heads`, shape `[any, head_dim]`.
fn rotate(rope: &Rope, position: usize, head_dim: usize, heads: &mut [f32]) {
    let half = rope.rotary_dims / 2;
    for (pair, frequency) in rope.inverse_frequencies.iter().enumerate() {
        let angle = position as f32 * frequency;
        let cos = libm::cosf(angle) * rope.attention_factor;
        let sin = libm::sinf(angle) * rope.attention_factor;
        for head in heads.chunks_exact_mut(head_dim) {
            let (low, high) = (head[pair], head[pair + half]);
            head[pair] = low * cos - high * sin;
            head[pair + half] = high * cos + low * sin;
        }
    }
}

fn softmax(scores: &mut [f32]) {
    let max = scores.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let mut sum = 0.0;
    for score in scores.iter_mut() {
        *score = libm::expf(*score - max);
        sum += *score;
    }
    scores.iter_mut().for_each(|score| *score /= sum);
}

fn add<'v>(x: &mut [f32], y: impl Iterator<Item = &'v f32>) {
    x.iter_mut().zip(y).for_each(|(x, y)| *x += y);
}

/// Sum of products, in eight interleaved partial sums (which fit vector registers) that are added up at the end, then the
/// remainder. Written out because the tests run it without optimisation too.
fn dot(a: &[f32], b: &[f32]) -> f32 {
    let (a_lanes, a_rest) = a.as_chunks::<8>();
    let (b_lanes, b_rest) = b.as_chunks::<8>();
    let (mut s0, mut s1, mut s2, mut s3, mut s4, mut s5, mut s6, mut s7) =
        (0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0);
    for ([a0, a1, a2, a3, a4, a5, a6, a7], [b0, b1, b2, b3, b4, b5, b6, b7]) in
        a_lanes.iter().zip(b_lanes)
    {
        s0 += *a0 * *b0;
        s1 += *a1 * *b1;
        s2 += *a2 * *b2;
        s3 += *a3 * *b3;
        s4 += *a4 * *b4;
        s5 += *a5 * *b5;
        s6 += *a6 * *b6;
        s7 += *a7 * *b7;
    }
    let rest: f32 = a_rest.iter().zip(b_rest).map(|(a, b)| a * b).sum();
    ((s0 + s4) + (s2 + s6)) + ((s1 + s5) + (s3 + s7)) + rest
}
