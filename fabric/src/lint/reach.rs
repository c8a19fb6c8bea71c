//! What sources reach: routes, queues and tasks without one, and switches that nobody turns.

use super::alike::{Alike, on_tiles};
use super::wiring::Wiring;
use super::{Findings, Kind};
use crate::geometry::{PeIdx, Port, Ports};
use crate::image::{ProgramId, WaferImage};
use crate::route::Route;
use pe_isa::asm::print::task_header;
use pe_isa::{Color, Instr, Program, TaskId, TaskKind};

/// No source.
const NONE: u32 = u32::MAX;

/// What a program puts into the fabric, as sets of colors by bit.
#[derive(Clone, Copy, Default)]
struct Sends {
    any: u32,
    control: u32,
}

impl Sends {
    fn of(program: &Program) -> Sends {
        let mut sends = Sends::default();
        for instr in &program.instrs {
            let queue = instr.output().and_then(|q| program.out_queues.get(usize::from(q.0)));
            let Some(bit) = queue.copied().flatten().map(bit) else { continue };
            sends.any |= bit;
            if matches!(instr, Instr::SendCtrl { .. }) {
                sends.control |= bit;
            }
        }
        sends
    }
}

/// Colors beyond the 32 that a machine may have are in no set.
fn bit(color: Color) -> u32 {
    1u32.checked_shl(color.0.into()).unwrap_or(0)
}

/// A way into the fabric: a router's port, and whether data or control wavelets come in there.
#[derive(Clone, Copy)]
struct Source {
    tile: PeIdx,
    port: Port,
    control: bool,
}

pub(super) fn check(found: &mut Findings<'_>, wirings: &[Wiring<'_>]) {
    let image = found.image;
    let sends: Vec<Sends> = image.programs.iter().map(Sends::of).collect();
    let (mut flood, mut turned) = (Flood::default(), Flood::default());
    let users = users(image);
    for wiring in wirings {
        let sources = sources(wiring, &sends);
        flood.run(wiring, sources.iter());
        if wiring.is_switched() {
            turned.run(wiring, sources.iter().filter(|s| s.control));
        }
        let (mut unfed, mut unturned) = (Alike::default(), Alike::default());
        for (idx, route) in wiring.tiles() {
            let set = image.tile(idx).routes.expect("a tile with a route has a set of them");
            for rx in route.receives().iter() {
                if !flood.reaches(idx, rx) && wiring.previous(idx, rx).is_none() {
                    unfed.add((set, rx), idx);
                }
            }
            if route.positions.len() > 1 && is_unturned(idx, route, &flood, &turned) {
                unturned.add(set, idx);
            }
        }
        for ((_, rx), (idx, tiles)) in unfed.0 {
            tell_unfed(found, wiring, (idx, rx), tiles);
        }
        for (idx, tiles) in unturned.0.into_values() {
            tell_unturned(found, wiring, idx, tiles, &flood);
        }
        queues(found, wiring, &flood, &users);
    }
}

/// How many tiles run each program.
fn users(image: &WaferImage) -> Vec<usize> {
    let mut users = vec![0; image.programs.len()];
    image.tiles.iter().filter_map(|tile| tile.program).for_each(|p| users[p.0 as usize] += 1);
    users
}

/// Where the color gets in. What the host sends is not part of an image, so it may be control
/// wavelets too.
fn sources(wiring: &Wiring<'_>, sends: &[Sends]) -> Vec<Source> {
    let image = wiring.image;
    let bit = bit(wiring.color);
    let mut sources = Vec::new();
    if sends.iter().any(|s| s.any & bit != 0) {
        for (tile, _) in wiring.tiles() {
            let program = image.tile(tile).program;
            let sends = program.map_or(Sends::default(), |p| sends[p.0 as usize]);
            if sends.any & bit != 0 {
                let port = Port::Ramp;
                sources.push(Source { tile, port, control: sends.control & bit != 0 });
            }
        }
    }
    let host = image.host_in.iter().filter(|h| h.color == wiring.color);
    sources.extend(host.map(|h| Source { tile: h.tile, port: h.port, control: true }));
    sources
}

/// How far one color gets from a set of sources, whatever the switches do.
#[derive(Default)]
struct Flood {
    /// The ports of each tile's router that some source reaches.
    reached: Vec<Ports>,
    /// Whether the color arrives at each tile's PE.
    arrives: Vec<bool>,
    /// For a color with switches, the tile of the first source found for each of these, at `5 × tile + port`.
    from: Vec<u32>,
}

impl Flood {
    fn run<'a>(&mut self, wiring: &Wiring<'_>, sources: impl Iterator<Item = &'a Source>) {
        let tiles = wiring.image.tiles.len();
        self.reached.clear();
        self.reached.resize(tiles, Ports::NONE);
        self.arrives.clear();
        self.arrives.resize(tiles, false);
        self.from.clear();
        if wiring.is_switched() {
            self.from.resize(5 * tiles, NONE);
        }
        let mut open: Vec<(PeIdx, Port)> = Vec::new();
        for source in sources {
            open.push((source.tile, source.port));
            while let Some((at, rx)) = open.pop() {
                let reached = &mut self.reached[at.0 as usize];
                if reached.contains(rx) {
                    continue;
                }
                *reached = reached.with(rx);
                if let Some(from) = self.from.get_mut(5 * at.0 as usize + rx.index()) {
                    *from = source.tile.0;
                }
                let Some(route) = wiring.route(at) else { continue };
                for position in route.positions.iter().filter(|p| p.rx == rx) {
                    for tx in position.tx.iter() {
                        if tx == Port::Ramp {
                            self.arrives[at.0 as usize] = true;
                        } else if let Some(next) = wiring.next(at, tx) {
                            open.push((next, tx.opposite()));
                        }
                    }
                }
            }
        }
    }

    /// Whether a source reaches a port of a router.
    fn reaches(&self, at: PeIdx, rx: Port) -> bool {
        self.reached[at.0 as usize].contains(rx)
    }

    /// The tile of a source that reaches a port of a router, for a color with switches.
    fn source(&self, at: PeIdx, rx: Port) -> Option<PeIdx> {
        let from = *self.from.get(5 * at.0 as usize + rx.index())?;
        (from != NONE).then_some(PeIdx(from))
    }
}

/// A route without a source, told where it begins.
fn tell_unfed(
    found: &mut Findings<'_>,
    wiring: &Wiring<'_>,
    (idx, rx): (PeIdx, Port),
    tiles: usize,
) {
    let lack = match (rx, wiring.neighbour(idx, rx)) {
        (Port::Ramp, _) => "the PE never sends on it".to_string(),
        (_, Some(next)) => format!("tile {} sends nothing there", found.image.coord(next)),
        (_, None) => "no host port is there".to_string(),
    };
    let (color, others) = (wiring.color, on_tiles(tiles));
    let message = format!("the route of color {color} takes from {rx}, but {lack}{others}");
    found.warning(Kind::UnfedRoute, idx, message);
}

/// Whether wavelets reach a switch, but no control wavelets: it keeps its first position.
fn is_unturned(idx: PeIdx, route: &Route, flood: &Flood, turned: &Flood) -> bool {
    let reaches = |flood: &Flood| route.receives().iter().any(|rx| flood.reaches(idx, rx));
    reaches(flood) && !reaches(turned)
}

/// A switch that nobody turns.
fn tell_unturned(
    found: &mut Findings<'_>,
    wiring: &Wiring<'_>,
    idx: PeIdx,
    tiles: usize,
    flood: &Flood,
) {
    let Some(route) = wiring.route(idx) else { return };
    let fed = route.receives().iter().filter_map(|rx| Some((rx, flood.source(idx, rx)?)));
    let fed: Vec<(Port, PeIdx)> = fed.collect();
    let others = on_tiles(tiles);
    let color = wiring.color;
    let named = |&(rx, from): &(Port, PeIdx)| format!("{} from {rx}", found.image.coord(from));
    if let [one, other, ..] = &fed[..]
        && one.1 != other.1
    {
        let message = format!(
            "two sources feed color {color} here, {} and {}, and nobody turns the switch between them{others}",
            named(one),
            named(other)
        );
        return found.warning(Kind::TwoSources, idx, message);
    }
    let message = format!(
        "the switch of color {color} has {} positions, but its source, tile {}, sends no control \
         wavelet{others}",
        route.positions.len(),
        named(&fed[0])
    );
    found.warning(Kind::UnturnedSwitch, idx, message);
}

/// Input queues that the color is bound to, but does not reach.
fn queues(found: &mut Findings<'_>, wiring: &Wiring<'_>, flood: &Flood, users: &[usize]) {
    let image = found.image;
    let color = wiring.color;
    let queue: Vec<_> = image.programs.iter().map(|p| p.in_queue(color)).collect();
    let is_bound = |p: &ProgramId| queue[p.0 as usize].is_some();
    let bound: usize = users.iter().zip(&queue).filter(|(_, q)| q.is_some()).map(|(n, _)| n).sum();
    let arrivals = wiring.tiles().filter(|(at, _)| flood.arrives[at.0 as usize]);
    let fed = arrivals.filter(|(at, _)| image.tile(*at).program.as_ref().is_some_and(is_bound));
    if fed.count() == bound {
        return;
    }
    let mut unreached = Alike::default();
    for (at, tile) in image.tiles.iter().enumerate().filter(|(at, _)| !flood.arrives[*at]) {
        let program = tile.program.filter(is_bound);
        program.into_iter().for_each(|program| unreached.add(program, PeIdx(at as u32)));
    }
    for (program, (idx, tiles)) in unreached.0 {
        let queue = queue[program.0 as usize];
        let program = &image.programs[program.0 as usize];
        let is_fed = |kind: TaskKind| matches!(kind, TaskKind::Data(q, _) | TaskKind::Control(q, _) if Some(q) == queue);
        let others = on_tiles(tiles);
        let message =
            format!("nothing can arrive on input color {color}: no source reaches it{others}");
        match program.tasks.iter().position(|task| is_fed(task.kind)) {
            Some(task) => {
                let header = task_header(program, TaskId(task as u8)).unwrap_or_default();
                let message = format!("`{header}` is never launched: {message}");
                found.warning(Kind::IdleTask, idx, message);
            }
            None => found.warning(Kind::NothingArrives, idx, message),
        }
    }
}
