//! The host's side of the wafer: turns wavelets into tokens, answers where it draws them itself, and knows when an answer
//! is complete.

use crate::failure::Failure;
use crate::progress::Progress;
use crate::requests::Request;
use compiler::{Logits, NewToken, Protocol};
use fabric::Machine;
use models::{AnswerText, Sampler, Sampling, StopStrings, Tokenizer};
use pe_isa::{Cycle, Cycles};
use sim_core::{Answers, Host, HostWavelet, Verdict};
use traces::Stop;

/// The tokens of one request, as they came out of the wafer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Answer {
    /// New tokens.
    pub(crate) ids: Vec<u32>,
    /// When each reached the host; where the host draws it, when the last of its logits did.
    pub(crate) cycles: Vec<Cycle>,
    /// The place of each among all tokens that the wafer made, of whichever request.
    pub(crate) places: Vec<usize>,
    /// The text without special tokens, up to a stop string; none without a tokenizer.
    pub(crate) text: Option<String>,
    /// Why it ended; none while it goes on.
    pub(crate) stop: Option<Stop>,
}

/// Takes what becomes known of an answer: which request, which id, and the text that is final by it.
pub(crate) type Listener<'a> = dyn FnMut(usize, u32, &str) -> Result<(), Failure> + 'a;

/// How answers are made, and where they end.
pub(crate) struct Rules<'a> {
    /// Tokens that end one.
    pub(crate) eos_ids: &'a [u32],
    /// For text, and what ends it.
    pub(crate) tokenizer: Option<&'a Tokenizer>,
    pub(crate) stops: &'a StopStrings,
    /// How the host draws tokens; none where the wafer takes the most likely one.
    pub(crate) sampling: Option<Sampling>,
}

/// The host.
pub(crate) struct Receiver<'a, 'l> {
    requests: &'a [Request],
    rules: &'a Rules<'a>,
    progress: &'a Progress,
    protocol: &'a mut Protocol,
    link: Link<'a>,
    pub(crate) answers: Vec<Answer>,
    /// The answers' texts; none without a tokenizer.
    texts: Vec<AnswerText<'a>>,
    /// Of each request; none where the wafer chooses.
    samplers: Vec<Sampler>,
    listener: &'a mut Listener<'l>,
    /// Tokens that the wafer has made so far.
    made: usize,
    pub(crate) failure: Option<Failure>,
}

impl<'a, 'l> Receiver<'a, 'l> {
    /// A host that has sent `sent` words to ask for `requests`.
    pub(crate) fn new(
        (requests, sent): (&'a [Request], u64),
        rules: &'a Rules<'a>,
        progress: &'a Progress,
        (protocol, machine): (&'a mut Protocol, &'a Machine),
        listener: &'a mut Listener<'l>,
    ) -> Receiver<'a, 'l> {
        let waiting = Answer {
            ids: Vec::new(),
            cycles: Vec::new(),
            places: Vec::new(),
            text: None,
            stop: None,
        };
        let text = |tokenizer| AnswerText::new(tokenizer, rules.stops);
        let texts = requests.iter().filter_map(|_| rules.tokenizer.map(text)).collect();
        let samplers = requests
            .iter()
            .enumerate()
            .filter_map(|(n, request)| Some(Sampler::new(rules.sampling?, n, &request.prompt)));
        Receiver {
            requests,
            rules,
            progress,
            protocol,
            link: Link::new(machine, sent),
            answers: vec![waiting; requests.len()],
            texts,
            samplers: samplers.collect(),
            listener,
            made: 0,
            failure: None,
        }
    }

    /// A token that the wafer has chosen.
    fn take(&mut self, cycle: Cycle, token: &NewToken) -> Result<(), Failure> {
        let place = self.made;
        self.made += 1;
        let request = &self.requests[token.request];
        let answer = &mut self.answers[token.request];
        if answer.stop.is_some() {
            return Ok(()); // The wafer goes on until all answers are complete.
        }
        answer.ids.push(token.id);
        answer.cycles.push(cycle);
        answer.places.push(place);
        let is_full = answer.ids.len() == request.max_new;
        let is_end = self.rules.eos_ids.contains(&token.id);
        let mut piece = String::new();
        if let Some(text) = self.texts.get_mut(token.request) {
            let is_stopped;
            (piece, is_stopped) = text.push(token.id)?;
            answer.stop = is_stopped.then_some(Stop::StopString);
            if !is_stopped && (is_end || is_full) {
                piece += &text.finish()?;
            }
        }
        if is_end {
            answer.stop = Some(Stop::Eos);
        } else if is_full && answer.stop.is_none() {
            answer.stop = Some(if request.is_cut { Stop::Context } else { Stop::Length });
        }
        if answer.stop.is_some() {
            answer.text = self.texts.get(token.request).map(|text| text.text().to_string());
        }
        let tokens = self.answers.iter().map(|a| a.ids.len()).sum();
        self.progress.at(cycle, tokens);
        (self.listener)(token.request, token.id, &piece)
    }

    /// Draws a token from logits that have arrived, and sends it back unless it is the last one. The host's own work takes
    /// no time.
    fn draw(
        &mut self,
        cycle: Cycle,
        logits: &Logits,
        answers: &mut Answers,
    ) -> Result<(), Failure> {
        let id = self.samplers[logits.request].draw(&logits.values);
        let before = self.made;
        self.take(cycle, &NewToken { request: logits.request, id })?;
        debug_assert_eq!(before + 1, self.made);
        if self.answers[logits.request].stop.is_none() {
            let words = self.protocol.feed_back(logits, id);
            self.link.send(cycle, &words, answers);
        }
        Ok(())
    }
}

impl Host for Receiver<'_, '_> {
    fn receive(
        &mut self,
        cycle: Cycle,
        _port: usize,
        payload: u32,
        answers: &mut Answers,
    ) -> Verdict {
        let done = if self.samplers.is_empty() {
            let Some(token) = self.protocol.output(payload) else {
                return Verdict::Continue;
            };
            self.take(cycle, &token)
        } else {
            let Some(logits) = self.protocol.logits(payload) else {
                return Verdict::Continue;
            };
            self.draw(cycle, &logits, answers)
        };
        self.failure = done.err();
        let is_complete = self.answers.iter().all(|answer| answer.stop.is_some());
        if is_complete || self.failure.is_some() { Verdict::Stop } else { Verdict::Continue }
    }
}

/// The link from the host to the wafer: words leave one after another at its rate, and take its latency.
struct Link<'a> {
    machine: &'a Machine,
    /// From when on it is idle.
    idle: Cycle,
}

impl Link<'_> {
    /// A link over which `sent` words go from cycle 0 on.
    fn new(machine: &Machine, sent: u64) -> Link<'_> {
        let mut link = Link { machine, idle: Cycle::ZERO };
        link.idle += link.busy(sent);
        link
    }

    /// How long `words` words keep it busy.
    fn busy(&self, words: u64) -> Cycles {
        let latency = self.machine.host_latency_cycles();
        let last = words.checked_sub(1).map(|last| self.machine.host_arrival_cycle(last));
        Cycles(last.map_or(0, |last| last - latency))
    }

    /// Sends words through port 0 at `now`, or as soon as those before have left.
    fn send(&mut self, now: Cycle, words: &[u32], answers: &mut Answers) {
        let begin = self.idle.max(now);
        for (n, &payload) in (0..).zip(words) {
            let cycle = begin + Cycles(self.machine.host_arrival_cycle(n));
            answers.send(0, HostWavelet { cycle, payload, control: false });
        }
        self.idle = begin + self.busy(words.len() as u64);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn do_answers_wait_for_what_the_link_carries_before_them() {
        let mut machine = fabric::presets::preset(fabric::presets::DEFAULT).unwrap();
        machine.clock_hz = 1_000_000_000;
        machine.host.latency_ns = 100;
        machine.host.bits_per_s = 8_000_000_000; // A word in 4 cycles.
        let mut link = Link::new(&machine, 5);
        let mut sent = |now| {
            let mut answers = Answers::to(Cycle(now), &machine);
            link.send(Cycle(now), &[7, 8], &mut answers);
            answers.sent().iter().map(|(_, wavelet)| wavelet.cycle.0).collect::<Vec<u64>>()
        };
        assert_eq!(sent(3), [20 + 104, 20 + 108]);
        assert_eq!(sent(27), [28 + 104, 28 + 108]);
        assert_eq!(sent(500), [500 + 104, 500 + 108]);
    }
}
