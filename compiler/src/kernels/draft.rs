//! A kernel under construction: routes and programs of tiles, and what must come out.

use super::params::Args;
use crate::asm::{Asm, Mem, mem};
use crate::lines::TileRoutes;
use fabric::text::{Expect, Kernel, Place};
use fabric::{HostPlan, Machine, PeCoord, PeIdx, Port, Ports, Route, Segment, WaferImage};
use pe_isa::{Color, DType};
use std::collections::BTreeMap;

/// A kernel under construction.
#[derive(Debug)]
pub(super) struct Draft {
    image: WaferImage,
    routes: BTreeMap<PeIdx, TileRoutes>,
    results: Vec<Place>,
    expects: Vec<Expect>,
    oversized: bool,
}

/// A region of f32 elements in a PE's SRAM, row-major.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Region {
    name: &'static str,
    pub(super) address: u32,
    extents: Vec<u32>,
}

impl Region {
    /// A vector of `len` elements at byte `address`.
    pub(super) fn vector(name: &'static str, address: u32, len: u32) -> Region {
        Region { name, address, extents: vec![len] }
    }

    /// A matrix of `rows` × `columns` elements at byte `address`.
    pub(super) fn matrix(name: &'static str, address: u32, rows: u32, columns: u32) -> Region {
        Region { name, address, extents: vec![rows, columns] }
    }

    /// Number of elements.
    pub(super) fn len(&self) -> u32 {
        self.extents.iter().product()
    }

    /// Byte address after the last element.
    pub(super) fn end(&self) -> u32 {
        self.address + 4 * self.len()
    }

    /// All elements, one after another.
    pub(super) fn flat(&self) -> Mem {
        mem(self.address, &[1], DType::F32)
    }

    fn at(&self, tile: PeIdx) -> Place {
        let (name, extents) = (self.name.to_string(), self.extents.clone());
        Place { tile, name, address: self.address, dtype: DType::F32, extents }
    }
}

impl Draft {
    /// Nothing yet.
    pub(super) fn new(machine: &Machine) -> Draft {
        Draft {
            image: WaferImage::empty(machine.clone()),
            routes: BTreeMap::new(),
            results: Vec::new(),
            expects: Vec::new(),
            oversized: false,
        }
    }

    /// The machine that the kernel is for.
    pub(super) fn machine(&self) -> &Machine {
        &self.image.machine
    }

    /// The routes of a tile.
    pub(super) fn routes(&mut self, at: PeCoord) -> &mut TileRoutes {
        self.routes.entry(self.image.index(at)).or_default()
    }

    /// Adds a route without switching.
    pub(super) fn route(&mut self, at: PeCoord, color: Color, rx: Port, tx: Ports) {
        self.routes(at).add(Route::fixed(color, rx, tx));
    }

    /// Routes a color from one PE to another in the same row or column.
    pub(super) fn path(&mut self, color: Color, from: PeCoord, to: PeCoord) {
        assert!((from.x == to.x) != (from.y == to.y), "a path is straight and goes somewhere");
        let towards = match (from.x.cmp(&to.x), from.y.cmp(&to.y)) {
            (std::cmp::Ordering::Less, _) => Port::East,
            (std::cmp::Ordering::Greater, _) => Port::West,
            (_, std::cmp::Ordering::Less) => Port::South,
            _ => Port::North,
        };
        let mut at = from;
        let mut rx = Port::Ramp;
        while at != to {
            self.route(at, color, rx, Ports::one(towards));
            rx = towards.opposite();
            let (width, height) = (self.machine().width, self.machine().height);
            at = at.neighbour(towards, width, height).expect("both ends lie on the wafer");
        }
        self.route(to, color, rx, Ports::one(Port::Ramp));
    }

    /// Puts a program on a PE, with the elements of its regions before cycle 0. The program may touch all bytes up to
    /// `bytes`.
    pub(super) fn place(
        &mut self,
        at: PeCoord,
        program: Asm,
        bytes: u32,
        data: &[(&Region, Vec<f32>)],
    ) {
        let id = self.image.intern_program(program.finish());
        let segment = |(region, values): &(&Region, Vec<f32>)| {
            assert_eq!(values.len(), region.len() as usize, "a value for each element");
            Segment { address: region.address, words: values.iter().map(|v| v.to_bits()).collect() }
        };
        let idx = self.image.index(at);
        let tile = &mut self.image.tiles[idx.0 as usize];
        tile.program = Some(id);
        tile.sram_bytes = bytes;
        tile.data = data.iter().map(segment).collect();
    }

    /// Says what a region must hold after the run, exactly.
    pub(super) fn expect(&mut self, at: PeCoord, region: &Region, values: &[f32]) {
        let place = region.at(self.image.index(at));
        let values = values.iter().map(|v| v.to_bits()).collect();
        self.expects.push(Expect::Memory { place, values, within: 0.0 });
    }

    /// Shows a region after the run, and says what it must hold.
    pub(super) fn result(&mut self, at: PeCoord, region: &Region, values: &[f32]) {
        self.results.push(region.at(self.image.index(at)));
        self.expect(at, region, values);
    }

    /// Says at which cycle the run stops.
    pub(super) fn cycles(&mut self, value: u64) {
        self.expects.push(Expect::Cycles { value, within: 0 });
    }

    /// Whether so many bytes of data can fit into the SRAM of a PE. If not, neither does the draft, and its maker may
    /// leave it as it is: matrices that are far too large would take the host's memory for each tile.
    pub(super) fn can_hold(&mut self, bytes: u32) -> bool {
        self.oversized |= bytes > self.machine().usable_bytes();
        !self.oversized
    }

    /// Whether code and data of every PE fit into its SRAM.
    pub(super) fn fits(&self) -> bool {
        let usable = u64::from(self.machine().usable_bytes());
        let tiles = self.image.tiles.iter().filter(|t| t.program.is_some());
        !self.oversized
            && tiles.into_iter().all(|t| {
                let program = &self.image.programs[t.program.map_or(0, |p| p.0 as usize)];
                u64::from(program.code_bytes()) + u64::from(t.sram_bytes) <= usable
            })
    }

    /// The finished kernel.
    pub(super) fn finish(mut self, args: &Args) -> Kernel {
        for (at, routes) in std::mem::take(&mut self.routes) {
            let id = self.image.intern_routes(routes.finish());
            self.image.tiles[at.0 as usize].routes = Some(id);
        }
        Kernel {
            states_machine: false,
            params: args.values(),
            results: self.results,
            expects: self.expects.into_iter().map(|expect| (expect, None)).collect(),
            ..Kernel::of_image(self.image, HostPlan::default())
        }
    }
}

/// Element `i` of the vector that the PE with number `k` starts with. Small integers, so that all sums of up to 65,536
/// of them are exact in f32.
pub(super) fn element(k: u32, i: u32) -> f32 {
    ((k * 3 + i * 5) % 17) as f32
}

/// The vector of `len` elements that the PE with number `k` starts with.
pub(super) fn vector(k: u32, len: u32) -> Vec<f32> {
    (0..len).map(|i| element(k, i)).collect()
}

/// The sum of the vectors of PEs `0..p`.
pub(super) fn sum(p: u32, len: u32) -> Vec<f32> {
    (0..len).map(|i| (0..p).map(|k| element(k, i)).sum()).collect()
}

/// The PE in column `x` of the first row.
pub(super) fn row(x: u32) -> PeCoord {
    PeCoord::new(x, 0)
}
