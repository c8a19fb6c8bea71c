//! Routes at one tile, between neighbours, and between a router and its PE.

use super::alike::{Alike, on_tiles};
use super::wiring::Wiring;
use super::{Findings, Kind};
use crate::geometry::{PeIdx, Port};
use crate::route::{Position, RouteSet};
use pe_isa::{Color, Instr, Program, TaskKind};

pub(super) fn check(found: &mut Findings<'_>, wirings: &[Wiring<'_>]) {
    let image = found.image;
    let malformed: Vec<Vec<String>> =
        image.route_sets.iter().map(|set| of_set(set, &image.machine.fabric)).collect();
    let unread: Vec<Vec<Color>> = image.programs.iter().map(unread).collect();
    let mut untaken = Alike::default();
    let mut walk = image.tiles.len();
    for (at, tile) in image.tiles.iter().enumerate() {
        let idx = PeIdx(at as u32);
        if let Some(set) = tile.routes {
            for message in &malformed[set.0 as usize] {
                found.error(Kind::MalformedRoute, idx, message.clone());
            }
            for route in &image.route_sets[set.0 as usize].routes {
                // A color that the machine does not have is told as malformed.
                let Some(wiring) = wirings.get(usize::from(route.color.0)) else { continue };
                for port in route.transmits().iter() {
                    receiver(found, wiring, idx, port);
                }
            }
        }
        outputs(found, wirings, idx, &mut walk);
        let Some(program) = tile.program else { continue };
        for &color in &unread[program.0 as usize] {
            let route = wirings.get(usize::from(color.0)).and_then(|wiring| wiring.route(idx));
            if route.is_some_and(|r| r.transmits().contains(Port::Ramp)) {
                untaken.add((program, color), idx);
            }
        }
    }
    for ((_, color), (idx, tiles)) in untaken.0 {
        let others = on_tiles(tiles);
        let message =
            format!("color {color} comes to the PE, but no task and no operand takes it{others}");
        found.warning(Kind::NoReceiver, idx, message);
    }
}

/// What is wrong with a set of routes by itself.
fn of_set(set: &RouteSet, fabric: &crate::machine::Fabric) -> Vec<String> {
    let mut messages = Vec::new();
    let most = usize::from(fabric.switch_positions);
    for pair in set.routes.windows(2) {
        if pair[0].color >= pair[1].color {
            let (first, second) = (pair[0].color, pair[1].color);
            messages.push(format!(
                "the route of color {second} stands behind that of color {first}; routes are in the order \
                 of their colors"
            ));
        }
    }
    for route in &set.routes {
        let color = route.color;
        if color.0 >= fabric.colors {
            let (count, last) = (fabric.colors, Color(fabric.colors - 1));
            messages.push(format!(
                "color {color} does not exist; the machine has {count}, c0 to {last}"
            ));
        }
        if route.positions.is_empty() || route.positions.len() > most {
            let count = route.positions.len();
            messages
                .push(format!("the route of color {color} has {count} positions, not 1 to {most}"));
        }
        if route.positions.iter().any(|p| p.tx.is_empty()) {
            messages.push(format!("the route of color {color} sends nowhere"));
        }
        let reflects = |p: &&Position| p.rx != Port::Ramp && p.tx.contains(p.rx);
        if let Some(position) = route.positions.iter().find(reflects) {
            let rx = position.rx;
            messages.push(format!(
                "the route of color {color} sends back through {rx}, where it takes from"
            ));
        }
    }
    messages
}

/// Colors of bound input queues that no task and no operand takes from.
fn unread(program: &Program) -> Vec<Color> {
    let by_task = program.tasks.iter().filter_map(|task| match task.kind {
        TaskKind::Local => None,
        TaskKind::Data(q, _) | TaskKind::Control(q, _) => Some(q),
    });
    let by_operand = program.instrs.iter().flat_map(Instr::inputs);
    let mut read = vec![false; program.in_queues.len()];
    for queue in by_task.chain(by_operand) {
        read.get_mut(usize::from(queue.0)).into_iter().for_each(|flag| *flag = true);
    }
    let queues = program.in_queues.iter().zip(read);
    queues.filter(|(_, read)| !read).filter_map(|(color, _)| *color).collect()
}

/// Something must take what this router sends to `port`.
fn receiver(found: &mut Findings<'_>, wiring: &Wiring<'_>, idx: PeIdx, port: Port) {
    let Wiring { image, color, .. } = *wiring;
    if port == Port::Ramp {
        if image.program(idx).and_then(|p| p.in_queue(color)).is_none() {
            let message = format!(
                "color {color} goes down the ramp to the PE, but no input queue is bound to it"
            );
            found.error(Kind::NoReceiver, idx, message);
        }
        return;
    }
    let Some(next) = wiring.neighbour(idx, port) else {
        let at_host = |h: &crate::HostOut| (h.tile, h.port, h.color) == (idx, port, color);
        if !image.host_out.iter().any(at_host) {
            let message =
                format!("color {color} leaves the wafer through {port}; no host port is there");
            found.error(Kind::DeadEnd, idx, message);
        }
        return;
    };
    let place = image.coord(next);
    let lack = match wiring.route(next) {
        None => "has no route for it".to_string(),
        Some(route) if route.receives().contains(port.opposite()) => return,
        Some(route) => {
            let from = route.receives();
            format!("does not receive it from {}, only from {from}", port.opposite())
        }
    };
    let message = format!("color {color} leaves through {port}, but the router at {place} {lack}");
    found.error(Kind::DeadEnd, idx, message);
}

/// Each output queue needs a route that takes from the ramp. `walk` bounds the steps that all
/// searches for another source may take together.
fn outputs(found: &mut Findings<'_>, wirings: &[Wiring<'_>], idx: PeIdx, walk: &mut usize) {
    let image = found.image;
    let Some(program) = image.program(idx) else { return };
    for &color in program.out_queues.iter().flatten() {
        // A color that the machine does not have is told with the program.
        let Some(wiring) = wirings.get(usize::from(color.0)) else { continue };
        let Some(route) = wiring.route(idx) else {
            let message =
                format!("the PE sends on color {color}, but its router has no route for it");
            found.error(Kind::NoRoute, idx, message);
            continue;
        };
        if route.receives().contains(Port::Ramp) {
            continue;
        }
        let from = route.receives();
        match source(wiring, idx, walk) {
            Some(source) if source != idx => {
                let (here, there) = (image.coord(idx), image.coord(source));
                let message = format!(
                    "two sources on color {color}: PE {here} sends on it, but its router takes it \
                     from {from} only, where it comes from tile {there}"
                );
                found.error(Kind::TwoSources, idx, message);
            }
            _ => {
                let message = format!(
                    "the PE sends on color {color}, but its router takes it from {from}, not from R"
                );
                found.error(Kind::NoRoute, idx, message);
            }
        }
    }
}

/// The tile where a color enters that comes to `idx`, going by the first switch positions.
fn source(wiring: &Wiring<'_>, idx: PeIdx, walk: &mut usize) -> Option<PeIdx> {
    let mut at = idx;
    loop {
        *walk = walk.checked_sub(1)?;
        let rx = wiring.route(at)?.positions.first()?.rx;
        let host = |h: &crate::HostIn| (h.tile, h.port, h.color) == (at, rx, wiring.color);
        if rx == Port::Ramp || wiring.image.host_in.iter().any(host) {
            return Some(at);
        }
        at = wiring.previous(at, rx)?;
    }
}
