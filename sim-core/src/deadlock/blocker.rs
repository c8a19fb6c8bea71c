//! For each thread and each wavelet that waits, the one that it waits for.

use super::ending::End;
use super::scene::{Node, Scene, receives, sends};
use crate::run::{Head, Wait, WaitFor};
use fabric::{PeIdx, Port, Ports};
use pe_isa::{Color, OnDone, TaskId, TaskKind};
use std::collections::BTreeSet;

/// What something waits for.
#[derive(Debug, Clone, Copy)]
pub(super) enum Next {
    Node(Node),
    End(End),
}

/// What a node waits for.
pub(super) fn next(scene: &Scene<'_>, node: Node) -> Next {
    match node {
        Node::Thread(at) => thread(scene, &scene.waits[at]),
        Node::Head(at) => {
            let head = &scene.heads[at];
            match head.port {
                Some(port) => in_router(scene, head, port),
                None => in_queue(scene, head),
            }
        }
    }
}

fn thread(scene: &Scene<'_>, wait: &Wait) -> Next {
    let pe = wait.pe;
    match wait.waits_for {
        WaitFor::Microthread(number) => {
            let end = End::Unknown { tile: pe, color: Color(0) };
            scene.thread(pe, Some(number)).map_or(Next::End(end), Next::Node)
        }
        WaitFor::Output(color) => {
            let end = End::Unknown { tile: pe, color };
            let head = scene.head(pe, Some(Port::Ramp), color);
            head.map_or(Next::End(end), |(node, _)| Next::Node(node))
        }
        // What a thread that receives finds at the head of its queue can only be a control wavelet.
        WaitFor::Input(color) => match scene.head(pe, None, color) {
            Some((_, head)) => by_task(scene, &head),
            None => upstream(scene, pe, Ports::one(Port::Ramp), color, false),
        },
    }
}

/// A wavelet in a router: its switch stands elsewhere, or a FIFO behind it is full.
fn in_router(scene: &Scene<'_>, head: &Head, port: Port) -> Next {
    let &Head { pe: tile, color, selected, .. } = head;
    let unknown = Next::End(End::Unknown { tile, color });
    let Some(position) = scene.position(head) else { return unknown };
    if position.rx != port {
        let turner = match scene.head(tile, Some(position.rx), color) {
            Some((node, _)) => Next::Node(node),
            None => upstream(scene, tile, position.tx, color, true),
        };
        return match turner {
            Next::Node(node) => Next::Node(node),
            Next::End(_) => Next::End(End::Switch { tile, port, color, selected }),
        };
    }
    for tx in position.tx.iter() {
        let behind = match tx {
            Port::Ramp => scene.head(tile, None, color),
            _ => scene
                .neighbour(tile, tx)
                .and_then(|next| scene.head(next, Some(tx.opposite()), color)),
        };
        if let Some((node, _)) = behind.filter(|(_, head)| scene.is_full(head)) {
            return Next::Node(node);
        }
    }
    unknown
}

/// A wavelet in an input queue: the PE is busy with another wait, or will never take it.
fn in_queue(scene: &Scene<'_>, head: &Head) -> Next {
    let &Head { pe, color, .. } = head;
    let Some(program) = scene.program(pe) else {
        return Next::End(End::Unknown { tile: pe, color });
    };
    let reads = |wait: &Wait| scene.instr(wait).is_some_and(|i| receives(program, i, color));
    if let Some((node, _)) = scene.threads(pe).find(|(_, w)| reads(w)) {
        return Next::Node(node);
    }
    if task_of(scene, head).is_some() {
        return by_task(scene, head);
    }
    if !program.instrs.iter().any(|instr| receives(program, instr, color)) {
        return Next::End(End::NeverReceives { pe, color });
    }
    let end = End::ReceiverEnded { pe, color };
    busy(scene, pe).map_or(Next::End(end), Next::Node)
}

/// The task that takes the head of an input queue.
fn task_of(scene: &Scene<'_>, head: &Head) -> Option<TaskId> {
    let program = scene.program(head.pe)?;
    let queue = program.in_queue(head.color)?;
    let takes = |kind: TaskKind| match kind {
        TaskKind::Local => false,
        TaskKind::Data(q, _) => q == queue && !head.control,
        TaskKind::Control(q, _) => q == queue && head.control,
    };
    program.tasks.iter().position(|task| takes(task.kind)).map(|at| TaskId(at as u8))
}

/// A wavelet that a task should take waits for the main thread, or for the task to be unblocked.
fn by_task(scene: &Scene<'_>, head: &Head) -> Next {
    let &Head { pe, color, .. } = head;
    if let Some(main) = scene.thread(pe, None) {
        return Next::Node(main);
    }
    let Some(task) = task_of(scene, head) else {
        return Next::End(End::Unknown { tile: pe, color });
    };
    let unblocks = |wait: &Wait| scene.on_done(wait) == OnDone::Unblock(task);
    let unblocker = scene.threads(pe).find(|(_, wait)| unblocks(wait));
    let end = End::TaskBlocked { pe, task, color };
    unblocker.map_or(Next::End(end), |(node, _)| Next::Node(node))
}

/// The thread that keeps a PE from going on: the main one, else one whose end starts a task.
fn busy(scene: &Scene<'_>, pe: PeIdx) -> Option<Node> {
    let starts = |wait: &Wait| scene.on_done(wait) != OnDone::Nothing;
    let starting = scene.threads(pe).find(|(_, wait)| starts(wait));
    let any = || scene.threads(pe).next();
    scene.thread(pe, None).or_else(|| Some(starting.or_else(any)?.0))
}

/// What keeps a color from coming out of a router at one of `ports`: a wavelet that is stuck on the
/// way, or a source. Only sources of control wavelets count if `control`.
fn upstream(scene: &Scene<'_>, tile: PeIdx, ports: Ports, color: Color, control: bool) -> Next {
    let mut seen: BTreeSet<(PeIdx, Ports)> = BTreeSet::new();
    let mut open = vec![(tile, ports)];
    let mut end: Option<End> = None;
    while let Some((at, outs)) = open.pop() {
        if !seen.insert((at, outs)) {
            continue;
        }
        let positions = scene.route(at, color).map_or(&[][..], |route| &route.positions);
        for rx in positions.iter().filter(|p| p.tx.intersects(outs)).map(|p| p.rx) {
            if let Some((node, _)) = scene.head(at, Some(rx), color) {
                // A wavelet that stands before the very switch that is to be turned is no answer.
                if !control || at != tile {
                    return Next::Node(node);
                }
            } else if rx == Port::Ramp {
                match source(scene, at, color, control) {
                    Some(Next::Node(node)) => return Next::Node(node),
                    Some(Next::End(found)) => end = end.or(Some(found)),
                    None => {}
                }
            } else if let Some(previous) = scene.neighbour(at, rx) {
                open.push((previous, Ports::one(rx.opposite())));
            } else {
                let host = |h: &fabric::HostIn| (h.tile, h.port, h.color) == (at, rx, color);
                let found = End::HostSilent { tile: at, port: rx, color };
                end = end.or(scene.image.host_in.iter().any(host).then_some(found));
            }
        }
    }
    Next::End(end.unwrap_or(End::NoSource { tile, color }))
}

/// What keeps a PE from sending; `None` where its program never does.
fn source(scene: &Scene<'_>, pe: PeIdx, color: Color, control: bool) -> Option<Next> {
    let program = scene.program(pe).filter(|program| sends(program, color, control))?;
    let queue = program.out_queues.iter().position(|&c| c == Some(color))?;
    let writes = |wait: &Wait| {
        let output = scene.instr(wait).and_then(pe_isa::Instr::output);
        output.is_some_and(|q| usize::from(q.0) == queue)
    };
    let sending = scene.threads(pe).find(|(_, wait)| writes(wait)).map(|(node, _)| node);
    let end = Next::End(End::SenderEnded { pe, color });
    Some(sending.or_else(|| busy(scene, pe)).map_or(end, Next::Node))
}
