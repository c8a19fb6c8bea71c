//! Stretches: instructions of the main thread, one after the other, whose costs are known before they are carried out.
//!
//! While nothing else is under way in the PE, nobody sees when they are carried out, so that one visit at the end of the
//! stretch does for all of them. Marks that no observer looks at may stand in between. Whoever looks earlier (a discard,
//! the end of the run) has the PE catch up first.

use super::Engine;
use super::code::{Code, Constants, Prepared, is_fabric};
use super::domain::Domain;
use super::net::Net;
use super::pe::Pe;
use pe_isa::{AluOp, CostTable, Instr};

/// The cost of an instruction that cannot fault, reaches nothing but SRAM and registers, and goes on to the next one.
fn known_cost(instr: &Instr, prepared: Option<&Prepared>, cost: &CostTable) -> Option<u64> {
    match instr {
        Instr::Li { .. } | Instr::SelGt { .. } => Some(cost.scalar_cycles),
        Instr::Alu { op, .. } => {
            (!matches!(op, AluOp::Div | AluOp::Rem)).then_some(cost.scalar_cycles)
        }
        Instr::Vector(v) if !is_fabric(v) => prepared.map(|p| p.cycles),
        _ => None,
    }
}

/// The cycles of the stretches that begin with each instruction; 0 where none does.
#[derive(Debug, Clone)]
pub(super) struct Stretches {
    /// Stretches in which marks are passed.
    blind: Vec<u64>,
    /// Those that end before a mark, for observers who look.
    seen: Vec<u64>,
}

impl Stretches {
    pub(super) fn new(
        instrs: &[Instr],
        prepared: &[Option<Prepared>],
        cost: &CostTable,
    ) -> Stretches {
        let cycles = |mark: Option<u64>| {
            let mut cycles = vec![0; instrs.len()];
            let mut behind = 0;
            for (at, instr) in instrs.iter().enumerate().rev() {
                let own = match instr {
                    Instr::Mark(_) => mark,
                    _ => known_cost(instr, prepared[at].as_ref(), cost),
                };
                behind = own.map_or(0, |own| own + behind);
                cycles[at] = behind;
            }
            cycles
        };
        Stretches { blind: cycles(Some(0)), seen: cycles(None) }
    }
}

impl Pe {
    /// Where a stretch begins at `when`, the main thread's next step, its end: no visit is needed before.
    #[inline(always)]
    pub(super) fn begin_stretch(
        &mut self,
        when: u64,
        looks: bool,
        net: &Net,
        code: &Code,
    ) -> Option<u64> {
        let stretches = if looks { &code.stretches.seen } else { &code.stretches.blind };
        let cycles = stretches[usize::from(self.pc)];
        let alone = self.running | self.ending == 0 && self.effect.is_none();
        let free = when == self.main_ready && when > net.now;
        if cycles == 0 || !alone || !free || net.watched {
            return None;
        }
        self.behind = true;
        Some(when + cycles)
    }

    /// Carries out those instructions of the stretch that begin before `until`.
    pub(super) fn catch_up(
        &mut self,
        until: u64,
        net: &mut Net,
        memory: &mut [u32],
        code: &Code,
        constants: &Constants,
    ) {
        let begin = self.main_ready;
        if begin >= until {
            return;
        }
        self.account(begin, net, code);
        while self.main_ready < until && code.stretches.blind[usize::from(self.pc)] > 0 {
            match &code.prepared[usize::from(self.pc)] {
                Some(prepared) => self.carry_out(prepared, self.main_ready, memory),
                None if code.is_mark(self.pc) => self.pc += 1,
                None => {
                    let cost = self.instruction(self.main_ready, net, memory, code, constants);
                    cost.expect("a stretch does not fault");
                }
            }
        }
        self.hold(0, begin, self.main_ready - begin, net, code);
    }
}

impl Engine {
    /// Has all PEs catch up to `until`.
    pub(super) fn catch_up(&mut self, until: u64) {
        for Domain { pes, net, memory, .. } in &mut self.domains {
            for pe in pes.iter_mut().filter(|pe| pe.behind) {
                let code = &self.layout.codes[pe.code as usize];
                pe.catch_up(until, net, memory, code, &self.layout.constants);
            }
        }
    }
}
