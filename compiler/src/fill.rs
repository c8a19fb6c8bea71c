//! Pass 9, SRAM contents: every PE's slice of every tensor, rounded to its storage type.

mod ends;
mod fold;
mod mlp;

pub(crate) use ends::{embed, head};

use crate::error::CompileError;
use crate::layout::{LayerAt, LayersLayout};
use crate::options::Numerics;
use crate::split::Split;
use crate::tiling::{LayerTiling, QkvRow, RowHeads};
use fabric::Segment;
use models::{Block, DecoderGraph, LinearRef, Norm, NormKind, TensorRef, Weights};
use pe_isa::DType;

/// Reads tensors and reports values that the storage type cannot hold.
pub(crate) struct Filler<'a> {
    pub(crate) graph: &'a DecoderGraph,
    pub(crate) weights: &'a Weights,
    pub(crate) numerics: Numerics,
    pub(crate) diagnostics: Vec<String>,
    overflown: std::collections::BTreeSet<u32>,
    /// Whether what is added to the residual stream has its mean taken off.
    centred: bool,
}

/// A matrix of f32 values, row-major.
struct Matrix {
    columns: usize,
    values: Vec<f32>,
}

impl<'a> Filler<'a> {
    pub(crate) fn new(
        graph: &'a DecoderGraph,
        weights: &'a Weights,
        numerics: Numerics,
    ) -> Filler<'a> {
        Filler {
            graph,
            weights,
            numerics,
            diagnostics: Vec::new(),
            overflown: Default::default(),
            centred: graph.final_norm.kind == NormKind::Layer,
        }
    }

    /// What was found, as an error if anything was.
    pub(crate) fn finish(self) -> Result<(), CompileError> {
        if self.diagnostics.is_empty() {
            return Ok(());
        }
        Err(CompileError { diagnostics: self.diagnostics })
    }

    /// Whole rows of a tensor, as stored; values that the storage type of weights cannot hold are noted.
    fn rows(&mut self, tensor: TensorRef, rows: &[u32], columns: u32) -> Matrix {
        let m = self.read(tensor, rows, columns);
        self.check(tensor, &m.values, |at| (rows[at / m.columns] as usize, at % m.columns));
        m
    }

    /// Whole rows of a tensor, as stored.
    fn read(&self, tensor: TensorRef, rows: &[u32], columns: u32) -> Matrix {
        let mut values = Vec::with_capacity(rows.len() * columns as usize);
        let mut piece = Vec::new();
        let mut from = 0;
        while from < rows.len() {
            let mut to = from + 1;
            while to < rows.len() && rows[to] == rows[to - 1] + 1 {
                to += 1;
            }
            let range = rows[from] as usize..rows[to - 1] as usize + 1;
            piece.clear();
            self.weights.tile(tensor, range, 0..columns as usize, &mut piece);
            values.extend_from_slice(&piece);
            from = to;
        }
        Matrix { columns: columns as usize, values }
    }

    /// Notes the first of `values` that the storage type cannot hold. `place` gives the row and column of the tensor that the
    /// value at an index comes from.
    fn check(
        &mut self,
        tensor: TensorRef,
        values: &[f32],
        place: impl Fn(usize) -> (usize, usize),
    ) {
        let t = self.numerics.weights;
        let bad = values.iter().position(|&v| !t.to_f32(t.from_f32(v)).is_finite());
        let Some(at) = bad else { return };
        if !self.overflown.insert(tensor.0) {
            return;
        }
        let (row, column) = place(at);
        let (name, index) = self.weights.stored_place(tensor, row, column);
        self.diagnostics.push(format!(
            "tensor {name}, element {index:?}: {} is beyond the range of {} \
             (--set numerics.weights=bf16 or f32)",
            values[at],
            t.name()
        ));
    }

    fn vector(&self, tensor: TensorRef) -> Vec<f32> {
        self.weights.vector(tensor)
    }
}

/// Packs elements of `t`, `rows` × `columns` out of `get`, with `stride` elements between rows.
fn pack(
    address: u32,
    t: DType,
    (rows, columns, stride): (usize, usize, usize),
    get: impl Fn(usize, usize) -> f32,
) -> Segment {
    let lanes = t.lanes() as usize;
    let last = if rows == 0 { 0 } else { (rows - 1) * stride + columns };
    let mut words = vec![0u32; last.div_ceil(lanes)];
    for r in 0..rows {
        for c in 0..columns {
            let at = r * stride + c;
            let shift = if lanes == 2 { 16 * (at % 2) } else { 0 };
            words[at / lanes] |= t.from_f32(get(r, c)) << shift;
        }
    }
    Segment { address, words }
}

fn pack_vector(address: u32, values: &[f32]) -> Segment {
    pack(address, DType::F32, (1, values.len(), values.len()), |_, c| values[c])
}

fn range(split: Split, part: u32) -> std::ops::Range<usize> {
    split.start(part) as usize..split.end(part) as usize
}

/// The tile of a matrix whose outputs are dealt over rows and inputs over columns, stored `[input][output]`.
fn pack_by_input(
    address: u32,
    t: DType,
    m: &Matrix,
    inputs: std::ops::Range<usize>,
    stride: u32,
) -> Segment {
    let outputs = m.values.len() / m.columns.max(1);
    let size = (inputs.len(), outputs, stride as usize);
    pack(address, t, size, |i, o| m.values[o * m.columns + inputs.start + i])
}

/// Segments of every PE of a stage of layers, row by row.
pub(crate) fn layers(
    filler: &mut Filler,
    blocks: &[Block],
    tiling: &LayerTiling,
    layout: &LayersLayout,
) -> Vec<Vec<Segment>> {
    let (w, h) = (tiling.width, tiling.height);
    let mut tiles: Vec<Vec<Segment>> = vec![Vec::new(); (w * h) as usize];
    for (local, block) in blocks.iter().enumerate() {
        for r in 0..h {
            attention_row(filler, block, tiling, layout, (local, r), &mut tiles);
            mlp::row(filler, block, tiling, layout, (local, r), &mut tiles);
        }
    }
    for at in &layout.ropes {
        let rope = filler.graph.rope(at.rope);
        for r in 0..h {
            let row = tiling.row_heads(r);
            let pairs = &row.dims[..row.pairs as usize];
            let frequencies: Vec<f32> =
                pairs.iter().map(|&p| rope.inverse_frequencies[p as usize]).collect();
            for c in 0..w {
                tiles[(r * w + c) as usize].push(pack_vector(at.frequencies, &frequencies));
            }
        }
    }
    tiles
}

fn attention_row(
    filler: &mut Filler,
    block: &Block,
    tiling: &LayerTiling,
    layout: &LayersLayout,
    (local, r): (usize, u32),
    tiles: &mut [Vec<Segment>],
) {
    let (at, a, t) = (&layout.layers[local], &block.attention, filler.numerics.weights);
    let (w, hidden) = (tiling.width, tiling.dims.hidden);
    let row = tiling.row_heads(r);
    let qkv = tiling.qkv_rows(&row);
    let source = |q: &QkvRow| match *q {
        QkvRow::Query(n) => (a.query, n),
        QkvRow::Key(n) => (a.key, n),
        QkvRow::Value(n) => (a.value, n),
    };
    let mut fused = Matrix { columns: hidden as usize, values: Vec::new() };
    let mut linears = Vec::new();
    for run in qkv.chunk_by(|x, y| source(x).0 == source(y).0) {
        let linear = source(&run[0]).0;
        let rows: Vec<u32> = run.iter().map(|q| source(q).1).collect();
        fused.values.extend(filler.rows(linear.weight, &rows, hidden).values);
        linears.push((linear, rows));
    }
    let bias = filler.fused_bias(&a.norm, &linears, &fused);
    let head_norms = head_norms(filler, block, at, &row);
    let columns = tiling.output_columns(&row);
    let output = output_tile(filler, a.output, &columns, hidden);
    let (norm1, output_bias) = (filler.norm_weight(&a.norm), filler.added_bias(a.output));
    let post_norm = a.post_norm.as_ref().map(|norm| filler.norm_weight(norm));
    let heads = tiling.query_heads(&row);
    let sinks = a
        .sinks
        .map(|sinks| filler.vector(sinks)[heads.start as usize..heads.end as usize].to_vec());
    for c in 0..w {
        let slice = range(tiling.hidden, c);
        let tile = &mut tiles[(r * w + c) as usize];
        tile.push(pack_vector(at.norm1, &norm1[slice.clone()]));
        tile.extend(head_norms.iter().cloned());
        tile.push(pack_by_input(at.qkv, t, &fused, slice.clone(), layout.qkv_stride));
        if !bias.is_empty() {
            tile.push(pack_vector(at.qkv_bias, &bias));
        }
        tile.push(pack_output(at.output, t, &output, slice.clone(), layout.hidden_stride));
        if let Some(b) = &output_bias {
            tile.push(pack_vector(at.output_bias, &b[slice.clone()]));
        }
        if let Some(weight) = &post_norm {
            tile.push(pack_vector(at.post_norms[0], &weight[slice]));
        }
        if let Some(sinks) = &sinks {
            tile.push(pack_vector(at.sinks, sinks));
        }
    }
}

/// Weights and biases of the norms of queries and keys, at the row's dimensions.
fn head_norms(filler: &Filler, block: &Block, at: &LayerAt, row: &RowHeads) -> Vec<Segment> {
    let a = &block.attention;
    let norms: Vec<&Norm> = [&a.query_norm, &a.key_norm].into_iter().flatten().collect();
    let of_row = |all: Vec<f32>| row.dims.iter().map(move |&d| all[d as usize]).collect::<Vec<_>>();
    let weights: Vec<f32> =
        norms.iter().flat_map(|norm| of_row(filler.norm_weight(norm))).collect();
    let biases = norms.iter().filter_map(|norm| norm.bias).map(|bias| filler.vector(bias));
    let biases: Vec<f32> = biases.flat_map(of_row).collect();
    let vectors = [(at.head_norms, weights), (at.head_norm_biases, biases)];
    let held = vectors.into_iter().filter(|(_, values)| !values.is_empty());
    held.map(|(address, values)| pack_vector(address, &values)).collect()
}

/// Chosen columns of a projection back to the residual stream, as `[column][out]`.
fn output_tile(filler: &mut Filler, linear: LinearRef, columns: &[u32], hidden: u32) -> Matrix {
    let rows: Vec<u32> = (0..hidden).collect();
    let inputs = linear.in_features as u32;
    let all = filler.read(linear.weight, &rows, inputs);
    let mut values = Vec::with_capacity(columns.len() * hidden as usize);
    for &column in columns {
        values.extend((0..hidden as usize).map(|o| all.values[o * all.columns + column as usize]));
    }
    let hidden = hidden as usize;
    filler.centre(&mut values, hidden);
    filler.check(linear.weight, &values, |at| (at % hidden, columns[at / hidden] as usize));
    Matrix { columns: hidden, values }
}

/// The tile of a matrix stored `[input][output]` already, outputs `slice`.
fn pack_output(
    address: u32,
    t: DType,
    m: &Matrix,
    slice: std::ops::Range<usize>,
    stride: u32,
) -> Segment {
    let inputs = m.values.len() / m.columns.max(1);
    let size = (inputs, slice.len(), stride as usize);
    pack(address, t, size, |i, o| m.values[i * m.columns + slice.start + o])
}
