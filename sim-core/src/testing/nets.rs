//! From specs to routes: trees of tiles, their colors, their switch positions.

use super::build::WaferBuilder;
use super::spec::{Bits, CaseSpec, NetSpec, Origin, SinkSpec};
use fabric::{PeIdx, Port, Ports, Position};
use std::collections::BTreeMap;

/// Tile by tile: where a net comes in and where it goes on.
pub(super) type Tree = BTreeMap<usize, Position>;

/// A net whose tiles, ports and color are settled.
#[derive(Debug, Clone)]
pub(super) struct Net {
    pub(super) spec: NetSpec,
    pub(super) color: u8,
    pub(super) source: Source,
    /// Receiving tiles, each with its spec.
    pub(super) sinks: Vec<(usize, SinkSpec)>,
    /// Whether some router has more than one position.
    pub(super) switched: bool,
    /// A tile besides the source that sends into the net, where its router can switch to it.
    pub(super) joiner: Option<usize>,
}

/// Where a net begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Source {
    /// A program sends.
    Program(usize),
    /// A program passes on what it receives from net `.1`.
    Stream(usize, usize),
    /// The host sends, through this host port.
    Host(usize),
}

/// What is still free while nets are laid.
struct Layout<'a> {
    spec: &'a CaseSpec,
    builder: &'a mut WaferBuilder,
    ins: Vec<usize>,
    outs: Vec<usize>,
}

/// Lays every net of the spec that there is room for.
pub(super) fn lay(spec: &CaseSpec, builder: &mut WaferBuilder) -> Vec<Net> {
    let tiles = builder.image.tiles.len();
    let mut layout = Layout {
        spec,
        ins: vec![builder.image.machine.pe.input_queues.len(); tiles],
        outs: vec![builder.image.machine.pe.output_queues.len(); tiles],
        builder,
    };
    let mut nets: Vec<Net> = Vec::new();
    for net in &spec.nets {
        nets.extend(layout.net(net, &nets));
    }
    nets
}

impl Layout<'_> {
    fn net(&mut self, spec: &NetSpec, before: &[Net]) -> Option<Net> {
        let tiles = self.ins.len();
        let mut bits = spec.bits;
        let (source, entry) = self.source(spec, before, &mut bits)?;
        let streamed = match entry {
            Port::Ramp => self.streams_from(spec, before, source),
            _ => None,
        };
        let upstream = streamed.map_or(&[][..], |from| &before[from].sinks);
        let sinks = self.sinks(spec, (source, entry), upstream);
        let mut tree = Tree::new();
        tree.insert(source, Position { rx: entry, tx: Ports::NONE });
        let via = bits.chance(3).then(|| bits.pick(tiles));
        for &(at, _) in &sinks {
            self.grow(&mut tree, source, at, via, &mut bits);
            add_tx(&mut tree, at, Port::Ramp);
        }
        let mut exit = None;
        if spec.to_host || sinks.is_empty() {
            let edges = self.edges();
            let (at, port) = edges[bits.pick(edges.len())];
            self.grow(&mut tree, source, at, None, &mut bits);
            if tree[&at].rx != port {
                add_tx(&mut tree, at, port);
                exit = Some((at, port));
            }
        }
        if sinks.is_empty() && exit.is_none() {
            return None;
        }
        prune(&mut tree, self.builder);
        let color = self.free_color(spec.color, &tree)?;
        let (switched, joiner) = self.add_routes(&tree, color, source, spec, &mut bits);
        for &(at, _) in &sinks {
            self.ins[at] -= 1;
        }
        if let Some((at, port)) = exit {
            self.builder.host_out(at, port, color);
        }
        let source = match entry {
            Port::Ramp => {
                self.outs[source] -= 1;
                match streamed {
                    Some(from) => Source::Stream(source, from),
                    None => Source::Program(source),
                }
            }
            port => Source::Host(self.builder.host_in(source, port, color)),
        };
        Some(Net { spec: spec.clone(), color, source, sinks, switched, joiner })
    }

    /// The sinks that there is room for. Those that would wait for what only they themselves can
    /// set free (their own sends, what they pass on) are rare.
    fn sinks(
        &self,
        spec: &NetSpec,
        (source, entry): (usize, Port),
        upstream: &[(usize, SinkSpec)],
    ) -> Vec<(usize, SinkSpec)> {
        let mut sinks: Vec<(usize, SinkSpec)> = Vec::new();
        for sink in &spec.sinks {
            let hot = sink.tile % 4 == 3;
            let at = if hot { self.spec.hot } else { sink.tile / 4 } as usize % self.ins.len();
            let both = upstream.iter().any(|(t, _)| *t == at);
            let circular = entry == Port::Ramp && (at == source || both);
            if circular && sink.tile % 32 < 28 {
                continue;
            }
            if self.ins[at] > 0 && sinks.iter().all(|(t, _)| *t != at) {
                sinks.push((at, sink.clone()));
            }
        }
        sinks
    }

    /// The tile at which the net begins and the port through which it comes in.
    fn source(&self, spec: &NetSpec, before: &[Net], bits: &mut Bits) -> Option<(usize, Port)> {
        if spec.origin == Origin::Host {
            let edges = self.edges();
            return Some(edges[spec.source as usize % edges.len()]);
        }
        let mut at = spec.source as usize % self.ins.len();
        if spec.origin == Origin::Stream {
            let upstream: Vec<usize> =
                before.iter().flat_map(|n| n.sinks.iter().map(|(t, _)| *t)).collect();
            if !upstream.is_empty() {
                at = upstream[bits.pick(upstream.len())];
            }
        }
        (self.outs[at] > 0).then_some((at, Port::Ramp))
    }

    /// The last earlier net that ends at `at`, if the net is to pass it on.
    fn streams_from(&self, spec: &NetSpec, before: &[Net], at: usize) -> Option<usize> {
        if spec.origin != Origin::Stream {
            return None;
        }
        let taken = |k: usize| {
            before.iter().any(|n| matches!(n.source, Source::Stream(t, f) if t == at && f == k))
        };
        let ends_here = |n: &Net| n.sinks.iter().any(|(t, _)| *t == at);
        (0..before.len()).rfind(|&k| ends_here(&before[k]) && !taken(k))
    }

    fn edges(&self) -> Vec<(usize, Port)> {
        let machine = &self.builder.image.machine;
        let ports = |at: usize| Port::MESH.map(|port| (at, port));
        let all = (0..self.ins.len()).flat_map(ports);
        all.filter(|&(at, port)| {
            let here = self.builder.image.coord(PeIdx(at as u32));
            here.neighbour(port, machine.width, machine.height).is_none()
        })
        .collect()
    }

    /// Adds a branch to `to`: a walk back towards the source, by way of `via`, until it meets the
    /// tree.
    fn grow(&self, tree: &mut Tree, source: usize, to: usize, via: Option<usize>, bits: &mut Bits) {
        let mut path = vec![to];
        for goal in via.into_iter().chain([source]) {
            while path.last() != Some(&goal) {
                let here = *path.last().expect("a path has a tile");
                if tree.contains_key(&here) {
                    break;
                }
                let next = self.step_towards(here, goal, bits);
                match path.iter().position(|&p| p == next) {
                    Some(loop_start) => path.truncate(loop_start + 1),
                    None => path.push(next),
                }
            }
        }
        let meets = path.iter().position(|t| tree.contains_key(t));
        path.truncate(meets.expect("the source is in the tree") + 1);
        for pair in path.windows(2).rev() {
            let (child, parent) = (pair[0], pair[1]);
            let out = self.direction(parent, child);
            add_tx(tree, parent, out);
            let rx = out.opposite();
            tree.insert(child, Position { rx, tx: Ports::NONE });
        }
    }

    fn step_towards(&self, from: usize, to: usize, bits: &mut Bits) -> usize {
        let width = self.builder.image.machine.width as usize;
        let (x, y) = (from % width, from / width);
        let (gx, gy) = (to % width, to / width);
        let along_x = y == gy || (x != gx && bits.pick(2) == 0);
        match along_x {
            true if gx > x => from + 1,
            true => from - 1,
            false if gy > y => from + width,
            false => from - width,
        }
    }

    fn direction(&self, from: usize, to: usize) -> Port {
        let machine = &self.builder.image.machine;
        let here = self.builder.image.coord(PeIdx(from as u32));
        let there = self.builder.image.coord(PeIdx(to as u32));
        let mut ports = Port::MESH.into_iter();
        ports
            .find(|&p| here.neighbour(p, machine.width, machine.height) == Some(there))
            .expect("the tiles are neighbours")
    }

    /// The first color from `wanted` on that no router of the tree uses yet.
    fn free_color(&self, wanted: u8, tree: &Tree) -> Option<u8> {
        let colors = self.builder.image.machine.fabric.colors;
        let used = |color: u8, at: &usize| {
            let routes = &self.builder.routes[*at].routes;
            routes.iter().any(|r| r.color.0 == color)
        };
        let mut order = (0..colors).map(|k| (wanted + k) % colors);
        order.find(|&color| !tree.keys().any(|at| used(color, at)))
    }

    /// Writes the routes. Returns whether one of them switches, and a tile that joins the net.
    fn add_routes(
        &mut self,
        tree: &Tree,
        color: u8,
        source: usize,
        spec: &NetSpec,
        bits: &mut Bits,
    ) -> (bool, Option<usize>) {
        let mut left = spec.switches;
        let mut joiner = None;
        for (&at, &base) in tree {
            let mut positions = vec![base];
            if left > 0 && bits.pick(2) == 0 {
                left -= 1;
                let can_join = at != source && self.outs[at] > 0 && joiner.is_none();
                if can_join && bits.pick(2) == 0 {
                    let rx = Port::Ramp;
                    positions.push(Position { rx, tx: base.tx });
                    joiner = Some(at);
                    self.outs[at] -= 1;
                } else {
                    for _ in 0..=bits.pick(3) {
                        let tx = subset(base.tx, bits);
                        positions.push(Position { rx: base.rx, tx });
                    }
                }
            }
            self.builder.switched(at, color, positions);
        }
        (left < spec.switches, joiner)
    }
}

fn add_tx(tree: &mut Tree, at: usize, port: Port) {
    let position = tree.get_mut(&at).expect("the tile is in the tree");
    position.tx = position.tx.with(port);
}

/// Takes off the branches that lead nowhere.
fn prune(tree: &mut Tree, builder: &WaferBuilder) {
    let machine = &builder.image.machine;
    while let Some((&at, &position)) = tree.iter().find(|(_, p)| p.tx.is_empty()) {
        tree.remove(&at);
        let here = builder.image.coord(PeIdx(at as u32));
        let parent = here.neighbour(position.rx, machine.width, machine.height);
        let parent = parent.map(|p| builder.image.index(p).0 as usize);
        if let Some(parent) = parent.and_then(|p| tree.get_mut(&p)) {
            let back = position.rx.opposite();
            parent.tx = parent.tx.iter().filter(|&p| p != back).collect();
        }
    }
}

/// A random part of a set of ports, never empty.
fn subset(ports: Ports, bits: &mut Bits) -> Ports {
    let some: Ports = ports.iter().filter(|_| bits.pick(2) == 0).collect();
    if some.is_empty() { ports } else { some }
}
