//! The linter's findings, for people: warnings as they are printed, errors as one failure.

use crate::failure::warning;
use anyhow::{Result, bail};
use fabric::Finding;

/// Warnings about a program that are shown; the rest are counted.
const SHOWN: usize = 16;

/// Prints the warnings among the findings about the program called `name`, and refuses one with errors.
///
/// # Errors
/// All errors, each with its kind and cure.
pub(crate) fn judge(findings: Vec<Finding>, name: &str, quiet: bool) -> Result<()> {
    let (errors, warnings): (Vec<_>, Vec<_>) = findings.into_iter().partition(|f| f.error);
    if !quiet {
        tell(&warnings, name, SHOWN);
    }
    if errors.is_empty() {
        return Ok(());
    }
    let told: Vec<String> = errors.iter().map(|e| format!("\n{e}").replace('\n', "\n  ")).collect();
    bail!("{name} cannot run:{}", told.concat())
}

/// Prints up to `most` warnings.
pub(crate) fn tell(warnings: &[Finding], name: &str, most: usize) {
    lines(warnings, name, most).iter().for_each(|(kind, text)| warning(kind, text));
}

/// What is printed: the kind of each warning, nothing where the rest is counted, and its text.
fn lines(warnings: &[Finding], name: &str, most: usize) -> Vec<(String, String)> {
    let told = |f: &Finding| {
        (
            format!("[{}]", f.kind),
            format!("{name}: tile {}: {}\n  cure: {}", f.at, f.message, f.kind.cure()),
        )
    };
    let mut shown: Vec<_> = warnings.iter().take(most).map(told).collect();
    if warnings.len() > most {
        shown.push((String::new(), format!("{name}: and {} more", warnings.len() - most)));
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    fn finding(error: bool, x: u32) -> Finding {
        Finding {
            kind: fabric::lint::Kind::RouteLoop,
            error,
            at: fabric::PeCoord::new(x, 0),
            message: format!("m{x}"),
        }
    }

    #[test]
    fn are_all_errors_one_failure_and_warnings_none() {
        assert!(judge((0..20).map(|x| finding(false, x)).collect(), "k", true).is_ok());
        let found = (0..40).map(|x| finding(x > 0, x)).collect();
        let told = judge(found, "k", true).expect_err("there are errors").to_string();
        let first = "k cannot run:\n  error[route-loop]: tile (1,0): m1\n    cure: end the route";
        assert!(told.starts_with(first), "{told}");
        assert_eq!(told.matches("error[route-loop]").count(), 39);
    }

    #[test]
    fn are_warnings_told_with_kind_and_cure_and_the_rest_counted() {
        let warnings: Vec<_> = (0..20).map(|x| finding(false, x)).collect();
        let lines = lines(&warnings, "k", 16);
        assert_eq!(lines.len(), 17);
        assert_eq!(lines[1].0, "[route-loop]");
        assert!(lines[1].1.starts_with("k: tile (1,0): m1\n  cure: end the route"), "{lines:?}");
        assert_eq!(lines[16], (String::new(), "k: and 4 more".to_string()));
    }
}
