//! What a program left behind, for people: regions, what reached the host, counters.

use crate::figures::grouped;
use crate::summary::STYLE;
use comfy_table::{CellAlignment, Table};
use compiler::kernels::REGISTRY;
use std::fmt::{Display, Write as _};
use traces::{ExecReport, PeEntry, ReceivedEntry, RegionEntry};

/// Regions that are shown, and in each of them rows, and in each of these values.
const REGIONS: usize = 64;
const ROWS: usize = 16;
const VALUES: usize = 16;

/// PEs whose counters stand one by one; of more only totals, maxima and who has them.
const PES: usize = 16;

/// Counters of a PE: name and place.
type Column = (&'static str, fn(&PeEntry) -> u64);
const COLUMNS: [Column; 7] = [
    ("instructions", |pe| pe.instructions),
    ("fabric steps", |pe| pe.fabric_steps),
    ("busy cycles", |pe| pe.busy_cycles),
    ("launches", |pe| pe.launches),
    ("wavelets in", |pe| pe.wavelets_in),
    ("out", |pe| pe.wavelets_out),
    ("hops", |pe| pe.wavelet_hops),
];

/// What the cycles of a PE went to (contract rule X-3), in the order in which the rule is tried.
const CYCLES: [Column; 5] = [
    ("working", |pe| pe.cycles.working),
    ("launching", |pe| pe.cycles.launching),
    ("waiting, output", |pe| pe.cycles.waiting_output),
    ("waiting, input", |pe| pe.cycles.waiting_input),
    ("idle", |pe| pe.cycles.idle),
];

fn place(pe: &PeEntry) -> String {
    format!("({},{})", pe.tile[0], pe.tile[1])
}

/// The regions that the text asks for, and what reached the host.
pub(crate) fn results(report: &ExecReport) -> String {
    let mut out = String::new();
    for entry in report.results.iter().take(REGIONS) {
        region(entry, &mut out);
    }
    if report.results.len() > REGIONS {
        let _ = writeln!(out, "and {} more regions", report.results.len() - REGIONS);
    }
    report.received.iter().for_each(|entry| received(entry, &mut out));
    out
}

/// How the run ended, its counters, where its cycles went, and its digest.
pub(crate) fn counters(report: &ExecReport) -> String {
    let (machine, pes) = (&report.machine, &report.counters.pes);
    format!(
        "{}\n\n{}\n\n{} at cycle {} on {}, {} x {}; {} hops in all\ndigest {}\n",
        table("PE", &COLUMNS, pes),
        table("cycles of PE", &CYCLES, pes),
        report.stop,
        grouped(report.cycles),
        machine.name,
        machine.width,
        machine.height,
        grouped(report.counters.wavelet_hops),
        report.digest
    )
}

/// Counts of the PEs one by one, or, where these are many, the largest ones; and sums.
fn table(title: &str, columns: &[Column], pes: &[PeEntry]) -> Table {
    let mut table = Table::new();
    table.load_style(STYLE);
    let header = columns.iter().map(|(name, _)| name.to_string());
    table.set_header(std::iter::once(title.to_string()).chain(header));
    let row = |name: String, cell: &dyn Fn(&Column) -> String| {
        std::iter::once(name).chain(columns.iter().map(cell)).collect::<Vec<_>>()
    };
    if pes.len() <= PES {
        for pe in pes {
            table.add_row(row(place(pe), &|(_, of)| grouped(of(pe))));
        }
    } else {
        // The first of those that have the most.
        let most = |of: &fn(&PeEntry) -> u64| pes.iter().rev().max_by_key(|pe| of(pe));
        let count = |(_, of): &Column| most(of).map_or_else(String::new, |pe| grouped(of(pe)));
        let of_pe =
            |(_, of): &Column| most(of).filter(|pe| of(pe) > 0).map_or_else(String::new, place);
        table.add_row(row("most".to_string(), &count));
        table.add_row(row("of PE".to_string(), &of_pe));
    }
    let all = format!("all {}", grouped(pes.len() as u64));
    table.add_row(row(all, &|(_, of)| grouped(pes.iter().map(of).sum())));
    for column in 1..=columns.len() {
        let column = table.column_mut(column).expect("the header has these columns");
        column.set_cell_alignment(CellAlignment::Right);
    }
    table
}

fn region(entry: &RegionEntry, out: &mut String) {
    let shape: Vec<String> = entry.shape.iter().map(u32::to_string).collect();
    let [x, y] = entry.tile;
    let head = format!("{} at ({x},{y}): {}[{}] =", entry.name, entry.dtype, shape.join(", "));
    let length = entry.shape.last().map_or(1, |&n| n as usize).max(1);
    let rows: Vec<&[_]> = entry.values.chunks(length).collect();
    if rows.len() <= 1 {
        let _ = writeln!(out, "{head} {}", abbreviated(&entry.values, 0));
        return;
    }
    let shown = rows.iter().take(ROWS).flat_map(|row| row.iter().take(VALUES));
    let width = shown.map(|v| v.to_string().len()).max().unwrap_or(0);
    let _ = writeln!(out, "{head}");
    for row in rows.iter().take(ROWS) {
        let _ = writeln!(out, "  {}", abbreviated(row, width));
    }
    if rows.len() > ROWS {
        let _ = writeln!(out, "  and {} more rows", rows.len() - ROWS);
    }
}

fn received(entry: &ReceivedEntry, out: &mut String) {
    let count = entry.payloads.len();
    let ends = entry.cycles.first().zip(entry.cycles.last());
    let when = ends.map_or(String::new(), |(first, last)| match first == last {
        true => format!(", cycle {}", grouped(*first)),
        false => format!(", cycles {} to {}", grouped(*first), grouped(*last)),
    });
    let payloads = abbreviated(&entry.payloads, 0);
    let _ = writeln!(out, "host port {}: {count} wavelets{when}: {payloads}", entry.port);
}

/// The first values, and how many there are if that is not all.
fn abbreviated(values: &[impl Display], width: usize) -> String {
    let shown = values.iter().take(VALUES).map(|v| format!("{:>width$}", v.to_string()));
    let mut text = shown.collect::<Vec<_>>().join(" ");
    if values.len() > VALUES {
        let _ = write!(text, " … ({} values)", grouped(values.len() as u64));
    }
    text
}
/// The kernels that are built in: name, purpose, and parameters with their defaults.
pub(crate) fn built_in() -> String {
    let mut text = String::new();
    for entry in &REGISTRY {
        let _ = writeln!(text, "{:22} {}", entry.name, entry.about);
        for param in entry.params {
            let _ = writeln!(text, "    {:4} = {:<6} {}", param.name, param.default, param.about);
        }
    }
    text
}
