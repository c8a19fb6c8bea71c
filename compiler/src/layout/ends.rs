//! SRAM maps of the first and the last stage.

use super::Bump;
use crate::emit::chunk::Chunk;
use crate::options::Numerics;

/// The SRAM map of the embedding stage.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct EmbedLayout {
    /// Table tile, `[vocabulary slice][hidden stride]`.
    pub(crate) table: u32,
    /// Tile of the position table, `[position slice][hidden stride]`; empty where there is none.
    pub(crate) positions: u32,
    /// The row looked up, partial over rows of PEs, f32 `[hidden slice]`.
    pub(crate) x: u32,
    /// Where items hold several tokens: the scales that go on with them, f32 `[token]`.
    pub(crate) scales: u32,
    pub(crate) hidden_stride: u32,
    /// All bytes.
    pub(crate) bytes: u64,
}

impl EmbedLayout {
    /// `positions` rows of the position table at most, where there is one.
    pub(crate) fn new(
        hidden: u32,
        vocab: u32,
        positions: Option<u32>,
        (numerics, chunk): (&Numerics, Chunk),
    ) -> EmbedLayout {
        let mut b = Bump::default();
        let weight = numerics.weights.bytes();
        let mut rows = |rows: u32| b.take(u64::from(rows) * u64::from(hidden), weight);
        let table = rows(vocab.max(1));
        let positions = rows(positions.map_or(0, |rows| rows.max(1)));
        let x = b.take(u64::from(chunk.most) * u64::from(hidden), 4);
        let scalar = if chunk.is_one() { 0 } else { chunk.most.into() };
        let scales = b.take(scalar, 4);
        EmbedLayout { table, positions, x, scales, hidden_stride: hidden, bytes: b.next }
    }
}

/// The SRAM map of the head stage.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct HeadLayout {
    /// Norm weight, f32 `[hidden slice]`.
    pub(crate) norm: u32,
    /// Head tile, `[hidden slice][vocabulary stride]`.
    pub(crate) head: u32,
    /// Its bias, f32 `[vocabulary slice]`.
    pub(crate) bias: u32,
    pub(crate) x: u32,
    pub(crate) scaled: u32,
    pub(crate) input: u32,
    /// Partial sums `[vocabulary slice]`.
    pub(crate) sums: u32,
    pub(crate) squares: u32,
    /// Logits, f32 `[vocabulary slice]`; on the roots of rows.
    pub(crate) logits: u32,
    pub(crate) vocab_stride: u32,
    /// All bytes.
    pub(crate) bytes: u64,
}

impl HeadLayout {
    pub(crate) fn new(hidden: u32, vocab: u32, bias: bool, numerics: &Numerics) -> HeadLayout {
        let (hidden, vocab) = (u64::from(hidden), u64::from(vocab));
        let mut b = Bump::default();
        let mut layout = HeadLayout {
            norm: b.take(hidden, 4),
            head: b.take(hidden * vocab, numerics.weights.bytes()),
            bias: b.take(if bias { vocab } else { 0 }, 4),
            x: b.take(hidden, 4),
            scaled: b.take(hidden, 4),
            input: b.take(hidden, numerics.activations.bytes()),
            sums: b.take(vocab, numerics.accumulate.bytes()),
            squares: b.take(1, 4),
            logits: b.take(vocab, 4),
            vocab_stride: vocab as u32,
            bytes: 0,
        };
        layout.bytes = b.next;
        layout
    }
}
