//! The host's part as statements that read back equal.

use crate::host::{HostPlan, HostWord, WordTest};
use std::fmt::Write as _;

/// Statements for what the host sends and when it stops, with the ports' names of
/// [`print`](fn@super::print), behind whose text they stand.
pub fn print_host(host: &HostPlan) -> String {
    let mut out = String::new();
    for (port, words) in host.sends.iter().enumerate() {
        let mut rest = &words[..];
        while !rest.is_empty() {
            let (count, every) = evenly(rest);
            let (run, behind) = rest.split_at(count);
            let control = if run[0].control { " control" } else { "" };
            let _ = write!(out, "send h{port}: u32[{count}]{control} at {}", run[0].cycle);
            let _ = write!(out, " every {every} = [");
            for (k, word) in run.iter().enumerate() {
                let _ = write!(out, "{}{}", if k == 0 { "" } else { ", " }, word.payload);
            }
            out.push_str("]\n");
            rest = behind;
        }
    }
    for stop in &host.stops {
        let _ = write!(out, "stop h{}: u32[{}]", stop.port, stop.words);
        if let Some(only) = &stop.only {
            let _ = write!(out, " if {}", test(only));
        }
        let _ = write!(out, " after {}", stop.after);
        if let Some(last) = &stop.last {
            let _ = write!(out, " or {}", test(last));
        }
        out.push('\n');
    }
    out
}

fn test(test: &WordTest) -> String {
    let values: Vec<String> = test.values.iter().map(u32::to_string).collect();
    let mask = if test.mask == u32::MAX { String::new() } else { format!(" & {:#x}", test.mask) };
    format!("[{}]{mask} = {}", test.word, values.join(", "))
}

/// How many of the first words are alike and evenly spaced, and their distance in cycles.
fn evenly(words: &[HostWord]) -> (usize, u64) {
    let (first, second) = (words[0], words.get(1));
    let every = second.map_or(0, |w| w.cycle.0 - first.cycle.0);
    let fits = |(k, w): &(usize, &HostWord)| {
        w.control == first.control && w.cycle.0 == first.cycle.0 + *k as u64 * every
    };
    (words.iter().enumerate().take_while(fits).count(), every)
}
