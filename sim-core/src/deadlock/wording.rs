//! Causes in words: who waits, where, on what, since when.

use super::Cause;
use super::release::release;
use super::scene::{Node, Scene};
use crate::run::{Head, Wait, WaitFor};
use fabric::{PeIdx, Port, Ports};
use pe_isa::asm::print;
use pe_isa::{Color, flow, grouped};
use std::fmt::Write as _;

/// Links of a chain that are told, half from its beginning and half from its end; the rest are counted.
const TOLD: usize = 8;

/// A cause as lines: a heading, then each wait, then what would release them.
pub(super) fn cause(scene: &Scene<'_>, cause: &Cause) -> String {
    let links = links(cause);
    let mut text = heading(cause);
    let left_out = links.len().saturating_sub(TOLD);
    for (at, link) in links.iter().enumerate() {
        if left_out > 0 && at == TOLD / 2 {
            let _ = write!(text, "\n  … {left_out} more, each waiting for the next …");
        }
        if at < TOLD / 2 || at >= TOLD / 2 + left_out {
            let _ = write!(text, "\n  {}", told(scene, cause, link));
        }
    }
    let _ = write!(text, "\n  to release it, {}", release(scene, cause, &links).join("\n    or "));
    text
}

/// A thread, or a wavelet that no thread waits behind, and the wavelets between it and the next thread.
pub(super) struct Link<'a> {
    pub(super) first: Node,
    between: &'a [Node],
    /// The next thread, if one follows.
    pub(super) then: Option<usize>,
}

fn links(cause: &Cause) -> Vec<Link<'_>> {
    let chain = &cause.chain;
    let is_thread = |at: usize| matches!(chain[at], Node::Thread(_));
    let starts: Vec<usize> = (0..chain.len()).filter(|&at| at == 0 || is_thread(at)).collect();
    let mut links = Vec::new();
    for (n, &at) in starts.iter().enumerate() {
        let next = starts.get(n + 1).copied();
        let follows = next.or((cause.end.is_none()).then_some(0));
        let then = follows.and_then(|at| match chain[at] {
            Node::Thread(thread) => Some(thread),
            Node::Head(_) => None,
        });
        let between = &chain[at + 1..next.unwrap_or(chain.len())];
        links.push(Link { first: chain[at], between, then });
    }
    links
}

fn heading(cause: &Cause) -> String {
    let circle = cause.chain.iter().filter(|node| matches!(node, Node::Thread(_))).count();
    let behind = |told: usize| match cause.threads.saturating_sub(told) {
        0 => String::new(),
        1 => "; 1 more thread waits for them".to_string(),
        n => format!("; {} more threads wait for them", grouped(n as u64)),
    };
    match (&cause.end, circle) {
        (None, 0) => format!("wavelets wait for each other{}:", behind(0)),
        (None, 1) => format!("a thread waits for itself{}:", behind(1)),
        (None, n) => format!("{n} threads wait for each other{}:", behind(n)),
        (Some(_), told) => match cause.threads {
            0 => "wavelets wait for what never comes:".to_string(),
            1 => "a thread waits for what never comes:".to_string(),
            n if n == told => format!("{n} threads wait, each for the next, for what never comes:"),
            n => format!("{n} threads wait for what never comes, one chain of them:"),
        },
    }
}

fn told(scene: &Scene<'_>, cause: &Cause, link: &Link<'_>) -> String {
    let Node::Thread(at) = link.first else { return wavelet(scene, cause, link) };
    let wait = &scene.waits[at];
    let since = grouped(wait.since.0);
    let mut text = format!("{}\n    waits since cycle {since} ", thread(scene, wait));
    let other = link.then.map(|to| scene.image.coord(scene.waits[to].pe));
    match wait.waits_for {
        WaitFor::Input(color) => {
            let ports = into_pe(scene, wait.pe, color);
            let _ = write!(text, "for a wavelet of color {color}{}", direction("from", ports));
            if let Some(full) = way(scene, link.between, "on its way") {
                let _ = write!(text, "\n    {full}");
            } else if scene.head(wait.pe, None, color).is_some() {
                text.push_str("; a control wavelet stands before it in the queue");
            } else if let Some(other) = other {
                let _ = write!(text, ", which PE {other} has to send");
            }
        }
        WaitFor::Output(color) => {
            let ports = out_of_pe(scene, wait.pe, color);
            let _ = write!(text, "for room to send on color {color}{}", direction("to", ports));
            if let Some(full) = way(scene, link.between, "in front of it") {
                let _ = write!(text, "\n    {full}");
            }
            if let Some(other) = other {
                let _ = write!(text, "; PE {other} has to receive");
            }
        }
        WaitFor::Microthread(number) => {
            let _ = write!(text, "for microthread {number} to end");
        }
    }
    text
}

/// `PE (1,0), main thread of task t0, instruction 2 (mov …)`.
fn thread(scene: &Scene<'_>, wait: &Wait) -> String {
    let place = scene.image.coord(wait.pe);
    let name = match wait.microthread {
        Some(number) => format!("microthread {number}"),
        None => "main thread".to_string(),
    };
    let program = scene.program(wait.pe);
    let task = program.and_then(|program| {
        let runs = |task: &pe_isa::Task| {
            let reached = flow::reachable(program, task.entry);
            reached.get(usize::from(wait.instruction)).is_some_and(|&runs| runs)
        };
        let mut tasks = (0..program.tasks.len()).filter(|&t| runs(&program.tasks[t]));
        let only = tasks.next().filter(|_| tasks.next().is_none())?;
        Some(format!(" (task t{only})"))
    });
    let text = program.and_then(|program| print::instruction(program, wait.instruction));
    format!(
        "PE {place}, {name}{}, instruction {} `{}`",
        task.unwrap_or_default(),
        wait.instruction,
        text.unwrap_or_else(|| "?".to_string())
    )
}

/// Where the wavelets stand that a thread waits behind.
fn way(scene: &Scene<'_>, between: &[Node], place: &str) -> Option<String> {
    let heads: Vec<&Head> = between
        .iter()
        .filter_map(|node| match node {
            Node::Head(at) => Some(&scene.heads[*at]),
            Node::Thread(_) => None,
        })
        .collect();
    let (first, last) = (heads.first()?, heads.last()?);
    let words: u64 = heads.iter().map(|head| u64::from(head.words)).sum();
    let words = if words == 1 { "1 word".to_string() } else { format!("{} words", grouped(words)) };
    let (from, to) = (scene.image.coord(first.pe), scene.image.coord(last.pe));
    let from = if first.pe == last.pe { String::new() } else { format!("from tile {from} ") };
    let end = match last.port {
        None => {
            let depth = scene.input_depth(last.pe, last.color).map_or(0, |(depth, _)| depth);
            let full = if scene.is_full(last) { "the full" } else { "the" };
            format!("{full} input queue ({depth} words and the ramp) of PE {to}")
        }
        Some(port) => format!("port {port} of router {to}"),
    };
    let up_to = if from.is_empty() { "at" } else { "up to" };
    let stand = if words == "1 word" { "stands" } else { "stand" };
    Some(format!("{words} of color {} {stand} {place}, {from}{up_to} {end}", first.color))
}

/// A wavelet that no thread of the chain waits behind.
fn wavelet(scene: &Scene<'_>, cause: &Cause, link: &Link<'_>) -> String {
    let all: Vec<Node> = std::iter::once(link.first).chain(link.between.iter().copied()).collect();
    let text = way(scene, &all, "still").unwrap_or_default();
    let round = cause.end.is_none() && link.then.is_none();
    if round { format!("{text}, each behind the next, all the way round") } else { text }
}

/// Ports through which a color comes to a PE.
fn into_pe(scene: &Scene<'_>, pe: PeIdx, color: Color) -> Ports {
    let positions = scene.route(pe, color).map_or(&[][..], |route| &route.positions);
    positions.iter().filter(|p| p.tx.contains(Port::Ramp)).map(|p| p.rx).collect()
}

/// Ports through which a color leaves that a PE sends.
fn out_of_pe(scene: &Scene<'_>, pe: PeIdx, color: Color) -> Ports {
    let positions = scene.route(pe, color).map_or(&[][..], |route| &route.positions);
    let from_pe = positions.iter().filter(|p| p.rx == Port::Ramp);
    from_pe.fold(Ports::NONE, |set, p| set.union(p.tx))
}

/// ` from W or N`; nothing where there is no direction.
fn direction(word: &str, ports: Ports) -> String {
    let ports: Vec<String> = ports.iter().map(|p| p.to_string()).collect();
    let joined = ports.join(if word == "from" { " or " } else { " and " });
    if joined.is_empty() { joined } else { format!(" {word} {joined}") }
}
