//! Butterfly all-reduce over a row: in round `r`, PEs 2^r apart exchange their sums and add them.
//!
//! In a round, blocks of 2h PEs (h = 2^r) exchange between their halves. On the color of its direction, a router of the sending
//! half first takes its own PE's vector, then, switched over by a control wavelet, passes on those from behind it; a router
//! of the receiving half gives every vector to its PE and on to the next. So static routes and one switch do what a route
//! for each pair would; the PE picks its partner's vector by multiplying with a mask. A link has to carry all h vectors
//! in any case, so the PE takes them no more slowly than they can come.

use super::Entry;
use super::draft::{Draft, Region, row, sum, vector};
use super::error::KernelError;
use super::params::{Args, B, P};
use crate::asm::{Asm, SWITCH_FIRST, mem, n};
use fabric::{Machine, Port, Ports, Position, Route};
use pe_isa::{Color, DType, Operand, VecOp};

/// Recursive doubling.
pub(super) const BUTTERFLY: Entry = Entry {
    name: "butterfly-all-reduce",
    about: "PEs of a row exchange and add sums over growing distances until all have the whole sum",
    params: &[P, B],
    make: butterfly,
};

/// A PE's place in the exchange of a round.
#[derive(Debug, Clone, Copy)]
struct Exchange {
    round: u32,
    /// Whether it is in the western half of its block.
    western: bool,
    /// How far it is from the outer end of its half: 0 at the end of the block. It is also the number of the partner's
    /// vector among those that arrive: they come from the nearest PE of the other half first.
    outer: u32,
    /// PEs of a half.
    half: u32,
}

impl Exchange {
    fn new(x: u32, round: u32) -> Exchange {
        let half = 1 << round;
        let at = x % (2 * half);
        let western = at < half;
        let outer = if western { at } else { 2 * half - 1 - at };
        Exchange { round, western, outer, half }
    }

    /// The color of a round that carries vectors out of the western or the eastern halves.
    fn color(self, from_west: bool) -> Color {
        Color((2 * self.round) as u8 + u8::from(!from_west))
    }

    fn sends(self) -> Color {
        self.color(self.western)
    }

    fn receives(self) -> Color {
        self.color(!self.western)
    }

    /// Whether other PEs' vectors pass this router behind the own one.
    fn passes(self) -> bool {
        self.outer > 0
    }

    /// The routes of both directions.
    fn routes(self) -> [Route; 2] {
        let (inner, outer) =
            if self.western { (Port::East, Port::West) } else { (Port::West, Port::East) };
        let own = Position { rx: Port::Ramp, tx: Ports::one(inner) };
        let others = Position { rx: outer, tx: Ports::one(inner) };
        let sending = if self.passes() { vec![own, others] } else { vec![own] };
        let here = Ports::one(Port::Ramp);
        let tx = if self.passes() { here.with(outer) } else { here };
        let receiving = Route::fixed(self.receives(), inner, tx);
        [Route { color: self.sends(), positions: sending }, receiving]
    }
}

fn rounds(machine: &Machine, p: u32) -> Result<u32, KernelError> {
    let pe = &machine.pe;
    let queues = pe.input_queues.len().min(pe.output_queues.len());
    let most = queues.min(usize::from(machine.fabric.colors / 2)).min(20) as u32;
    if !p.is_power_of_two() {
        let message = format!("P = {p} has to be a power of two");
        return Err(KernelError::Param { kernel: BUTTERFLY.name, message });
    }
    let count = p.ilog2();
    if count > most || (machine.fabric.switch_positions < 2 && count > 1) {
        let because = format!(
            " (each doubling takes two colors and a queue each way; machine {} has {queues} queues)",
            machine.name
        );
        let (param, value, most) = ("P", i64::from(p), 1 << most);
        return Err(KernelError::Range { param, value, least: 2, most, because });
    }
    Ok(count)
}

fn butterfly(machine: &Machine, args: &Args) -> Result<Draft, KernelError> {
    let (p, b) = (args.get("P"), args.get("B"));
    let count = rounds(machine, p)?;
    let total = Region::vector("v", 0, b);
    let sent = Region::vector("sent", total.end(), b);
    // A one between zeros: from the right place on, it picks any of up to P / 2 vectors.
    let mask = Region::vector("mask", sent.end(), p - 1);
    let one: Vec<f32> = (0..p - 1).map(|k| if k == p / 2 - 1 { 1.0 } else { 0.0 }).collect();
    let t = DType::F32;
    let mut draft = Draft::new(machine);
    for x in 0..p {
        let mut asm = Asm::new();
        for round in 0..count {
            let exchange = Exchange::new(x, round);
            for route in exchange.routes() {
                draft.routes(row(x)).add(route);
            }
            asm.mov(&[n(b)], sent.flat(), total.flat());
            // Received beside the sending: two PEs that both send first would wait for each other.
            let source = asm.from(exchange.receives(), t);
            let pick = mem(mask.address + 4 * (p / 2 - 1 - exchange.outer), &[1, 0], t);
            let sums = mem(total.address, &[0, 1], t);
            let operands = [sums.into(), source.into(), pick.into()];
            asm.vec_async(0, VecOp::Fmac, &[n(exchange.half), n(b)], operands);
            let target = asm.to(exchange.sends(), t);
            asm.mov(&[n(b)], target, sent.flat());
            if exchange.passes() {
                asm.send_control(exchange.sends(), SWITCH_FIRST);
            }
            // Nothing, in the same microthread: its issue waits until all is received (rule P-4).
            asm.vec_async(
                0,
                VecOp::Mov,
                &[n(0)],
                [total.flat().into(), source.into(), Operand::None.into()],
            );
        }
        asm.end();
        draft.place(row(x), asm, mask.end(), &[(&total, vector(x, b)), (&mask, one.clone())]);
        if x == 0 {
            draft.result(row(x), &total, &sum(p, b));
        } else {
            draft.expect(row(x), &total, &sum(p, b));
        }
    }
    Ok(draft)
}
