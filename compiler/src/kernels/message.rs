//! Messages from one PE: to another, to some, and from PE to PE through memory.

use super::draft::{Draft, Region, row, vector};
use super::error::KernelError;
use super::params::{Args, B, Most, P, Param};
use super::{Entry, formula};
use crate::asm::{Asm, n};
use crate::lines::ROW;
use fabric::{Machine, Port, Ports};
use pe_isa::{DType, Operand};

/// Point to point.
pub(super) const MESSAGE: Entry = Entry {
    name: "message",
    about: "one PE sends a vector to another, some hops east",
    params: &[Param::places("N", "hops", 1, 1, Most::Hops), B],
    make: message,
};

/// From one PE to every so-many-th.
pub(super) const MULTICAST: Entry = Entry {
    name: "multicast",
    about: "the first PE of a row gives its vector to every S-th of the others",
    params: &[P, Param::places("S", "distance of the receivers", 2, 1, Most::Hops), B],
    make: multicast,
};

/// Store and forward.
pub(super) const RELAY: Entry = Entry {
    name: "relay",
    about: "a vector goes from PE to PE; each stores all of it, then a task sends it on",
    params: &[Param::places("N", "stages, one hop each", 7, 1, Most::Hops), B],
    make: relay,
};

fn message(machine: &Machine, args: &Args) -> Result<Draft, KernelError> {
    let (hops, b) = (args.get("N"), args.get("B"));
    let mut draft = Draft::new(machine);
    draft.path(ROW.broadcast, row(0), row(hops));
    send_and_receive(&mut draft, &[hops], b);
    Ok(draft)
}

fn multicast(machine: &Machine, args: &Args) -> Result<Draft, KernelError> {
    let (p, step, b) = (args.get("P"), args.get("S"), args.get("B"));
    if step >= p {
        let because = format!(" (P = {p})");
        let (param, value) = ("S", i64::from(step));
        return Err(KernelError::Range { param, value, least: 1, most: p - 1, because });
    }
    let mut draft = Draft::new(machine);
    let members: Vec<u32> = (1..p).filter(|x| x % step == 0).collect();
    let end = *members.last().expect("the step is at most the last column");
    draft.route(row(0), ROW.broadcast, Port::Ramp, Ports::one(Port::East));
    for x in 1..=end {
        let here = if x % step == 0 { Ports::one(Port::Ramp) } else { Ports::NONE };
        let tx = if x < end { here.with(Port::East) } else { here };
        draft.route(row(x), ROW.broadcast, Port::West, tx);
    }
    send_and_receive(&mut draft, &members, b);
    Ok(draft)
}

/// Programs PE 0 to send its vector, and those at `members`, in ascending columns, to receive it.
fn send_and_receive(draft: &mut Draft, members: &[u32], b: u32) {
    let v = Region::vector("v", 0, b);
    let mut asm = Asm::new();
    let target = asm.to(ROW.broadcast, DType::F32);
    asm.mov(&[n(b)], target, v.flat());
    asm.end();
    draft.place(row(0), asm, v.end(), &[(&v, vector(1, b))]);
    for &x in members {
        let mut asm = Asm::new();
        let source = asm.from(ROW.broadcast, DType::F32);
        asm.mov(&[n(b)], v.flat(), source);
        asm.end();
        draft.place(row(x), asm, v.end(), &[]);
        draft.result(row(x), &v, &vector(1, b));
    }
    let machine = draft.machine();
    if formula::flows(machine) {
        let hops = members[members.len() - 1];
        let work = formula::way(machine, hops) + formula::stream(machine, b) + 1;
        let cycles = formula::stop(machine, work);
        draft.cycles(cycles);
    }
}

fn relay(machine: &Machine, args: &Args) -> Result<Draft, KernelError> {
    let (stages, b) = (args.get("N"), args.get("B"));
    let mut draft = Draft::new(machine);
    let color = |x: u32| if x.is_multiple_of(2) { ROW.even } else { ROW.odd };
    let v = Region::vector("v", 0, b);
    for x in 0..=stages {
        if x < stages {
            draft.path(color(x), row(x), row(x + 1));
        }
        let mut asm = Asm::new();
        if x > 0 {
            // The receiving operation runs beside the task that started it; its end is what launches the sender.
            let source = asm.from(color(x - 1), DType::F32);
            asm.mov_then(0, &[n(b)], v.flat(), source, (x < stages).then_some(1));
            asm.end();
        }
        if x < stages {
            if x > 0 {
                asm.task();
            }
            let target = asm.to(color(x), DType::F32);
            asm.vec(pe_isa::VecOp::Mov, &[n(b)], target, v.flat(), Operand::None);
            asm.end();
        }
        let own = if x == 0 { vec![(&v, vector(1, b))] } else { Vec::new() };
        draft.place(row(x), asm, v.end(), &own);
        if x == stages {
            draft.result(row(x), &v, &vector(1, b));
        } else {
            draft.expect(row(x), &v, &vector(1, b));
        }
    }
    if formula::flows(machine) {
        let message = formula::way(machine, 1) + formula::stream(machine, b) + 1;
        let stage = formula::start(machine) + message;
        // The last receiver ends without a task; the last sender's `end` may take longer than the way.
        let end = machine.pe.cost.scalar_cycles.saturating_sub(formula::way(machine, 1));
        draft.cycles(u64::from(stages) * stage + end);
    }
    Ok(draft)
}
