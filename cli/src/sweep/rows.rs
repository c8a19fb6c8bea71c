//! The table of a sweep: a row for each point, the axes' values first.

use super::folder::Folder;
use super::plan::{Plan, Point};
use anyhow::Result;
use serde_json::Value;

/// Columns behind the axes, each with its place in the report; latencies are those of the first request.
const METRICS: [(&str, &str); 21] = [
    ("ttft_cycles", "/requests/0/latency/ttft_cycles"),
    ("tpot_cycles", "/requests/0/latency/tpot_cycles"),
    ("tokens_per_s", "/requests/0/latency/tokens_per_s"),
    ("prefill_cycles", "/requests/0/latency/prefill_cycles"),
    ("throughput_tokens_per_s", "/throughput_tokens_per_s"),
    ("wavelet_hops", "/counters/wavelet_hops"),
    ("instructions", "/counters/instructions"),
    ("pe_cycles_working", "/counters/pe_cycles/working"),
    ("pe_cycles_waiting_input", "/counters/pe_cycles/waiting_input"),
    ("pe_cycles_waiting_output", "/counters/pe_cycles/waiting_output"),
    ("pe_cycles_launching", "/counters/pe_cycles/launching"),
    ("pe_cycles_idle", "/counters/pe_cycles/idle"),
    ("pes_used", "/resources/pes_used"),
    ("sram_bytes_used_max", "/resources/sram_bytes_used_max"),
    ("sram_bytes_used_total", "/resources/sram_bytes_used_total"),
    ("colors_used", "/resources/colors_used"),
    ("context_max", "/resources/context_max"),
    ("contract", "/contract"),
    ("machine_digest", "/machine/digest"),
    ("model_digest", "/model/digest"),
    ("digest", "/digest"),
];

/// The table as CSV (RFC 4180, lines ended by a line feed), and how many points have a result.
///
/// # Errors
/// A result that cannot be read.
pub(super) fn csv(plan: &Plan, folder: &Folder) -> Result<(String, usize)> {
    let heads = ["index", "point"].into_iter().chain(plan.keys.iter().map(String::as_str));
    let heads = heads.chain(["status"]).chain(METRICS.map(|(name, _)| name)).chain(["error"]);
    let mut text = line(heads.map(String::from));
    let mut done = 0;
    for point in &plan.points {
        let result = folder.result(&point.digest)?;
        done += usize::from(result.is_some());
        let error = if result.is_some() { None } else { folder.error(&point.digest)? };
        text.push_str(&line(row(plan, point, result.as_ref(), error.as_deref())));
    }
    Ok((text, done))
}

fn row<'a>(
    plan: &'a Plan,
    point: &'a Point,
    result: Option<&'a Value>,
    error: Option<&'a str>,
) -> impl Iterator<Item = String> + 'a {
    let status = match (result, error) {
        (Some(_), _) => "ok",
        (None, Some(_)) => "failed",
        (None, None) => "missing",
    };
    let value = |key: &String| {
        let found = point.settings.iter().find(|(name, _)| name == key);
        found.map_or(String::new(), |(_, value)| value.to_string())
    };
    let metric = move |(_, place): (&str, &str)| match result.and_then(|r| r.pointer(place)) {
        None | Some(Value::Null) => String::new(),
        Some(Value::String(text)) => text.clone(),
        Some(other) => other.to_string(),
    };
    [point.index.to_string(), point.digest.clone()]
        .into_iter()
        .chain(plan.keys.iter().map(value))
        .chain([status.to_string()])
        .chain(METRICS.into_iter().map(metric))
        .chain([error.unwrap_or_default().to_string()])
}

fn line(cells: impl Iterator<Item = String>) -> String {
    let cells: Vec<String> = cells.map(quoted).collect();
    cells.join(",") + "\n"
}

fn quoted(cell: String) -> String {
    match cell.contains([',', '"', '\n', '\r']) {
        true => format!("\"{}\"", cell.replace('"', "\"\"")),
        false => cell,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn are_cells_quoted_where_they_must_be() {
        let cells = ["a", "b,c", "d \"e\"", "f\ng"].map(String::from);
        assert_eq!(line(cells.into_iter()), "a,\"b,c\",\"d \"\"e\"\"\",\"f\ng\"\n");
    }
}
