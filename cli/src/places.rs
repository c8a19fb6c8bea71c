//! What each instruction of a compiled model works on, by the marks of its programs.

use compiler::{Compiled, marks};
use fabric::PeCoord;
use pe_isa::{Instr, Program};
use std::collections::BTreeMap;
use traces::attribution::{Place, Places};

/// What a tile is part of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Part {
    Port,
    Embedding,
    /// From this layer on.
    Layers(u32),
    Head,
}

/// Operations, in the order in which an item comes to them.
const OPERATIONS: [&str; 16] = [
    "host link",
    "port",
    "embedding",
    "query-key-value",
    "rotation",
    "scores",
    "softmax",
    "values",
    "output",
    "router",
    "gate-up",
    "activation",
    "down",
    "transfer",
    "head",
    "choice",
];

/// The places of a compiled model: operations of layers, and what lies between layers.
pub(crate) fn of(compiled: &Compiled) -> Places {
    let image = &compiled.image;
    let mut parts = vec![Part::Port; image.tiles.len()];
    let last = image.stages.len().saturating_sub(1);
    for (at, stage) in image.stages.iter().enumerate() {
        let part = match at {
            0 => Part::Embedding,
            _ if at == last => Part::Head,
            _ => Part::Layers((at as u32 - 1) * compiled.mapping.layers_per_stage),
        };
        for (x, y) in (0..stage.height).flat_map(|y| (0..stage.width).map(move |x| (x, y))) {
            let tile = image.index(PeCoord::new(stage.origin.x + x, stage.origin.y + y));
            parts[tile.0 as usize] = part;
        }
    }
    let mut places = Known::new();
    let mut tables: Vec<Vec<u16>> = Vec::new();
    let mut found: BTreeMap<(u32, Part), u32> = BTreeMap::new();
    let tiles = image.tiles.iter().zip(parts).map(|(tile, part)| {
        let Some(id) = tile.program else { return 0 };
        *found.entry((id.0, part)).or_insert_with(|| {
            tables.push(table(&image.programs[id.0 as usize], part, &mut places));
            tables.len() as u32 - 1
        })
    });
    let tiles = tiles.collect();
    Places { places: places.list, tables, tiles }
}

/// The places that there are so far.
struct Known {
    list: Vec<Place>,
    index: BTreeMap<Place, u16>,
}

impl Known {
    /// Every operation without a layer first, so that their order is kept.
    fn new() -> Known {
        let mut known = Known { list: Vec::new(), index: BTreeMap::new() };
        OPERATIONS.iter().for_each(|operation| {
            known.of(None, operation);
        });
        known
    }

    fn of(&mut self, layer: Option<u32>, operation: &'static str) -> u16 {
        let place = Place { layer, operation };
        *self.index.entry(place.clone()).or_insert_with(|| {
            self.list.push(place);
            self.list.len() as u16 - 1
        })
    }
}

/// The place of each instruction of a program.
fn table(program: &Program, part: Part, places: &mut Known) -> Vec<u16> {
    let (mut layer, mut operation) = match part {
        Part::Port => (None, "port"),
        Part::Embedding => (None, "embedding"),
        Part::Layers(_) => (None, "transfer"),
        Part::Head => (None, "head"),
    };
    let mut table = Vec::with_capacity(program.instrs.len());
    for (at, instr) in program.instrs.iter().enumerate() {
        table.push(places.of(layer, operation));
        let Instr::Mark(mark) = instr else { continue };
        let rest = &program.instrs[at + 1..];
        if let (Part::Layers(first), marks::BEGUN) = (part, *mark) {
            layer = Some(first);
        }
        if *mark == marks::LAYER {
            layer = layer.filter(|_| rest.contains(&Instr::Mark(marks::LAYER))).map(|l| l + 1);
        }
        operation = behind(*mark, layer.is_some(), rest).unwrap_or(operation);
    }
    table
}

/// The operation that begins where a mark is passed, `rest` being what follows; none where none does.
fn behind(mark: u16, in_layer: bool, rest: &[Instr]) -> Option<&'static str> {
    let next = |wanted: u16| {
        let marks = [marks::ROUTED, marks::GATED, marks::LAYER].map(Instr::Mark);
        rest.iter().find(|instr| marks.contains(instr)) == Some(&Instr::Mark(wanted))
    };
    Some(match mark {
        marks::BEGUN => "query-key-value",
        marks::PROJECTED => "rotation",
        marks::CACHED => "scores",
        marks::SCORED => "softmax",
        marks::SOFTENED => "values",
        marks::ATTENDED => "output",
        marks::ATTENTION if next(marks::ROUTED) => "router",
        marks::ATTENTION | marks::ROUTED => "gate-up",
        marks::GATED => "activation",
        marks::ACTIVATED => "down",
        marks::LAYER if in_layer => "query-key-value",
        marks::LAYER => "transfer",
        marks::LOGITS => "choice",
        _ => return None,
    })
}
