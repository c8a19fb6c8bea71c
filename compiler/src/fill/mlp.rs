//! SRAM contents of a layer's MLP.

use super::{Filler, Matrix, output_tile, pack_by_input, pack_output, pack_vector, range};
use crate::layout::{LayersLayout, MlpAt};
use crate::tiling::{LayerTiling, RowExperts};
use fabric::Segment;
use models::{Block, FeedForward, LinearRef, MlpKind, Norm};

/// Adds the segments of the PEs of row `r`, for layer `local` of the stage. One expert's tensors are read at a time.
pub(super) fn row(
    filler: &mut Filler,
    block: &Block,
    tiling: &LayerTiling,
    layout: &LayersLayout,
    (local, r): (usize, u32),
    tiles: &mut [Vec<Segment>],
) {
    let (at, w) = (&layout.layers[local], tiling.width);
    let tiles = &mut tiles[(r * w) as usize..((r + 1) * w) as usize];
    let norm2 = filler.norm_weight(&block.mlp.norm);
    let post_norm = block.mlp.post_norm.as_ref().map(|norm| filler.norm_weight(norm));
    for (c, tile) in (0..).zip(tiles.iter_mut()) {
        let slice = range(tiling.hidden, c);
        tile.push(pack_vector(at.norm2, &norm2[slice.clone()]));
        if let Some(weight) = &post_norm {
            tile.push(pack_vector(at.post_norms[1], &weight[slice]));
        }
    }
    let mut row = Row { filler, norm: &block.mlp.norm, tiling, at: &at.mlp, tiles };
    if let MlpKind::Experts(mixture) = &block.mlp.kind {
        row.router(mixture.router, r);
    }
    let held = at.mlp.tiling.row(r);
    for index in 0..held.count {
        let layers = &block.mlp.feed_forwards()[(held.first + index) as usize];
        row.expert(layers, &held, (index * at.mlp.expert_bytes, layout.hidden_stride));
    }
}

/// The PEs of a row.
struct Row<'a, 'f> {
    filler: &'a mut Filler<'f>,
    norm: &'a Norm,
    tiling: &'a LayerTiling,
    at: &'a MlpAt,
    tiles: &'a mut [Vec<Segment>],
}

impl Row<'_, '_> {
    /// Rows of linear layers behind the norm, one below another, as tiles with this stride, and what is added to their sums. Both
    /// addresses.
    fn inputs(&mut self, linears: &[(LinearRef, Vec<u32>)], at: (u32, u32), stride: u32) {
        let hidden = self.tiling.dims.hidden;
        let mut fused = Matrix { columns: hidden as usize, values: Vec::new() };
        for (linear, rows) in linears {
            fused.values.extend(self.filler.rows(linear.weight, rows, hidden).values);
        }
        let bias = self.filler.fused_bias(self.norm, linears, &fused);
        let t = self.filler.numerics.weights;
        for (c, tile) in (0..).zip(self.tiles.iter_mut()) {
            tile.push(pack_by_input(at.0, t, &fused, range(self.tiling.hidden, c), stride));
            if !bias.is_empty() {
                tile.push(pack_vector(at.1, &bias));
            }
        }
    }

    /// The logits of row `r`.
    fn router(&mut self, router: LinearRef, r: u32) {
        let rows: Vec<u32> = range(self.at.tiling.logits(), r).map(|row| row as u32).collect();
        let at = (self.at.router, self.at.router_bias);
        self.inputs(&[(router, rows)], at, self.at.router_stride);
    }

    /// An expert, `offset` bytes behind the row's first.
    fn expert(&mut self, layers: &FeedForward, held: &RowExperts, (offset, stride): (u32, u32)) {
        let rows: Vec<u32> = held.inner.clone().collect();
        let linears: Vec<_> =
            layers.inputs().into_iter().map(|linear| (linear, rows.clone())).collect();
        let at = (self.at.gate_up + offset, self.at.gate_up_bias + offset);
        self.inputs(&linears, at, self.at.gate_up_stride);
        let t = self.filler.numerics.weights;
        let down = output_tile(self.filler, layers.down, &rows, self.tiling.dims.hidden);
        let bias = self.filler.added_bias(layers.down);
        for (c, tile) in (0..).zip(self.tiles.iter_mut()) {
            let slice = range(self.tiling.hidden, c);
            tile.push(pack_output(self.at.down + offset, t, &down, slice.clone(), stride));
            if let Some(bias) = &bias {
                tile.push(pack_vector(self.at.down_bias + offset, &bias[slice]));
            }
        }
    }
}
