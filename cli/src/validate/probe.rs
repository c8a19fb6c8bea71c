//! Running the programs whose cycles are compared: built-in kernels, and small texts with marks.

use anyhow::{Context as _, Result, bail, ensure};
use compiler::kernels::generate;
use fabric::text::{Ending, Kernel, Observed, Value, differences, parse};
use fabric::{Machine, PeIdx, Port, WaferImage, lint, presets};
use pe_isa::Cycle;
use sim_core::{Head, HostScript, NoObserver, Observer, Outcome, StopReason, engine};

use crate::session;

/// Far more than any of these runs takes.
const LIMIT: Cycle = Cycle(50_000_000);

/// A preset cut to a few tiles: what lies beyond the PEs at work has no part in it.
pub(super) fn machine(preset: &str, width: u32, height: u32) -> Result<Machine> {
    let mut machine = presets::preset(preset)?;
    (machine.width, machine.height) = (width, height);
    Ok(machine)
}

/// The cycle at which a built-in kernel stops. Everything that it expects must hold: the values, and the cycle where
/// it promises one.
pub(super) fn kernel_cycles(machine: &Machine, name: &str, params: &[(&str, u32)]) -> Result<u64> {
    let values: Vec<_> =
        params.iter().map(|(n, v)| (n.to_string(), Value::Int(i64::from(*v)))).collect();
    let kernel = generate(name, machine, &values)?;
    let mut host = Vec::new();
    let script = HostScript::default();
    let outcome = engine::run(&kernel.image, &script, &mut host, LIMIT, &mut NoObserver);
    ensure!(outcome.stop == StopReason::Finished, "{name} {params:?}: {:?}", outcome.stop);
    let (ending, cycle) = (Ending::Finished, outcome.cycle);
    let observed = Observed { ending, cycle, sram: &outcome.state.sram, received: &[] };
    match differences(&kernel, &observed).first() {
        Some(difference) => bail!("{name} {params:?}: {}", difference.message),
        None => Ok(outcome.cycle.0),
    }
}

/// What a run of a text showed.
#[derive(Debug)]
pub(super) struct Seen {
    /// Marks: cycle and label, in order.
    marks: Vec<(u64, u16)>,
    /// Cycles at which the host received wavelets.
    pub(super) received: Vec<u64>,
    pub(super) outcome: Outcome,
}

impl Seen {
    /// The cycles at which a mark was passed.
    pub(super) fn all(&self, label: u16) -> Vec<u64> {
        self.marks.iter().filter(|(_, l)| *l == label).map(|(cycle, _)| *cycle).collect()
    }

    /// The cycle at which a mark was first passed.
    pub(super) fn mark(&self, label: u16) -> Result<u64> {
        self.all(label).first().copied().with_context(|| format!("mark {label} was not passed"))
    }

    /// The cycle at which the host received the first wavelet.
    pub(super) fn arrival(&self) -> Result<u64> {
        self.received.first().copied().context("nothing has reached the host")
    }

    /// Wavelets in the FIFO of a port of a tile, or of an input queue, in a deadlock.
    pub(super) fn waiting(&self, pe: u32, port: Option<Port>) -> Result<u64> {
        let StopReason::Deadlock { heads, .. } = &self.outcome.stop else {
            bail!("a deadlock was expected: {:?}", self.outcome.stop);
        };
        let here = |h: &&Head| h.pe == PeIdx(pe) && h.port == port;
        let head = heads.iter().find(here);
        head.map(|h| u64::from(h.words)).with_context(|| format!("nothing waits at {port:?}"))
    }
}

struct Marks(Vec<(u64, u16)>);

impl Observer for Marks {
    fn mark(&mut self, cycle: Cycle, _: PeIdx, mark: u16, _: &[u32]) {
        self.0.push((cycle.0, mark));
    }
}

/// Runs a text. It may end in a deadlock, but in nothing else that is wrong.
pub(super) fn probe(machine: &Machine, text: &str, params: &[(&str, i64)]) -> Result<Seen> {
    let kernel = read(machine, text, params)?;
    run(&kernel.image, &session::script(&kernel.host))
}

/// Cycles between mark 1 and mark 2 of a text.
pub(super) fn marked(machine: &Machine, text: &str) -> Result<u64> {
    let seen = probe(machine, text, &[])?;
    Ok(seen.mark(2)? - seen.mark(1)?)
}

/// Runs an image.
pub(super) fn run(image: &WaferImage, script: &HostScript) -> Result<Seen> {
    let (mut host, mut marks) = (Vec::new(), Marks(Vec::new()));
    let outcome = engine::run(image, script, &mut host, LIMIT, &mut marks);
    let ended = matches!(outcome.stop, StopReason::Finished | StopReason::Deadlock { .. });
    ensure!(ended, "the probe ended with {:?}", outcome.stop);
    let received = host.iter().map(|(cycle, _, _)| cycle.0).collect();
    Ok(Seen { marks: marks.0, received, outcome })
}

/// Reads a text, and has the linter judge it.
///
/// # Errors
/// Every mistake in it, and the linter's errors.
pub(super) fn read(machine: &Machine, text: &str, params: &[(&str, i64)]) -> Result<Kernel> {
    let values: Vec<_> = params.iter().map(|(n, v)| (n.to_string(), Value::Int(*v))).collect();
    let kernel = parse(text, "probe", machine, &values)?;
    match lint(&kernel.image).into_iter().find(|f| f.error) {
        Some(finding) => bail!("{finding}"),
        None => Ok(kernel),
    }
}
