//! What other programs read of a check: JUnit, github-action-benchmark, a job's summary.

use super::{Checked, Verdict};
use anyhow::{Context as _, Result};
use serde_json::json;
use std::fmt::Write as _;
use std::fs::OpenOptions;
use std::io::Write as _;

/// The check as JUnit has it: a test case for each baseline.
pub(super) fn junit(all: &[Checked]) -> String {
    let wrong = |checked: &&Checked| !checked.verdict.is_equal() && checked.failure().is_none();
    let failures = all.iter().filter(wrong).count();
    let errors = all.iter().filter_map(Checked::failure).count();
    let mut text = format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuites>\n<testsuite name=\"wafersim check\" tests=\"{}\" failures=\"{failures}\" errors=\"{errors}\">\n",
        all.len()
    );
    for checked in all {
        let (name, seconds) = (escaped(&checked.name), checked.seconds);
        let _ =
            write!(text, "<testcase classname=\"wafersim\" name=\"{name}\" time=\"{seconds:.3}\"");
        let word = escaped(&checked.verdict.word());
        let body = match &checked.verdict {
            Verdict::Equal => {
                text.push_str("/>\n");
                continue;
            }
            Verdict::Failed(failure) => {
                let told = escaped(&failure.to_string());
                format!("<error message=\"{word}\">{told}</error>")
            }
            Verdict::Moved(list) => {
                let lines: Vec<String> = list
                    .iter()
                    .flat_map(|change| change.rows())
                    .map(|row| row.join("  "))
                    .collect();
                let told = escaped(&lines.join("\n"));
                format!("<failure type=\"moved\" message=\"{word}\">{told}</failure>")
            }
            Verdict::OtherContract { .. } => {
                format!("<failure type=\"contract\" message=\"{word}\"/>")
            }
            Verdict::New => format!("<failure type=\"new\" message=\"{word}\"/>"),
        };
        let _ = writeln!(text, ">{body}</testcase>");
    }
    text + "</testsuite>\n</testsuites>\n"
}

/// As XML has it; characters that it cannot have at all are left out.
fn escaped(text: &str) -> String {
    let mut out = String::new();
    for c in text.chars() {
        match c {
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '&' => out.push_str("&amp;"),
            '"' => out.push_str("&quot;"),
            '\n' | '\t' => out.push(c),
            c if c.is_control() || matches!(c, '\u{fffe}' | '\u{ffff}') => {}
            c => out.push(c),
        }
    }
    out
}

/// The figures as github-action-benchmark takes them.
///
/// # Errors
/// None in practice: figures are plain data.
pub(super) fn benchmark(all: &[Checked]) -> Result<String> {
    let mut entries = Vec::new();
    for checked in all {
        for (name, unit, value) in checked.found.iter().flat_map(|found| found.figures()) {
            let name = format!("{}: {name}", checked.name);
            entries.push(json!({ "name": name, "unit": unit, "value": value }));
        }
    }
    Ok(serde_json::to_string_pretty(&entries)? + "\n")
}

/// Appends a table to the summary of a GitHub job, where there is one.
///
/// # Errors
/// A summary that cannot be written.
pub(super) fn append_summary(all: &[Checked]) -> Result<()> {
    let Some(path) = std::env::var_os("GITHUB_STEP_SUMMARY").filter(|path| !path.is_empty()) else {
        return Ok(());
    };
    let file = OpenOptions::new().append(true).create(true).open(&path);
    let written = file.and_then(|mut file| file.write_all(markdown(all).as_bytes()));
    written.with_context(|| format!("{} could not be written", path.display()))
}

fn markdown(all: &[Checked]) -> String {
    let mut text = String::from(
        "### wafersim check\n\n| baseline | what | expected | found | change | |\n|---|---|--:|--:|--:|--:|\n",
    );
    for checked in all {
        let name = cell(&checked.name);
        match &checked.verdict {
            Verdict::Moved(list) => {
                for row in list.iter().flat_map(|change| change.rows()) {
                    let cells: Vec<String> = row.iter().map(|text| cell(text)).collect();
                    let _ = writeln!(text, "| {name} | {} |", cells.join(" | "));
                }
            }
            Verdict::Failed(failure) => {
                let told = cell(&failure.to_string());
                let _ = writeln!(text, "| {name} | failed: {told} | | | | |");
            }
            other => {
                let _ = writeln!(text, "| {name} | {} | | | | |", cell(&other.word()));
            }
        }
    }
    text + "\n"
}

fn cell(text: &str) -> String {
    text.replace('|', "\\|").replace('\n', " ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn is_text_escaped_for_xml_and_tables() {
        assert_eq!(escaped("a<b> & \"c\"\u{1b}\n"), "a&lt;b&gt; &amp; &quot;c&quot;\n");
        assert_eq!(cell("a|b\nc"), "a\\|b c");
    }
}
