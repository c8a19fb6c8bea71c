//! The second pass over a run that says where the cycles of the critical path went.

use crate::args::Attribute;
use crate::places;
use compiler::Compiled;
use pe_isa::Cycle;
use sim_core::{Answers, Data, Host, HostScript, Verdict, engine};
use std::num::NonZeroUsize;
use traces::Attribution;
use traces::attribution::{Attributor, Sent, with_marks};

/// Wavelet hops of a run up to which the second pass is made unasked: about two seconds of it.
const MOST_HOPS: u64 = 1_000_000;

/// Whether there is to be a second pass over a run that moved so many wavelets.
pub(crate) fn is_due(asked: Attribute, wavelet_hops: u64) -> bool {
    match asked {
        Attribute::On => true,
        Attribute::Off => false,
        Attribute::Auto => wavelet_hops <= MOST_HOPS,
    }
}

/// Keeps what a host sends, for a second pass.
pub(crate) struct Recorder<'a, H> {
    host: &'a mut H,
    sent: Sent,
}

impl<'a, H> Recorder<'a, H> {
    /// Of a host that begins with this script.
    pub(crate) fn new(host: &'a mut H, script: HostScript) -> Recorder<'a, H> {
        let causes = script.ports.iter().map(|port| vec![None; port.len()]).collect();
        Recorder { host, sent: Sent { script, causes } }
    }

    /// All that was sent.
    pub(crate) fn end(self) -> Sent {
        self.sent
    }
}

impl<H: Host> Host for Recorder<'_, H> {
    fn receive(
        &mut self,
        cycle: Cycle,
        port: usize,
        payload: u32,
        answers: &mut Answers,
    ) -> Verdict {
        let verdict = self.host.receive(cycle, port, payload, answers);
        if verdict == Verdict::Continue {
            for &(to, wavelet) in answers.sent() {
                self.sent.script.ports[to].push(wavelet);
                self.sent.causes[to].push(Some((cycle, port)));
            }
        }
        verdict
    }
}

/// Ends a run at a cycle at which it is known to receive something.
pub(crate) struct Until(pub(crate) Cycle);

impl Host for Until {
    fn receive(&mut self, cycle: Cycle, _: usize, _: u32, _: &mut Answers) -> Verdict {
        if cycle < self.0 { Verdict::Continue } else { Verdict::Stop }
    }
}

/// What the time until `last` went to, the cycle at which a token reached the host in a run with this data and this host.
/// The image is the same afterwards.
pub(crate) fn attribute(
    compiled: &mut Compiled,
    data: Data,
    sent: &Sent,
    last: Cycle,
) -> Option<Attribution> {
    let places = places::of(compiled);
    let image = &mut compiled.image;
    let marked = with_marks(&image.programs);
    let programs = std::mem::replace(&mut image.programs, marked);
    // All tokens leave through the one port that there is.
    let mut seen = Attributor::new(image, &programs, &places, sent, (last, 0));
    let how = (data, NonZeroUsize::MIN);
    let limit = Cycle(last.0 + 1);
    engine::run_for(image, how, &sent.script, &mut Until(last), limit, &mut seen);
    let attribution = seen.attribution((last, 0));
    image.programs = programs;
    attribution
}
