//! From an image to flat arrays: each FIFO in use gets an index, each route the indices it leads to.

mod numbers;
mod routes;

pub(super) use numbers::Cut;

use crate::engine::border::Border;
use crate::engine::code::{Code, Constants};
use crate::engine::domain::Domain;
use crate::engine::edge::{self, Beyond};
use crate::engine::fifo::{Delays, FifoSpec, Fifos, Stage};
use crate::engine::link::Links;
use crate::engine::net::{Gate, Net, Router};
use crate::engine::pe::{Memory, Pe};
use crate::engine::stream::Stream;
use crate::engine::wheel::{Bucket, Wheel};
use crate::engine::{Layout, Tiles};
use crate::run::{Data, PeCounters};
use fabric::{Machine, PeIdx, Port, RouteSet, WaferImage};
use numbers::Sizes;
use pe_isa::void::Draws;
use pe_isa::{Color, PeMemory, Reg, TaskKind};
use std::collections::{BTreeMap, VecDeque};
use std::ops::Range;

/// No FIFO has this rank: a router has at most 160.
const NO_RANK: u8 = u8::MAX;

/// FIFOs that the second cache of a host's core is taken to hold with all that belongs to them: 2 MiB of 64 bytes each.
const CACHED_FIFOS: usize = 1 << 15;

/// What all routers with one route set have in common.
#[derive(Debug, Clone)]
pub(super) struct Plan {
    /// Port and color of each FIFO, in key order (rule A-1).
    pub(super) keys: Vec<(Port, Color)>,
    /// Rank of each key, by port and color.
    ranks: Vec<[u8; 32]>,
    /// Outputs in use, as bits.
    outputs: u8,
    /// [`crate::engine::net::Out`]s of all routes and positions.
    outs: usize,
    /// A route has several positions.
    switched: bool,
    /// Two colors share an output.
    contended: bool,
    /// Where the rivals of its FIFOs begin in [`super::Layout::rivals`].
    rivals: u32,
}

impl Plan {
    /// The plan of a route set; adds to `rivals`, by rank, who shares an output with whom.
    fn new(set: &RouteSet, rivals: &mut Vec<[u64; 2]>) -> Plan {
        let mut keys = Vec::new();
        let mut outputs = 0u8;
        let mut contended = false;
        for route in &set.routes {
            keys.extend(route.receives().iter().map(|p| (p, route.color)));
            let ports = port_bits(route.transmits().iter());
            contended |= outputs & ports != 0;
            outputs |= ports;
        }
        keys.sort_unstable();
        let mut ranks = vec![[NO_RANK; 32]; 5];
        for (rank, (port, color)) in keys.iter().enumerate() {
            ranks[port.index()][usize::from(color.0)] = rank as u8;
        }
        let first = rivals.len() as u32;
        let ports = |&(port, color): &(Port, Color)| {
            let route = set.routes.iter().find(|r| r.color == color).expect("a key has a route");
            let taking = route.positions.iter().filter(|p| p.rx == port);
            port_bits(taking.flat_map(|p| p.tx.iter()))
        };
        let ports: Vec<u8> = keys.iter().map(ports).collect();
        for (at, mine) in ports.iter().enumerate() {
            let others = ports.iter().enumerate().filter(|(n, o)| *n != at && *o & mine != 0);
            let set = others.fold(0u128, |set, (rank, _)| set | 1 << rank);
            rivals.push([set as u64, (set >> 64) as u64]);
        }
        let positions = set.routes.iter().flat_map(|r| &r.positions);
        let outs = positions.map(|p| p.tx.iter().count()).sum();
        let switched = set.routes.iter().any(|r| r.positions.len() > 1);
        Plan { keys, ranks, outputs, outs, switched, contended, rivals: first }
    }

    /// The rank of a FIFO.
    fn rank(&self, port: Port, color: Color) -> Option<u8> {
        let rank = self.ranks[port.index()][usize::from(color.0)];
        (rank != NO_RANK).then_some(rank)
    }
}

fn port_bits(ports: impl Iterator<Item = Port>) -> u8 {
    ports.fold(0, |set, p| set | 1 << p.index())
}

/// Elaboration of a domain in progress.
struct Builder<'a> {
    image: &'a WaferImage,
    /// Of draws, without data.
    seed: u64,
    layout: &'a Layout,
    /// Where the domains but the first begin.
    cuts: &'a [u32],
    tiles: Range<u32>,
    /// Of a cell: where wires leave it.
    border: Option<&'a Border>,
    net: Net,
    pes: Vec<Pe>,
    memory: Vec<u32>,
    /// The FIFO that stands for one of another domain.
    proxies: BTreeMap<Beyond, u32>,
}

/// Elaborates `image`, which the linter has found free of errors, or a cell of one that is.
pub(super) fn elaborate(
    image: &WaferImage,
    data: Data,
    cut: Cut<'_>,
    border: Option<&Border>,
) -> (Layout, Vec<Domain>) {
    debug_assert!(
        border.is_some() || fabric::lint::errors(image).is_empty(),
        "the image has lint errors: {:?}",
        fabric::lint::errors(image).first()
    );
    let mut rivals = Vec::new();
    let plans = image.route_sets.iter().map(|set| Plan::new(set, &mut rivals)).collect();
    let constants = Constants::new(&image.machine, data);
    let mut layout = Layout {
        codes: codes(image, &constants),
        constants,
        plans,
        rivals,
        tiles: Tiles::default(),
        idle_params: idle_params(image),
        spread: false,
        ways: Vec::new(),
    };
    let cuts = cut.cuts(image, &layout);
    let sizes = layout.number(image, &cuts);
    layout.spread = sizes.iter().map(|s| s.fifos).sum::<usize>() > CACHED_FIFOS;
    let mut domains = Vec::with_capacity(sizes.len());
    let mut proxies = Vec::with_capacity(sizes.len());
    for sizes in sizes {
        let mut builder = Builder::new((image, data), &layout, &cuts, sizes);
        builder.border = border;
        for tile in builder.tiles.clone().map(PeIdx) {
            builder.router_fifos(tile);
            builder.pe(tile);
        }
        for tile in builder.tiles.clone().map(PeIdx) {
            builder.routes(tile);
        }
        builder.hosts();
        let ways = builder.inlets();
        proxies.push(std::mem::take(&mut builder.proxies));
        domains.push(builder.finish());
        layout.ways = ways;
    }
    if border.is_none() {
        edge::connect(&mut domains, &proxies);
    }
    (layout, domains)
}

/// The programs, with the least that all tiles with a program give it.
fn codes(image: &WaferImage, constants: &Constants) -> Vec<Code> {
    let mut limits = vec![(u32::MAX, 0); image.programs.len()];
    for tile in &image.tiles {
        if let Some(program) = tile.program {
            let (sram, params) = &mut limits[program.0 as usize];
            *sram = tile.sram_bytes.min(*sram);
            let named = tile.params.iter().map(|(reg, _)| usize::from(reg.0) + 1);
            *params = named.max().unwrap_or(0).max(*params);
        }
    }
    let codes = image.programs.iter().zip(limits);
    codes.map(|(p, (sram, params))| Code::new(p, sram, params, constants)).collect()
}

fn idle_params(image: &WaferImage) -> Vec<(usize, Reg, u32)> {
    let idle = image.tiles.iter().enumerate().filter(|(_, t)| t.program.is_none());
    idle.flat_map(|(at, t)| t.params.iter().map(move |&(reg, value)| (at, reg, value))).collect()
}

fn empty_net(image: &WaferImage) -> Net {
    let machine = &image.machine;
    Net {
        now: 0,
        epoch: 0,
        watched: false,
        watch: super::watch::Watch::default(),
        activity: 0,
        wheel: Wheel::new(),
        fifos: Fifos::new(delays(machine)),
        outs: Vec::new(),
        switched: Vec::new(),
        switches: Vec::new(),
        turned: Vec::new(),
        switched_sent: Vec::new(),
        links: Links::new(machine.fabric.link_cycles),
        routers: Vec::new(),
        gates: Vec::new(),
        host_in: Vec::new(),
        turn_cycles: machine.fabric.turn_cycles as u32,
        to_host: VecDeque::new(),
        edges: Vec::new(),
        outbox: Vec::new(),
        host_cycles: machine.fabric.hop_cycles + machine.host_latency_cycles(),
    }
}

/// Latencies and credit delays by stage (rules F-2 to F-5).
fn delays(machine: &Machine) -> [Delays; 5] {
    let mut delays = [Delays { latency: machine.pe.ramp_cycles as u32, credit: 1 }; 5];
    let mesh = Delays {
        latency: machine.fabric.hop_cycles as u32,
        credit: machine.fabric.credit_cycles as u32,
    };
    delays[Stage::Mesh as usize] = mesh;
    delays[Stage::Proxy as usize] = mesh;
    delays[Stage::Out as usize].latency = 0;
    delays
}

impl<'a> Builder<'a> {
    fn new(
        (image, data): (&'a WaferImage, Data),
        layout: &'a Layout,
        cuts: &'a [u32],
        sizes: Sizes,
    ) -> Builder<'a> {
        let mut net = empty_net(image);
        net.links.add(sizes.links);
        if sizes.switched {
            net.switched_sent = vec![0; sizes.links];
        }
        net.fifos.reserve(sizes.fifos);
        net.outs.reserve_exact(sizes.outs);
        net.routers.reserve_exact(sizes.routers);
        net.gates.reserve_exact(sizes.programs);
        Builder {
            image,
            seed: match data {
                Data::Full => 0,
                Data::None { seed } => seed,
            },
            layout,
            cuts,
            tiles: sizes.tiles,
            border: None,
            net,
            pes: Vec::with_capacity(sizes.programs),
            // Zeroes from the system, which gives no memory for words that nobody writes.
            memory: vec![0; sizes.memory],
            proxies: BTreeMap::new(),
        }
    }

    fn finish(self) -> Domain {
        Domain {
            tiles: self.tiles,
            net: self.net,
            streams: vec![Stream::default(); self.pes.len()],
            pes: self.pes,
            memory: self.memory,
            bucket: Bucket::default(),
            next: 0,
        }
    }

    fn plan(&self, tile: PeIdx) -> Option<&Plan> {
        let routes = self.image.tile(tile).routes?;
        Some(&self.layout.plans[routes.0 as usize])
    }

    /// The input FIFOs of a router (rules F-2, F-3).
    fn router_fifos(&mut self, tile: PeIdx) {
        let Some(routes) = self.image.tile(tile).routes else {
            return;
        };
        let plan = &self.layout.plans[routes.0 as usize];
        let machine = &self.image.machine;
        let depth = u64::from(machine.fabric.queue_depth);
        let owner = self.net.routers.len() as u32;
        let first = self.layout.tiles.first_fifo[tile.0 as usize];
        debug_assert_eq!(first, self.net.fifos.len());
        for (rank, (port, _)) in plan.keys.iter().enumerate() {
            let (stage, capacity) = match port {
                Port::Ramp => (Stage::Up, depth + machine.pe.ramp_cycles),
                _ => (Stage::Mesh, depth),
            };
            let contended = plan.contended;
            self.net.fifos.add(FifoSpec { capacity, stage, contended, rank: rank as u8, owner });
        }
        if plan.contended {
            self.net.routers.push(Router {
                first,
                waiting: [0; 2],
                cursor: 0,
                count: plan.keys.len() as u8,
                rivals: plan.rivals,
                next: u64::MAX,
            });
        }
    }

    /// A PE with a program: queues (rules F-4, F-5), memory, registers, tasks.
    fn pe(&mut self, tile: PeIdx) {
        let image = self.image;
        let Some(program) = image.tile(tile).program else { return };
        let index = self.pes.len() as u32;
        let (ins, outs) = self.queues(program.0 as usize, index);
        let code = &self.layout.codes[program.0 as usize];
        let first = self.pes.last().map_or(0, |pe| pe.memory.end);
        let sram = first + code.registers as u32;
        let sram_bytes = image.tile(tile).sram_bytes;
        let has_data = self.layout.constants.has_data;
        let memory = Memory { first, sram, end: sram + if has_data { sram_bytes / 4 } else { 0 } };
        let PeMemory { regs, sram } = memory.of(&mut self.memory);
        for &(reg, value) in &image.tile(tile).params {
            regs[usize::from(reg.0)] = value;
        }
        for segment in image.tile(tile).data.iter().filter(|_| has_data) {
            let from = segment.address as usize / 4;
            sram[from..from + segment.words.len()].copy_from_slice(&segment.words);
        }
        let tasks = code.program.tasks.iter().enumerate();
        let set = |pick: fn(&pe_isa::Task) -> bool| {
            let picked = tasks.clone().filter(|(_, t)| pick(t));
            picked.fold(0u64, |set, (at, _)| set | 1 << at)
        };
        let launching = tasks.clone().any(|(_, t)| t.kind == TaskKind::Local && t.activated);
        self.net.gates.push(Gate {
            next: u64::MAX,
            free_at: 0,
            ramp_next: u64::MAX,
            wanted: 0,
            launching: 0,
            controls: 0,
            outs,
            queued: 0,
            out_count: code.outs,
            out_cursor: 0,
            full_cycles: 0,
            streaming: false,
        });
        // The first visit notes what the PE waits for.
        if launching || code.ins > 0 {
            self.net.wake_pe(index, 0);
        }
        self.pes.push(Pe {
            tile,
            index,
            code: program.0,
            ins,
            outs,
            cursor: 0,
            task: None,
            pc: 0,
            main_ready: 0,
            behind: false,
            next_launch: 0,
            effect: None,
            activated: set(|t| t.activated),
            blocked: set(|t| t.blocked),
            running: 0,
            ending: 0,
            ops: Vec::new(),
            memory,
            sram_bytes,
            void: 0,
            draws: Draws::new(self.seed, self.place(tile)),
            counters: PeCounters::default(),
            accounted: 0,
        });
    }

    /// Column and row of a tile on the wafer.
    fn place(&self, tile: PeIdx) -> (u32, u32) {
        let at = self.image.coord(tile);
        let origin = self.border.map_or((0, 0), |b| (b.origin.x, b.origin.y));
        (origin.0 + at.x, origin.1 + at.y)
    }

    /// The queues of a PE. Returns the first input and the first output queue.
    fn queues(&mut self, program: usize, owner: u32) -> (u32, u32) {
        let machine = &self.image.machine.pe;
        let code = &self.layout.codes[program];
        let ins = self.net.fifos.len();
        for (q, bound) in code.program.in_queues.iter().enumerate() {
            if bound.is_some() {
                self.net.fifos.add(FifoSpec {
                    capacity: u64::from(machine.input_queues[q]) + machine.ramp_cycles,
                    stage: Stage::Down,
                    contended: false,
                    rank: code.in_rank[q],
                    owner,
                });
            }
        }
        let outs = self.net.fifos.len();
        for (q, bound) in code.program.out_queues.iter().enumerate() {
            if bound.is_some() {
                self.net.fifos.add(FifoSpec {
                    capacity: u64::from(machine.output_queues[q]),
                    stage: Stage::Out,
                    contended: false,
                    rank: code.out_rank[q],
                    owner,
                });
            }
        }
        (ins, outs)
    }
}
