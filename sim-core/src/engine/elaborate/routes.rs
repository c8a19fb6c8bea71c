//! Where wavelets go: routes become indices of FIFOs and links.

use super::{Builder, port_bits};
use crate::engine::border::Gateway;
use crate::engine::edge::Beyond;
use crate::engine::fifo::{FifoSpec, Stage};
use crate::engine::net::{Out, Outs, Switch, Switched};
use crate::engine::ramp::HostIn;
use crate::engine::wheel::Actor;
use fabric::{PeIdx, Port, Position, Route};
use pe_isa::Color;
use std::collections::VecDeque;

impl Builder<'_> {
    /// The routes of a tile: from each FIFO to the FIFOs and links behind it.
    pub(super) fn routes(&mut self, tile: PeIdx) {
        let first = self.layout.tiles.first_fifo[tile.0 as usize];
        if let Some(set) = self.image.routes(tile) {
            for route in &set.routes {
                self.route(tile, first, route);
            }
        }
        let Some(program) = self.image.program(tile) else {
            return;
        };
        let queues = self.pes[self.layout.tiles.pe[tile.0 as usize] as usize].outs..;
        for (&color, queue) in program.out_queues.iter().flatten().zip(queues) {
            let up = self.input_fifo(tile, Port::Ramp, color);
            self.net.fifos[queue].set_up(up.expect("an output queue has a route (lint)"));
        }
    }

    fn route(&mut self, tile: PeIdx, first: u32, route: &Route) {
        let plan = self.plan(tile).expect("a tile with a route");
        let ranks = route.receives().iter();
        let ranks: Vec<(Port, u32)> = ranks
            .filter_map(|p| Some((p, first + u32::from(plan.rank(p, route.color)?))))
            .collect();
        let switch = self.net.switches.len() as u32;
        if route.positions.len() > 1 {
            self.net.switches.push(Switch {
                position: 0,
                positions: route.positions.len() as u8,
                fifos: ranks.iter().map(|&(_, fifo)| fifo).collect(),
            });
        }
        for (port, fifo) in ranks {
            let mut positions = [Outs::default(); 4];
            for (slot, position) in positions.iter_mut().zip(&route.positions) {
                if position.rx == port {
                    *slot = self.outs(tile, route.color, position);
                }
            }
            if route.positions.len() > 1 {
                self.net.fifos[fifo].set_switched(self.net.switched.len() as u32);
                self.net.switched.push(Switched { switch, positions });
            } else {
                self.net.fifos[fifo].set_outs(positions[0]);
            }
        }
    }

    fn outs(&mut self, tile: PeIdx, color: Color, position: &Position) -> Outs {
        let first = self.net.outs.len() as u32;
        let outputs = self.plan(tile).expect("a tile with a route").outputs;
        for port in position.tx.iter() {
            let below = outputs & ((1 << port.index()) - 1);
            let link = self.layout.tiles.first_link[tile.0 as usize] + below.count_ones();
            let dest = self.destination(tile, port, color);
            self.net.outs.push(Out { dest, link });
        }
        let ahead = |p: Port| p == Port::Ramp || p == position.rx.opposite();
        Outs {
            first,
            count: (self.net.outs.len() as u32 - first) as u8,
            ports: port_bits(position.tx.iter()),
            bend: position.rx != Port::Ramp && !position.tx.iter().all(ahead),
        }
    }

    /// Where a wavelet goes that leaves `tile` through `port`.
    fn destination(&mut self, tile: PeIdx, port: Port, color: Color) -> u32 {
        let image = self.image;
        if let Some(way) = self.border.and_then(|b| b.outlet(Gateway { tile, port, color })) {
            return self.proxy(Beyond { domain: 0, fifo: way });
        }
        if port == Port::Ramp {
            let program = image.program(tile).expect("the ramp leads to a program (lint)");
            let queue = program.in_queue(color).expect("a queue takes the color (lint)");
            let pe = &self.pes[self.layout.tiles.pe[tile.0 as usize] as usize];
            let code = &self.layout.codes[pe.code as usize];
            return pe.ins + u32::from(code.in_rank[usize::from(queue.0)]);
        }
        let (width, height) = (image.machine.width, image.machine.height);
        match image.coord(tile).neighbour(port, width, height) {
            Some(next) => {
                let next = image.index(next);
                let fifo = self.input_fifo(next, port.opposite(), color);
                let fifo = fifo.expect("the neighbour receives the color (lint)");
                if self.tiles.contains(&next.0) {
                    return fifo;
                }
                let domain = self.cuts.partition_point(|&first| first <= next.0) as u32;
                self.proxy(Beyond { domain, fifo })
            }
            None => {
                let mut ports = image.host_out.iter();
                let at = ports.position(|h| h.tile == tile && h.port == port && h.color == color);
                Out::HOST | at.expect("a host port is there (lint)") as u32
            }
        }
    }

    /// The FIFO that stands for one of another domain.
    fn proxy(&mut self, beyond: Beyond) -> u32 {
        let Builder { net, proxies, image, .. } = self;
        *proxies.entry(beyond).or_insert_with(|| {
            net.edges.push(beyond);
            net.fifos.add(FifoSpec {
                capacity: u64::from(image.machine.fabric.queue_depth),
                stage: Stage::Proxy,
                contended: false,
                rank: 0,
                owner: net.edges.len() as u32 - 1,
            })
        })
    }

    /// The FIFO of a router, in its domain, for a port and a color.
    fn input_fifo(&self, tile: PeIdx, port: Port, color: Color) -> Option<u32> {
        let rank = self.plan(tile)?.rank(port, color)?;
        Some(self.layout.tiles.first_fifo[tile.0 as usize] + u32::from(rank))
    }

    /// The inlets of a cell, whose wavelets come from beyond its border. Returns the FIFO of each way.
    pub(super) fn inlets(&mut self) -> Vec<u32> {
        let Some(border) = self.border else { return Vec::new() };
        let mut ways: Vec<u32> = self.proxies.values().copied().collect();
        assert!(ways.len() == border.outlets.len(), "a wavelet can leave through each outlet");
        for inlet in &border.inlets {
            let fifo = self.input_fifo(inlet.tile, inlet.port, inlet.color);
            let fifo = fifo.expect("an inlet has a route");
            self.net.fifos.await_all(fifo, Actor::edge(self.net.edges.len() as u32));
            self.net.edges.push(Beyond { domain: 0, fifo: ways.len() as u32 });
            ways.push(fifo);
        }
        ways
    }

    /// The ports through which the host sends.
    pub(super) fn hosts(&mut self) {
        for (at, port) in self.image.host_in.iter().enumerate() {
            if !self.tiles.contains(&port.tile.0) {
                continue;
            }
            let fifo = self.input_fifo(port.tile, port.port, port.color);
            let fifo = fifo.expect("a host port has a route (lint)");
            let twice = self.net.host_in.iter().any(|other| other.fifo == fifo);
            assert!(!twice, "two host ports feed one FIFO: {port:?}");
            let link = self.net.links.add(1);
            self.net.host_in.push(HostIn { port: at, fifo, link, script: VecDeque::new() });
        }
    }
}
