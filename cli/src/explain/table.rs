//! What `wafersim explain` prints for people.

use crate::figures::{grouped, prefixed, seconds};
use crate::summary::STYLE;
use comfy_table::{CellAlignment, Table};
use traces::attribution::CategoryCycles;
use traces::explain::{ExplainReport, GuessEntry, ParameterEntry, Speed};

/// All tables, one below another.
pub(super) fn tables(report: &ExplainReport) -> String {
    let tables = [
        categories(report),
        places(report, "operation"),
        places(report, "layer"),
        parameters(report),
        guesses(report),
    ];
    let tables = tables.iter().filter(|table| table.row_count() > 0);
    tables.map(|table| format!("{table}\n\n")).collect()
}

/// A table whose columns but the first are aligned to the right.
fn table(header: &[&str], rows: impl IntoIterator<Item = Vec<String>>) -> Table {
    let mut table = Table::new();
    table.load_style(STYLE);
    table.set_header(header.iter().map(ToString::to_string));
    rows.into_iter().for_each(|row| {
        table.add_row(row);
    });
    for column in table.column_iter_mut().skip(1) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    table
}

fn share(cycles: u64, all: u64) -> String {
    format!("{:.1} %", 100.0 * cycles as f64 / all.max(1) as f64)
}

fn categories(report: &ExplainReport) -> Table {
    let all = report.attribution.cycles();
    let each = report.attribution.categories.each().into_iter();
    let mut rows: Vec<Vec<String>> = each
        .map(|(name, cycles)| vec![name.to_string(), grouped(cycles), share(cycles, all)])
        .collect();
    rows.push(vec!["until the last token".to_string(), grouped(all), String::new()]);
    let bound = &report.bound;
    let reached = bound.efficiency.map(|share| format!("{:.1} % efficient", 100.0 * share));
    rows.push(vec![
        format!("bound of a token, by {}", bound.binding),
        grouped(bound.cycles_per_token),
        reached.unwrap_or_default(),
    ]);
    let mapped = grouped(bound.mapped_cycles_per_token);
    rows.push(vec!["on these rectangles".to_string(), mapped, String::new()]);
    table(&["critical path", "cycles", "share"], rows)
}

/// Cycles by operation or by layer, and of what category they are.
fn places(report: &ExplainReport, by: &str) -> Table {
    let attribution = &report.attribution;
    let all = attribution.cycles();
    let row = |name: String, categories: &CategoryCycles| {
        let total = categories.total();
        let each = categories.each().map(|(_, cycles)| grouped(cycles));
        [vec![name, grouped(total), share(total, all)], each.to_vec()].concat()
    };
    let rows: Vec<Vec<String>> = match by {
        "operation" => {
            let entries = attribution.operations.iter();
            entries.map(|entry| row(entry.operation.to_string(), &entry.categories)).collect()
        }
        _ => {
            let name = |layer: Option<u32>| layer.map_or("none".to_string(), |l| l.to_string());
            let entries = attribution.layers.iter();
            entries.map(|entry| row(name(entry.layer), &entry.categories)).collect()
        }
    };
    let names = CategoryCycles::default().each().map(|(name, _)| name);
    table(&[&[by, "cycles", "share"], &names[..]].concat(), rows)
}

fn rate(speed: &Speed) -> String {
    match speed.tokens_per_s {
        Some(rate) => format!("{}/s", prefixed(rate)),
        None => seconds(speed.last_token_s),
    }
}

fn parameters(report: &ExplainReport) -> Table {
    let row = |entry: &ParameterEntry| {
        let gain = entry.gain.map(|gain| format!("{:+.2} %", 100.0 * gain));
        let speed = entry.speed.as_ref().map_or("does not run".to_string(), rate);
        vec![
            entry.key.to_string(),
            entry.from.clone(),
            entry.to.clone(),
            speed,
            gain.unwrap_or_default(),
        ]
    };
    let tokens = format!("over {} tokens", report.compared.tokens);
    let header = ["machine constant", "is", "better", &tokens, "gain"];
    let base = vec![
        "as it is".to_string(),
        String::new(),
        String::new(),
        rate(&report.compared.speed),
        String::new(),
    ];
    table(&header, std::iter::once(base).chain(report.parameters.iter().map(row)))
}

fn guesses(report: &ExplainReport) -> Table {
    let row = |entry: &GuessEntry| {
        let at = |speed: &Option<Speed>| speed.as_ref().map_or("does not run".to_string(), rate);
        let path = if entry.on_critical_path { "yes" } else { "no" };
        let GuessEntry { key, value, low, high, at_low, at_high, .. } = entry;
        let bounds = format!("{low} to {high}");
        vec![key.to_string(), value.clone(), bounds, path.to_string(), at(at_low), at(at_high)]
    };
    let header = ["without a source", "is", "may be", "on the path", "at the least", "at the most"];
    table(&header, report.guesses.iter().map(row))
}
