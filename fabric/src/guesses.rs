//! The constants of the presets that have no public source, and between which bounds they may lie.
//!
//! Which they are, the presets' own comments say: one that holds a "?" marks the constants below it, up to the next comment or the end of
//! their group.

use crate::presets::PRESETS;

/// A constant without a public source.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Guess {
    /// Its key, as `--set machine.KEY=VALUE` takes it.
    pub key: &'static str,
    /// The least that it may plausibly be, and the most.
    pub low: &'static str,
    /// See `low`.
    pub high: &'static str,
    /// Why.
    pub reason: &'static str,
}

const fn guess(
    key: &'static str,
    (low, high): (&'static str, &'static str),
    reason: &'static str,
) -> Guess {
    Guess { key, low, high, reason }
}

const ROUTINE: &str = "a short polynomial, or a table and a longer one";

/// All constants that some preset marks.
const GUESSES: [Guess; 14] = [
    guess(
        "fabric.turn_cycles",
        ("0", "20"),
        "none is documented; one CS-3 measurement shows 20 on the first wavelet of a bend",
    ),
    guess(
        "fabric.queue_depth",
        ("2", "8"),
        "two are the least that keep a hop of one cycle busy; eight are as deep as a PE's queues",
    ),
    guess(
        "fabric.credit_cycles",
        ("1", "4"),
        "a wire of its own takes one cycle; two hops of two cycles at most",
    ),
    guess(
        "pe.ramp_cycles",
        ("1", "4"),
        "2 was measured on a WSE-2; a WSE-3 doubled the cycles of a hop, or has a shorter way",
    ),
    guess(
        "pe.cost.fmac_mixed",
        ("0.73", "2.92"),
        "a quarter of the 16-bit rate, as for 32 bits; or the whole of it, if sums are kept in the datapath",
    ),
    guess("pe.cost.add_16", ("2.41", "8"), "half the measured copy rate; the documented rate"),
    guess("pe.cost.add_32", ("1.22", "4"), "half the measured copy rate; the documented rate"),
    guess("pe.cost.exp_cycles", ("10", "40"), ROUTINE),
    guess("pe.cost.rsqrt_cycles", ("10", "50"), "two Newton steps, or a root and a division"),
    guess("pe.cost.tanh_cycles", ("10", "70"), "a polynomial, or an exponential and a division"),
    guess("pe.cost.sin_cycles", ("10", "40"), ROUTINE),
    guess(
        "pe.cost.scalar_cycles",
        ("1", "2"),
        "a register is read and written each cycle, or every other",
    ),
    guess(
        "pe.cost.read_bytes_per_cycle",
        ("8", "16"),
        "documents say half; the measured 16-bit rate needs the whole",
    ),
    guess(
        "pe.cost.write_bytes_per_cycle",
        ("4", "8"),
        "documents say half; the measured 16-bit rate needs the whole",
    ),
];

/// The constants of a preset without a public source; none of any other machine, whose sources are not known here.
pub fn guesses(preset: &str) -> Vec<Guess> {
    let found = PRESETS.iter().find(|(name, _, _)| *name == preset);
    let marked = found.map(|(_, _, text)| marked(text)).unwrap_or_default();
    let is_marked = |guess: &&Guess| {
        let name = guess.key.rsplit('.').next();
        marked.iter().any(|marked| Some(*marked) == name)
    };
    GUESSES.iter().filter(is_marked).copied().collect()
}

/// The names of the constants that a machine file marks.
fn marked(text: &str) -> Vec<&str> {
    let (mut is_marked, mut names) = (false, Vec::new());
    // What stands before the file's first bracket is about the marks themselves.
    for line in text.lines().skip_while(|line| !line.starts_with('(')).map(str::trim) {
        match (line.strip_prefix("//"), line.split_once(':')) {
            (Some(comment), _) => is_marked = comment.contains('?'),
            _ if line.starts_with(')') || line.ends_with('(') => is_marked = false,
            (None, Some((name, _))) if is_marked => names.push(name),
            _ => {}
        }
    }
    names
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::presets::preset;

    #[test]
    fn has_every_marked_constant_bounds_around_its_value() {
        for (name, _, text) in PRESETS {
            let machine = preset(name).expect("a preset");
            let (marked, found) = (marked(text), guesses(name));
            assert!(marked.len() >= 5 && marked.len() == found.len(), "{name}: {marked:?}");
            let value = |key: &str, value: &str| -> f64 {
                let changed = machine.with_overrides(&[(key, value)]).expect("legal");
                number(&changed, key)
            };
            for Guess { key, low, high, .. } in found {
                let (low, high) = (value(key, low), value(key, high));
                let own = number(&machine, key);
                assert!(low <= own && own <= high && low < high, "{name}: {key} is {own}");
            }
        }
    }

    fn number(machine: &crate::Machine, key: &str) -> f64 {
        let tree = serde_json::to_value(machine).expect("plain data");
        let value = key.split('.').fold(&tree, |node, part| &node[part]);
        match value.as_str() {
            Some(ratio) => pe_isa::Ratio::parse(ratio).expect("a ratio").to_f64(),
            None => value.as_f64().expect("a number"),
        }
    }

    #[test]
    fn is_nothing_guessed_of_other_machines() {
        assert_eq!(guesses("mine"), []);
    }
}
