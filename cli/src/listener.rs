//! The host's side of a program: takes what comes and knows when it is enough.

use fabric::HostStop;
use pe_isa::Cycle;
use sim_core::{Answers, Host, Verdict};

/// Takes all wavelets, and ends the run when all of its conditions are met.
#[derive(Debug)]
pub(crate) struct Listener<'a> {
    waiting: Vec<Waiting<'a>>,
    /// What has come: cycle, index of the port, payload.
    pub(crate) received: Vec<(Cycle, usize, u32)>,
}

/// One condition, and what it has seen.
#[derive(Debug)]
struct Waiting<'a> {
    stop: &'a HostStop,
    /// The words so far of the message that is coming in.
    message: Vec<u32>,
    /// Messages that counted.
    seen: u64,
    is_met: bool,
}

impl<'a> Listener<'a> {
    /// A host that waits for all of `stops`; without any it never ends the run.
    pub(crate) fn new(stops: &'a [HostStop]) -> Listener<'a> {
        let waiting = |stop| Waiting { stop, message: Vec::new(), seen: 0, is_met: false };
        Listener { waiting: stops.iter().map(waiting).collect(), received: Vec::new() }
    }
}

impl Waiting<'_> {
    fn take(&mut self, payload: u32) {
        self.message.push(payload);
        if self.message.len() < self.stop.words as usize {
            return;
        }
        let message = std::mem::take(&mut self.message);
        if self.stop.only.as_ref().is_none_or(|test| test.holds(&message)) {
            self.seen += 1;
            let is_last = self.stop.last.as_ref().is_some_and(|test| test.holds(&message));
            self.is_met |= is_last || self.seen == self.stop.after;
        }
    }
}

impl Host for Listener<'_> {
    fn receive(
        &mut self,
        cycle: Cycle,
        port: usize,
        payload: u32,
        _answers: &mut Answers,
    ) -> Verdict {
        self.received.push((cycle, port, payload));
        let here = self.waiting.iter_mut().filter(|w| w.stop.port as usize == port);
        here.for_each(|waiting| waiting.take(payload));
        let is_enough = !self.waiting.is_empty() && self.waiting.iter().all(|w| w.is_met);
        if is_enough { Verdict::Stop } else { Verdict::Continue }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use fabric::WordTest;

    /// The place of the word that ends the run, of words that all come to port 0.
    fn ends_at(stops: &[HostStop], words: &[u32]) -> Option<usize> {
        let mut host = Listener::new(stops);
        let machine = fabric::presets::preset(fabric::presets::DEFAULT).expect("a preset");
        let mut answers = Answers::to(Cycle(0), &machine);
        let mut stops = |word| host.receive(Cycle(0), 0, word, &mut answers) == Verdict::Stop;
        words.iter().position(|&word| stops(word))
    }

    #[test]
    fn does_a_run_end_when_all_conditions_are_met() {
        let test = |word, mask, value| WordTest { word, mask, values: vec![value] };
        let all = HostStop { port: 0, words: 2, only: None, after: 2, last: None };
        let of = |slot| HostStop { only: Some(test(0, 0xf0, slot)), ..all.clone() };
        let until_9 = HostStop { last: Some(test(1, u32::MAX, 9)), ..of(0x10) };
        assert_eq!(ends_at(&[], &[1; 9]), None);
        assert_eq!(ends_at(std::slice::from_ref(&all), &[1, 9, 2, 2, 3]), Some(3));
        assert_eq!(ends_at(&[HostStop { port: 1, ..all.clone() }], &[1; 9]), None);
        // Two interleaved streams; the first ends early with its word 9.
        let words = [0x11, 9, 0x21, 9, 0x11, 1, 0x22, 7];
        assert_eq!(ends_at(&[until_9.clone(), of(0x20)], &words), Some(7));
        assert_eq!(ends_at(&[until_9], &words), Some(1));
    }
}
