//! The placement, for people.

use crate::estimate::Estimate;
use crate::place::Cut;
use crate::stage::{Stage, Work};
use fabric::{Machine, Tile, WaferImage};
use std::collections::BTreeSet;
use std::fmt;

/// What lies where, and how full it is.
#[derive(Debug, Clone, PartialEq)]
pub struct Plan {
    /// Machine name and grid.
    pub machine: String,
    /// One line a stage.
    pub stages: Vec<PlannedStage>,
    /// PEs with a program.
    pub pes: u64,
    /// SRAM in use of the fullest PE, code and reserve included, bytes.
    pub sram_max: u32,
    /// SRAM in use of all PEs, bytes.
    pub sram_total: u64,
    /// SRAM of one PE, bytes.
    pub sram_of_pe: u32,
    /// Colors in use.
    pub colors: u32,
    /// Colors of the machine.
    pub colors_of_machine: u32,
    /// Programs and route sets after merging equal ones.
    pub classes: (usize, usize),
    /// Positions that the KV cache could hold on this placement (of each request).
    pub longest_context: u32,
    /// What limits it.
    pub context_limit: String,
}

/// A stage of a [`Plan`].
#[derive(Debug, Clone, PartialEq)]
pub struct PlannedStage {
    /// What it computes.
    pub name: String,
    /// Columns and rows.
    pub size: (u32, u32),
    /// North-west tile.
    pub origin: fabric::PeCoord,
    /// SRAM in use of its fullest PE, bytes.
    pub sram_max: u32,
}

impl Plan {
    pub(crate) fn new(
        image: &WaferImage,
        stages: &[Stage],
        estimate: &Estimate,
        model_context: usize,
    ) -> Plan {
        let machine: &Machine = &image.machine;
        let code: Vec<u32> = image.programs.iter().map(pe_isa::Program::code_bytes).collect();
        let used = |tile: &Tile| {
            let code = code[tile.program?.0 as usize];
            Some(machine.pe.reserve_bytes + code + tile.sram_bytes)
        };
        let planned = stages.iter().zip(&image.stages).map(|(stage, info)| PlannedStage {
            name: info.name.clone(),
            size: (stage.width, stage.height),
            origin: stage.area().0,
            sram_max: stage_tiles(image, stage).filter_map(used).max().unwrap_or(0),
        });
        let all = || image.tiles.iter().filter_map(used);
        let colors: BTreeSet<_> =
            image.route_sets.iter().flat_map(|s| s.routes.iter().map(|r| r.color)).collect();
        let layers = stages.iter().find_map(|s| match &s.work {
            Work::Layers(l) => Some((s, l.len() as u32)),
            _ => None,
        });
        let fits = layers.map_or(0, |(s, layers_per_stage)| {
            estimate.longest_context(&Cut { layers_per_stage, width: s.width, height: s.height })
        });
        let limited = (fits as usize) < model_context;
        Plan {
            machine: format!("{} ({} x {} tiles)", machine.name, machine.width, machine.height),
            stages: planned.collect(),
            pes: all().count() as u64,
            sram_max: all().max().unwrap_or(0),
            sram_total: all().map(u64::from).sum(),
            sram_of_pe: machine.pe.sram_bytes,
            colors: colors.len() as u32,
            colors_of_machine: machine.fabric.colors.into(),
            classes: (image.programs.len(), image.route_sets.len()),
            longest_context: fits.min(u32::try_from(model_context).unwrap_or(u32::MAX)),
            context_limit: if limited {
                "SRAM left for the KV cache in a layer's rectangle".to_string()
            } else {
                "the model's own context".to_string()
            },
        }
    }
}

/// The tiles of a stage's rectangle.
fn stage_tiles<'a>(image: &'a WaferImage, stage: &'a Stage) -> impl Iterator<Item = &'a Tile> {
    let places = (0..stage.height).flat_map(|r| (0..stage.width).map(move |c| (c, r)));
    places.map(|(c, r)| image.tile(image.index(stage.tile(c, r))))
}

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "machine          {}", self.machine)?;
        writeln!(f, "PEs used         {}", self.pes)?;
        writeln!(
            f,
            "SRAM             {} of {} bytes on the fullest PE, {} in all",
            self.sram_max, self.sram_of_pe, self.sram_total
        )?;
        writeln!(f, "colors           {} of {}", self.colors, self.colors_of_machine)?;
        writeln!(f, "classes          {} programs, {} route sets", self.classes.0, self.classes.1)?;
        writeln!(f, "longest context  {} ({})", self.longest_context, self.context_limit)?;
        writeln!(f)?;
        writeln!(f, "{:<14} {:>10} {:>10} {:>12}", "stage", "at", "tiles", "SRAM, bytes")?;
        for stage in &self.stages {
            let at = stage.origin.to_string();
            let tiles = format!("{} x {}", stage.size.0, stage.size.1);
            writeln!(f, "{:<14} {at:>10} {tiles:>10} {:>12}", stage.name, stage.sram_max)?;
        }
        Ok(())
    }
}
