//! The validation as a Markdown page, as a JSON document, and as a table of what is wrong.

use super::cause::CAUSES;
use super::row::{Allowed, Figure, Row, Section, Standing, TOLERANCE};
use crate::figures::grouped;
use crate::summary::STYLE;
use comfy_table::Table;
use serde::Serialize;
use std::fmt::Write as _;

/// Name of the schema.
const SCHEMA: &str = "wafersim.validate/1";

/// The whole document. Fields stand in the order in which they are printed; keys may be added, never renamed.
#[derive(Debug, Serialize)]
pub(super) struct Validation {
    schema: &'static str,
    contract: &'static str,
    wafersim: &'static str,
    /// Whether slow rows were left out.
    fast: bool,
    summary: Counts,
    sections: Vec<Section>,
    /// Cause 1 first.
    causes: [&'static str; CAUSES.len()],
}

/// How many rows came how near.
#[derive(Debug, Clone, Copy, Default, Serialize)]
struct Counts {
    rows: usize,
    exact: usize,
    near: usize,
    explained: usize,
    wrong: usize,
}

impl Counts {
    fn of(section: &Section) -> Counts {
        let count = |standing| section.rows.iter().filter(|r| r.standing() == standing).count();
        Counts {
            rows: section.rows.len(),
            exact: count(Standing::Exact),
            near: count(Standing::Near),
            explained: count(Standing::Explained),
            wrong: count(Standing::Wrong),
        }
    }

    fn plus(self, other: Counts) -> Counts {
        Counts {
            rows: self.rows + other.rows,
            exact: self.exact + other.exact,
            near: self.near + other.near,
            explained: self.explained + other.explained,
            wrong: self.wrong + other.wrong,
        }
    }
}

impl Validation {
    /// Counts and keeps the rows.
    pub(super) fn of(sections: Vec<Section>, fast: bool) -> Validation {
        let summary = sections.iter().map(Counts::of).fold(Counts::default(), Counts::plus);
        Validation {
            schema: SCHEMA,
            contract: fabric::CONTRACT_VERSION,
            wafersim: env!("CARGO_PKG_VERSION"),
            fast,
            summary,
            sections,
            causes: CAUSES,
        }
    }

    /// A table of the rows that lie outside what they are allowed; none if there are none.
    pub(super) fn wrong(&self) -> Option<String> {
        let mut table = Table::new();
        table.load_style(STYLE);
        table.set_header([
            "section",
            "preset",
            "what",
            "published",
            "contract",
            "simulated",
            "allowed",
        ]);
        let rows = self.sections.iter().flat_map(|s| s.rows.iter().map(move |r| (s, r)));
        let mut count = 0;
        for (section, row) in rows.filter(|(_, r)| r.standing() == Standing::Wrong) {
            count += 1;
            let contract = row.contract.map_or(String::new(), number);
            let [published, simulated] = [&row.published, &row.simulated].map(figure);
            let (preset, what) = (row.preset.to_string(), row.what.clone());
            let title = section.title.to_string();
            table.add_row([title, preset, what, published, contract, simulated, allowed(row)]);
        }
        (count > 0).then(|| {
            let rows = if count == 1 { "row lies" } else { "rows lie" };
            format!("{count} {rows} outside what is allowed\n{table}")
        })
    }

    /// The page.
    pub(super) fn markdown(&self) -> String {
        let mut out = format!(
            "# Validation\n\n\
             Made by `wafersim validate{}`, timing contract version {}; not edited by hand. \
             [How to read it](#how-to-read-it) stands below the summary.\n\n",
            if self.fast { " --fast" } else { "" },
            self.contract
        );
        self.summarise(&mut out);
        out.push_str(READING);
        for section in self.sections.iter().filter(|s| !s.rows.is_empty()) {
            table(section, &mut out);
        }
        out.push_str("\n## Causes\n\n");
        for (at, cause) in CAUSES.iter().enumerate() {
            let _ = writeln!(out, "{}. {cause}", at + 1);
        }
        out
    }

    fn summarise(&self, out: &mut String) {
        out.push_str("| | rows | exact | within 5 % | more, with a cause | outside |\n|---|--:|--:|--:|--:|--:|\n");
        let mut line = |name: &str, c: Counts| {
            let Counts { rows, exact, near, explained, wrong } = c;
            let _ = writeln!(out, "| {name} | {rows} | {exact} | {near} | {explained} | {wrong} |");
        };
        for section in self.sections.iter().filter(|s| !s.rows.is_empty()) {
            line(section.title, Counts::of(section));
        }
        line("**all**", self.summary);
    }
}

const READING: &str = "
## How to read it

Each row is a program that the engine ran, on the preset that the figure's source belongs to, cut to the PEs at work. \
*Published* is the formula's or the source's figure, *simulated* what came out, *difference* the second less the first. Where the \
[timing contract](contract.md) makes another number of the same program than the formula does, that number stands under *contract*, \
computed without running anything, and *allowed* says how near to it the run must come: a row whose cause \
did not predict its difference would be outside, and the command would end with exit code 3.

| allowed | the simulated figure must be |
|---|---|
| = | the published one |
| 5 % | within 5 % of it |
| = contract | the one under *contract*, whatever the difference |
| contract + n | at least the one under *contract*, and at most n more |

All sizes of the grids are legal here; two-phase reduce takes squares, since the formula has √P groups of √P. \
The authors of the formulas report them within 4 % of a CS-2 as a rule. Cycles of collectives are *work*: from the first step to the end of the last one, which is what the formulas count. Sources: HPDC \
(Luczynski et al., *Near-Optimal Wafer-Scale Reduce*, HPDC 2024, arXiv 2404.15888; a WSE-2, T_R = 2), CS3 and SIM (FABRICA, \
docs/PERFORMANCE_MODEL.md: measurements of a CS-3, and readings of the vendor's simulator), SDK (the vendor's documentation \
and examples), Q (pedronahum/cerebras-csl-skills).

Not here, since no program can show them: clock, grid, power. Not modelled: links between wafers ([deviations](deviations.md)). Costs of \
`exp`, `rsqrt`, `tanh`, `sin`, `queue_depth` and `credit_cycles` have no public source.
";

fn table(section: &Section, out: &mut String) {
    let _ = writeln!(out, "\n## {}\n\n{}\n", section.title, section.about);
    let first = &section.rows[0];
    // Rows of a formula share preset, source and unit.
    let grid = sizes(&first.what);
    let alike = |r: &Row| r.preset == first.preset && sizes(&r.what).is_some();
    let shared = grid.is_some() && section.rows.iter().all(alike);
    let head = if shared { "| P | B |" } else { "| preset | what | unit | source |" };
    let columns = "published | contract | simulated | difference | % | allowed | cause |";
    let rule = if shared { "|--:|--:|" } else { "|---|---|---|---|" };
    // What a formula says, and the difference from it, stand with their points below one another.
    let is_whole = |r: &Row| matches!(r.published, Figure::Number(value) if value.fract() == 0.0);
    let places = u32::from(!section.rows.iter().all(is_whole));
    let of_formula = |value| if shared { fixed(value, places) } else { number(value) };
    let _ = writeln!(out, "{head} {columns}\n{rule}--:|--:|--:|--:|--:|---|---|");
    for row in &section.rows {
        let name = match sizes(&row.what).filter(|_| shared) {
            Some(sizes) => sizes.map(grouped).join(" | "),
            None => [row.preset, &row.what, row.unit, row.source].join(" | "),
        };
        let published = match row.published {
            Figure::Number(value) => of_formula(value),
            Figure::List(_) => figure(&row.published),
        };
        let contract = row.contract.map_or(String::new(), number);
        let simulated = figure(&row.simulated);
        let difference = signed(of_formula(row.difference()));
        let percent = row.relative().map_or(String::new(), |r| signed(fixed(100.0 * r, 1)));
        let cause = row.cause.map_or(String::new(), |c| c.to_string());
        let _ = writeln!(
            out,
            "| {name} | {published} | {contract} | {simulated} | {difference} | {percent} | {} | {cause} |",
            allowed(row)
        );
    }
}

/// P and B of a row of a formula.
fn sizes(what: &str) -> Option<[u64; 2]> {
    let (p, b) = what.strip_prefix("P = ")?.split_once(", B = ")?;
    Some([p.parse().ok()?, b.parse().ok()?])
}

fn allowed(row: &Row) -> String {
    match row.allowed {
        Allowed::Exact => "=".to_string(),
        Allowed::Near => format!("{} %", 100.0 * TOLERANCE),
        Allowed::Contract | Allowed::Above(0.0) => "= contract".to_string(),
        Allowed::Above(more) => format!("contract + {}", number(more)),
    }
}

fn figure(figure: &Figure) -> String {
    match figure {
        Figure::Number(value) => number(*value),
        Figure::List(values) => values.iter().map(u64::to_string).collect::<Vec<_>>().join(" "),
    }
}

/// With groups of three digits, and so many places behind the point.
fn fixed(value: f64, places: u32) -> String {
    let parts = 10u64.pow(places);
    let rounded = (value.abs() * parts as f64).round() as u64;
    let sign = if value < 0.0 && rounded > 0 { "−" } else { "" };
    let (whole, rest, width) = (grouped(rounded / parts), rounded % parts, places as usize);
    if places == 0 { format!("{sign}{whole}") } else { format!("{sign}{whole}.{rest:0width$}") }
}

/// With groups of three digits, and three places behind the point at most.
fn number(value: f64) -> String {
    fixed(value, 3).trim_end_matches('0').trim_end_matches('.').to_string()
}

/// A written number with its sign, if it is not zero.
fn signed(text: String) -> String {
    let is_zero = !text.contains(|c: char| c.is_ascii_digit() && c != '0');
    if is_zero || text.starts_with('−') { text } else { format!("+{text}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn are_wrong_rows_told_in_a_table() {
        let row = |simulated: f64| Row {
            preset: "wse2",
            what: "P = 4, B = 1".into(),
            unit: "cycles",
            source: "HPDC",
            published: Figure::Number(9.5),
            contract: None,
            simulated: Figure::Number(simulated),
            allowed: Allowed::Exact,
            cause: None,
        };
        let of = |rows| Validation::of(vec![Section { title: "Star", about: "", rows }], false);
        assert_eq!(of(vec![row(9.5)]).wrong(), None);
        let told = of(vec![row(9.5), row(1234.0)]).wrong().expect("a row is wrong");
        assert!(told.starts_with("1 row lies outside what is allowed\n"), "{told}");
        assert!(told.contains("1,234") && told.contains("Star"), "{told}");
        let page = of(vec![row(9.5), row(1234.0)]).markdown();
        assert!(page.contains("| Star | 2 | 1 | 0 | 0 | 1 |"), "{page}");
        assert!(
            page.contains("| 4 | 1 | 9.5 |  | 1,234 | +1,224.5 | +12,889.5 | = |  |"),
            "{page}"
        );
    }

    #[test]
    fn are_numbers_written_for_people() {
        let cases = [(0.0, "0"), (-0.0001, "0"), (1234567.5, "1,234,567.5"), (-2.25, "−2.25")];
        for (value, text) in cases {
            assert_eq!(number(value), text);
        }
        let cases = [(0.04, 1, "0.0"), (-0.04, 1, "0.0"), (-1234.06, 1, "−1,234.1"), (7.5, 0, "8")];
        for (value, places, text) in cases {
            assert_eq!(fixed(value, places), text);
        }
        let signs = [0.0001, 3.0, -3.0].map(|value| signed(number(value)));
        assert_eq!(signs, ["0", "+3", "−3"]);
    }
}
