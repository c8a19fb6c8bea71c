//! Cuts a wafer into cells: the tiles of each stage, and the rest. Finds out which of them are alike.

use crate::engine::{Border, Gateway};
use fabric::{HostIn, HostOut, PeCoord, PeIdx, Port, ProgramId, RouteSetId, Tile, WaferImage};
use pe_isa::{Instr, VecOp};
use std::collections::BTreeMap;
use std::hash::{Hash, Hasher};

/// A cell.
#[derive(Debug)]
pub(super) struct Cell {
    pub(super) class: usize,
    /// The other end of each of its ways: a cell, and the way there.
    pub(super) peers: Vec<(u32, u32)>,
}

/// What cells that are alike have in common.
#[derive(Debug)]
pub(super) struct Kind {
    /// Their tiles, and whatever those refer to.
    pub(super) image: WaferImage,
    pub(super) border: Border,
    /// The wafer's host ports, by those of `image`.
    pub(super) host_in: Vec<usize>,
    pub(super) host_out: Vec<usize>,
    pub(super) members: usize,
}

/// A wafer, cut.
#[derive(Debug)]
pub(super) struct Cut {
    /// The stages, then the rest.
    pub(super) cells: Vec<Cell>,
    pub(super) kinds: Vec<Kind>,
}

/// North-west tile, columns and rows of the area that a cell lies in.
#[derive(Debug, Clone, Copy)]
struct Area {
    origin: PeCoord,
    width: u32,
    height: u32,
}

impl Area {
    fn tiles(self) -> impl Iterator<Item = PeCoord> {
        let Area { origin, width, height } = self;
        let rows = origin.y..origin.y + height;
        rows.flat_map(move |y| (origin.x..origin.x + width).map(move |x| PeCoord::new(x, y)))
    }

    /// The index of a tile within.
    fn index(self, at: PeCoord) -> PeIdx {
        PeIdx((at.y - self.origin.y) * self.width + at.x - self.origin.x)
    }
}

/// Cuts a wafer. The cells of a kind behave alike when they are given the same; those that know where they are, by a host port or
/// by what they draw (rule D-4), are alone in theirs.
pub(super) fn cut(image: &WaferImage) -> Cut {
    let grid = (image.machine.width, image.machine.height);
    let whole = Area { origin: PeCoord::new(0, 0), width: grid.0, height: grid.1 };
    let stages = image.stages.iter();
    let stages = stages.map(|s| Area { origin: s.origin, width: s.width, height: s.height });
    let areas: Vec<Area> = stages.chain([whole]).collect();
    let mut owners = vec![u32::MAX; image.tiles.len()];
    for (cell, area) in (0..).zip(&areas) {
        for at in area.tiles() {
            let owner = &mut owners[image.index(at).0 as usize];
            *owner = cell.min(*owner);
        }
    }
    let wires = wires(image, &owners);
    let mut ways = Ways::new(areas.len());
    wires.iter().for_each(|wire| ways.add(wire, &owners));
    ways.number();
    let (mut cells, mut kinds, mut known) = (Vec::new(), Vec::new(), BTreeMap::new());
    for (number, &area) in (0..).zip(&areas) {
        let piece = Piece { image, area, owners: &owners, number };
        let border = ways.border(number as usize, image, area);
        let kind = *known.entry(piece.name(&border)).or_insert_with(|| {
            kinds.push(piece.kind(border));
            kinds.len() - 1
        });
        kinds[kind].members += 1;
        cells.push(Cell { class: kind, peers: ways.peers(number as usize) });
    }
    Cut { cells, kinds }
}

/// A wire from a cell to another one, by its two ends on the wafer.
#[derive(Debug, Clone, Copy)]
struct Wire {
    from: Gateway,
    to: Gateway,
}

fn wires(image: &WaferImage, owners: &[u32]) -> Vec<Wire> {
    let (width, height) = (image.machine.width, image.machine.height);
    let mut wires = Vec::new();
    for tile in (0..image.tiles.len() as u32).map(PeIdx) {
        let Some(set) = image.routes(tile) else { continue };
        for route in &set.routes {
            for port in route.transmits().iter().filter(|&p| p != Port::Ramp) {
                let Some(next) = image.coord(tile).neighbour(port, width, height) else { continue };
                let next = image.index(next);
                if owners[next.0 as usize] != owners[tile.0 as usize] {
                    let from = Gateway { tile, port, color: route.color };
                    wires.push(Wire {
                        from,
                        to: Gateway { tile: next, port: port.opposite(), ..from },
                    });
                }
            }
        }
    }
    wires
}

/// The ends of wires at each cell, with the number of the wire.
#[derive(Debug)]
struct Ways {
    outlets: Vec<Vec<(Gateway, usize)>>,
    inlets: Vec<Vec<(Gateway, usize)>>,
    /// Of each wire the cell and way of its beginning and its end.
    ends: Vec<[(u32, u32); 2]>,
}

impl Ways {
    fn new(cells: usize) -> Ways {
        Ways { outlets: vec![Vec::new(); cells], inlets: vec![Vec::new(); cells], ends: Vec::new() }
    }

    fn add(&mut self, wire: &Wire, owners: &[u32]) {
        let number = self.ends.len();
        let ends = [wire.from, wire.to].map(|end| owners[end.tile.0 as usize]);
        self.outlets[ends[0] as usize].push((wire.from, number));
        self.inlets[ends[1] as usize].push((wire.to, number));
        self.ends.push(ends.map(|cell| (cell, 0)));
    }

    fn number(&mut self) {
        for (outlets, inlets) in self.outlets.iter_mut().zip(&mut self.inlets) {
            outlets.sort_unstable();
            inlets.sort_unstable();
            for (way, &(_, wire)) in (0..).zip(&*outlets) {
                self.ends[wire][0].1 = way;
            }
            for (way, &(_, wire)) in (outlets.len() as u32..).zip(&*inlets) {
                self.ends[wire][1].1 = way;
            }
        }
    }

    fn border(&self, cell: usize, image: &WaferImage, area: Area) -> Border {
        let within = |&(end, _): &(Gateway, usize)| Gateway {
            tile: area.index(image.coord(end.tile)),
            ..end
        };
        Border {
            outlets: self.outlets[cell].iter().map(within).collect(),
            inlets: self.inlets[cell].iter().map(within).collect(),
            origin: area.origin,
        }
    }

    fn peers(&self, cell: usize) -> Vec<(u32, u32)> {
        let outlets = self.outlets[cell].iter().map(|&(_, wire)| self.ends[wire][1]);
        outlets.chain(self.inlets[cell].iter().map(|&(_, wire)| self.ends[wire][0])).collect()
    }
}

/// A cell, yet to be looked at.
#[derive(Clone, Copy)]
struct Piece<'a> {
    image: &'a WaferImage,
    area: Area,
    owners: &'a [u32],
    number: u32,
}

impl Piece<'_> {
    /// Its tiles, row by row; none where one belongs to another cell.
    fn tiles(&self) -> impl Iterator<Item = Option<&Tile>> {
        let tiles = self.area.tiles().map(|at| self.image.index(at));
        tiles.map(|at| (self.owners[at.0 as usize] == self.number).then(|| self.image.tile(at)))
    }

    fn owns(&self, tile: PeIdx) -> bool {
        self.owners[tile.0 as usize] == self.number
    }

    /// Equal for cells that are alike.
    fn name(&self, border: &Border) -> [u8; 32] {
        let mut sink = Sink(blake3::Hasher::new(), Vec::new());
        (self.area.width, self.area.height).hash(&mut sink);
        (&border.outlets, &border.inlets).hash(&mut sink);
        for tile in self.tiles() {
            let tile = tile.map(|t| (t.program, t.routes, &t.params, t.sram_bytes));
            tile.hash(&mut sink);
        }
        if self.is_somewhere() {
            self.number.hash(&mut sink);
        }
        sink.end()
    }

    /// Whether it knows where it is.
    fn is_somewhere(&self) -> bool {
        let draws = |instr: &Instr| matches!(instr, Instr::Vector(v) if v.op == VecOp::ArgMax);
        let programs = &self.image.programs;
        let draws: Vec<bool> = programs.iter().map(|p| p.instrs.iter().any(draws)).collect();
        let mut programs = self.tiles().flatten().filter_map(|t| t.program);
        let ins = self.image.host_in.iter().map(|h| h.tile);
        let mut ports = ins.chain(self.image.host_out.iter().map(|h| h.tile));
        programs.any(|p| draws[p.0 as usize]) || ports.any(|tile| self.owns(tile))
    }

    fn kind(&self, border: Border) -> Kind {
        let mut machine = self.image.machine.clone();
        (machine.width, machine.height) = (self.area.width, self.area.height);
        let mut image = WaferImage::empty(machine);
        let (mut programs, mut routes) = (BTreeMap::new(), BTreeMap::new());
        for (at, tile) in self.tiles().enumerate() {
            let Some(tile) = tile else { continue };
            let program = tile.program.map(|p| {
                *programs.entry(p).or_insert_with(|| {
                    image.programs.push(self.image.programs[p.0 as usize].clone());
                    ProgramId(image.programs.len() as u32 - 1)
                })
            });
            let routes = tile.routes.map(|r| {
                *routes.entry(r).or_insert_with(|| {
                    image.route_sets.push(self.image.route_sets[r.0 as usize].clone());
                    RouteSetId(image.route_sets.len() as u32 - 1)
                })
            });
            let (params, sram_bytes) = (tile.params.clone(), tile.sram_bytes);
            image.tiles[at] = Tile { program, routes, params, sram_bytes, data: Vec::new() };
        }
        let within = |tile| self.area.index(self.image.coord(tile));
        let (mut host_in, mut host_out) = (Vec::new(), Vec::new());
        for (at, port) in self.image.host_in.iter().enumerate().filter(|(_, h)| self.owns(h.tile)) {
            host_in.push(at);
            image.host_in.push(HostIn { tile: within(port.tile), ..*port });
        }
        for (at, port) in self.image.host_out.iter().enumerate().filter(|(_, h)| self.owns(h.tile))
        {
            host_out.push(at);
            image.host_out.push(HostOut { tile: within(port.tile), ..*port });
        }
        Kind { image, border, host_in, host_out, members: 0 }
    }
}

/// A hash that two cells do not share by chance.
struct Sink(blake3::Hasher, Vec<u8>);

impl Sink {
    fn end(mut self) -> [u8; 32] {
        *self.0.update(&self.1).finalize().as_bytes()
    }
}

impl Hasher for Sink {
    fn finish(&self) -> u64 {
        unreachable!("all of the hash is asked for")
    }

    fn write(&mut self, bytes: &[u8]) {
        self.1.extend_from_slice(bytes);
        if self.1.len() > 1 << 16 {
            self.0.update(&self.1);
            self.1.clear();
        }
    }
}
