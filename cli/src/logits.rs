//! Logits as they stand in simulated SRAM, copied when the PEs that hold them pass a mark.

use compiler::marks::LOGITS;
use fabric::{PeIdx, Probe, WaferImage};
use pe_isa::Cycle;
use sim_core::Observer;
use std::collections::BTreeMap;

/// Name of the image's probe.
const PROBE: &str = "logits";

/// Collects the logits of each new token.
#[derive(Debug)]
pub(crate) struct LogitsTap {
    probe: Probe,
    /// Which parts of the probe each PE holds.
    parts_of: BTreeMap<PeIdx, Vec<usize>>,
    /// For each part, its values at each mark so far, one after another.
    seen: Vec<Vec<f32>>,
}

impl LogitsTap {
    /// A tap on `image`, if that has the probe.
    pub(crate) fn new(image: &WaferImage) -> Option<LogitsTap> {
        let probe = image.probes.iter().find(|probe| probe.name == PROBE)?;
        let mut parts_of: BTreeMap<PeIdx, Vec<usize>> = BTreeMap::new();
        for (part, &(pe, _, _)) in probe.parts.iter().enumerate() {
            parts_of.entry(pe).or_default().push(part);
        }
        Some(LogitsTap {
            probe: probe.clone(),
            parts_of,
            seen: vec![Vec::new(); probe.parts.len()],
        })
    }

    /// The logits from which the `n`-th token (from 0, of whichever request) was chosen, `[vocab]`; none
    /// if some PE has not passed its mark that often.
    pub(crate) fn of_token(&self, n: usize) -> Option<Vec<f32>> {
        let mut logits = Vec::new();
        for (&(_, _, elements), seen) in self.probe.parts.iter().zip(&self.seen) {
            let elements = elements as usize;
            logits.extend(seen.get(n * elements..(n + 1) * elements)?);
        }
        Some(logits)
    }
}

impl Observer for LogitsTap {
    fn mark(&mut self, _cycle: Cycle, pe: PeIdx, mark: u16, sram: &[u32]) {
        let Some(parts) = self.parts_of.get(&pe).filter(|_| mark == LOGITS) else {
            return;
        };
        for &part in parts {
            let (_, address, elements) = self.probe.parts[part];
            let size = self.probe.dtype.bytes();
            let value = |n: u32| {
                let at = address + n * size;
                let word = sram[at as usize / 4];
                self.probe.dtype.to_f32(word >> (8 * (at % 4)))
            };
            self.seen[part].extend((0..elements).map(value));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use pe_isa::DType;

    #[test]
    fn logits_of_a_token_are_joined_from_all_pes_in_probe_order() {
        let machine = fabric::presets::preset(fabric::presets::DEFAULT).unwrap();
        let mut image = WaferImage::empty(machine);
        assert!(LogitsTap::new(&image).is_none());
        image.probes.push(Probe {
            name: PROBE.into(),
            dtype: DType::F16,
            parts: vec![(PeIdx(5), 2, 3), (PeIdx(4), 0, 1)],
        });
        let mut tap = LogitsTap::new(&image).unwrap();
        let halves =
            |low: f32, high: f32| DType::F16.from_f32(low) | DType::F16.from_f32(high) << 16;
        tap.mark(Cycle(0), PeIdx(4), LOGITS, &[halves(4.0, 0.0)]);
        tap.mark(Cycle(0), PeIdx(5), LOGITS + 1, &[]);
        assert_eq!(tap.of_token(0), None);
        tap.mark(Cycle(0), PeIdx(5), LOGITS, &[halves(9.0, 1.0), halves(2.0, 3.0)]);
        tap.mark(Cycle(0), PeIdx(4), LOGITS, &[halves(8.0, 0.0)]);
        tap.mark(Cycle(0), PeIdx(5), LOGITS, &[halves(9.0, 5.0), halves(6.0, 7.0)]);
        assert_eq!(tap.of_token(0), Some(vec![1.0, 2.0, 3.0, 4.0]));
        assert_eq!(tap.of_token(1), Some(vec![5.0, 6.0, 7.0, 8.0]));
        assert_eq!(tap.of_token(2), None);
    }
}
