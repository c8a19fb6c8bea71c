//! Does every published figure come out as the validation page says, and is that page the one that the command makes?

mod call;

use serde_json::Value;
use std::path::Path;
use std::sync::LazyLock;

/// The page and the document of the fast part, of one call.
static FAST: LazyLock<(String, Value)> = LazyLock::new(|| {
    let folder = tempfile::tempdir().expect("there is room for a file");
    let page = folder.path().join("page.md");
    let name = page.to_str().expect("the path is UTF-8");
    let call = call::wafersim(&["validate", "--fast", "--json", "-o", name]);
    assert_eq!(call.code, Some(0), "{}", call.err);
    let page = std::fs::read_to_string(&page).expect("the page was written");
    (page, serde_json::from_str(&call.out).expect("one JSON document"))
});

fn committed() -> String {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/src/validation.md");
    std::fs::read_to_string(page).expect("the page is there")
}

/// Rows of sections, each with its heading; the summary and the legend come before the first section.
fn rows(page: &str) -> Vec<String> {
    let mut heading = "";
    let mut found = Vec::new();
    let sections = page.split_once("\n## Broadcast").expect("the first section").1;
    for line in sections.lines() {
        if let Some(title) = line.strip_prefix("## ") {
            heading = title;
        } else if line.starts_with("| ") {
            found.push(format!("{heading}: {line}"));
        }
    }
    found
}

#[test]
fn do_all_fast_rows_stand_on_the_committed_page() {
    let page = rows(&committed());
    let mut rest = page.iter();
    for row in rows(&FAST.0) {
        assert!(
            rest.any(|line| *line == row),
            "docs/src/validation.md is not what the command makes now: {row}\n\
             make it again with `wafersim validate -o docs/src/validation.md`, and read what changed"
        );
    }
}

#[test]
fn was_the_whole_page_made_under_this_contract() {
    let page = committed();
    let made = format!(
        "Made by `wafersim validate`, timing contract version {};",
        fabric::CONTRACT_VERSION
    );
    assert!(page.contains(&made), "the page is the whole one, of this contract: {made}");
    let text = |page: &str| page.split_once("## How to read it").expect("a legend").1.to_string();
    let prose = |page: &str| -> Vec<String> {
        text(page).lines().filter(|l| !l.starts_with('|')).map(String::from).collect()
    };
    assert_eq!(prose(&page), prose(&FAST.0), "text around the tables");
}

#[test]
fn does_the_summary_count_the_rows() {
    let page = committed();
    let line = page.lines().find(|line| line.starts_with("| **all** |")).expect("a summary");
    let counts: Vec<usize> = line.split('|').filter_map(|cell| cell.trim().parse().ok()).collect();
    let [all, exact, near, more, outside] = counts[..] else { panic!("five counts: {line}") };
    // Rows but for the heads of tables.
    let found = rows(&page)
        .iter()
        .filter(|r| !r.contains(": | P |") && !r.contains(": | preset |"))
        .count();
    assert_eq!((all, outside), (found, 0));
    assert_eq!(exact + near + more, all);
}

#[test]
fn does_the_document_say_what_the_page_says() {
    let (page, document) = &*FAST;
    assert_eq!(document["schema"], "wafersim.validate/1");
    assert_eq!(document["contract"], fabric::CONTRACT_VERSION);
    let sections = document["sections"].as_array().expect("sections");
    let count: usize = sections.iter().map(|s| s["rows"].as_array().map_or(0, Vec::len)).sum();
    assert_eq!(document["summary"]["rows"], count);
    assert!(page.contains(&format!("| **all** | {count} |")));
    let message = sections.iter().flat_map(|s| s["rows"].as_array().expect("rows"));
    let nineteen =
        |row: &&Value| row["what"].as_str().is_some_and(|w| w.starts_with("eight words"));
    let row = message.clone().find(nineteen).expect("the message of eight words");
    assert_eq!((&row["published"], &row["simulated"]), (&19.0.into(), &19.0.into()));
}

#[test]
fn does_a_page_that_cannot_be_written_end_with_an_error() {
    let call = call::wafersim(&["validate", "--fast", "--quiet", "-o", "/nowhere/page.md"]);
    assert_eq!((call.code, call.out.as_str()), (Some(1), ""));
    assert!(call.err.contains("/nowhere/page.md cannot be written"), "{}", call.err);
}
