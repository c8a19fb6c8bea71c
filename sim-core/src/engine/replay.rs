//! A host that hears a run again from its beginning.

use crate::run::{Answers, Host, Verdict};
use pe_isa::Cycle;

/// A host that is not told again what it has been told: what it did then is repeated.
pub(crate) struct Replayed<'a, H: ?Sized> {
    host: &'a mut H,
    /// Wavelets that it has heard of, and how many of them are to be passed over.
    heard: usize,
    again: usize,
    /// What it did at the last of them; before, it answered nothing and went on.
    last: (Verdict, Answers),
}

impl<'a, H: Host + ?Sized> Replayed<'a, H> {
    pub(crate) fn new(host: &'a mut H) -> Replayed<'a, H> {
        Replayed {
            host,
            heard: 0,
            again: 0,
            last: (Verdict::Continue, Answers::after(Cycle(0), 0)),
        }
    }

    /// The run begins again.
    pub(crate) fn again(&mut self) {
        self.again = self.heard;
    }
}

impl<H: Host + ?Sized> Host for Replayed<'_, H> {
    fn receive(
        &mut self,
        cycle: Cycle,
        port: usize,
        payload: u32,
        answers: &mut Answers,
    ) -> Verdict {
        if self.again > 1 {
            self.again -= 1;
            return Verdict::Continue;
        }
        if self.again == 0 {
            self.heard += 1;
            self.last.0 = self.host.receive(cycle, port, payload, answers);
            self.last.1 = answers.clone();
        }
        self.again = 0;
        *answers = self.last.1.clone();
        self.last.0
    }
}
