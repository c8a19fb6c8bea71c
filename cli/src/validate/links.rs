//! Rates of links, and the host's link.

use super::figure::{add, exact};
use super::job::Plan;
use super::latencies::{THROUGH, message_cycles, near_host};
use super::probe::{probe, run};
use super::row::Figure;
use anyhow::{Result, ensure};
use fabric::{HostIn, HostOut, Machine, PeIdx, Port, Ports, Route, RouteSet, WaferImage};
use pe_isa::{Color, Cycle};
use sim_core::{HostScript, HostWavelet};

/// Adds all of them.
pub(super) fn plan(plan: &mut Plan) {
    plan.section("Rates and the host's link", "From long streams. Full rate: the least `queue_depth` with which a stream is as fast as with 64.");
    let rates = [
        exact("wse2", "SDK, HPDC", 1u64),
        exact("wse3", "CS3", 1.125),
        exact("wse3-sdk", "SIM", 1.001).near(),
    ];
    add(
        plan,
        ("a wavelet on a link", "cycles"),
        |m| Ok(link(m, m.fabric.queue_depth)?.into()),
        rates,
    );
    let depth = [exact("wse2", "rule F-1", 2u64), exact("wse3-sdk", "rule F-1", 4u64)];
    add(plan, ("slots for full rate: hop + credit", "slots"), full_rate, depth);
    let latency = ["wse2", "wse3"].map(|preset| exact(preset, "CS3", 8.0).near());
    add(
        plan,
        ("host link, one way", "µs"),
        |m| Ok((host_latency(m)? as f64 / m.clock_hz as f64 * 1e6).into()),
        latency,
    );
    let bandwidth = ["wse2", "wse3"].map(|preset| exact(preset, "system data", 1.2).near());
    add(plan, ("host link, towards the wafer", "Tb/s"), host_rate, bandwidth);
}

/// Cycles per wavelet of a stream over one hop.
fn link(m: &Machine, depth: u32) -> Result<f64> {
    let mut machine = m.clone();
    machine.fabric.queue_depth = depth;
    let cycles = |words| message_cycles(&machine, 1, words);
    Ok((cycles(4096)? - cycles(2048)?) as f64 / 2048.0)
}

fn full_rate(m: &Machine) -> Result<Figure> {
    let best = link(m, 64)?;
    for depth in 1..64 {
        if link(m, depth)? <= best {
            return Ok(u64::from(depth).into());
        }
    }
    Ok(64u64.into())
}

fn host_latency(m: &Machine) -> Result<u64> {
    let through = |m: &Machine| probe(m, THROUGH, &[])?.arrival();
    Ok(through(m)? - through(&near_host(m))?)
}

/// Terabits per second of 65,536 words that the host sends as fast as its link lets it, through 64 ports.
fn host_rate(m: &Machine) -> Result<Figure> {
    const PORTS: u64 = 64;
    const WORDS: u64 = 1 << 16;
    let machine = Machine { width: 1, height: PORTS as u32, ..m.clone() };
    let mut image = WaferImage::empty(machine.clone());
    let color = Color(0);
    let through = Route::fixed(color, Port::West, Ports::one(Port::East));
    let routes = image.intern_routes(RouteSet { routes: vec![through] });
    for at in 0..PORTS as u32 {
        let tile = PeIdx(at);
        image.tiles[at as usize].routes = Some(routes);
        image.host_in.push(HostIn { tile, port: Port::West, color });
        image.host_out.push(HostOut { tile, port: Port::East, color });
    }
    let word = |n: u64| HostWavelet {
        cycle: Cycle(machine.host_arrival_cycle(n)),
        payload: 0,
        control: false,
    };
    let ports = (0..PORTS).map(|port| (port..WORDS).step_by(PORTS as usize).map(word).collect());
    let seen = run(&image, &HostScript { ports: ports.collect() })?;
    ensure!(seen.received.len() as u64 == WORDS, "all words come back");
    let cycles = seen.received[seen.received.len() - 1] - seen.received[0];
    let bits = 32.0 * (WORDS - 1) as f64;
    Ok((bits / cycles as f64 * machine.clock_hz as f64 / 1e12).into())
}
