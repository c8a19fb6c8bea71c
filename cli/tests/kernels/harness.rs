//! Making a kernel, running it, and judging what it left behind.

use compiler::kernels::{KernelError, generate};
use fabric::text::{Ending, Expect, Kernel, Observed, Value, differences};
use fabric::{Machine, lint, presets};
use pe_isa::Cycle;
use sim_core::{HostScript, NoObserver, Outcome, StopReason, engine, oracle};

/// Far more than any of these runs takes.
pub(crate) const LIMIT: Cycle = Cycle(50_000_000);

/// A preset cut to a few tiles: what lies beyond a kernel's PEs has no part in it.
pub(crate) fn machine(preset: &str, width: u32, height: u32) -> Machine {
    let mut machine = presets::preset(preset).expect("a preset");
    (machine.width, machine.height) = (width, height);
    machine
}

pub(crate) fn make(
    name: &str,
    machine: &Machine,
    params: &[(&str, u32)],
) -> Result<Kernel, KernelError> {
    let params: Vec<_> =
        params.iter().map(|(n, v)| (n.to_string(), Value::Int(i64::from(*v)))).collect();
    generate(name, machine, &params)
}

/// Asserts that a run did all that the kernel expects.
fn judge(what: &str, kernel: &Kernel, outcome: &Outcome) {
    let ending = match outcome.stop {
        StopReason::Finished => Ending::Finished,
        StopReason::Deadlock { .. } => Ending::Deadlock,
        StopReason::Trap { .. } => Ending::Trap,
        StopReason::Host | StopReason::CycleLimit => Ending::Stopped,
    };
    let (cycle, sram) = (outcome.cycle, &outcome.state.sram);
    let found = differences(kernel, &Observed { ending, cycle, sram, received: &[] });
    let found: Vec<_> = found.into_iter().map(|d| d.message).take(5).collect();
    assert!(found.is_empty(), "{what}: {found:#?}");
}

/// Runs a kernel on the engine, checks every expectation, and gives the cycle at which it stopped and whether the
/// kernel promised it. With `small`, the oracle must come to the same digest.
pub(crate) fn run(
    name: &str,
    machine: &Machine,
    params: &[(&str, u32)],
    small: bool,
) -> (u64, bool) {
    let what = format!("{name} {params:?} on {}", machine.name);
    let kernel = make(name, machine, params).unwrap_or_else(|e| panic!("{what}: {e}"));
    let findings: Vec<_> = lint(&kernel.image).iter().map(ToString::to_string).take(5).collect();
    assert!(findings.is_empty(), "{what}: {findings:#?}");
    let script = HostScript::default();
    let (mut host, mut none) = (Vec::new(), NoObserver);
    let outcome = engine::run(&kernel.image, &script, &mut host, LIMIT, &mut none);
    judge(&what, &kernel, &outcome);
    if small {
        let slow = oracle::run(&kernel.image, &script, &mut host, LIMIT, &mut none);
        assert_eq!(slow.digest(), outcome.digest(), "{what}: oracle and engine");
    }
    let promised = kernel.expects.iter().any(|(e, _)| matches!(e, Expect::Cycles { .. }));
    (outcome.cycle.0, promised)
}
