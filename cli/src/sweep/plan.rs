//! The points of a sweep: every combination of the axes' steps that the constraints let through.

use super::axis::{Axis, MOST_POINTS, Step};
use super::constraint::Constraint;
use crate::ask::{Ask, Setting, read_ron};
use crate::settings::is_machine_file;
use anyhow::{Context as _, Result, bail};
use serde::Deserialize;
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// The file as it is written.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    /// What all points have in common.
    run: Ask,
    axes: Vec<Axis>,
    #[serde(default)]
    constraints: Vec<String>,
}

/// A point: one run.
#[derive(Debug)]
pub(super) struct Point {
    pub(super) index: usize,
    /// Name of its folder: a hash of all that its result depends on.
    pub(super) digest: String,
    /// What the axes set, in their order.
    pub(super) settings: Step,
    /// All that it asks for.
    pub(super) ask: Ask,
}

impl Point {
    /// What the axes set, as text.
    pub(super) fn told(&self) -> String {
        let pairs = self.settings.iter().map(|(key, value)| format!("{key}={value}"));
        pairs.collect::<Vec<_>>().join(" ")
    }
}

/// All points, the last axis moving fastest.
#[derive(Debug)]
pub(super) struct Plan {
    /// The keys of the axes, in order.
    pub(super) keys: Vec<String>,
    pub(super) points: Vec<Point>,
    /// Where paths start.
    pub(super) folder: PathBuf,
}

impl Plan {
    /// Reads a sweep.
    ///
    /// # Errors
    /// Whatever is wrong with the file; no points, or too many.
    pub(super) fn read(path: &Path) -> Result<Plan> {
        let (file, _) = read_ron::<File>(path)?;
        let folder = path.parent().unwrap_or(Path::new("")).to_path_buf();
        Plan::of(&file, folder).with_context(|| path.display().to_string())
    }

    fn of(file: &File, folder: PathBuf) -> Result<Plan> {
        file.run.check_keys()?;
        let keys: Vec<String> = file.axes.iter().flat_map(Axis::keys).collect();
        if let Some((at, key)) = keys.iter().enumerate().find(|(at, key)| keys[..*at].contains(key))
        {
            bail!("{key} is set by two axes (keys {} and an earlier one)", at + 1);
        }
        let axes = file.axes.iter().map(Axis::steps).collect::<Result<Vec<_>>>()?;
        let count = axes.iter().try_fold(1, |all: usize, steps| all.checked_mul(steps.len()));
        let count = count.filter(|count| *count <= MOST_POINTS).with_context(|| {
            let lengths: Vec<String> = axes.iter().map(|steps| steps.len().to_string()).collect();
            format!(
                "{} points are more than the {MOST_POINTS} that a sweep may have",
                lengths.join(" x ")
            )
        })?;
        let read = |text: &String| Constraint::parse(text).with_context(|| told(text));
        let constraints = file.constraints.iter().map(read).collect::<Result<Vec<_>>>()?;
        let mut sources = Sources { folder: &folder, seen: BTreeMap::new() };
        let mut points = Vec::new();
        for number in 0..count {
            let settings = combination(&axes, number);
            let ask = file.run.with(&settings);
            let passes = constraints.iter().zip(&file.constraints);
            let passes = passes.map(|(c, text)| c.holds(&ask).with_context(|| told(text)));
            if passes.collect::<Result<Vec<_>>>()?.contains(&false) {
                continue;
            }
            let digest = sources.digest(&ask);
            points.push(Point { index: points.len(), digest, settings, ask });
        }
        if points.is_empty() {
            bail!("the constraints leave no point of {count}");
        }
        Ok(Plan { keys, points, folder })
    }
}

fn told(constraint: &str) -> String {
    format!("constraint `{constraint}`")
}

/// The steps of one combination: its number read with a digit for each axis.
fn combination(axes: &[Vec<Step>], number: usize) -> Step {
    let mut rest = number;
    let mut digits: Vec<&Step> = Vec::new();
    for steps in axes.iter().rev() {
        digits.push(&steps[rest % steps.len()]);
        rest /= steps.len();
    }
    digits.into_iter().rev().flatten().cloned().collect()
}

/// Files that points depend on, each looked at once.
struct Sources<'a> {
    folder: &'a Path,
    seen: BTreeMap<(String, String), String>,
}

impl Sources<'_> {
    /// A hash of what the point asks for, the files that it names, and the timing contract. Of weights, which are
    /// large, names and sizes enter.
    fn digest(&mut self, ask: &Ask) -> String {
        let mut hasher = blake3::Hasher::new();
        let mut part = |text: &str| {
            hasher.update(&(text.len() as u64).to_le_bytes()).update(text.as_bytes());
        };
        part(fabric::CONTRACT_VERSION);
        ask.line(Path::new("")).iter().for_each(|argument| part(argument));
        for key in ["model", "machine", "prompt_file"] {
            for name in named(ask.0.get(key)) {
                part(&self.content(key, name));
            }
        }
        hasher.finalize().to_hex()[..24].to_string()
    }

    fn content(&mut self, key: &str, name: String) -> String {
        let path = self.folder.join(&name);
        let read = || match key {
            "model" => model(&path),
            "machine" if !is_machine_file(&name) => String::new(),
            _ => fs::read(&path).map(|b| blake3::hash(&b).to_string()).unwrap_or_default(),
        };
        self.seen.entry((key.to_string(), name.clone())).or_insert_with(read).clone()
    }
}

fn named(value: Option<&Setting>) -> Vec<String> {
    match value {
        None => Vec::new(),
        Some(Setting::List(names)) => names.iter().map(Setting::to_string).collect(),
        Some(name) => vec![name.to_string()],
    }
}

/// The content of a model's small files, and the size of its large ones. A model that is not there has no content;
/// running it will say so.
fn model(path: &Path) -> String {
    let mut parts = Vec::new();
    for entry in fs::read_dir(path).into_iter().flatten().flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        let content = match name.as_str() {
            "config.json"
            | "generation_config.json"
            | "tokenizer.json"
            | "tokenizer_config.json" => {
                fs::read(entry.path()).map(|b| blake3::hash(&b).to_string()).unwrap_or_default()
            }
            name if name.ends_with(".safetensors") => {
                entry.metadata().map_or(0, |m| m.len()).to_string()
            }
            _ => continue,
        };
        parts.push(format!("{name} {content}"));
    }
    parts.sort();
    parts.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ask::parse_ron;

    fn plan(text: &str) -> Result<Plan> {
        Plan::of(&parse_ron(text).unwrap(), PathBuf::new())
    }

    fn refused(text: &str) -> String {
        format!("{:#}", plan(text).unwrap_err())
    }

    const TWO: &str = r#"(run: {"streams": 2}, axes: [
        List(key: "seed", values: [1, 2, 3]), List(key: "top_k", values: [1, 2])])"#;

    #[test]
    fn are_all_combinations_listed_the_last_axis_first() {
        let told =
            |text: &str| plan(text).unwrap().points.iter().map(Point::told).collect::<Vec<_>>();
        let all = told(TWO);
        assert_eq!(all[..3], ["seed=1 top_k=1", "seed=1 top_k=2", "seed=2 top_k=1"]);
        let kept = TWO.replace("])])", "])], constraints: [\"seed <= top_k\", \"streams == 2\"])");
        assert_eq!(told(&kept), ["seed=1 top_k=1", "seed=1 top_k=2", "seed=2 top_k=2"]);
    }

    #[test]
    fn does_a_points_digest_depend_on_the_point_alone() {
        let digests = |text: &str| {
            plan(text).unwrap().points.into_iter().map(|point| point.digest).collect::<Vec<_>>()
        };
        let (all, fewer) = (digests(TWO), digests(&TWO.replace("[1, 2, 3]", "[3]")));
        assert_eq!(all[4..], fewer);
        assert_ne!(all[0], all[1]);
    }

    #[test]
    fn are_sweeps_without_sense_refused() {
        let values: Vec<String> = (0..1_000).map(|n| n.to_string()).collect();
        let million = TWO.replace("[1, 2, 3]", &format!("[{}]", values.join(",")));
        let million = million.replace("[1, 2]", &format!("[{}]", values.join(",")));
        assert!(refused(&million).contains("1000 x 1000"), "{}", refused(&million));
        assert!(refused(&TWO.replace("top_k", "seed")).contains("two axes"));
        let with =
            |c: &str| refused(&TWO.replace("])])", &format!("])], constraints: [\"{c}\"])")));
        assert!(with("seed > 5").contains("no point of 6"));
        assert!(with("seed is 5").contains("KEY <= KEY"));
        assert!(with("sed > 5").contains("did you mean `seed`?"));
        assert!(with("min_p > 5").contains("min_p"));
    }
}
