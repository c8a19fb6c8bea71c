//! Who waits where, and what stands in which FIFO.

use crate::run::{Head, Wait};
use fabric::{PeIdx, Port, Position, Route, WaferImage};
use pe_isa::{Color, Instr, OnDone, Program, Thread, Vector};
use std::collections::BTreeMap;

/// A thread or a wavelet that waits: an index into the waits or the heads.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Node {
    Thread(usize),
    Head(usize),
}

/// What a deadlock left behind, by place.
pub(super) struct Scene<'a> {
    pub(super) image: &'a WaferImage,
    pub(super) waits: &'a [Wait],
    pub(super) heads: &'a [Head],
    threads: BTreeMap<(PeIdx, Option<u8>), usize>,
    fifos: BTreeMap<(PeIdx, Option<Port>, Color), usize>,
}

impl<'a> Scene<'a> {
    pub(super) fn new(image: &'a WaferImage, waits: &'a [Wait], heads: &'a [Head]) -> Scene<'a> {
        let threads = waits.iter().enumerate().map(|(at, w)| ((w.pe, w.microthread), at));
        let fifos = heads.iter().enumerate().map(|(at, h)| ((h.pe, h.port, h.color), at));
        Scene { image, waits, heads, threads: threads.collect(), fifos: fifos.collect() }
    }

    /// Threads, then wavelets.
    pub(super) fn nodes(&self) -> impl Iterator<Item = Node> + use<> {
        let threads = (0..self.waits.len()).map(Node::Thread);
        threads.chain((0..self.heads.len()).map(Node::Head))
    }

    /// The wait of a PE's main thread or microthread.
    pub(super) fn thread(&self, pe: PeIdx, microthread: Option<u8>) -> Option<Node> {
        self.threads.get(&(pe, microthread)).map(|&at| Node::Thread(at))
    }

    /// The threads of a PE that wait, the main one first.
    pub(super) fn threads(&self, pe: PeIdx) -> impl Iterator<Item = (Node, &'a Wait)> {
        let range = (pe, None)..=(pe, Some(u8::MAX));
        self.threads.range(range).map(|(_, &at)| (Node::Thread(at), &self.waits[at]))
    }

    /// The wavelet at the head of a router's FIFO, or of a PE's input queue for port `None`.
    pub(super) fn head(&self, at: PeIdx, port: Option<Port>, color: Color) -> Option<(Node, Head)> {
        let found = *self.fifos.get(&(at, port, color))?;
        Some((Node::Head(found), self.heads[found]))
    }

    pub(super) fn program(&self, pe: PeIdx) -> Option<&'a Program> {
        let known = (pe.0 as usize) < self.image.tiles.len();
        known.then(|| self.image.program(pe)).flatten()
    }

    pub(super) fn route(&self, at: PeIdx, color: Color) -> Option<&'a Route> {
        let known = (at.0 as usize) < self.image.tiles.len();
        known.then(|| self.image.routes(at)).flatten()?.get(color)
    }

    /// The selected position of the route of a wavelet that waits in a router.
    pub(super) fn position(&self, head: &Head) -> Option<Position> {
        let route = self.route(head.pe, head.color)?;
        route.positions.get(usize::from(head.selected)).copied()
    }

    pub(super) fn neighbour(&self, at: PeIdx, port: Port) -> Option<PeIdx> {
        let machine = &self.image.machine;
        let next = self.image.coord(at).neighbour(port, machine.width, machine.height)?;
        Some(self.image.index(next))
    }

    /// The instruction at which a thread waits.
    pub(super) fn instr(&self, wait: &Wait) -> Option<&'a Instr> {
        self.program(wait.pe)?.instrs.get(usize::from(wait.instruction))
    }

    /// What a thread's operation does to a task at its end.
    pub(super) fn on_done(&self, wait: &Wait) -> OnDone {
        match self.instr(wait) {
            Some(Instr::Vector(Vector { thread: Thread::Micro(_, done), .. }))
                if wait.microthread.is_some() =>
            {
                *done
            }
            _ => OnDone::Nothing,
        }
    }

    /// Depth of the input queue of a color, words, and of the ramp before it (rule F-4).
    pub(super) fn input_depth(&self, pe: PeIdx, color: Color) -> Option<(u32, u64)> {
        let queue = self.program(pe)?.in_queue(color)?;
        let machine = &self.image.machine.pe;
        let depth = machine.input_queues.get(usize::from(queue.0))?;
        Some((*depth, machine.ramp_cycles))
    }

    /// Whether a FIFO has no room (rules F-2, F-4).
    pub(super) fn is_full(&self, head: &Head) -> bool {
        let depth = match head.port {
            None => self.input_depth(head.pe, head.color).map_or(0, |(d, r)| u64::from(d) + r),
            Some(Port::Ramp) => {
                let machine = &self.image.machine;
                u64::from(machine.fabric.queue_depth) + machine.pe.ramp_cycles
            }
            Some(_) => u64::from(self.image.machine.fabric.queue_depth),
        };
        u64::from(head.words) >= depth
    }
}

/// Whether some instruction of a program sends on a color; with `control`, control wavelets.
pub(super) fn sends(program: &Program, color: Color, control: bool) -> bool {
    program.instrs.iter().any(|instr| {
        let queue = instr.output().and_then(|q| program.out_queues.get(usize::from(q.0)));
        queue == Some(&Some(color)) && (!control || matches!(instr, Instr::SendCtrl { .. }))
    })
}

/// Whether an instruction of a program receives on a color.
pub(super) fn receives(program: &Program, instr: &Instr, color: Color) -> bool {
    let queue = program.in_queue(color);
    instr.inputs().any(|q| Some(q) == queue)
}
