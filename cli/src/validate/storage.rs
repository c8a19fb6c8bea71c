//! What a tile holds: queues, SRAM, colors, switch positions, microthreads. Found by filling them, or by asking for
//! more until it is refused.

use super::cause;
use super::figure::{add, exact};
use super::job::Plan;
use super::probe::{probe, read};
use super::row::Figure;
use anyhow::Result;
use fabric::{Machine, Port};

/// A PE that binds input queue Q and never reads it, while the host sends.
fn unread(queue: usize) -> String {
    format!(
        "color c
        program p {{
            in {}c
            task main activated:
                end
        }}
        place p at (0, 0)
        route c: W -> R at (0, 0)
        host in feed: c at (0, 0) W
        send feed: u32[100] = i",
        "none, ".repeat(queue)
    )
}

/// A PE that sends through output queue Q into a router whose switch never takes from it.
fn unsent(queue: usize) -> String {
    format!(
        "color c
        program p {{
            out {}c
            mem v: f32[100]
            task main activated:
                mov out(c), v
                end
        }}
        place p at (0, 0)
        route c: W -> N | R -> N at (0, 0)
        host in feed: c at (0, 0) W
        host out sink: c at (0, 0) N",
        "none, ".repeat(queue)
    )
}

/// Adds all of them.
pub(super) fn plan(plan: &mut Plan) {
    plan.section(
        "Storage",
        "Queues are filled until nothing moves; of the rest, the largest that is not refused.",
    );
    let list = |preset, words: [u64; 8]| {
        exact(preset, "Q", Figure::List(words.to_vec())).see(cause::QUEUES)
    };
    let inputs = [list("wse2", [6, 6, 4, 4, 2, 2, 2, 2]), list("wse3", [8, 8, 4, 4, 4, 4, 4, 4])];
    add(plan, ("input queues", "words"), input_queues, inputs);
    let outputs = [
        exact("wse2", "Q", Figure::List(vec![2, 2, 6, 6, 2, 2])).see(cause::QUEUES),
        list("wse3", [8; 8]),
    ];
    add(plan, ("output queues", "words"), output_queues, outputs);
    let both = |source, value: u64| ["wse2", "wse3"].map(|preset| exact(preset, source, value));
    add(
        plan,
        ("SRAM for code and data: 48 KiB less 4,176", "bytes"),
        sram,
        both("SDK, measured", 44_976),
    );
    add(plan, ("colors", "colors"), |m| largest(m, 0, color), both("SDK", 24));
    add(
        plan,
        ("switch positions of a color", "positions"),
        |m| largest(m, 1, positions),
        both("SDK", 4),
    );
    add(plan, ("microthreads", "threads"), |m| largest(m, 0, microthread), both("SDK", 8));
}

/// Words in each input queue. Words on the ramp are in the same FIFO (rule F-4).
fn input_queues(m: &Machine) -> Result<Figure> {
    let held = |queue| Ok(probe(m, &unread(queue), &[])?.waiting(0, None)? - m.pe.ramp_cycles);
    let queues = (0..m.pe.input_queues.len()).map(held);
    Ok(Figure::List(queues.collect::<Result<_>>()?))
}

/// Words in each output queue: what the PE got rid of less what stands at the router.
fn output_queues(m: &Machine) -> Result<Figure> {
    let held = |queue| {
        let seen = probe(m, &unsent(queue), &[])?;
        Ok(seen.outcome.state.pes[0].wavelets_out - seen.waiting(0, Some(Port::Ramp))?)
    };
    let queues = (0..m.pe.output_queues.len()).map(held);
    Ok(Figure::List(queues.collect::<Result<_>>()?))
}

/// Bytes of code and data of the largest program.
fn sram(m: &Machine) -> Result<Figure> {
    let text = "param N = 1
        program p { mem v: f32[N]
            task main activated:
                end }
        place p at (0, 0)";
    let bytes = |n: i64| {
        let kernel = read(m, text, &[("N", n)]).ok()?;
        let code: u32 = kernel.image.programs.iter().map(|p| p.code_bytes()).sum();
        Some(u64::from(code) + 4 * n as u64)
    };
    let (mut good, mut bad) = (1, 1 << 20);
    while bad - good > 1 {
        let middle = (good + bad) / 2;
        if bytes(middle).is_some() { good = middle } else { bad = middle }
    }
    Ok(bytes(good).unwrap_or(0).into())
}

/// How many of something there are, the first being `from`: texts that ask for one more until one is refused.
fn largest(m: &Machine, from: u64, text: fn(u64) -> String) -> Result<Figure> {
    read(m, &text(from), &[])?;
    let refused = (from..100).find(|&k| read(m, &text(k), &[]).is_err());
    let count = refused.unwrap_or(100);
    // Numbers from 0 are as many as the first that is refused; counts from 1 are one less.
    Ok((count - from).into())
}

fn color(k: u64) -> String {
    format!(
        "color c = {k}
        route c: W -> N at (0, 0)
        host in a: c at (0, 0) W
        host out b: c at (0, 0) N"
    )
}

fn positions(k: u64) -> String {
    let position = |at| if at % 2 == 0 { "W -> N" } else { "N -> W" };
    let positions = (0..k).map(position).collect::<Vec<_>>().join(" | ");
    format!(
        "color c
        route c: {positions} at (0, 0)
        host in west: c at (0, 0) W
        host out away: c at (0, 0) N
        if {k} > 1 {{
            host in north: c at (0, 0) N
            host out back: c at (0, 0) W
        }}"
    )
}

fn microthread(k: u64) -> String {
    format!(
        "color c
        program p {{
            mem v: f32[1]
            task main activated:
                mov v, in(c) async {k}
                end
        }}
        place p at (0, 0)
        route c: W -> R at (0, 0)
        host in feed: c at (0, 0) W"
    )
}
