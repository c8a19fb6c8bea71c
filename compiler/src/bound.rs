//! The least cycles of a decoded token: what no program of this kind of mapping can beat (docs, "Metrics", "Bounds").
//!
//! A token goes through phases one after another: a linear layer, or scores, or weighted values. Between two phases lies a
//! sum along a line of PEs, whose result every PE of the line needs. So for any choice of one PE for each phase, each in the line of the
//! one before, a token takes at least their work and the ways between them; and the longest of such chains takes at least
//! as long as they do on average. Drawn at random, a PE has the mean work, and the mean way along a line of *n* PEs is
//! (*n*² − 1) / 3*n* hops. So the bound needs no tiles, only sizes, and is a smooth function of the rectangle's.

use crate::bands;
use crate::check::check;
use crate::error::CompileError;
use crate::estimate::Estimate;
use crate::options::{Mapping, Options};
use crate::tiling::MlpDims;
use fabric::Machine;
use models::{DecoderGraph, Residual};
use pe_isa::DType;
use std::collections::BTreeMap;
use std::ops::Range;

/// What takes the largest part of a [`Bound`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Binding {
    /// Multiply-adds at the machine's rate.
    Compute,
    /// Weights, keys and values through the read ports of SRAM.
    Sram,
    /// Hops and ramps.
    Wire,
}

/// Least cycles of a decoded token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bound {
    /// On the best rectangles that the grid has room for, whether or not the model fits into their SRAM.
    pub cycles: u64,
    /// On the rectangles that were chosen.
    pub mapped_cycles: u64,
    /// The largest part of `cycles`.
    pub binding: Binding,
}

/// The bound of the tokens that are decoded at `positions` (of each, the position of the token before it), as a mean. `chosen` is the
/// layout with every choice made.
///
/// # Errors
/// As [`crate::compile`], where the graph cannot be lowered.
pub fn bound(
    graph: &DecoderGraph,
    machine: &Machine,
    options: &Options,
    chosen: &Mapping,
    positions: Range<u32>,
) -> Result<Bound, CompileError> {
    let estimate = check(graph, machine, options)?;
    let model = Model::new(graph, &estimate, &positions);
    let (columns, rows) = bands::size(machine);
    let best = (1..=rows).map(|height| model.on(None, height, 1, columns)).min_by(Parts::by_total);
    let best = best.expect("a machine has rows");
    let stages = estimate.layers().div_ceil(chosen.layers_per_stage.max(1) as usize);
    let mapped = model.on(Some(chosen.stage_width), chosen.stage_height, stages, columns);
    Ok(Bound {
        cycles: best.total() as u64,
        mapped_cycles: mapped.total() as u64,
        binding: best.binding(),
    })
}

/// Cycles by what takes them.
#[derive(Debug, Clone, Copy, Default)]
struct Parts {
    compute: f64,
    sram: f64,
    wire: f64,
}

impl Parts {
    fn total(&self) -> f64 {
        self.compute + self.sram + self.wire
    }

    fn by_total(one: &Parts, other: &Parts) -> std::cmp::Ordering {
        one.total().total_cmp(&other.total())
    }

    fn binding(&self) -> Binding {
        let Parts { compute, sram, wire } = *self;
        if wire > compute.max(sram) {
            Binding::Wire
        } else if sram > compute {
            Binding::Sram
        } else {
            Binding::Compute
        }
    }
}

/// Layers that are alike.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Kind {
    window: Option<u32>,
    mlp: MlpDims,
    is_parallel: bool,
}

/// What the bound depends on, besides the rectangle.
struct Model<'a> {
    machine: &'a Machine,
    estimate: &'a Estimate<'a>,
    /// How many layers of each kind there are, and the mean number of tokens that they attend to.
    kinds: Vec<(Kind, f64, f64)>,
    /// Multiply-adds per cycle.
    rate: f64,
}

impl<'a> Model<'a> {
    fn new(graph: &DecoderGraph, estimate: &'a Estimate<'a>, positions: &Range<u32>) -> Model<'a> {
        let mut counts: BTreeMap<Kind, u32> = BTreeMap::new();
        for (block, kind) in graph.blocks.iter().zip(&estimate.kinds) {
            let is_parallel = block.residual == Residual::Parallel;
            let kind = Kind { window: kind.window, mlp: kind.mlp, is_parallel };
            *counts.entry(kind).or_default() += 1;
        }
        let kinds = counts.into_iter().map(|(kind, count)| {
            let within = |p: u32| u64::from(kind.window.map_or(p + 1, |window| window.min(p + 1)));
            let tokens: u64 = positions.clone().map(within).sum();
            (kind, f64::from(count), tokens as f64 / positions.len().max(1) as f64)
        });
        Model {
            machine: estimate.machine,
            estimate,
            kinds: kinds.collect(),
            rate: peak_rate(estimate),
        }
    }

    /// The bound on rectangles of so many rows, and of so many columns or of whichever number up to `most` is best.
    fn on(&self, columns: Option<u32>, height: u32, stages: usize, most: u32) -> Parts {
        let work = self.work(height);
        let (rows_summed, columns_wire) = self.columns_wire(height, stages);
        let hop = self.machine.fabric.hop_cycles as f64;
        let ramps = 2.0 * self.machine.pe.ramp_cycles as f64;
        // Work / w + sums × way(w), where way(w) = hop (w − 1/w) / 3 + ramps (1 − 1/w).
        let per_column = rows_summed * hop / 3.0;
        let falls = work.total() - per_column - rows_summed * ramps;
        let best = (falls.max(0.0) / per_column.max(f64::MIN_POSITIVE)).sqrt();
        let width = columns.map_or(best.clamp(1.0, f64::from(most)), f64::from);
        Parts {
            compute: work.compute / width,
            sram: work.sram / width,
            wire: columns_wire + rows_summed * way(self.machine, width, 3.0),
        }
    }

    /// Mean work of a column of one PE per row: of the phases, one after another, each as long as multiply-adds or ports need.
    fn work(&self, height: u32) -> Parts {
        let mut all = Parts::default();
        let rows = f64::from(height);
        for (kind, count, tokens) in &self.kinds {
            let mut phase = |macs: f64, bytes: f64| {
                let compute = count * macs / self.rate;
                let ports = f64::from(self.machine.pe.cost.read_bytes_per_cycle);
                let sram = count * bytes / ports;
                if sram > compute { all.sram += sram } else { all.compute += compute }
            };
            let d = self.estimate.dims;
            let [hidden, head_dim, heads, kv_heads] =
                [d.hidden, d.head_dim, d.heads, d.kv_heads].map(f64::from);
            let weight = self.estimate.numerics.weights.bytes() as f64;
            let cached = self.estimate.numerics.activations.bytes() as f64;
            let mut matrix = |elements: f64, rows: f64| {
                phase(elements / rows, weight * elements / rows);
            };
            let inner = f64::from(kind.mlp.intermediate);
            matrix(hidden * head_dim * (heads + 2.0 * kv_heads), rows);
            matrix(hidden * head_dim * heads, rows);
            matrix(f64::from(kind.mlp.ups()) * hidden * inner, expert_rows(kind.mlp, height));
            matrix(hidden * inner, expert_rows(kind.mlp, height));
            if let Some((experts, _)) = kind.mlp.routed {
                matrix(hidden * f64::from(experts), rows);
            }
            // Scores, then values.
            let products = tokens * head_dim * heads / rows;
            let bytes = cached * tokens * head_dim * kv_heads / rows;
            phase(products, bytes);
            phase(products, bytes);
        }
        let head = f64::from(self.estimate.vocab) * f64::from(self.estimate.dims.hidden) / rows;
        let bytes = self.estimate.numerics.weights.bytes() as f64 * head;
        let sram = bytes / f64::from(self.machine.pe.cost.read_bytes_per_cycle);
        let compute = head / self.rate;
        if sram > compute {
            all.sram += sram
        } else {
            all.compute += compute
        }
        all
    }

    /// Sums along rows whose results all of the row needs, and the cycles of the ways along columns and from stage to stage.
    fn columns_wire(&self, height: u32, stages: usize) -> (f64, f64) {
        let machine = self.machine;
        let (hop, ramps) = (machine.fabric.hop_cycles as f64, 2.0 * machine.pe.ramp_cycles as f64);
        let rows = f64::from(height);
        let block = f64::from((height / self.estimate.dims.kv_heads).max(1));
        let (mut row_sums, mut cycles, mut last) = (0.0, 0.0, 0.0);
        for (kind, count, _) in &self.kinds {
            // Queries, keys and values; weighted values; gate and up, which parallel halves need not wait for; the router.
            let routed = kind.mlp.routed.is_some();
            let others = if kind.is_parallel { 0.0 } else { 1.0 + f64::from(u8::from(routed)) };
            row_sums += count * (2.0 + others);
            let column_sums = if kind.is_parallel { 1.0 } else { 2.0 };
            // The rows of a chosen expert are not drawn: from any row it is a quarter of the way at least.
            let part = if routed { 4.0 } else { 3.0 };
            let column = way(machine, rows, part);
            cycles += count * (column_sums * column + way(machine, block, 3.0));
            last = f64::max(last, column);
        }
        // From a row to the exit row instead of to all rows, to the next port, and down its column.
        let stages = stages as f64;
        let exit = (rows - 1.0) / 2.0 * hop - last;
        let entry = hop + (rows + 1.0) / 2.0 * hop + 2.0 * ramps;
        (row_sums, cycles + stages * exit + (stages + 1.0) * entry)
    }
}

/// Mean cycles from one PE of a line of `len` to another: the `part` of its length, and two ramps unless they are the same.
fn way(machine: &Machine, len: f64, part: f64) -> f64 {
    let ramps = 2.0 * machine.pe.ramp_cycles as f64;
    machine.fabric.hop_cycles as f64 * (len - 1.0 / len) / part + ramps * (1.0 - 1.0 / len)
}

/// Rows that share one expert at most; all rows where there is no choice.
fn expert_rows(mlp: MlpDims, height: u32) -> f64 {
    f64::from(height.div_ceil(mlp.experts()))
}

/// Multiply-adds per cycle at most, with these number formats.
fn peak_rate(estimate: &Estimate<'_>) -> f64 {
    let (cost, numerics) = (&estimate.machine.pe.cost, &estimate.numerics);
    let wide = [numerics.weights, numerics.activations].contains(&DType::F32);
    let rate = match numerics.accumulate {
        _ if wide => cost.fmac_32,
        DType::F32 => cost.fmac_mixed,
        _ => cost.fmac_16,
    };
    rate.to_f64().max(1.0 / cost.reduce_cycles as f64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use fabric::presets;
    use models::ModelDir;
    use std::path::Path;

    fn graph() -> ModelDir {
        let data = Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/models/stdlib-1m");
        ModelDir::open(data).expect("the model opens")
    }

    fn of(machine: &Machine, chosen: (u32, u32), positions: Range<u32>) -> Bound {
        let (stage_width, stage_height) = chosen;
        let chosen =
            Mapping { layers_per_stage: 1, stage_width, stage_height, ..Mapping::default() };
        let model = graph();
        bound(model.graph(), machine, &Options::default(), &chosen, positions).expect("it lowers")
    }

    #[test]
    fn is_the_best_rectangle_no_worse_than_any() {
        let machine = presets::preset("wse3-64").expect("a preset");
        let best = of(&machine, (1, 1), 10..20).cycles;
        let mut least = u64::MAX;
        for width in 1..=64 {
            for height in 1..=64 {
                let mapped = of(&machine, (width, height), 10..20).mapped_cycles;
                assert!(best <= mapped, "{width} x {height}: {mapped}, not {best}");
                least = least.min(mapped);
            }
        }
        // With stages of one layer each; the best may have them all in one.
        assert!(least < 2 * best, "{least}, and {best} at best");
    }

    #[test]
    fn is_one_pe_as_fast_as_its_multiply_adds() {
        let machine = presets::preset("wse3-64").expect("a preset");
        let model = graph();
        let graph = model.graph();
        let block = &graph.blocks[0];
        let (hidden, heads) = (graph.hidden, block.attention.heads * block.attention.head_dim);
        let kv = block.attention.kv_heads * block.attention.head_dim;
        let inner = block.mlp.feed_forwards()[0].up.out_features;
        let layer = hidden * (2 * heads + 2 * kv) + 3 * hidden * inner + 2 * heads * 5;
        let macs = (layer * graph.blocks.len() + graph.vocab * hidden) as f64;
        // From stage to stage: a hop to the port and one to the PE, up and down two ramps.
        let wire = (graph.blocks.len() + 1) as f64 * (2.0 * 2.0 + 4.0 * 2.0);
        let wanted = macs / 1.46 + wire;
        let mapped = of(&machine, (1, 1), 4..5).mapped_cycles;
        assert!((mapped as f64 - wanted).abs() < 2.0, "{mapped}, not {wanted}");
    }

    #[test]
    fn does_what_binds_follow_the_machine() {
        let machine = presets::preset("wse3-64").expect("a preset");
        let changed = |changes: &[(&str, &str)]| machine.with_overrides(changes).expect("legal");
        let binding = |machine: &Machine| of(machine, (8, 8), 4..5).binding;
        let small = changed(&[("width", "4"), ("height", "4")]);
        assert_eq!(binding(&small), Binding::Compute);
        assert_eq!(binding(&changed(&[("fabric.hop_cycles", "100")])), Binding::Wire);
        let narrow = small.with_overrides(&[("pe.cost.read_bytes_per_cycle", "1")]);
        assert_eq!(binding(&narrow.expect("legal")), Binding::Sram);
    }
}
