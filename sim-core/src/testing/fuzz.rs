//! Fuzz entry points: any bytes as the choices that make a random case.

use super::spec::{Bits, CaseSpec, MachineSpec, NetSpec, Origin, PeSpec, SinkSpec, Twist};
use super::{conserve, engine, generate};
use crate::oracle;

/// Runs the case that the bytes of `data` choose on oracle and engine. Where they end, zeros follow, the plainest choices.
///
/// # Panics
/// When the two differ, or one of them breaks a rule of conservation.
pub fn runners_agree(data: &[u8]) {
    let case = generate::case(&Choices { left: data }.case());
    let (want, got) = (case.run(oracle::run), case.run(engine));
    for (who, record) in [("oracle", &want), ("engine", &got)] {
        let broken = conserve::violations(&case, record);
        assert!(broken.is_empty(), "{who}: {broken:#?}");
    }
    if let Some(difference) = want.difference(&got) {
        let first = case.first_difference(oracle::run, engine);
        panic!("oracle and engine: {difference}; by limit: {first:?}");
    }
}

/// The bytes that have not been used. The ranges are those of [`super::spec::case`].
struct Choices<'a> {
    left: &'a [u8],
}

impl Choices<'_> {
    fn byte(&mut self) -> u8 {
        let Some((&first, rest)) = self.left.split_first() else {
            return 0;
        };
        self.left = rest;
        first
    }

    /// A number from 0 to `most`.
    fn upto(&mut self, most: u8) -> u8 {
        self.byte() % (most + 1)
    }

    fn word(&mut self) -> u32 {
        u32::from_le_bytes(std::array::from_fn(|_| self.byte()))
    }

    fn bits(&mut self) -> Bits {
        Bits(u128::from_le_bytes(std::array::from_fn(|_| self.byte())))
    }

    fn list<T>(&mut self, count: u8, mut one: impl FnMut(&mut Self) -> T) -> Vec<T> {
        (0..count).map(|_| one(self)).collect()
    }

    fn case(&mut self) -> CaseSpec {
        let machine = self.machine();
        let nets = self.upto(9);
        let nets = self.list(nets, Self::net);
        let pes = 1 + self.upto(5);
        CaseSpec {
            machine,
            nets,
            pes: self.list(pes, Self::pe),
            hot: self.word(),
            twist: match self.upto(9) {
                0..=4 => Twist::None,
                5 | 6 => Twist::Sloppy,
                7 => Twist::Faults,
                8 => Twist::Limit(1 + u16::from(self.byte())),
                _ => Twist::HostStops(1 + self.upto(18)),
            },
        }
    }

    fn machine(&mut self) -> MachineSpec {
        let depth = |choices: &mut Self| 1 + u32::from(choices.upto(3));
        let (inputs, outputs) = (2 + self.upto(6), 2 + self.upto(6));
        MachineSpec {
            width: 1 + u32::from(self.upto(5)),
            height: 1 + u32::from(self.upto(5)),
            queue_depth: 1 + u32::from(self.upto(4)),
            inputs: self.list(inputs, depth),
            outputs: self.list(outputs, depth),
            microthreads: self.upto(4),
            bits: self.bits(),
        }
    }

    fn net(&mut self) -> NetSpec {
        let sinks = 1 + self.upto(4);
        NetSpec {
            source: self.word(),
            origin: match self.upto(4) {
                0..=2 => Origin::Program,
                3 => Origin::Stream,
                _ => Origin::Host,
            },
            sinks: self.list(sinks, |c| SinkSpec { tile: c.word(), bits: c.bits() }),
            to_host: self.upto(4) == 4,
            color: self.upto(11),
            wavelets: 1 + u32::from(self.upto(11)),
            chunks: 1 + u32::from(self.upto(3)),
            switches: self.upto(15).saturating_sub(12),
            bits: self.bits(),
        }
    }

    fn pe(&mut self) -> PeSpec {
        let (fills, tasks) = (self.upto(5), self.upto(2));
        PeSpec {
            fills: self.list(fills, Self::bits),
            tasks: self.list(tasks, Self::bits),
            bits: self.bits(),
        }
    }
}
