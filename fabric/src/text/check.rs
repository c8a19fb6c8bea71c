//! Whether a run did what the text expects.

use super::kernel::{Ending, Expect, Kernel};
use pe_isa::asm::{Diagnostic, Span};
use pe_isa::{Cycle, DType, grouped};

/// What is seen of a run.
#[derive(Debug, Clone, Copy)]
pub struct Observed<'a> {
    /// How it ended.
    pub ending: Ending,
    /// When.
    pub cycle: Cycle,
    /// SRAM of each tile's PE at the end, in words; empty where there is no program.
    pub sram: &'a [Vec<u32>],
    /// What reached the host: cycle, index of the port, payload.
    pub received: &'a [(Cycle, usize, u32)],
}

/// An expectation that was not met.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Difference {
    /// The statement that was not met; `None` for an ending that goes without saying, and for all that a
    /// kernel expects that was not read from a text.
    pub span: Option<Span>,
    /// What was expected, and what was found.
    pub message: String,
}

impl Difference {
    /// The message with the statement that was not met and a caret, for people.
    pub fn render(&self, source: &str, file_name: &str) -> String {
        let Some(span) = self.span else {
            return format!("{file_name}: {}\n", self.message);
        };
        let mut diagnostic = Diagnostic::new(span, &self.message);
        diagnostic.locate(source);
        diagnostic.render(source, file_name)
    }
}

/// All expectations of a kernel that a run did not meet.
pub fn differences(kernel: &Kernel, seen: &Observed) -> Vec<Difference> {
    let mut found = Vec::new();
    if kernel.ending != seen.ending {
        let (want, got) = (kernel.ending.name(), seen.ending.name());
        let cycle = grouped(seen.cycle.0);
        let message = format!("the run ended at cycle {cycle}: {got}, expected: {want}");
        found.push(Difference { span: kernel.ending_span, message });
    }
    for (expect, span) in &kernel.expects {
        if let Some(message) = unmet(kernel, expect, seen) {
            found.push(Difference { span: *span, message });
        }
    }
    found
}

fn unmet(kernel: &Kernel, expect: &Expect, seen: &Observed) -> Option<String> {
    match expect {
        Expect::Cycles { value, within } => {
            let cycle = seen.cycle.0;
            let told =
                || format!("the run took {} cycles, expected {}", grouped(cycle), grouped(*value));
            (cycle.abs_diff(*value) > *within).then(told)
        }
        Expect::Memory { place, values, within } => {
            let sram = seen.sram.get(place.tile.0 as usize).map_or(&[][..], Vec::as_slice);
            let difference = first_difference(&place.read(sram), values, place.dtype, *within)?;
            let at = kernel.image.coord(place.tile);
            Some(format!("tile {at}: {}{difference}", place.name))
        }
        Expect::Host { port, dtype, values, within } => {
            let here = seen.received.iter().filter(|(_, p, _)| p == port);
            let payloads: Vec<u32> = here.map(|(_, _, payload)| *payload).collect();
            let name = &kernel.host_out[*port];
            if payloads.len() != values.len() {
                let (got, want) = (payloads.len(), values.len());
                return Some(format!("host port {name}: {got} wavelets came, expected {want}"));
            }
            let difference = first_difference(&payloads, values, *dtype, *within)?;
            Some(format!("host port {name}: wavelet {difference}"))
        }
    }
}

fn first_difference(got: &[u32], want: &[u32], dtype: DType, within: f64) -> Option<String> {
    if got.len() < want.len() {
        return Some(format!(" has {} elements, expected {}", got.len(), want.len()));
    }
    let value = |bits: u32| match dtype {
        // Every integer of 32 bits is an f64, but not every one an f32.
        DType::U32 => f64::from(bits),
        _ => f64::from(dtype.to_f32(bits)),
    };
    let far = |(got, want): (&u32, &u32)| {
        let (a, b) = (value(*got), value(*want));
        // Written so that a NaN is far from everything but its own bits.
        let near = got == want || (a - b).abs() <= within;
        !near
    };
    let at = got.iter().zip(want).position(far)?;
    let show = |bits: u32| match dtype {
        DType::U32 => bits.to_string(),
        _ => format!("{:?}", dtype.to_f32(bits)),
    };
    Some(format!("[{at}] is {}, expected {}", show(got[at]), show(want[at])))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn are_values_far_from_each_other_that_differ_by_more_than_they_may() {
        let differ = |dtype, [got, want]: [u32; 2], within| {
            first_difference(&[got], &[want], dtype, within).is_some()
        };
        let large = [(1 << 24) + 1, 1 << 24];
        assert!(differ(DType::U32, large, 0.0));
        assert!(!differ(DType::U32, large, 1.0));
        assert!(differ(DType::U32, [u32::MAX, u32::MAX - 2], 1.0));
        let floats = |all: [f32; 2], within| differ(DType::F32, all.map(f32::to_bits), within);
        assert!(floats([1.0 + f32::EPSILON, 1.0], 0.0));
        assert!(!floats([1.5, 1.0], 0.5));
        assert!(!floats([-0.0, 0.0], 0.0));
        assert!(!floats([f32::NAN, f32::NAN], 0.0));
        assert!(floats([f32::NAN, 0.0], f64::MAX));
        assert!(!floats([f32::INFINITY, f32::INFINITY], 0.0));
    }
}
