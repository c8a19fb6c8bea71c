//! FIFOs as sequences of departures.
//!
//! What decides when the *j*-th wavelet leaves a FIFO is the departure of the same wavelet upstream, the one before it here,
//! and, for the room behind, the departure of an earlier one from each FIFO behind. So all departures follow from a few
//! numbers, in any order in which these are known: no calendar is needed.

use pe_isa::Word;

/// A departure.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Left {
    pub(super) time: u32,
    pub(super) word: Word,
}

/// No line.
pub(super) const NONE: u32 = u32::MAX;

/// A FIFO, or what stands before an output queue: the steps of its PE.
#[derive(Debug, Clone)]
#[repr(align(64))]
pub(super) struct Line {
    /// Departures that are decided.
    pub(super) left: u32,
    /// The last of them lie in a ring of [`Wires::sent`].
    pub(super) first: u32,
    pub(super) mask: u16,
    /// The line that sends into this one.
    pub(super) upstream: u32,
    pub(super) capacity: u16,
    pub(super) latency: u16,
    pub(super) credit: u16,
    /// Lines behind it.
    pub(super) behind: [u32; BEHIND],
    pub(super) count: u8,
    /// Turns at a right angle (rule L-2).
    pub(super) bend: bool,
    /// A port of the host is behind it.
    pub(super) host: u32,
    /// The PE whose queue it is.
    pub(super) pe: u32,
    pub(super) is_input: bool,
    pub(super) is_listed: bool,
    /// Its index among the contested ones.
    pub(super) contested: u32,
    /// Some output is a link, with a rate.
    pub(super) is_limited: bool,
}

/// Lines behind a line, at most.
pub(super) const BEHIND: usize = 4;

/// A line whose outputs others use, too.
#[derive(Debug, Clone)]
pub(super) struct Contested {
    /// Where its rivals begin and end.
    pub(super) rivals: (u32, u32),
    /// Departures that a rival's may still meet: first and last of spans, ascending.
    pub(super) recent: Vec<(u32, u32)>,
}

/// A line that shares outputs with another one.
#[derive(Debug, Clone, Copy)]
pub(super) struct Rival {
    pub(super) line: u32,
    /// Departures of the two that are closer than this may disturb one another.
    pub(super) window: u32,
}

/// All lines.
#[derive(Debug)]
pub(super) struct Wires {
    pub(super) lines: Vec<Line>,
    pub(super) sent: Vec<Left>,
    pub(super) contested: Vec<Contested>,
    pub(super) rivals: Vec<Rival>,
    pub(super) turn_cycles: u32,
    /// Link rate: at most q departures in p cycles.
    pub(super) p: u32,
    pub(super) q: u32,
    /// Wavelets to the host: cycle, port, payload.
    pub(super) to_host: Vec<(u32, u32, u32)>,
    pub(super) host_cycles: u32,
    /// Two wavelets want one output in one cycle.
    pub(super) met: bool,
}

impl Line {
    /// Its last departures that are kept.
    pub(super) fn kept(&self) -> usize {
        usize::from(self.mask) + 1
    }
}

impl Wires {
    /// The `n`-th departure of a line, one of the last.
    #[inline(always)]
    pub(super) fn departure(&self, line: &Line, n: u32) -> Left {
        self.sent[(line.first + (n & u32::from(line.mask))) as usize]
    }

    /// Notes a departure.
    #[inline(always)]
    pub(super) fn leave(&mut self, at: u32, left: Left) {
        let line = &mut self.lines[at as usize];
        self.sent[(line.first + (line.left & u32::from(line.mask))) as usize] = left;
        line.left += 1;
    }

    /// Notes departures at `times`, so many cycles later, of wavelets that have reached their ends.
    #[inline]
    pub(super) fn leave_at(&mut self, at: u32, times: &[i32], later: i32) {
        let line = &mut self.lines[at as usize];
        let kept = times.len().min(line.kept());
        line.left += times.len() as u32;
        let from = line.left - kept as u32;
        let (first, mask) = (line.first, u32::from(line.mask));
        for (n, &time) in times[times.len() - kept..].iter().enumerate() {
            let place = first + ((from + n as u32) & mask);
            self.sent[place as usize] = Left { time: (time + later) as u32, word: Word::default() };
        }
    }

    /// The last departure of a line was at another time.
    #[inline]
    pub(super) fn correct(&mut self, at: u32, time: u32) {
        let line = &self.lines[at as usize];
        self.sent[(line.first + ((line.left - 1) & u32::from(line.mask))) as usize].time = time;
    }

    /// Tells rivals of departures of a contested line.
    pub(super) fn pass_all(&mut self, at: u32, times: impl Iterator<Item = u32>) {
        let contested = self.lines[at as usize].contested;
        let mut span = None;
        for time in times {
            match &mut span {
                Some((_, last)) if *last + 1 == time => *last = time,
                _ => {
                    if let Some(span) = span.replace((time, time)) {
                        self.pass(contested, span);
                    }
                }
            }
        }
        if let Some(span) = span {
            self.pass(contested, span);
        }
    }

    /// Whether something that is not decided yet waits in a line.
    #[inline(always)]
    pub(super) fn has_pending(&self, at: u32) -> bool {
        let line = &self.lines[at as usize];
        line.upstream != NONE && self.lines[line.upstream as usize].left > line.left
    }

    /// The arrival and payload of the first wavelet of an input queue, if known.
    #[inline(always)]
    pub(super) fn head(&self, at: u32) -> Option<Left> {
        let line = &self.lines[at as usize];
        if line.upstream == NONE {
            return None;
        }
        let up = &self.lines[line.upstream as usize];
        if up.left <= line.left {
            return None;
        }
        let sent = self.departure(up, line.left);
        Some(Left { time: sent.time + u32::from(line.latency), word: sent.word })
    }

    /// Takes the first wavelet of an input queue at `time` and returns what it carries.
    pub(super) fn take(&mut self, at: u32, time: u32) -> Word {
        let word = self.head(at).expect("a ready step").word;
        self.leave(at, Left { time, word: Word::default() });
        word
    }

    /// From when on the next wavelet into `at` finds a slot, if known.
    #[inline(always)]
    pub(super) fn room(&self, at: u32) -> Option<u32> {
        let line = &self.lines[at as usize];
        let next = self.lines[line.upstream as usize].left;
        let capacity = u32::from(line.capacity);
        if next < capacity {
            return Some(0);
        }
        let before = next - capacity;
        (before < line.left).then(|| self.departure(line, before).time + u32::from(line.credit))
    }

    /// Decides all departures of `at` before `horizon` that are known. Returns how many, and when the next one is if that is
    /// known and not before the horizon.
    #[inline(always)]
    pub(super) fn advance(&mut self, at: u32, horizon: u32) -> (u32, Option<u32>) {
        let line = &self.lines[at as usize];
        let count = usize::from(line.count);
        let behind = line.behind;
        let up = &self.lines[line.upstream as usize];
        let mut limit = up.left;
        for &b in &behind[..count] {
            let b = &self.lines[b as usize];
            limit = limit.min(b.left + u32::from(b.capacity));
        }
        let first = line.left;
        if limit <= first {
            return (0, None);
        }
        let (latency, bend) = (u32::from(line.latency), line.bend && self.turn_cycles > 0);
        let (up_first, up_mask) = (up.first, u32::from(up.mask));
        let (own_first, own_mask) = (line.first, u32::from(line.mask));
        let mut last = if first > 0 {
            self.sent[(own_first + ((first - 1) & own_mask)) as usize].time + 1
        } else {
            0
        };
        let host = line.host;
        let contested = line.contested;
        let limited = line.is_limited;
        let (p, q) = (self.p, self.q);
        let mut j = first;
        let mut later = None;
        while j < limit {
            let sent = self.sent[(up_first + (j & up_mask)) as usize];
            let mut from = sent.time + latency;
            if bend && !(last > 0 && last - 1 + self.turn_cycles >= from) {
                from += self.turn_cycles;
            }
            let mut time = from.max(last);
            for &b in &behind[..count] {
                let b = &self.lines[b as usize];
                let capacity = u32::from(b.capacity);
                if j >= capacity {
                    let before = (j - capacity) & u32::from(b.mask);
                    let slot = self.sent[(b.first + before) as usize];
                    time = time.max(slot.time + u32::from(b.credit));
                }
            }
            if limited && j >= q {
                let before = self.sent[(own_first + ((j - q) & own_mask)) as usize];
                time = time.max(before.time + p);
            }
            if time >= horizon {
                later = Some(time);
                break;
            }
            self.sent[(own_first + (j & own_mask)) as usize] = Left { time, word: sent.word };
            if host != NONE {
                self.to_host.push((time + self.host_cycles, host, sent.word.bits));
            }
            if contested != NONE {
                self.pass(contested, (time, time));
            }
            last = time + 1;
            j += 1;
        }
        self.lines[at as usize].left = j;
        (j - first, later)
    }

    /// Notes departures in a span of a contested line and sees whether they may meet a rival's.
    pub(super) fn pass(&mut self, at: u32, (first, last): (u32, u32)) {
        let recent = &mut self.contested[at as usize].recent;
        match recent.last_mut() {
            Some(before) if before.1 + 1 == first => before.1 = last,
            _ => recent.push((first, last)),
        }
        let (from, to) = self.contested[at as usize].rivals;
        for &Rival { line, window } in &self.rivals[from as usize..to as usize] {
            let other = &self.contested[self.lines[line as usize].contested as usize].recent;
            let ahead = other.iter().rev().take_while(|span| span.1 + window > first);
            self.met |= ahead.into_iter().any(|span| span.0 < last + window);
        }
    }

    /// Forgets departures before `time`, which none to come can meet.
    pub(super) fn forget(&mut self, time: u32) {
        let time = time.saturating_sub(self.p);
        for line in &mut self.contested {
            if line.recent.last().is_some_and(|span| span.1 < time) {
                line.recent.clear();
            } else {
                let keep = line.recent.partition_point(|span| span.1 < time);
                line.recent.drain(..keep);
            }
        }
    }

    /// The lines behind a line.
    #[inline(always)]
    pub(super) fn behind(&self, at: u32) -> ([u32; BEHIND], usize) {
        let line = &self.lines[at as usize];
        (line.behind, usize::from(line.count))
    }
}
