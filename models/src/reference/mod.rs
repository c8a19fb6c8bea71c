//! The forward pass on the host, in f32 and plain loops: what simulated results are compared with.
//!
//! Transcendental functions come from `libm`, and sums are taken in a fixed order, so that every host computes the same
//! bits. Read `step` first; each function below it is one kind of layer.

mod arithmetic;

use half::{bf16, f16};

use crate::error::ModelError;
use crate::graph::{
    Attention, Block, DecoderGraph, Experts, FeedForward, Mlp, MlpKind, Norm, NormKind, Residual,
    Weighting,
};
use crate::tensors::{LinearRef, TensorRef};
use crate::weights::Weights;
pub use arithmetic::argmax;
use arithmetic::{activate, add, dot, largest, mean_square, rotate, soft_cap, softmax};

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

/// Keys (rotated) and values of one block at the positions that the next query attends to, both
/// `[positions, kv_heads · head_dim]`.
#[derive(Default)]
struct Cache {
    keys: Vec<f32>,
    values: Vec<f32>,
}

impl Cache {
    /// Adds a position and drops the one that leaves the window, if there is one.
    fn push(&mut self, keys: &[f32], values: &[f32], window: Option<usize>) {
        let longest = window.map_or(usize::MAX, |window| window.saturating_mul(keys.len()));
        for (all, new) in [(&mut self.keys, keys), (&mut self.values, values)] {
            all.extend_from_slice(new);
            all.drain(..all.len().saturating_sub(longest));
        }
    }
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
        self.step_shown(token, position, |_, _| {})
    }

    /// As [`step`](Self::step), and shows `seen` the residual stream, shape `[hidden]`, behind each block: 0 for the first.
    ///
    /// # Panics
    /// As [`step`](Self::step).
    pub fn step_shown(
        &mut self,
        token: u32,
        position: usize,
        mut seen: impl FnMut(usize, &[f32]),
    ) -> Vec<f32> {
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
            seen(index, &x);
        }
        self.positions += 1;
        let x = self.norm(&graph.final_norm, &x);
        let mut logits = self.linear(&graph.head, &x); // [vocab]
        soft_cap(graph.logit_soft_cap, &mut logits);
        logits
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
            Residual::Parallel => {
                let mixed = self.attention(index, &block.attention, position, x);
                let worked = self.mlp(&block.mlp, x);
                add(x, mixed.iter());
                add(x, worked.iter());
            }
        }
    }

    fn norm(&self, norm: &Norm, x: &[f32]) -> Vec<f32> {
        let (weight, offset) = (self.tensor(norm.weight), norm.weight_offset);
        let centre = match norm.kind {
            NormKind::Rms => 0.0,
            NormKind::Layer => x.iter().sum::<f32>() / x.len() as f32,
        };
        let mut y: Vec<f32> = x.iter().map(|x| x - centre).collect();
        let scale = (mean_square(&y) + norm.epsilon).sqrt().recip();
        y.iter_mut().zip(weight).for_each(|(y, weight)| *y = *y * scale * (weight + offset));
        if let Some(bias) = norm.bias {
            add(&mut y, self.tensor(bias).iter());
        }
        y
    }

    /// Norms each head of `heads`, shape `[any, head_dim]`.
    fn norm_heads(&self, norm: Option<&Norm>, head_dim: usize, heads: &mut [f32]) {
        let Some(norm) = norm else { return };
        for head in heads.chunks_exact_mut(head_dim) {
            head.copy_from_slice(&self.norm(norm, head));
        }
    }

    /// `x` through `norm`, where there is one.
    fn norm_behind(&self, norm: Option<&Norm>, x: Vec<f32>) -> Vec<f32> {
        match norm {
            Some(norm) => self.norm(norm, &x),
            None => x,
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
        self.norm_heads(attention.query_norm.as_ref(), head_dim, &mut queries);
        self.norm_heads(attention.key_norm.as_ref(), head_dim, &mut keys);
        if let Some(rope) = attention.rope {
            let rope = self.graph.rope(rope);
            rotate(rope, position, head_dim, &mut queries);
            rotate(rope, position, head_dim, &mut keys);
        }
        self.caches[index].push(&keys, &values, attention.window);
        let mixed = self.mix(index, attention, &queries); // [heads, head_dim]
        self.norm_behind(attention.post_norm.as_ref(), self.linear(&attention.output, &mixed))
    }

    /// The values that each query of `[heads, head_dim]` attends to, weighted and summed; the same shape.
    fn mix(&self, index: usize, attention: &Attention, queries: &[f32]) -> Vec<f32> {
        let (cache, head_dim) = (&self.caches[index], attention.head_dim);
        let sinks = attention.sinks.map(|sinks| self.tensor(sinks));
        let row = attention.kv_heads * head_dim;
        let positions = cache.keys.len() / row;
        let mut mixed = vec![0.0; queries.len()];
        for (head, (query, out)) in
            queries.chunks_exact(head_dim).zip(mixed.chunks_exact_mut(head_dim)).enumerate()
        {
            let column = head / (attention.heads / attention.kv_heads) * head_dim;
            let at = |position: usize| position * row + column..position * row + column + head_dim;
            let mut scores: Vec<f32> = (0..positions)
                .map(|past| dot(query, &cache.keys[at(past)]) * attention.score_scale)
                .collect();
            soft_cap(attention.score_soft_cap, &mut scores);
            softmax(&mut scores, sinks.map(|sinks| sinks[head]));
            for (past, score) in scores.iter().enumerate() {
                out.iter_mut()
                    .zip(&cache.values[at(past)])
                    .for_each(|(out, value)| *out += score * value);
            }
        }
        mixed
    }

    fn mlp(&self, mlp: &Mlp, x: &[f32]) -> Vec<f32> {
        let x = self.norm(&mlp.norm, x);
        let y = match &mlp.kind {
            MlpKind::Dense(dense) => self.feed_forward(dense, &x),
            MlpKind::Experts(experts) => self.experts(experts, &x),
        };
        self.norm_behind(mlp.post_norm.as_ref(), y)
    }

    fn feed_forward(&self, layers: &FeedForward, x: &[f32]) -> Vec<f32> {
        let mut inner = self.linear(&layers.up, x); // [intermediate]
        match &layers.gate {
            None => inner.iter_mut().for_each(|up| *up = activate(layers.activation, *up)),
            Some(gate) => {
                let limit = gate.limit.unwrap_or(f32::INFINITY);
                let gates = self.linear(&gate.linear, x); // [intermediate]
                for (up, g) in inner.iter_mut().zip(&gates) {
                    let g = activate(layers.activation, g.clamp(f32::NEG_INFINITY, limit));
                    *up = g * (up.clamp(-limit, limit) + gate.up_offset);
                }
            }
        }
        self.linear(&layers.down, &inner)
    }

    fn experts(&self, experts: &Experts, x: &[f32]) -> Vec<f32> {
        let logits = self.linear(&experts.router, x); // [experts]
        let chosen = largest(&logits, experts.chosen);
        let weights: Vec<f32> = match experts.weighting {
            Weighting::OverChosen => {
                let mut weights: Vec<f32> = chosen.iter().map(|&expert| logits[expert]).collect();
                softmax(&mut weights, None);
                weights
            }
            Weighting::OverAll => {
                let mut weights = logits;
                softmax(&mut weights, None);
                chosen.iter().map(|&expert| weights[expert]).collect()
            }
        };
        let mut sum = vec![0.0; x.len()];
        for (&expert, weight) in chosen.iter().zip(weights) {
            let y = self.feed_forward(&experts.experts[expert], x);
            sum.iter_mut().zip(&y).for_each(|(sum, y)| *sum += weight * y);
        }
        sum
    }
}
