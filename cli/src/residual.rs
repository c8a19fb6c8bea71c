//! The residual stream behind each layer as it stands in simulated SRAM, and how it differs from the reference's.

use compiler::Residual;
use compiler::marks::LAYER;
use fabric::PeIdx;
use pe_isa::Cycle;
use sim_core::Observer;
use std::collections::BTreeMap;

/// Collects the residual stream behind each layer, for each item.
#[derive(Debug)]
pub(crate) struct ResidualTap {
    residuals: Vec<Residual>,
    /// The stage and the part of its residual stream that each PE holds.
    held: BTreeMap<PeIdx, (usize, usize)>,
    /// Tokens of the items that come first; all others hold one.
    sizes: Vec<usize>,
    /// For each stage and part: its marks so far, and for each layer of the stage the values of all tokens, one after another.
    seen: Vec<Vec<Part>>,
}

/// What has been seen of a part of the residual stream.
#[derive(Debug, Clone)]
struct Part {
    marks: usize,
    layers: Vec<Vec<f32>>,
}

impl ResidualTap {
    /// A tap on all stages of layers, where the first items hold so many tokens as `sizes` says, and all others one.
    pub(crate) fn new(residuals: &[Residual], sizes: Vec<usize>) -> ResidualTap {
        let parts_of = |r: &Residual| {
            let part = Part { marks: 0, layers: vec![Vec::new(); r.layers.len()] };
            vec![part; r.parts.len()]
        };
        let parts = |(stage, residual): (usize, &Residual)| {
            let pes = residual.parts.iter().enumerate();
            pes.map(move |(part, &(pe, ..))| (pe, (stage, part))).collect::<Vec<_>>()
        };
        ResidualTap {
            residuals: residuals.to_vec(),
            held: residuals.iter().enumerate().flat_map(parts).collect(),
            sizes,
            seen: residuals.iter().map(parts_of).collect(),
        }
    }

    /// The residual stream behind a layer, `[hidden]`, of the `token`-th token (from 0) that went through the layers; none if
    /// it has not come so far.
    pub(crate) fn behind(&self, layer: usize, token: usize) -> Option<Vec<f32>> {
        let stage = self.residuals.iter().position(|r| r.layers.contains(&layer))?;
        let residual = &self.residuals[stage];
        let layer = layer - residual.layers.start;
        let mut stream = Vec::new();
        for (&(_, _, elements), seen) in residual.parts.iter().zip(&self.seen[stage]) {
            let elements = elements as usize;
            let seen = &seen.layers[layer];
            stream.extend(seen.get(token * elements..(token + 1) * elements)?);
        }
        Some(stream)
    }
}

impl Observer for ResidualTap {
    fn mark(&mut self, _cycle: Cycle, pe: PeIdx, mark: u16, sram: &[u32]) {
        let Some(&(stage, part)) = self.held.get(&pe).filter(|_| mark == LAYER) else { return };
        let (_, address, elements) = self.residuals[stage].parts[part];
        let first = address as usize / 4;
        let seen = &mut self.seen[stage][part];
        let (item, layer) = (seen.marks / seen.layers.len(), seen.marks % seen.layers.len());
        let tokens = self.sizes.get(item).copied().unwrap_or(1);
        let words = &sram[first..first + tokens * elements as usize];
        seen.layers[layer].extend(words.iter().map(|&word| f32::from_bits(word)));
        seen.marks += 1;
    }
}

/// How far a layer's output is from the reference's.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct LayerGap {
    /// The layer, from 0.
    layer: usize,
    /// Largest difference of an element of the residual stream behind it; infinite where one is no number.
    largest_difference: f32,
    /// Largest element of the reference's.
    largest_value: f32,
}

impl LayerGap {
    /// Nothing compared yet.
    pub(crate) fn new(layer: usize) -> LayerGap {
        LayerGap { layer, largest_difference: 0.0, largest_value: 0.0 }
    }

    /// Compares the residual stream of one item with the reference's.
    pub(crate) fn see(&mut self, wafer: &[f32], reference: &[f32]) {
        assert_eq!(wafer.len(), reference.len(), "one value per element of the residual stream");
        for (a, b) in wafer.iter().zip(reference) {
            let gap = (a - b).abs();
            let gap = if gap.is_nan() { f32::INFINITY } else { gap };
            self.largest_difference = self.largest_difference.max(gap);
            self.largest_value = self.largest_value.max(b.abs());
        }
    }
}

impl std::fmt::Display for LayerGap {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let LayerGap { layer, largest_difference, largest_value } = self;
        write!(f, "behind layer {layer}: {largest_difference:.6} (values up to {largest_value:.3})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_layers_output_is_joined_from_all_columns_for_each_item() {
        let parts = vec![(PeIdx(3), 4, 1), (PeIdx(4), 4, 2)];
        let mut tap = ResidualTap::new(
            &[
                Residual { layers: 0..2, parts },
                Residual { layers: 2..3, parts: vec![(PeIdx(9), 0, 3)] },
            ],
            Vec::new(),
        );
        let mut passed = 0.0f32;
        for _ in 0..4 {
            passed += 1.0;
            tap.mark(Cycle(0), PeIdx(3), LAYER, &[0, passed.to_bits()]);
            tap.mark(Cycle(0), PeIdx(3), LAYER + 1, &[]);
            tap.mark(Cycle(0), PeIdx(4), LAYER, &[0, (10.0 * passed).to_bits(), 0]);
        }
        assert_eq!(tap.behind(0, 0), Some(vec![1.0, 10.0, 0.0]));
        assert_eq!(tap.behind(1, 1), Some(vec![4.0, 40.0, 0.0]));
        assert_eq!(tap.behind(0, 2), None);
        assert_eq!(tap.behind(2, 0), None);
        assert_eq!(tap.behind(3, 0), None);
    }

    #[test]
    fn a_value_that_is_no_number_is_infinitely_far_away() {
        let mut gap = LayerGap::new(0);
        gap.see(&[1.0, -2.0], &[1.5, -2.0]);
        assert_eq!((gap.largest_difference, gap.largest_value), (0.5, 2.0));
        gap.see(&[f32::NAN, 0.0], &[0.0, 0.0]);
        assert_eq!(gap.largest_difference, f32::INFINITY);
    }
}
