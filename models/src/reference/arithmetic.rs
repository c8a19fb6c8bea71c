//! What the forward pass does to plain vectors.

use std::f32::consts::{FRAC_1_SQRT_2, FRAC_2_SQRT_PI};

use crate::graph::Activation;
use crate::rope::Rope;

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

/// Indices of the `count` largest elements, the largest first, the lower index first among equals.
pub(super) fn largest(logits: &[f32], count: usize) -> Vec<usize> {
    let mut order: Vec<usize> = (0..logits.len()).collect();
    // Zeroes are equal, whatever their sign.
    order.sort_by(|&a, &b| (logits[b] + 0.0).total_cmp(&(logits[a] + 0.0)));
    order.truncate(count);
    order
}

/// Mean of the squares of `x`.
pub(super) fn mean_square(x: &[f32]) -> f32 {
    dot(x, x) / x.len() as f32
}

/// One element through `activation`.
pub(super) fn activate(activation: Activation, x: f32) -> f32 {
    match activation {
        Activation::Silu { alpha } => x / (1.0 + libm::expf(-(alpha * x))),
        Activation::Gelu => 0.5 * x * (1.0 + libm::erff(x * FRAC_1_SQRT_2)),
        Activation::GeluTanh => {
            let inner = FRAC_2_SQRT_PI * FRAC_1_SQRT_2 * (x + 0.044_715 * x * x * x);
            0.5 * x * (1.0 + libm::tanhf(inner))
        }
        Activation::Relu => x.max(0.0),
    }
}

/// `cap · tanh(x / cap)` for each element, where there is a cap.
pub(super) fn soft_cap(cap: Option<f32>, x: &mut [f32]) {
    if let Some(cap) = cap {
        x.iter_mut().for_each(|x| *x = cap * libm::tanhf(*x / cap));
    }
}

/// Turns the leading dimensions of every head in `heads`, shape `[any, head_dim]`.
pub(super) fn rotate(rope: &Rope, position: usize, head_dim: usize, heads: &mut [f32]) {
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

/// Replaces scores by their shares in the softmax over them and, where there is one, the `sink`.
pub(super) fn softmax(scores: &mut [f32], sink: Option<f32>) {
    let max = scores.iter().copied().chain(sink).fold(f32::NEG_INFINITY, f32::max);
    let mut sum = 0.0;
    for score in scores.iter_mut() {
        *score = libm::expf(*score - max);
        sum += *score;
    }
    if let Some(sink) = sink {
        sum += libm::expf(sink - max);
    }
    scores.iter_mut().for_each(|score| *score /= sum);
}

/// `x += y`.
pub(super) fn add<'v>(x: &mut [f32], y: impl Iterator<Item = &'v f32>) {
    x.iter_mut().zip(y).for_each(|(x, y)| *x += y);
}

/// Sum of products, in eight interleaved partial sums (which fit vector registers) that are added up at the end, then the
/// remainder. Written out because the tests run it without optimisation too.
pub(super) fn dot(a: &[f32], b: &[f32]) -> f32 {
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
