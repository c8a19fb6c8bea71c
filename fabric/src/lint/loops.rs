//! Route loops: a color whose routes lead a wavelet back to a router that it has passed.

use super::cycle::cycles;
use super::wiring::Wiring;
use super::{Findings, Kind, NAMED};
use crate::geometry::{PeIdx, Port, Ports};
use crate::image::WaferImage;
use crate::route::{Position, Route};

/// A wavelet at a router's mesh port: `4 × tile + port`.
type Node = usize;

pub(super) fn check(found: &mut Findings<'_>, wirings: &[Wiring<'_>]) {
    for wiring in wirings.iter().filter(|wiring| bends(wiring)) {
        // Where nothing may go round, nothing must.
        let possible = loops(wiring, sometimes);
        if possible.is_empty() {
            continue;
        }
        for loop_ in loops(wiring, always) {
            found.error(Kind::RouteLoop, tile(loop_[0]), message(wiring, &loop_, true));
        }
        for loop_ in possible {
            let is_certain = (0..loop_.len()).all(|at| {
                let next = loop_[(at + 1) % loop_.len()];
                let (idx, port) = (tile(loop_[at]), Port::MESH[loop_[at] % 4]);
                let towards = Port::MESH[next % 4].opposite();
                wiring.route(idx).is_some_and(|r| always(r, port).contains(towards))
            });
            if !is_certain {
                found.warning(Kind::RouteLoop, tile(loop_[0]), message(wiring, &loop_, false));
            }
        }
    }
}

/// Whether some router passes the color on to another side than straight ahead. Straight ways never come back.
fn bends(wiring: &Wiring<'_>) -> bool {
    let positions = wiring.routes.iter().flatten().flat_map(|route| &route.positions);
    let bends = |p: &Position| p.tx.iter().any(|tx| tx != Port::Ramp && tx != p.rx.opposite());
    positions.filter(|p| p.rx != Port::Ramp).any(bends)
}

fn tile(node: Node) -> PeIdx {
    PeIdx((node / 4) as u32)
}

/// Ports to which every position that takes from `rx` sends.
fn always(route: &Route, rx: Port) -> Ports {
    let taking = || route.positions.iter().filter(|p| p.rx == rx);
    let all = |port: &Port| taking().next().is_some() && taking().all(|p| p.tx.contains(*port));
    Port::MESH.into_iter().filter(all).collect()
}

/// Ports to which some position that takes from `rx` sends.
fn sometimes(route: &Route, rx: Port) -> Ports {
    let taking = route.positions.iter().filter(|p| p.rx == rx);
    taking.fold(Ports::NONE, |set, p| set.union(p.tx))
}

/// Loops over the mesh, where `outs` says to which ports a router passes on what came from a port.
/// Each begins at the first of its tiles.
fn loops(wiring: &Wiring<'_>, outs: impl Fn(&Route, Port) -> Ports) -> Vec<Vec<Node>> {
    let entries = |(idx, route): (PeIdx, &Route)| {
        let ports = route.receives().iter().filter(|&p| p != Port::Ramp);
        ports.map(move |port| -> Node { 4 * idx.0 as usize + port.index() })
    };
    let starts = wiring.tiles().flat_map(entries);
    let next = |node: Node, into: &mut Vec<Node>| {
        let (idx, rx) = (tile(node), Port::MESH[node % 4]);
        let Some(route) = wiring.route(idx) else { return };
        for tx in outs(route, rx).iter().filter(|&tx| tx != Port::Ramp) {
            let next = wiring.next(idx, tx);
            into.extend(next.map(|n| 4 * n.0 as usize + tx.opposite().index()));
        }
    };
    let mut found = cycles(4 * wiring.image.tiles.len(), starts, next);
    for loop_ in &mut found {
        let first = (0..loop_.len()).min_by_key(|&at| loop_[at]).unwrap_or(0);
        loop_.rotate_left(first);
    }
    found
}

fn message(wiring: &Wiring<'_>, nodes: &[Node], certain: bool) -> String {
    let color = wiring.color;
    let way = way(wiring.image, nodes);
    if certain {
        return format!("color {color} goes round and never leaves: {way}");
    }
    let is_switch = |idx: &PeIdx| wiring.route(*idx).is_some_and(|r| r.positions.len() > 1);
    let switches = nodes.iter().map(|&node| tile(node)).filter(is_switch);
    let switches: Vec<String> =
        switches.take(NAMED).map(|idx| wiring.image.coord(idx).to_string()).collect();
    format!(
        "color {color} may go round while the switches at {} let it: {way}",
        switches.join(", ")
    )
}

/// `(0,0) E (1,0) S (1,1) W (0,1) N (0,0)`.
fn way(image: &WaferImage, nodes: &[Node]) -> String {
    let mut text = String::new();
    for (at, &node) in nodes.iter().enumerate().take(NAMED) {
        let next = nodes[(at + 1) % nodes.len()];
        let out = Port::MESH[next % 4].opposite();
        text.push_str(&format!("{} {out} ", image.coord(tile(node))));
    }
    if nodes.len() > NAMED {
        text.push_str(&format!("… {} tiles more … ", nodes.len() - NAMED));
    }
    text + &image.coord(tile(nodes[0])).to_string()
}
