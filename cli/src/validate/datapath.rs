//! Rates and setups of operations over memory, from the times of two lengths.

use super::cause;
use super::figure::{Measure, Published, add, exact, instead};
use super::job::Plan;
use super::probe::marked;
use super::row::Figure;
use anyhow::Result;
use fabric::Machine;

/// A rate with its setup, as published for a preset: elements per cycle, cycles.
struct Rate {
    what: &'static str,
    measure: Measure,
    setup: Option<(&'static str, Measure)>,
    published: Vec<Published>,
    setups: Vec<Published>,
}

/// Cycles of a line of code over vectors or matrices, declared as in a program, whose shapes have parameters.
fn timed(m: &Machine, memory: &[&str], code: &str, parameters: &[(&str, i64)]) -> Result<u64> {
    let defaults: String =
        parameters.iter().map(|(name, value)| format!("param {name} = {value}\n")).collect();
    let memory: String = memory.iter().map(|declared| format!("mem {declared}\n")).collect();
    let text = format!(
        "{defaults}program p {{
            {memory}
            task main activated:
                mark 1
                {code}
                mark 2
                end
        }}
        place p at (0, 0)"
    );
    marked(m, &text)
}

/// Cycles of a line of code over vectors `d` and `a` of `n` elements of a type.
fn cycles(m: &Machine, code: &str, dtype: &str, n: u32) -> Result<u64> {
    let vector = |name| format!("{name}: {dtype}[N]");
    timed(m, &[&vector("d"), &vector("a")], code, &[("N", i64::from(n))])
}

/// Cycles per element, and cycles beside them, from runs of `n` and `2 n` elements.
fn line(m: &Machine, code: &str, dtype: &str, n: u32) -> Result<(f64, f64)> {
    let (short, long) = (cycles(m, code, dtype, n)?, cycles(m, code, dtype, 2 * n)?);
    let slope = (long - short) as f64;
    Ok((slope / f64::from(n), short as f64 - slope))
}

/// Elements per cycle. `n` is a multiple of what every preset does in a whole number of cycles.
fn rate(m: &Machine, code: &str, dtype: &str, n: u32) -> Result<Figure> {
    let (short, long) = (cycles(m, code, dtype, n)?, cycles(m, code, dtype, 2 * n)?);
    Ok((f64::from(n) / (long - short) as f64).into())
}

fn setup(m: &Machine, code: &str, dtype: &str, n: u32) -> Result<Figure> {
    Ok(line(m, code, dtype, n)?.1.into())
}

const FMAC: &str = "fmac d, a, 0.5";
const COPY: &str = "mov d, a";
const ADD: &str = "add d, d, a";
const SUM: &str = "add.f32 r1, r1, a";

/// The sum is f32, the factors f16.
fn fmac_mixed(m: &Machine) -> Result<Figure> {
    let cycles = |n| timed(m, &["d: f32[N]", "a: f16[N]"], "fmac d, a, 0.5:f16", &[("N", n)]);
    Ok((1460.0 / (cycles(2920)? - cycles(1460)?) as f64).into())
}

fn rows(m: &Machine) -> Result<Figure> {
    let memory = ["d: f32[R, C]", "a: f32[R, C]"];
    let cycles = |r, c| timed(m, &memory, "mov d, a", &[("R", r), ("C", c)]);
    // The same elements in nine rows and in one.
    Ok(((cycles(9, 16)? - cycles(1, 144)?) as f64 / 8.0).into())
}

/// Multiply-adds per cycle of tiles of 32 rows, from one of 64 columns and one of 128.
fn gemv(m: &Machine) -> Result<Figure> {
    let memory = ["y: f16[32]", "a: f16[K, 32]", "x: f16[K]"];
    let cycles = |k| timed(m, &memory, "fmac y{0, 1}, a, x{1, 0}", &[("K", k)]);
    Ok((64.0 * 32.0 / (cycles(128)? - cycles(64)?) as f64).into())
}

fn rates() -> Vec<Rate> {
    let by_port = |preset, source, published: f64, port: f64| {
        instead(preset, source, published, (port, cause::PORT))
    };
    vec![
        Rate {
            what: "f16 multiply-add",
            measure: |m| rate(m, FMAC, "f16", 1460),
            setup: Some(("setup of an f16 multiply-add", |m| setup(m, FMAC, "f16", 1460))),
            published: vec![
                exact("wse2", "SDK", 4u64),
                exact("wse3", "CS3", 2.92),
                exact("wse3-sdk", "SIM", 3.94).near(),
            ],
            setups: vec![exact("wse2", "SIM", 1u64), exact("wse3", "CS3", 16u64)],
        },
        Rate {
            what: "f16 × f16 → f32 multiply-add",
            measure: fmac_mixed,
            setup: None,
            published: vec![exact("wse2", "SDK", 2u64)],
            setups: vec![],
        },
        Rate {
            what: "f32 multiply-add",
            measure: |m| rate(m, FMAC, "f32", 1000),
            setup: Some(("setup of an f32 multiply-add", |m| setup(m, FMAC, "f32", 1000))),
            published: vec![exact("wse2", "SIM", 1u64), exact("wse3", "CS3", 0.5)],
            setups: vec![exact("wse2", "SIM", 1u64), exact("wse3", "CS3", 17u64)],
        },
        Rate {
            what: "f16 copy",
            measure: |m| rate(m, COPY, "f16", 1928),
            setup: Some(("setup of a copy", |m| setup(m, COPY, "f16", 1928))),
            published: vec![
                exact("wse2", "SDK", 4u64),
                by_port("wse3", "CS3", 4.82, 4.0),
                by_port("wse3-sdk", "SIM", 8.0, 4.0),
            ],
            setups: vec![exact("wse2", "SIM", 1u64), exact("wse3", "CS3", 15u64)],
        },
        Rate {
            what: "f32 copy",
            measure: |m| rate(m, COPY, "f32", 1952),
            setup: None,
            published: vec![
                exact("wse2", "SDK", 2u64),
                by_port("wse3", "CS3", 2.44, 2.0),
                by_port("wse3-sdk", "SIM", 4.0, 2.0),
            ],
            setups: vec![],
        },
        Rate {
            what: "f16 add",
            measure: |m| rate(m, ADD, "f16", 1928),
            setup: None,
            published: vec![
                exact("wse2", "SDK", 4u64),
                by_port("wse3", "SDK", 8.0, 4.0),
                exact("wse3-sdk", "SIM", 3.96).near(),
            ],
            setups: vec![],
        },
        Rate {
            what: "f32 add",
            measure: |m| rate(m, ADD, "f32", 1952),
            setup: None,
            published: vec![exact("wse2", "SDK", 2u64), by_port("wse3", "SDK", 4.0, 2.0)],
            setups: vec![],
        },
    ]
}

/// Adds all of them.
pub(super) fn plan(plan: &mut Plan) {
    plan.section(
        "Datapath",
        "From the times of operations over memory of two lengths: elements per cycle, and the cycles beside them.",
    );
    for Rate { what, measure, setup, published, setups } in rates() {
        add(plan, (what, "elements/cycle"), measure, published);
        if let Some((what, measure)) = setup {
            add(plan, (what, "cycles"), measure, setups);
        }
    }
    let fold =
        [exact("wse2", "SIM", 2u64), exact("wse3", "SIM", 2u64), exact("wse3-sdk", "SIM", 2u64)];
    let per_element: Measure = |m| Ok(line(m, SUM, "f32", 100)?.0.into());
    add(plan, ("reduction to a scalar", "cycles/element"), per_element, fold);
    let fold = [exact("wse3-sdk", "SIM", 8u64)];
    add(plan, ("setup of a reduction to a scalar", "cycles"), |m| setup(m, SUM, "f32", 100), fold);
    let recip: Measure = |m| Ok(line(m, "recip d, a", "f32", 100)?.0.into());
    let division = [exact("wse2", "SDK", 50u64), exact("wse3", "SDK", 50u64)];
    add(plan, ("division", "cycles/element"), recip, division);
    add(
        plan,
        ("a row after the first of an operation", "cycles"),
        rows,
        [exact("wse3-sdk", "SIM", 9u64)],
    );
    let tile = [exact("wse3-sdk", "SIM", 1.9).near().see(cause::ROWS)];
    add(plan, ("GEMV on one tile, f16", "multiply-adds/cycle"), gemv, tile);
}
