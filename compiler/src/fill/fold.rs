//! What depends on weights alone is computed when SRAM is filled, in f32 and before rounding:
//!
//! - a norm's weight gets its offset;
//! - a norm's bias, times the (rounded) weights of the linear layers behind it, is added to their biases;
//! - where the norms of the residual stream are layer norms, whatever is added to the stream (embedding, positions, outputs of
//!   both halves) has its mean over the stream taken off. The norms take it off anyway; so the stream's mean is zero, and a layer
//!   norm does what an RMS norm does.

use super::{Filler, Matrix};
use models::{LinearRef, Norm};

impl Filler<'_> {
    /// A norm's weight with its offset.
    pub(super) fn norm_weight(&self, norm: &Norm) -> Vec<f32> {
        self.vector(norm.weight).into_iter().map(|weight| weight + norm.weight_offset).collect()
    }

    /// The bias of a linear layer whose outputs are added to the residual stream.
    pub(super) fn added_bias(&self, linear: LinearRef) -> Option<Vec<f32>> {
        let mut bias = self.vector(linear.bias?);
        let hidden = bias.len();
        self.centre(&mut bias, hidden);
        Some(bias)
    }

    /// Takes the mean off every row of `hidden` elements, where the residual stream is to have none.
    pub(super) fn centre(&self, rows: &mut [f32], hidden: usize) {
        if !self.centred {
            return;
        }
        for row in rows.chunks_exact_mut(hidden) {
            let mean = row.iter().map(|&x| f64::from(x)).sum::<f64>() / hidden as f64;
            row.iter_mut().for_each(|x| *x = (f64::from(*x) - mean) as f32);
        }
    }

    /// What is added to the sums of rows of `linears` behind `norm`, `m` being those rows of weights one below another:
    /// the layers' own biases and the norm's bias times the weights. Empty where there is neither.
    pub(super) fn fused_bias(
        &self,
        norm: &Norm,
        linears: &[(LinearRef, Vec<u32>)],
        m: &Matrix,
    ) -> Vec<f32> {
        let mut bias = Vec::new();
        if linears.iter().any(|(linear, _)| linear.bias.is_some()) {
            for (linear, rows) in linears {
                let all = linear.bias.map(|bias| self.vector(bias));
                bias.extend(rows.iter().map(|&r| all.as_ref().map_or(0.0, |b| b[r as usize])));
            }
        }
        let Some(shift) = norm.bias.map(|bias| self.vector(bias)) else { return bias };
        bias.resize(m.values.len() / m.columns, 0.0);
        let t = self.numerics.weights;
        for (bias, weights) in bias.iter_mut().zip(m.values.chunks_exact(m.columns)) {
            let product =
                |(w, b): (&f32, &f32)| f64::from(t.to_f32(t.from_f32(*w))) * f64::from(*b);
            *bias += weights.iter().zip(&shift).map(product).sum::<f64>() as f32;
        }
        bias
    }
}
