//! Counters of stages over time: how many PEs work, and how many wavelets are sent.

use std::collections::BTreeMap;

/// Cycles that one value stands for.
pub(super) const SPAN: u64 = 128;

/// What happens in a stage, by span.
#[derive(Debug, Clone, Default)]
pub(super) struct Load {
    /// Cycles in which PEs work, and wavelets put; by number of the span.
    spans: BTreeMap<u64, (u64, u64)>,
    told: (i64, i64),
    /// The span behind the last that was told.
    next: u64,
}

impl Load {
    /// A step of a PE.
    pub(super) fn step(&mut self, from: u64, to: u64) {
        let mut at = from;
        while at < to {
            let end = ((at / SPAN + 1) * SPAN).min(to);
            self.spans.entry(at / SPAN).or_default().0 += end - at;
            at = end;
        }
    }

    pub(super) fn put(&mut self, at: u64) {
        self.spans.entry(at / SPAN).or_default().1 += 1;
    }

    /// Tells of all spans that are over at `now`, where a value changes: hundredths of a PE, wavelets in the span.
    pub(super) fn tell(&mut self, now: u64, tell: &mut dyn FnMut(u64, Option<i64>, Option<i64>)) {
        while let Some(entry) = self.spans.first_entry().filter(|e| (e.key() + 1) * SPAN <= now) {
            let (span, (busy, puts)) = entry.remove_entry();
            if span > self.next {
                self.change(self.next, (0, 0), tell);
            }
            let values = ((busy * 100 / SPAN) as i64, puts as i64);
            self.change(span, values, tell);
            self.next = span + 1;
        }
    }

    fn change(
        &mut self,
        span: u64,
        values: (i64, i64),
        tell: &mut dyn FnMut(u64, Option<i64>, Option<i64>),
    ) {
        let changed = |new: i64, old: i64| (new != old).then_some(new);
        let (busy, puts) = (changed(values.0, self.told.0), changed(values.1, self.told.1));
        if busy.is_some() || puts.is_some() {
            tell(span * SPAN, busy, puts);
        }
        self.told = values;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn is_a_step_spread_over_the_spans_that_it_lies_in() {
        let mut load = Load::default();
        load.step(64, 192);
        load.put(130);
        load.step(1_280, 1_281);
        let mut told = Vec::new();
        load.tell(1_408, &mut |at, busy, puts| told.push((at, busy, puts)));
        let expected = [(0, Some(50), None), (128, None, Some(1)), (256, Some(0), Some(0))];
        assert_eq!(told, expected, "a hundredth of a PE is 1.28 cycles");
    }
}
