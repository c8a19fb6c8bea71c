//! SRAM contents of the first and the last stage.

use super::{Filler, Matrix, pack, pack_by_input, pack_vector, range};
use crate::layout::{EmbedLayout, HeadLayout};
use crate::split::Split;
use fabric::Segment;
use models::TensorRef;

/// Segments of every PE of the embedding stage, row by row. Rows of the position table
/// are dealt over rows of PEs like those of the vocabulary, if there is one.
pub(crate) fn embed(
    filler: &mut Filler,
    (hidden, vocab, positions): (Split, Split, Option<Split>),
    (w, h): (u32, u32),
    layout: &EmbedLayout,
) -> Vec<Vec<Segment>> {
    let embedding = &filler.graph.embedding;
    let tables = [
        Some((embedding.table, vocab, layout.table)),
        embedding.positions.zip(positions).map(|(table, dealt)| (table, dealt, layout.positions)),
    ];
    let mut tiles = vec![Vec::new(); (w * h) as usize];
    for (table, dealt, address) in tables.into_iter().flatten() {
        for r in 0..h {
            let m = table_rows(filler, table, range(dealt, r), hidden.total());
            for c in 0..w {
                let slice = range(hidden, c);
                let size = (dealt.len(r) as usize, slice.len(), layout.hidden_stride as usize);
                let get = |v: usize, i: usize| m.values[v * m.columns + slice.start + i];
                let segment = pack(address, filler.numerics.weights, size, get);
                tiles[(r * w + c) as usize].push(segment);
            }
        }
    }
    tiles
}

/// Some rows of a table whose rows are added to the residual stream.
fn table_rows(
    filler: &mut Filler,
    table: TensorRef,
    rows: std::ops::Range<usize>,
    hidden: u32,
) -> Matrix {
    let rows: Vec<u32> = rows.map(|row| row as u32).collect();
    let mut m = filler.read(table, &rows, hidden);
    filler.centre(&mut m.values, hidden as usize);
    filler.check(table, &m.values, |at| (rows[at / m.columns] as usize, at % m.columns));
    m
}

/// Segments of every PE of the head stage, row by row.
pub(crate) fn head(
    filler: &mut Filler,
    (hidden, vocab): (Split, Split),
    (w, h): (u32, u32),
    layout: &HeadLayout,
) -> Vec<Vec<Segment>> {
    let (head, t) = (filler.graph.head, filler.numerics.weights);
    let final_norm = &filler.graph.final_norm;
    let norm = filler.norm_weight(final_norm);
    let mut tiles = Vec::with_capacity((w * h) as usize);
    for r in 0..h {
        let rows: Vec<u32> = (vocab.start(r)..vocab.end(r)).collect();
        let m = filler.rows(head.weight, &rows, hidden.end(w - 1));
        let bias = filler.fused_bias(final_norm, &[(head, rows)], &m);
        for c in 0..w {
            let slice = range(hidden, c);
            let mut tile = vec![pack_vector(layout.norm, &norm[slice.clone()])];
            tile.push(pack_by_input(layout.head, t, &m, slice, layout.vocab_stride));
            if !bias.is_empty() {
                tile.push(pack_vector(layout.bias, &bias));
            }
            tiles.push(tile);
        }
    }
    tiles
}
