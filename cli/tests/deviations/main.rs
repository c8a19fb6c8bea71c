//! Do the known deviations from real hardware (docs, "Known deviations") still exist? A test that fails here says that a gap
//! was closed: take the entry off the page, and the test with it.

mod harness;
mod pe;
mod system;
mod wires;

use std::collections::BTreeSet;
use std::path::Path;

fn read(path: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
    std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

#[test]
fn has_each_deviation_of_the_page_a_test_and_each_test_an_entry() {
    let page = read("../docs/src/deviations.md");
    let number = |line: &str| line.strip_prefix("| ")?.split(' ').next()?.parse::<u32>().ok();
    let listed: Vec<u32> = page.lines().filter_map(number).collect();
    let expected: Vec<u32> = (1..=listed.len() as u32).collect();
    assert_eq!(listed, expected, "numbered without gaps");
    let sources =
        ["pe", "wires", "system"].map(|name| read(&format!("tests/deviations/{name}.rs")));
    let tests = sources.iter().flat_map(|text| text.lines());
    let tested = tests.filter_map(|line| line.strip_prefix("fn deviation_"));
    let tested: Vec<u32> = tested.filter_map(|rest| rest.split('_').next()?.parse().ok()).collect();
    let unique: BTreeSet<u32> = tested.iter().copied().collect();
    assert_eq!(unique.len(), tested.len(), "one test each: {tested:?}");
    assert_eq!(unique.into_iter().collect::<Vec<_>>(), listed);
}
