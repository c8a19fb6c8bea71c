//! A baseline: a file that names a run and says what must come of it.

use crate::ask::{Ask, parse_ron, read_ron};
use anyhow::{Context as _, Result, bail};
use pe_isa::asm::spelling::nearest;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use traces::RunReport;

/// What may be given a tolerance beside single counters and resources.
const TOLERATED: [&str; 5] =
    ["token_cycles", "ttft_cycles", "tpot_cycles", "counters", "resources"];

/// The file as it is written.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    /// What to run.
    run: Ask,
    /// By how much of its value a metric may move, either way.
    #[serde(default)]
    tolerances: BTreeMap<String, f64>,
    /// What came of it when the baseline was last renewed.
    #[serde(default)]
    expected: Option<Expected>,
}

/// What must come of a run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Expected {
    /// Version of the timing contract.
    pub(crate) contract: String,
    pub(crate) requests: Vec<ExpectedRequest>,
    /// Of the whole run, by key.
    counters: BTreeMap<String, u64>,
    resources: BTreeMap<String, u64>,
}

/// What must come of a request.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ExpectedRequest {
    /// Empty without data.
    pub(crate) token_ids: Vec<u32>,
    stop: String,
    pub(crate) token_cycles: Vec<u64>,
}

impl ExpectedRequest {
    pub(crate) fn ttft(&self) -> Option<u64> {
        self.token_cycles.first().copied()
    }

    /// Cycles per token behind the first.
    pub(crate) fn tpot(&self) -> Option<f64> {
        let cycles = &self.token_cycles;
        let (first, last) = (cycles.first()?, cycles.last()?);
        (cycles.len() > 1).then(|| (*last as f64 - *first as f64) / (cycles.len() - 1) as f64)
    }
}

impl Expected {
    /// What came of a run.
    ///
    /// # Errors
    /// None in practice: reports are plain data.
    pub(crate) fn of(report: &RunReport) -> Result<Expected> {
        let tree = serde_json::to_value(report)?;
        let requests =
            report.requests.iter().zip(tree["requests"].as_array().into_iter().flatten());
        let requests = requests.map(|(request, entry)| {
            Ok(ExpectedRequest {
                token_ids: request.output.token_ids.clone(),
                stop: entry["output"]["stop"].as_str().unwrap_or_default().to_string(),
                token_cycles: serde_json::from_value(entry["latency"]["token_cycles"].clone())?,
            })
        });
        let whole = |group: &str| {
            let mut found = BTreeMap::new();
            whole_numbers("", &tree[group], &mut found);
            found
        };
        Ok(Expected {
            contract: report.contract.to_string(),
            requests: requests.collect::<Result<_>>()?,
            counters: whole("counters"),
            resources: whole("resources"),
        })
    }

    /// As a document to compare, of `counters` and `resources` those that `wanted` has, too: what reports have
    /// gained since is nothing that could have moved.
    pub(crate) fn document(&self, wanted: &Expected) -> Value {
        let requests = self.requests.iter().map(|request| {
            json!({
                "token_ids": request.token_ids, "stop": request.stop,
                "ttft_cycles": request.ttft(), "tpot_cycles": request.tpot(),
                "token_cycles": request.token_cycles,
            })
        });
        let kept = |own: &BTreeMap<String, u64>, wanted: &BTreeMap<String, u64>| {
            let mut own = own.clone();
            own.retain(|key, _| wanted.contains_key(key));
            own
        };
        json!({
            "requests": requests.collect::<Vec<_>>(),
            "counters": kept(&self.counters, &wanted.counters),
            "resources": kept(&self.resources, &wanted.resources),
        })
    }

    /// Single numbers by name: what a chart over time would show.
    pub(crate) fn figures(&self) -> Vec<(String, &'static str, f64)> {
        let mut all = Vec::new();
        for (at, request) in self.requests.iter().enumerate() {
            let of = if self.requests.len() > 1 {
                format!("request {}: ", at + 1)
            } else {
                String::new()
            };
            let ttft = request.ttft().map(|cycles| cycles as f64);
            all.extend(ttft.map(|cycles| (format!("{of}ttft_cycles"), "cycles", cycles)));
            all.extend(request.tpot().map(|cycles| (format!("{of}tpot_cycles"), "cycles", cycles)));
        }
        for key in ["wavelet_hops", "instructions"] {
            let count = self.counters.get(key).map(|&count| count as f64);
            all.extend(count.map(|count| (key.to_string(), key_unit(key), count)));
        }
        all
    }

    /// The value of `expected` in a file.
    fn ron(&self) -> String {
        let mut text = format!("(\n        contract: {:?},\n        requests: [\n", self.contract);
        for request in &self.requests {
            let ExpectedRequest { token_ids, stop, token_cycles } = request;
            let _ = write!(
                text,
                "            (\n                token_ids: {token_ids:?},\n                stop: {stop:?},\n                token_cycles: {token_cycles:?},\n            ),\n"
            );
        }
        text.push_str("        ],\n");
        for (group, map) in [("counters", &self.counters), ("resources", &self.resources)] {
            let _ = writeln!(text, "        {group}: {{");
            for (key, value) in map {
                let _ = writeln!(text, "            {key:?}: {value},");
            }
            text.push_str("        },\n");
        }
        text + "    )"
    }
}

fn key_unit(key: &str) -> &'static str {
    if key == "wavelet_hops" { "hops" } else { "instructions" }
}

fn whole_numbers(path: &str, tree: &Value, found: &mut BTreeMap<String, u64>) {
    match tree {
        Value::Object(map) => map.iter().for_each(|(key, below)| {
            let dot = if path.is_empty() { "" } else { "." };
            whole_numbers(&format!("{path}{dot}{key}"), below, found);
        }),
        Value::Number(number) => {
            found.extend(number.as_u64().map(|number| (path.to_string(), number)));
        }
        _ => {}
    }
}

/// A baseline that was read.
#[derive(Debug)]
pub(crate) struct Baseline {
    pub(crate) path: PathBuf,
    pub(crate) run: Ask,
    pub(crate) expected: Option<Expected>,
    tolerances: BTreeMap<String, f64>,
    text: String,
}

impl Baseline {
    /// # Errors
    /// A file that cannot be read, unknown keys, tolerances that are none.
    pub(crate) fn read(path: &Path) -> Result<Baseline> {
        let (File { run, tolerances, expected }, text) = read_ron(path)?;
        let name = || path.display().to_string();
        run.check_keys().with_context(name)?;
        for (metric, share) in &tolerances {
            check_tolerance(metric, *share, expected.as_ref()).with_context(name)?;
        }
        Ok(Baseline { path: path.to_path_buf(), run, expected, tolerances, text })
    }

    /// The folder in which its paths start.
    pub(crate) fn folder(&self) -> &Path {
        self.path.parent().unwrap_or(Path::new(""))
    }

    /// By what share of its value the metric at `path` may move: its own tolerance, or that of its group.
    pub(crate) fn tolerance(&self, path: &str) -> f64 {
        let metric = match path.split_once("].") {
            Some((_, metric)) => metric,
            None => path,
        };
        let group = metric.split('.').next().unwrap_or(metric);
        let derived = metric.starts_with("ttft") || metric.starts_with("tpot");
        let fallback = if derived { "token_cycles" } else { group };
        let found = self.tolerances.get(metric).or_else(|| self.tolerances.get(fallback));
        found.copied().unwrap_or(0.0)
    }

    /// The text of the file with other expectations; all else, comments included, stays as it is.
    ///
    /// # Errors
    /// A file written in a way that leaves no place for them.
    pub(crate) fn with_expected(&self, expected: &Expected) -> Result<String> {
        let text = super::splice::field(&self.text, "expected", &expected.ron());
        match text.as_deref().map(parse_ron::<File>) {
            Some(Ok(file)) if file.expected.as_ref() == Some(expected) => {
                Ok(text.unwrap_or_default())
            }
            _ => bail!("{}: there is no place for `expected` in it", self.path.display()),
        }
    }
}

fn check_tolerance(metric: &str, share: f64, expected: Option<&Expected>) -> Result<()> {
    let mut known: Vec<String> = TOLERATED.map(String::from).to_vec();
    if let Some(Expected { counters, resources, .. }) = expected {
        known.extend(counters.keys().map(|key| format!("counters.{key}")));
        known.extend(resources.keys().map(|key| format!("resources.{key}")));
    } else if metric.starts_with("counters.") || metric.starts_with("resources.") {
        known.push(metric.to_string()); // Which of them there are is known once something is expected.
    }
    if !known.iter().any(|known| known == metric) {
        let meant = nearest(metric, known.iter().map(String::as_str));
        let meant = meant.map_or(String::new(), |near| format!("; did you mean `{near}`?"));
        bail!("tolerances: there is no metric `{metric}`{meant}");
    }
    if !(share.is_finite() && share >= 0.0) {
        bail!("tolerances: {metric}: {share} is no share; 0.01 allows 1 %");
    }
    Ok(())
}
