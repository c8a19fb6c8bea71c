//! `WaferImage`: everything a simulator needs, and the meeting point of compiler and simulator.

use crate::geometry::{PeCoord, PeIdx, Port};
use crate::machine::Machine;
use crate::route::RouteSet;
use pe_isa::{Color, DType, Program, Reg};
use serde::{Deserialize, Serialize};

/// Index into [`WaferImage::programs`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ProgramId(pub u32);

/// Index into [`WaferImage::route_sets`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct RouteSetId(pub u32);

/// Initial bytes of a piece of SRAM.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Segment {
    /// Byte address, a multiple of 4.
    pub address: u32,
    /// The contents, as little-endian words.
    pub words: Vec<u32>,
}

/// One tile: its router's routes, its PE's program, parameters and initial SRAM.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Tile {
    /// The program; none for a PE that does nothing.
    pub program: Option<ProgramId>,
    /// The routes of its router; none for a router that forwards nothing.
    pub routes: Option<RouteSetId>,
    /// Registers that do not start at 0.
    pub params: Vec<(Reg, u32)>,
    /// Bytes of SRAM that the program may touch, a multiple of 4. At most
    /// [`Machine::usable_bytes`] less the program's code.
    pub sram_bytes: u32,
    /// SRAM that does not start at 0.
    pub data: Vec<Segment>,
}

/// A port of the wafer's edge where the host puts wavelets in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct HostIn {
    /// The edge tile.
    pub tile: PeIdx,
    /// The side of the tile that lies on the edge.
    pub port: Port,
    /// Color of the wavelets.
    pub color: Color,
}

/// A port of the wafer's edge where the host takes wavelets out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct HostOut {
    /// The edge tile.
    pub tile: PeIdx,
    /// The side of the tile that lies on the edge.
    pub port: Port,
    /// Color of the wavelets.
    pub color: Color,
}

/// A named piece of SRAM that an observer may read, spread over PEs in order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Probe {
    /// What it holds, such as `logits`.
    pub name: String,
    /// Type of its elements.
    pub dtype: DType,
    /// PE, byte address and number of elements, in element order.
    pub parts: Vec<(PeIdx, u32, u32)>,
}

/// A rectangle of tiles that holds one part of the model, for people and reports.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StageInfo {
    /// Such as `embed`, `layers 0-1`, `head`.
    pub name: String,
    /// North-west tile.
    pub origin: PeCoord,
    /// Columns.
    pub width: u32,
    /// Rows.
    pub height: u32,
}

/// A wafer ready to run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct WaferImage {
    /// The machine that it was made for.
    pub machine: Machine,
    /// The programs, one per class of PEs.
    pub programs: Vec<Program>,
    /// The route sets, one per class of routers.
    pub route_sets: Vec<RouteSet>,
    /// The tiles, row by row.
    pub tiles: Vec<Tile>,
    /// Ports through which the host sends.
    pub host_in: Vec<HostIn>,
    /// Ports through which the host receives.
    pub host_out: Vec<HostOut>,
    /// The stages, in the order in which an item visits them.
    pub stages: Vec<StageInfo>,
    /// What observers may read.
    pub probes: Vec<Probe>,
}

impl WaferImage {
    /// An image of `machine` in which nothing happens.
    pub fn empty(machine: Machine) -> WaferImage {
        let tiles = vec![Tile::default(); machine.tiles()];
        WaferImage {
            machine,
            programs: Vec::new(),
            route_sets: Vec::new(),
            tiles,
            host_in: Vec::new(),
            host_out: Vec::new(),
            stages: Vec::new(),
            probes: Vec::new(),
        }
    }

    /// The array index of a coordinate.
    pub fn index(&self, at: PeCoord) -> PeIdx {
        PeIdx(at.y * self.machine.width + at.x)
    }

    /// The coordinate of an array index.
    pub fn coord(&self, at: PeIdx) -> PeCoord {
        PeCoord::new(at.0 % self.machine.width, at.0 / self.machine.width)
    }

    /// The tile at an index.
    pub fn tile(&self, at: PeIdx) -> &Tile {
        &self.tiles[at.0 as usize]
    }

    /// The program of a tile's PE.
    pub fn program(&self, at: PeIdx) -> Option<&Program> {
        self.tile(at).program.map(|p| &self.programs[p.0 as usize])
    }

    /// The routes of a tile's router.
    pub fn routes(&self, at: PeIdx) -> Option<&RouteSet> {
        self.tile(at).routes.map(|r| &self.route_sets[r.0 as usize])
    }

    /// Every reference of a tile or host port to something that is not there, in words. The other
    /// methods panic on such an image.
    pub fn broken_references(&self) -> Vec<String> {
        let mut broken = Vec::new();
        if self.tiles.len() != self.machine.tiles() {
            let (have, want) = (self.tiles.len(), self.machine.tiles());
            broken.push(format!("the image has {have} tiles, the machine {want}"));
        }
        for (at, tile) in self.tiles.iter().enumerate() {
            if let Some(p) = tile.program.filter(|p| p.0 as usize >= self.programs.len()) {
                broken.push(format!("tile number {at} has program {}, which does not exist", p.0));
            }
            if let Some(r) = tile.routes.filter(|r| r.0 as usize >= self.route_sets.len()) {
                broken.push(format!("tile number {at} has routes {}, which do not exist", r.0));
            }
        }
        let ins = self.host_in.iter().map(|h| h.tile);
        for tile in ins.chain(self.host_out.iter().map(|h| h.tile)) {
            if tile.0 as usize >= self.tiles.len() {
                broken.push(format!(
                    "a host port is at tile number {}, which does not exist",
                    tile.0
                ));
            }
        }
        broken
    }

    /// Adds a program, or finds the equal one that is there.
    pub fn intern_program(&mut self, program: Program) -> ProgramId {
        let found = self.programs.iter().position(|p| *p == program);
        let at = found.unwrap_or_else(|| {
            self.programs.push(program);
            self.programs.len() - 1
        });
        ProgramId(at as u32)
    }

    /// Adds a route set, or finds the equal one that is there.
    pub fn intern_routes(&mut self, routes: RouteSet) -> RouteSetId {
        let found = self.route_sets.iter().position(|r| *r == routes);
        let at = found.unwrap_or_else(|| {
            self.route_sets.push(routes);
            self.route_sets.len() - 1
        });
        RouteSetId(at as u32)
    }
}
