//! The table that ends a run: the report, for people.

use crate::figures::{bytes, counted, grouped, prefixed, seconds};
use comfy_table::{CellAlignment, LineStyle, Table, TableStyle};
use std::fmt::Write as _;
use traces::{DefectsEntry, ExpertsEntry, RequestEntry, RunReport};

/// A line under the header.
pub(crate) const STYLE: TableStyle =
    TableStyle::new().header_separator(LineStyle::none().fill('─').junction('─'));

/// What a run cost: in cycles or counts, and in seconds or shares.
pub(crate) fn table(report: &RunReport) -> Table {
    let mut table = Table::new();
    table.load_style(STYLE);
    let machine = &report.machine;
    table.set_header([
        format!("{}, {} x {}", machine.name, machine.width, machine.height),
        String::new(),
        format!("at {}Hz", prefixed(machine.clock_hz as f64)),
    ]);
    for (at, request) in report.requests.iter().enumerate() {
        if report.requests.len() > 1 {
            table.add_row([format!("request {}", at + 1)]);
        }
        table.add_rows(latency_rows(report, request));
    }
    table.add_rows(bound_rows(report));
    table.add_rows(path_rows(report));
    table.add_rows(report.model.experts.iter().map(experts_row));
    table.add_rows(report.defects.iter().flat_map(defect_rows));
    table.add_rows(wafer_rows(report));
    table.add_rows(cycle_rows(report));
    table.add_row(host_row(report));
    for column in [1, 2] {
        let column = table.column_mut(column).expect("the header has three columns");
        column.set_cell_alignment(CellAlignment::Right);
    }
    table
}

/// The answers of several requests, one after another.
pub(crate) fn answers(report: &RunReport) -> String {
    let mut told = String::new();
    for (at, request) in report.requests.iter().enumerate() {
        let answer = match &request.output.text {
            Some(text) => text.clone(),
            None => format!("{:?}", request.output.token_ids),
        };
        let _ = writeln!(told, "request {}: {answer}", at + 1);
    }
    told
}

/// What was done about defects, in two lines.
pub(crate) fn defects(entry: &DefectsEntry) -> String {
    format!(
        "\ndefects          {} and {} on the wafer\n\
         ways around      {} left out, {} longer by {}\n",
        counted(entry.dead_pes, "dead PE"),
        counted(entry.dead_links, "dead link"),
        counted(entry.spare_pes, "live PE"),
        counted(entry.longer_nets, "net"),
        counted(entry.extra_links, "link")
    )
}

type Row = [String; 3];

fn latency_rows(report: &RunReport, request: &RequestEntry) -> Vec<Row> {
    let clock = report.machine.clock_hz as f64;
    let latency = &request.latency;
    let span = |what: &str, cycles: u64| {
        let time = seconds(cycles as f64 / clock);
        [what.to_string(), format!("{} cycles", grouped(cycles)), time]
    };
    let new = latency.token_cycles.len();
    let decode = format!("decode ({} tokens after the first)", new.saturating_sub(1));
    let mut rows = vec![span("time to first token", latency.ttft_cycles)];
    if let (Some(cycles), Some(time), Some(rate)) =
        (latency.tpot_cycles, latency.tpot_s, latency.tokens_per_s)
    {
        let each = format!("{} cycles", grouped(cycles.round() as u64));
        rows.push(["time per output token".to_string(), each, seconds(time)]);
        let per_million = format!("{:.1} per million cycles", 1e6 / cycles);
        rows.push(["tokens/s".to_string(), per_million, format!("{}/s", prefixed(rate))]);
    }
    let prefill = format!("prefill ({} tokens)", request.prompt_tokens);
    rows.push(span(&prefill, latency.prefill_cycles));
    if new > 1 {
        rows.push(span(&decode, latency.decode_cycles()));
    }
    rows
}

/// That the figures above hold for these tokens.
fn experts_row(entry: &ExpertsEntry) -> Row {
    let ExpertsEntry { layers, experts, chosen, choice } = entry;
    [
        format!("experts, in {layers} of the layers"),
        format!("{chosen} of {experts} a token"),
        match *choice {
            "uniform" => "drawn, each as likely".to_string(),
            _ => "timing depends on the data".to_string(),
        },
    ]
}

/// How far from the least the time per output token is.
fn bound_rows(report: &RunReport) -> Vec<Row> {
    let bound = &report.bound;
    let each = |cycles| format!("{} cycles", grouped(cycles));
    let what = format!("bound, by {}", bound.binding);
    let reached = bound.efficiency.map(|share| format!("{:.1} % efficient", 100.0 * share));
    let mapped = bound.mapped_cycles_per_token;
    vec![
        [what, each(bound.cycles_per_token), reached.unwrap_or_default()],
        ["bound on these rectangles".to_string(), each(mapped), String::new()],
    ]
}

/// Entries of layers and operations that the table shows.
const LARGEST: usize = 5;

/// What the time to the first request's last token went to.
fn path_rows(report: &RunReport) -> Vec<Row> {
    let Some(attribution) = &report.attribution else {
        let how = "--attribution on".to_string();
        return vec![["where the cycles went".to_string(), "not looked at".to_string(), how]];
    };
    let all = attribution.cycles().max(1) as f64;
    let row = |what: String, cycles: u64| {
        let share = 100.0 * cycles as f64 / all;
        [what, format!("{} cycles", grouped(cycles)), format!("{share:.1} %")]
    };
    let categories = attribution.categories.each().into_iter();
    let mut rows: Vec<Row> =
        categories.map(|(what, cycles)| row(format!("critical path: {what}"), cycles)).collect();
    let largest = attribution.largest(LARGEST).into_iter();
    rows.extend(largest.map(|entry| {
        let layer = entry.layer.map_or(String::new(), |layer| format!("layer {layer}, "));
        row(format!("most: {layer}{}", entry.operation), entry.cycles)
    }));
    rows
}

fn defect_rows(entry: &DefectsEntry) -> Vec<Row> {
    let row = |what: &str, count: String, more: String| [what.to_string(), count, more];
    let links = counted(entry.dead_links, "link");
    let longer = format!("{} longer", counted(entry.extra_links, "link"));
    let mut rows = vec![
        row("dead on the wafer", counted(entry.dead_pes, "PE"), links),
        row("nets around them", grouped(entry.longer_nets), longer),
    ];
    let Some(healthy) = &entry.healthy else { return rows };
    let share = |cost: i64, whole: u64| format!("{:+.2} %", 100.0 * cost as f64 / whole as f64);
    let mut cost = |what: &str, cost: i64, whole: u64| {
        rows.push(row(what, format!("{cost:+} cycles"), share(cost, whole)));
    };
    cost("they cost, first token", healthy.ttft_cost_cycles, healthy.ttft_cycles);
    if let Some((more, whole)) = healthy.second_token_cost_cycles.zip(healthy.second_token_cycles) {
        cost("they cost, second token", more, whole);
    }
    rows
}

fn wafer_rows(report: &RunReport) -> Vec<Row> {
    let used = &report.resources;
    let tiles = u64::from(report.machine.width) * u64::from(report.machine.height);
    let row = |what: &str, count: String, more: String| [what.to_string(), count, more];
    vec![
        row("PEs used", grouped(used.pes_used), format!("of {}", grouped(tiles))),
        row(
            "SRAM used",
            bytes(used.sram_bytes_used_total),
            format!("at most {} B in a PE", grouped(used.sram_bytes_used_max)),
        ),
        row(
            "wavelets moved",
            format!("{} hops", grouped(report.counters.wavelet_hops)),
            String::new(),
        ),
    ]
}

/// What the cycles of the PEs in use went to (contract rule X-3), and shares.
fn cycle_rows(report: &RunReport) -> Vec<Row> {
    let spent = &report.counters.pe_cycles;
    let each = [
        ("PEs working", spent.working),
        ("PEs launching", spent.launching),
        ("PEs waiting for output", spent.waiting_output),
        ("PEs waiting for input", spent.waiting_input),
        ("PEs idle", spent.idle),
    ];
    let all: u64 = each.iter().map(|(_, cycles)| cycles).sum();
    let row = |(what, cycles): (&str, u64)| {
        let share = 100.0 * cycles as f64 / all.max(1) as f64;
        [what.to_string(), format!("{} cycles", grouped(cycles)), format!("{share:.1} %")]
    };
    each.into_iter().map(row).collect()
}

fn host_row(report: &RunReport) -> Row {
    let host = &report.host;
    let tokens: usize =
        report.requests.iter().map(|r| r.prompt_tokens + r.latency.token_cycles.len()).sum();
    let rate = format!("{} tokens/s", prefixed(tokens as f64 / host.seconds));
    ["host time".to_string(), rate, seconds(host.seconds)]
}
