//! From a spec to a case.

use super::Case;
use super::build::WaferBuilder;
use super::nets::{self, Net, Source};
use super::spec::{Bits, CaseSpec, MachineSpec, Origin, Twist};
use super::{load, programs};
use crate::run::{HostScript, HostWavelet};
use fabric::Machine;
use pe_isa::{Cycle, Ratio};

/// Cycles that a case may run, unless it is made to stop early.
const LIMIT: u64 = 20_000;

/// Makes the case that a spec describes.
///
/// # Panics
/// When the image does not pass the linter, which is a mistake in here.
pub fn case(spec: &CaseSpec) -> Case {
    let mut spec = spec.clone();
    if matches!(spec.twist, Twist::HostStops(_) | Twist::HostAnswers(_)) {
        spec.nets.iter_mut().step_by(2).for_each(|n| n.to_host = true);
    }
    if matches!(spec.twist, Twist::HostAnswers(_)) {
        spec.nets.iter_mut().skip(1).step_by(2).for_each(|n| n.origin = Origin::Host);
    }
    let machine = machine(&spec.machine);
    machine.validate().expect("every constant is in its range");
    let mut builder = WaferBuilder::new(machine);
    let nets = nets::lay(&spec, &mut builder);
    let loads = load::loads(&nets);
    for at in 0..builder.programs.len() {
        builder.programs[at] = programs::program(at, &spec, &nets, &loads);
    }
    let mut script = script(&nets);
    let replies = match spec.twist {
        Twist::HostAnswers(bits) => hold_back(&mut script, bits),
        _ => Vec::new(),
    };
    Case {
        image: builder.finish(),
        script,
        replies,
        stop_after: match spec.twist {
            Twist::HostStops(n) => Some(usize::from(n)),
            _ => None,
        },
        limit: match spec.twist {
            Twist::Limit(n) => Cycle(n.into()),
            _ => Cycle(LIMIT),
        },
    }
}

/// The machine of a spec; zero bits leave the plainest constants.
pub(super) fn machine(spec: &MachineSpec) -> Machine {
    let mut bits = spec.bits;
    let mut machine = super::build::machine("wse3-sdk", spec.width, spec.height);
    machine.name = "random".to_string();
    machine.clock_hz = 1_000_000_000;
    machine.host.latency_ns = bits.of(&[0, 3, 20]);
    let fabric = &mut machine.fabric;
    fabric.colors = bits.of(&[12, 24, 8]);
    fabric.hop_cycles = bits.of(&[1, 2, 3]);
    fabric.credit_cycles = bits.of(&[1, 2, 3]);
    fabric.turn_cycles = bits.of(&[0, 0, 1, 2, 3, 5]);
    fabric.link_cycles = ratio(&mut bits, &[(1, 1), (9, 8), (5, 4), (3, 2), (2, 1), (7, 3)]);
    fabric.queue_depth = spec.queue_depth;
    let pe = &mut machine.pe;
    pe.ramp_cycles = bits.of(&[1, 2, 3]);
    pe.input_queues = spec.inputs.clone();
    pe.output_queues = spec.outputs.clone();
    pe.microthreads = spec.microthreads;
    pe.dispatch_cycles = 1 + bits.pick(6) as u64;
    pe.task_launch_cycles = 1 + bits.pick(5) as u64;
    pe.data_task_cycles = 1 + bits.pick(12) as u64;
    let rates = [(1, 1), (4, 1), (1, 2), (8, 1), (73, 25), (2, 3)];
    let cost = &mut pe.cost;
    for rate in [
        &mut cost.fmac_16,
        &mut cost.fmac_mixed,
        &mut cost.fmac_32,
        &mut cost.add_16,
        &mut cost.add_32,
        &mut cost.copy_16,
        &mut cost.copy_32,
    ] {
        *rate = ratio(&mut bits, &rates);
    }
    let small = |bits: &mut Bits| bits.pick(6) as u64;
    cost.setup_fmac_16 = small(&mut bits);
    cost.setup_fmac_32 = small(&mut bits);
    cost.setup_copy = small(&mut bits);
    cost.setup_reduce = small(&mut bits);
    cost.row_cycles = small(&mut bits);
    cost.reduce_cycles = 1 + bits.pick(3) as u64;
    cost.exp_cycles = 1 + small(&mut bits);
    cost.recip_cycles = 1 + small(&mut bits);
    cost.scalar_cycles = 1 + bits.pick(3) as u64;
    cost.branch_taken_cycles = 1 + small(&mut bits);
    cost.branch_not_taken_cycles = 1 + bits.pick(3) as u64;
    cost.read_bytes_per_cycle = bits.of(&[16, 8, 4, 3]);
    cost.write_bytes_per_cycle = bits.of(&[8, 4, 3]);
    machine
}

fn ratio(bits: &mut Bits, choices: &[(u32, u32)]) -> Ratio {
    let (num, den) = bits.of(choices);
    Ratio::new(num, den).expect("no choice has a zero")
}

/// What the host sends into its nets.
fn script(nets: &[Net]) -> HostScript {
    let mut script = HostScript::default();
    for net in nets {
        let Source::Host(_) = net.source else {
            continue;
        };
        let mut bits = net.spec.bits;
        let mut cycle = bits.pick(60) as u64;
        let gap = bits.of(&[0, 1, 3, 40]);
        let control = bits.chance(5) || net.switched;
        let mut wavelets = Vec::new();
        for chunk in 0..net.spec.chunks {
            for n in 0..net.spec.wavelets {
                wavelets.push(HostWavelet {
                    cycle: Cycle(cycle),
                    payload: 0x3f80_0000 + (chunk << 12) + n,
                    control: false,
                });
                cycle += gap;
            }
            if control {
                wavelets.push(HostWavelet { cycle: Cycle(cycle), payload: 0x5555, control: true });
            }
        }
        script.ports.push(wavelets);
    }
    script
}

/// Takes the ends of a script's ports out of it, as replies to one received wavelet after another.
fn hold_back(script: &mut HostScript, mut bits: Bits) -> Vec<Vec<(usize, HostWavelet)>> {
    let (kept, burst) = (bits.of(&[0, 1, 2]), bits.of(&[1, 2, 5]));
    let delays = [bits.of(&[0, 7, 50]), bits.of(&[0, 1, 25])];
    let mut held = Vec::new();
    for (port, wavelets) in script.ports.iter_mut().enumerate() {
        let from = wavelets.len() * kept / 3;
        let delayed =
            |(n, w): (usize, HostWavelet)| HostWavelet { cycle: Cycle(delays[n % 2]), ..w };
        let wavelets = wavelets.drain(from..).enumerate();
        held.extend(wavelets.map(|(n, wavelet)| (n, (port, delayed((n, wavelet))))));
    }
    if bits.chance(2) {
        // The ports take turns.
        held.sort_by_key(|(n, _)| *n);
    }
    let held: Vec<(usize, HostWavelet)> = held.into_iter().map(|(_, reply)| reply).collect();
    held.chunks(burst).map(<[_]>::to_vec).collect()
}
