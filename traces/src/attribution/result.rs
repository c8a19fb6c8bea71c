//! The attribution as it is told: by category, by operation, by layer, and by both.

use super::Place;
use super::tree::{Category, Tag};
use serde::Serialize;
use std::collections::BTreeMap;

/// Cycles of the critical path by category.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct CategoryCycles {
    /// The datapath does arithmetic.
    pub compute: u64,
    /// The datapath moves data, or waits for the ports of SRAM.
    pub sram: u64,
    /// Hops, ramps, the rate of links.
    pub wire: u64,
    /// Waiting for room, for arbitration, for a switch.
    pub queue: u64,
    /// Setup, rows, dispatch, tasks.
    pub launch: u64,
    /// The link to the host.
    pub host: u64,
}

impl CategoryCycles {
    /// All together.
    pub fn total(&self) -> u64 {
        let CategoryCycles { compute, sram, wire, queue, launch, host } = self;
        compute + sram + wire + queue + launch + host
    }

    /// Names and cycles, in the order of reports.
    pub fn each(&self) -> [(&'static str, u64); 6] {
        let CategoryCycles { compute, sram, wire, queue, launch, host } = *self;
        [
            ("compute", compute),
            ("sram", sram),
            ("wire", wire),
            ("queue", queue),
            ("launch", launch),
            ("host", host),
        ]
    }

    fn add(&mut self, category: Category, cycles: u64) {
        *match category {
            Category::Compute => &mut self.compute,
            Category::Sram => &mut self.sram,
            Category::Wire => &mut self.wire,
            Category::Queue => &mut self.queue,
            Category::Launch => &mut self.launch,
            Category::Host => &mut self.host,
        } += cycles;
    }
}

/// What the time from cycle 0 to a wavelet's arrival at the host went to. Each of the views adds up to that cycle.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Attribution {
    /// By category.
    #[serde(flatten)]
    pub categories: CategoryCycles,
    /// By operation, in the order in which a token comes to them.
    pub operations: Vec<OperationEntry>,
    /// By layer; first what belongs to none.
    pub layers: Vec<LayerEntry>,
    /// By layer and operation.
    pub entries: Vec<Entry>,
}

/// An operation, of all layers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct OperationEntry {
    /// Its name.
    pub operation: &'static str,
    /// Of all categories.
    pub cycles: u64,
    /// By category.
    #[serde(flatten)]
    pub categories: CategoryCycles,
}

/// A layer, with all its operations.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct LayerEntry {
    /// Its number; null for what belongs to none.
    pub layer: Option<u32>,
    /// Of all categories.
    pub cycles: u64,
    /// By category.
    #[serde(flatten)]
    pub categories: CategoryCycles,
}

/// An operation of a layer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Entry {
    /// The layer; null where it belongs to none.
    pub layer: Option<u32>,
    /// Its name.
    pub operation: &'static str,
    /// Of all categories.
    pub cycles: u64,
    /// By category.
    #[serde(flatten)]
    pub categories: CategoryCycles,
}

impl Attribution {
    pub(super) fn new(places: &[Place], sums: &BTreeMap<Tag, u64>) -> Attribution {
        let mut categories = CategoryCycles::default();
        // Operations in the order of their first places.
        let order = |operation: &str| places.iter().position(|p| p.operation == operation);
        let mut operations: BTreeMap<_, CategoryCycles> = BTreeMap::new();
        let mut layers: BTreeMap<_, CategoryCycles> = BTreeMap::new();
        let mut entries: BTreeMap<_, CategoryCycles> = BTreeMap::new();
        for (tag, &cycles) in sums {
            let Place { layer, operation } = places[usize::from(tag.place())];
            let (category, at) = (tag.category(), order(operation));
            categories.add(category, cycles);
            operations.entry((at, operation)).or_default().add(category, cycles);
            layers.entry(layer).or_default().add(category, cycles);
            entries.entry((layer, at, operation)).or_default().add(category, cycles);
        }
        let operations = operations.into_iter().map(|((_, operation), categories)| {
            OperationEntry { operation, cycles: categories.total(), categories }
        });
        let layers = layers.into_iter().map(|(layer, categories)| LayerEntry {
            layer,
            cycles: categories.total(),
            categories,
        });
        let entries = entries.into_iter().map(|((layer, _, operation), categories)| Entry {
            layer,
            operation,
            cycles: categories.total(),
            categories,
        });
        Attribution {
            categories,
            operations: operations.collect(),
            layers: layers.collect(),
            entries: entries.collect(),
        }
    }

    /// The cycle that all views add up to.
    pub fn cycles(&self) -> u64 {
        self.categories.total()
    }

    /// The entries with the most cycles, the largest first.
    pub fn largest(&self, count: usize) -> Vec<&Entry> {
        let mut entries: Vec<&Entry> = self.entries.iter().collect();
        entries.sort_by_key(|entry| std::cmp::Reverse(entry.cycles));
        entries.truncate(count);
        entries
    }
}
