//! Latencies of links, ramps and tasks, each measured by a program.

use super::cause;
use super::figure::{add, exact, instead};
use super::job::Plan;
use super::probe::{kernel_cycles, marked, probe};
use super::row::Figure;
use anyhow::{Result, ensure};
use fabric::Machine;

/// Words of the host go through one tile, straight on or around a bend.
pub(super) const THROUGH: &str = "
param BEND = 0
color c
route c: W -> E at (0..2, 0)
if BEND { route c: W -> S at (2, 0)
          route c: N -> S at (2, 1)
          host out h: c at (2, 1) S }
else    { route c: W -> E at (2..4, 0)
          host out h: c at (3, 0) E }
host in feed: c at (0, 0) W
send feed: u32[1] at 100 = 1";

/// A PE sends a word to the host.
const OUT: &str = "
color c
program p {
    mem v: f32[1] = 1
    task main activated:
        mark 1
        mov out(c), v
        end
}
place p at (0, 0)
route c: R -> W at (0, 0)
host out h: c at (0, 0) W";

/// A PE receives words from the host, the first of which stands at the edge at 100; its end activates a task.
const IN: &str = "
param B = 1
color c
program p {
    mem v: f32[B]
    task main activated:
        mov v, in(c) async 0 activate done
        end
    task done:
        mark 1
        end
}
place p at (0, 0)
route c: W -> R at (0, 0)
host in feed: c at (0, 0) W
send feed: f32[B] at 100 = 1";

/// A PE waits for a word of the host, in its main thread.
const WAIT: &str = "
color c
program p {
    mem v: f32[1]
    task main activated:
        mov v, in(c)
        mark 1
        end
}
place p at (0, 0)
route c: W -> R at (0, 0)
host in feed: c at (0, 0) W
send feed: f32[1] at 100 = 1";

/// A task activates another; scalar instructions of one cycle stand between the marks.
const ACTIVATE: &str = "
program p {
    task main activated:
        mark 1
        activate next
        mark 2
        end
    task next:
        mark 3
        end
}
place p at (0, 0)";

/// A task for every word of the host.
const DATA_TASK: &str = "
color c
program p {
    task each data(c -> r1):
        mark 1
        end
}
place p at (0, 0)
route c: W -> R at (0, 0)
host in feed: c at (0, 0) W
send feed: u32[64] at 100 = i";

/// A message over one hop, marked at its dispatch and when it has come.
const MESSAGE: &str = "
color c
program send {
    mem v: f32[8] = i
    task main activated:
        mark 1
        mov out(c), v
        end
}
program receive {
    mem v: f32[8]
    task main activated:
        mov v, in(c)
        mark 2
        end
}
place send at (0, 0)
place receive at (1, 0)
path c: (0, 0) -> (1, 0)";

/// Branches: one that is not taken, one that is.
const BRANCHES: &str = "
program p {
    task main activated:
        mark 1
        beq r0, 1, second
        mark 2
    second:
        beq r0, 0, third
    third:
        mark 3
        end
}
place p at (0, 0)";

/// Adds all of them.
pub(super) fn plan(plan: &mut Plan) {
    plan.section(
        "Latencies",
        "In cycles, from marks in small programs and from the cycles at which the host receives.",
    );
    let measured = [
        exact("wse2", "SDK, HPDC", 1u64),
        exact("wse3", "CS3", 2u64),
        exact("wse3-sdk", "SIM", 2u64),
    ];
    add(plan, ("one hop more for a message", "cycles"), |m| Ok(hop(m)?.into()), measured);
    add(
        plan,
        ("ramp, one way (T_R)", "cycles"),
        |m| Ok(ramp(m)?.into()),
        [exact("wse2", "HPDC", 2u64)],
    );
    let turn = [instead("wse3", "CS3", 20.0, (0.0, cause::TURN))];
    add(plan, ("first wavelet of a bend", "cycles"), |m| Ok(turn_cycles(m)?.into()), turn);
    let turn = [exact("wse3", "CS3", 20u64).see(cause::TURN)];
    add(plan, ("the same with `fabric.turn_cycles` = 20", "cycles"), with_turn, turn);
    let sdk = |value: u64| [exact("wse3-sdk", "SIM", value)];
    add(plan, ("dispatch of a send to its first wavelet on the link", "cycles"), dispatch, sdk(7));
    add(
        plan,
        ("arrival at the router to the receiving step's end", "cycles"),
        |m| Ok(receive(m)?.into()),
        sdk(3),
    );
    let completion = [exact("wse3-sdk", "SIM", 3u64).see(cause::COMPLETION)];
    add(
        plan,
        ("last wavelet's arrival to the completion's activation", "cycles"),
        completed,
        completion,
    );
    let launch = [exact("wse3-sdk", "derived", 5u64)];
    add(
        plan,
        ("activation to the first instruction of a local task", "cycles"),
        |m| Ok(launch_cycles(m)?.into()),
        launch,
    );
    add(plan, ("eight words over one hop, dispatch to completion", "cycles"), message, sdk(19));
    let tasks =
        [exact("wse2", "SIM", 10u64), exact("wse3", "CS3", 43u64), exact("wse3-sdk", "SIM", 31u64)];
    add(plan, ("data task, for each wavelet", "cycles"), data_task, tasks);
    add(plan, ("branch, not taken", "cycles"), |m| between(m, 1, 2), sdk(3));
    add(plan, ("branch, taken", "cycles"), |m| between(m, 2, 3), sdk(6));
}

pub(super) fn message_cycles(m: &Machine, hops: u32, words: u32) -> Result<u64> {
    kernel_cycles(m, "message", &[("N", hops), ("B", words)])
}

fn hop(m: &Machine) -> Result<u64> {
    Ok(message_cycles(m, 3, 1)? - message_cycles(m, 2, 1)?)
}

/// Arrival at the router to the end of the receiving step.
fn receive(m: &Machine) -> Result<u64> {
    Ok(probe(m, WAIT, &[])?.mark(1)? - (100 + hop(m)?))
}

fn ramp(m: &Machine) -> Result<u64> {
    // Without the step itself, which is what one word more takes on a link that carries a word a cycle.
    let step = message_cycles(m, 1, 2)? - message_cycles(m, 1, 1)?;
    Ok(receive(m)? - step)
}

/// The probes' way to the host without its link's latency.
pub(super) fn near_host(m: &Machine) -> Machine {
    let mut machine = m.clone();
    machine.host.latency_ns = 0;
    machine
}

fn turn_cycles(m: &Machine) -> Result<u64> {
    let arrival = |bend| probe(m, THROUGH, &[("BEND", bend)])?.arrival();
    Ok(arrival(1)? - arrival(0)?)
}

fn with_turn(m: &Machine) -> Result<Figure> {
    let mut machine = m.clone();
    machine.fabric.turn_cycles = 20;
    Ok(turn_cycles(&machine)?.into())
}

fn dispatch(m: &Machine) -> Result<Figure> {
    let seen = probe(&near_host(m), OUT, &[])?;
    Ok((seen.arrival()? - hop(m)? - seen.mark(1)?).into())
}

fn launch_cycles(m: &Machine) -> Result<u64> {
    let seen = probe(m, ACTIVATE, &[])?;
    let (activate, end) = (seen.mark(1)?, seen.mark(2)?);
    // `end` takes as long as `activate`.
    Ok(seen.mark(3)? - end - (end - activate))
}

fn completed(m: &Machine) -> Result<Figure> {
    let last = 100 + 7 + hop(m)?;
    let task = probe(m, IN, &[("B", 8)])?.mark(1)?;
    Ok((task - launch_cycles(m)? - last).into())
}

fn message(m: &Machine) -> Result<Figure> {
    Ok(marked(m, MESSAGE)?.into())
}

fn data_task(m: &Machine) -> Result<Figure> {
    let launches = probe(m, DATA_TASK, &[])?.all(1);
    ensure!(launches.len() == 64, "a task for each of 64 words: {launches:?}");
    Ok(((launches[63] - launches[0]) as f64 / 63.0).into())
}

fn between(m: &Machine, from: u16, to: u16) -> Result<Figure> {
    let seen = probe(m, BRANCHES, &[])?;
    Ok((seen.mark(to)? - seen.mark(from)?).into())
}
