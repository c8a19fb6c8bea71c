//! An image as a text that reads back equal.

use crate::geometry::PeIdx;
use crate::image::{ProgramId, RouteSetId, Segment, Tile, WaferImage};
use crate::route::RouteSet;
use pe_isa::Reg;
use pe_isa::asm::print::statements;
use pe_isa::asm::quote::quoted;
use std::collections::BTreeMap;
use std::fmt::Write as _;

/// The whole image, its machine included: programs and route sets once, tiles by reference, in
/// rectangles of those that are alike; SRAM in hexadecimal words with run lengths.
pub fn print(image: &WaferImage) -> String {
    let mut out = format!("machine \"\"\"\n{}\"\"\"\n", image.machine.to_ron());
    for (at, program) in image.programs.iter().enumerate() {
        let _ = write!(out, "program p{at} {{\n{}}}\n", statements(program, "    "));
    }
    for (at, set) in image.route_sets.iter().enumerate() {
        let _ = write!(out, "routes s{at} {{\n{}}}\n", routes(set));
    }
    places(image, &mut out);
    registers(image, &mut out);
    data(image, &mut out);
    hosts(image, &mut out);
    for stage in &image.stages {
        let (name, at) = (quoted(&stage.name), stage.origin);
        let _ = writeln!(out, "stage {name} at {at} size {}, {}", stage.width, stage.height);
    }
    for probe in &image.probes {
        let _ = write!(out, "probe {}: {}", quoted(&probe.name), probe.dtype.name());
        for (k, (tile, address, count)) in probe.parts.iter().enumerate() {
            let sign = if k == 0 { " =" } else { "," };
            let _ = write!(out, "{sign} {} {address} {count}", image.coord(*tile));
        }
        out.push('\n');
    }
    out
}

fn routes(set: &RouteSet) -> String {
    let mut out = String::new();
    for route in &set.routes {
        let _ = write!(out, "    {}:", route.color);
        for (k, position) in route.positions.iter().enumerate() {
            let sign = if k == 0 { "" } else { " |" };
            let tx = position.tx.to_string();
            let tx = if tx.is_empty() { "nowhere".to_string() } else { tx };
            let _ = write!(out, "{sign} {} -> {tx}", position.rx);
        }
        out.push('\n');
    }
    out
}

fn places(image: &WaferImage, out: &mut String) {
    type Key = (Option<ProgramId>, Option<RouteSetId>, u32);
    let key = |t: &Tile| -> Key { (t.program, t.routes, t.sram_bytes) };
    for ((program, routes, sram), rects) in alike(image, |t| Some(key(t)), (None, None, 0)) {
        let name = program.map_or("none".to_string(), |p| format!("p{}", p.0));
        let routes = routes.map_or(String::new(), |r| format!(" routes s{}", r.0));
        for rect in rects {
            let _ = writeln!(out, "place {name} at {rect}{routes} sram {sram}");
        }
    }
}

fn registers(image: &WaferImage, out: &mut String) {
    let params = |t: &Tile| -> Option<Vec<(Reg, u32)>> { Some(t.params.clone()) };
    for (params, rects) in alike(image, params, Vec::new()) {
        let all: Vec<String> =
            params.iter().map(|(reg, value)| format!("{reg} = {value}")).collect();
        for rect in rects {
            let _ = writeln!(out, "at {rect} {{ set {} }}", all.join(", "));
        }
    }
}

/// Tiles with equal data are brought together by the place of the first of them.
fn data(image: &WaferImage, out: &mut String) {
    let mut first: BTreeMap<&[Segment], usize> = BTreeMap::new();
    let mut groups: BTreeMap<usize, Vec<PeIdx>> = BTreeMap::new();
    for (at, tile) in image.tiles.iter().enumerate() {
        if !tile.data.is_empty() {
            let leader = *first.entry(&tile.data).or_insert(at);
            groups.entry(leader).or_default().push(PeIdx(at as u32));
        }
    }
    for (leader, tiles) in groups {
        let mut body = String::new();
        for segment in &image.tiles[leader].data {
            let _ = write!(body, " words {} \"{}\";", segment.address, hex(&segment.words));
        }
        for rect in rectangles(image, &tiles) {
            let _ = writeln!(out, "at {rect} {{{body} }}");
        }
    }
}

fn hosts(image: &WaferImage, out: &mut String) {
    for (k, h) in image.host_in.iter().enumerate() {
        let at = image.coord(h.tile);
        let _ = writeln!(out, "host in h{k}: {} at {at} {}", h.color, h.port);
    }
    for (k, h) in image.host_out.iter().enumerate() {
        let at = image.coord(h.tile);
        let _ = writeln!(out, "host out h{k}: {} at {at} {}", h.color, h.port);
    }
}

/// Hexadecimal words; runs as `word*count`.
fn hex(words: &[u32]) -> String {
    let mut out = String::new();
    for run in words.chunk_by(|a, b| a == b) {
        let space = if out.is_empty() { "" } else { " " };
        let _ = match run.len() {
            1 => write!(out, "{space}{:x}", run[0]),
            n => write!(out, "{space}{:x}*{n}", run[0]),
        };
    }
    out
}

/// Rectangles of tiles that are alike in `key`, but for those that have the key `plain`.
fn alike<K: Ord>(
    image: &WaferImage,
    key: impl Fn(&Tile) -> Option<K>,
    plain: K,
) -> Vec<(K, Vec<String>)> {
    let mut groups: BTreeMap<K, Vec<PeIdx>> = BTreeMap::new();
    for (at, tile) in image.tiles.iter().enumerate() {
        if let Some(key) = key(tile)
            && key != plain
        {
            groups.entry(key).or_default().push(PeIdx(at as u32));
        }
    }
    groups.into_iter().map(|(key, tiles)| (key, rectangles(image, &tiles))).collect()
}

/// A set of tiles, ascending, as rectangles with strides: rows are cut into evenly spaced runs, and
/// evenly spaced rows with equal runs are brought together.
fn rectangles(image: &WaferImage, tiles: &[PeIdx]) -> Vec<String> {
    let mut rows_of: BTreeMap<Run, Vec<u32>> = BTreeMap::new();
    for row in tiles.chunk_by(|a, b| image.coord(*a).y == image.coord(*b).y) {
        let columns: Vec<u32> = row.iter().map(|t| image.coord(*t).x).collect();
        for run in runs(&columns) {
            rows_of.entry(run).or_default().push(image.coord(row[0]).y);
        }
    }
    let mut all: Vec<(Run, Run)> = Vec::new();
    for (run, rows) in rows_of {
        all.extend(runs(&rows).into_iter().map(|rows| (rows, run)));
    }
    all.sort();
    all.iter().map(|(rows, columns)| format!("({}, {})", columns.text(), rows.text())).collect()
}

/// Evenly spaced numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Run {
    first: u32,
    step: u32,
    count: u32,
}

impl Run {
    fn text(self) -> String {
        let Run { first, step, count } = self;
        let end = first + (count - 1) * step + 1;
        match (count, step) {
            (1, _) => first.to_string(),
            (_, 1) => format!("{first}..{end}"),
            _ => format!("{first}..{end} step {step}"),
        }
    }
}

/// Ascending numbers as runs. Two numbers that are not neighbours are a run each.
fn runs(numbers: &[u32]) -> Vec<Run> {
    let mut all = Vec::new();
    let mut rest = numbers;
    while let Some((&first, behind)) = rest.split_first() {
        let step = behind.first().map_or(1, |next| next - first);
        let fits = |(k, n): &(usize, &u32)| {
            u64::from(**n) == u64::from(first) + *k as u64 * u64::from(step)
        };
        let mut count = rest.iter().enumerate().take_while(fits).count();
        if count == 2 && step > 1 {
            count = 1;
        }
        let step = if count == 1 { 1 } else { step };
        all.push(Run { first, step, count: count as u32 });
        rest = &rest[count..];
    }
    all
}
