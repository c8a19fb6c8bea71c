//! Which places of a rectangle have the same program, so that each is emitted once.
//!
//! A program depends on its place by the facts below alone: on some of the place's row, on some of its column, on the lanes that
//! leave an exit row, and on what only the root of a row knows of its row. Places whose facts are equal are of one
//! *class*. In tests of this crate, assembly emits every place's program alone as well, and compares.

use crate::emit::Place;
use crate::emit::embed::EmbedStage;
use crate::emit::head::HeadStage;
use crate::emit::layers::LayersStage;
use crate::emit::mlp::shares;
use crate::emit::port::TransferColors;
use crate::lines::{BLOCK, LinePos};
use crate::stage::Stage;
use crate::tiling::MlpTiling;
use indexmap::IndexSet;
use std::hash::Hash;

/// The classes of the places of a rectangle.
#[derive(Debug)]
pub(crate) struct Classes {
    rows: Vec<u32>,
    columns: Vec<u32>,
    /// By row, of what only its root knows.
    roots: Vec<u32>,
    /// By column: the lanes that leave it.
    exits: Vec<TransferColors>,
}

/// The numbers of a class, of its row, its column and, where it is one, of the root; and the lanes of an exit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Class {
    row: u32,
    column: u32,
    root: Option<u32>,
    exit: Option<TransferColors>,
}

impl Classes {
    pub(crate) fn of_embed(emitter: &EmbedStage, stage: &Stage) -> Classes {
        let row = |r| {
            let positions = emitter.positions.map(|dealt| dealt.len(r));
            (stage.in_column(r).role(), emitter.vocab.len(r), positions)
        };
        Classes {
            rows: numbers((0..stage.height).map(row)),
            columns: numbers((0..stage.width).map(|c| emitter.hidden.len(c))),
            roots: vec![0; stage.height as usize],
            exits: emitter.transfers.clone(),
        }
    }

    pub(crate) fn of_layers(emitter: &LayersStage<'_>, stage: &Stage) -> Classes {
        let (tiling, lanes) = (&emitter.tiling, emitter.formats.numerics.activations);
        let layers = emitter.layout.layers.iter().map(|layer| layer.mlp.tiling);
        let mlps: IndexSet<MlpTiling> = layers.collect();
        let mlp_rows = |r| mlps.iter().map(move |mlp| (mlp.row(r), mlp.logits(), r));
        let row = |r| {
            let heads = tiling.row_heads(r);
            let block = LinePos::centred(r - heads.block_start, heads.block_len, BLOCK);
            let experts = mlp_rows(r)
                .map(|(row, logits, r)| (row.count, row.inner_len(), row.leads, logits.len(r)));
            let experts: Vec<_> = experts.collect();
            let attention = (heads.groups, heads.dims.len(), heads.pairs, block.role());
            (stage.in_column(r).role(), attention, experts, r + 1 == stage.height)
        };
        let root = |r| {
            let experts = mlp_rows(r).map(|(row, logits, r)| (row.first, logits.start(r)));
            experts.collect::<Vec<_>>()
        };
        let inners: IndexSet<u32> =
            (0..stage.height).flat_map(mlp_rows).map(|(row, ..)| row.inner_len()).collect();
        let column = |c| {
            let share = |&inner: &u32| {
                let words = shares(inner, lanes, stage.width);
                let elements = |words: u32| (words * lanes.lanes()).min(inner);
                (words.len(c), elements(words.end(c)) - elements(words.start(c)))
            };
            let shares: Vec<_> = inners.iter().map(share).collect();
            (stage.in_row(c).role(), tiling.hidden.len(c), shares)
        };
        Classes {
            rows: numbers((0..stage.height).map(row)),
            columns: numbers((0..stage.width).map(column)),
            roots: numbers((0..stage.height).map(root)),
            exits: emitter.transfers.clone(),
        }
    }

    pub(crate) fn of_head(emitter: &HeadStage, stage: &Stage) -> Classes {
        let row = |r| (stage.in_column(r).role(), emitter.vocab.len(r));
        let column = |c| (stage.in_row(c).role(), emitter.hidden.len(c));
        Classes {
            rows: numbers((0..stage.height).map(row)),
            columns: numbers((0..stage.width).map(column)),
            roots: vec![0; stage.height as usize],
            exits: Vec::new(),
        }
    }

    /// The class of a place.
    pub(crate) fn of(&self, place: Place) -> Class {
        let (row, column) = (place.row as usize, place.column as usize);
        let is_exit = place.row + 1 == place.height;
        Class {
            row: self.rows[row],
            column: self.columns[column],
            root: place.in_row.is_root().then(|| self.roots[row]),
            exit: self.exits.get(column).copied().filter(|_| is_exit),
        }
    }
}

/// Numbers the different facts in the order in which they first appear.
fn numbers<T: Hash + Eq>(facts: impl Iterator<Item = T>) -> Vec<u32> {
    let mut known = IndexSet::new();
    facts.map(|fact| known.insert_full(fact).0 as u32).collect()
}

#[cfg(test)]
mod tests {
    use crate::{Mapping, Options, compile};
    use fabric::{Defects, Machine, presets};
    use models::ModelDir;
    use std::path::Path;

    /// Assembly compares the programs of all places with those of their classes; here on grids with and without defects.
    #[test]
    fn is_every_program_as_if_it_had_been_emitted_alone() {
        let data = Path::new(env!("CARGO_MANIFEST_DIR")).join("../models/tests/data/oracle");
        let preset = presets::preset(presets::DEFAULT).expect("the default is a preset");
        let whole = Defects::default();
        let holes = Defects { rate: 0.02, seed: 4, ..Defects::default() };
        for (model, logits_to_host) in [("gpt2", false), ("qwen3-moe", true), ("gpt-oss", false)] {
            let model = ModelDir::open(data.join(model).join("model")).expect("the model opens");
            for (stage_width, stage_height, prefill_chunk, defects) in [
                (4, 13, 1, &holes),
                (12, 7, 1, &holes),
                (17, 2, 3, &whole),
                (3, 41, 1, &whole),
                (3, 41, 4, &whole),
                (4, 13, 2, &holes),
            ] {
                let machine = Machine { defects: defects.clone(), ..preset.clone() };
                let mapping =
                    Mapping { stage_width, stage_height, prefill_chunk, ..Mapping::default() };
                let options =
                    Options { mapping, logits_to_host, contexts: vec![20], ..Options::default() };
                compile(model.graph(), None, &machine, &options).expect("it fits");
            }
        }
    }
}
