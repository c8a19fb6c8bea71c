//! The linter: everything that is wrong or suspicious in an image, collected.

use crate::geometry::{PeCoord, PeIdx, Port};
use crate::image::WaferImage;
use pe_isa::{Color, check};
use std::collections::BTreeSet;
use std::fmt;

/// One finding. An image with an error cannot be run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// Whether the image cannot run, or merely looks wrong.
    pub error: bool,
    /// Where.
    pub at: PeCoord,
    /// What, and what to do.
    pub message: String,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = if self.error { "error" } else { "warning" };
        write!(f, "{kind}: tile {}: {}", self.at, self.message)
    }
}

/// Collects all findings, tile by tile. An image that refers to what is not there gets no others.
pub fn lint(image: &WaferImage) -> Vec<Finding> {
    let mut broken = image.broken_references();
    broken.extend(image.machine.validate().err().map(|e| e.to_string()));
    if !broken.is_empty() {
        // Nothing else can be asked of such an image.
        let at = PeCoord::new(0, 0);
        return broken.into_iter().map(|message| Finding { error: true, at, message }).collect();
    }
    let mut linter = Linter { image, findings: Vec::new() };
    let limits = image.machine.program_limits();
    let bad: Vec<Vec<String>> = image
        .programs
        .iter()
        .map(|p| check::check(p, &limits).iter().map(ToString::to_string).collect())
        .collect();
    let route_limit = usize::from(image.machine.fabric.switch_positions);
    for (at, tile) in image.tiles.iter().enumerate() {
        let idx = PeIdx(at as u32);
        if let Some(program) = tile.program {
            for message in &bad[program.0 as usize] {
                linter.error(idx, format!("program {}: {message}", program.0));
            }
        }
        linter.memory(idx);
        linter.routes(idx, route_limit);
        linter.queues(idx);
    }
    linter.hosts();
    linter.findings
}

struct Linter<'a> {
    image: &'a WaferImage,
    findings: Vec<Finding>,
}

impl Linter<'_> {
    fn add(&mut self, idx: PeIdx, error: bool, message: String) {
        self.findings.push(Finding { error, at: self.image.coord(idx), message });
    }

    fn error(&mut self, idx: PeIdx, message: String) {
        self.add(idx, true, message);
    }

    fn memory(&mut self, idx: PeIdx) {
        let tile = self.image.tile(idx);
        let code = self.image.program(idx).map_or(0, pe_isa::Program::code_bytes);
        let usable = self.image.machine.usable_bytes();
        let need = u64::from(code) + u64::from(tile.sram_bytes);
        if need > u64::from(usable) {
            self.error(
                idx,
                format!(
                    "SRAM over by {} bytes: {code} of code and {} of data, {usable} are usable",
                    need - u64::from(usable),
                    tile.sram_bytes
                ),
            );
        }
        if !tile.sram_bytes.is_multiple_of(4) {
            self.error(idx, "sram_bytes is no multiple of 4".to_string());
        }
        for segment in &tile.data {
            let end = u64::from(segment.address) + 4 * segment.words.len() as u64;
            if segment.address % 4 != 0 || end > u64::from(tile.sram_bytes) {
                self.error(
                    idx,
                    format!(
                        "initial data at {}..{end} lies outside the data area",
                        segment.address
                    ),
                );
            }
        }
        for (reg, _) in &tile.params {
            if usize::from(reg.0) >= pe_isa::REGISTERS {
                self.error(idx, format!("parameter register {reg} does not exist"));
            }
        }
    }

    fn routes(&mut self, idx: PeIdx, most: usize) {
        let image = self.image;
        let Some(set) = image.routes(idx) else { return };
        for pair in set.routes.windows(2) {
            if pair[0].color >= pair[1].color {
                self.error(idx, format!("route of color {} is out of order", pair[1].color));
            }
        }
        for route in &set.routes {
            let color = route.color;
            if color.0 >= image.machine.fabric.colors {
                let colors = image.machine.fabric.colors;
                self.error(idx, format!("color {color} is beyond the machine's {colors}"));
            }
            if route.positions.is_empty() || route.positions.len() > most {
                self.error(idx, format!("route of color {color} has 1 to {most} positions"));
            }
            if route.positions.iter().any(|p| p.tx.is_empty()) {
                self.error(idx, format!("route of color {color} sends nowhere"));
            }
            let reflect = |p: &crate::Position| p.rx != Port::Ramp && p.tx.contains(p.rx);
            if route.positions.iter().any(reflect) {
                self.error(idx, format!("route of color {color} sends back where it came from"));
            }
            for port in route.transmits().iter() {
                self.receiver(idx, color, port);
            }
        }
    }

    /// Something must take what this router sends to `port`.
    fn receiver(&mut self, idx: PeIdx, color: Color, port: Port) {
        let image = self.image;
        let machine = &image.machine;
        if port == Port::Ramp {
            if image.program(idx).and_then(|p| p.in_queue(color)).is_none() {
                self.error(
                    idx,
                    format!("color {color} goes up the ramp, but no input queue is bound to it"),
                );
            }
            return;
        }
        match image.coord(idx).neighbour(port, machine.width, machine.height) {
            Some(next) => {
                let route = image.routes(image.index(next)).and_then(|r| r.get(color));
                if !route.is_some_and(|r| r.receives().contains(port.opposite())) {
                    self.error(
                        idx,
                        format!(
                            "color {color} leaves through {port}, but the router at {next} does not \
                             receive it from {}",
                            port.opposite()
                        ),
                    );
                }
            }
            None => {
                let known = image.host_out.iter();
                if !known.clone().any(|h| h.tile == idx && h.port == port && h.color == color) {
                    self.error(
                        idx,
                        format!(
                            "color {color} leaves the wafer through {port}; no host port is there"
                        ),
                    );
                }
            }
        }
    }

    /// Each output queue needs a route that takes from the ramp; each input queue one that feeds it.
    fn queues(&mut self, idx: PeIdx) {
        let Some(program) = self.image.program(idx) else {
            return;
        };
        let routes = self.image.routes(idx);
        let route = |c: Color| routes.and_then(|r| r.get(c));
        let outs: BTreeSet<Color> = program.out_queues.iter().flatten().copied().collect();
        for color in outs {
            if !route(color).is_some_and(|r| r.receives().contains(Port::Ramp)) {
                self.error(
                    idx,
                    format!(
                        "an output queue has color {color}, but no route takes it from the ramp"
                    ),
                );
            }
        }
        let ins: BTreeSet<Color> = program.in_queues.iter().flatten().copied().collect();
        for color in ins {
            if !route(color).is_some_and(|r| r.transmits().contains(Port::Ramp)) {
                self.add(idx, false, format!("nothing can arrive on input color {color}"));
            }
        }
    }

    fn hosts(&mut self) {
        let image = self.image;
        let ends = image.host_in.iter().map(|h| (h.tile, h.port, h.color, true));
        let ends = ends.chain(image.host_out.iter().map(|h| (h.tile, h.port, h.color, false)));
        let mut known = BTreeSet::new();
        for (tile, port, color, inward) in ends {
            if !known.insert((inward, tile, port, color)) {
                self.error(
                    tile,
                    format!("two host ports in one direction at {port} have color {color}"),
                );
            }
            let (width, height) = (image.machine.width, image.machine.height);
            let on_edge =
                port != Port::Ramp && image.coord(tile).neighbour(port, width, height).is_none();
            if !on_edge {
                self.error(tile, format!("host port {port} is not on the wafer's edge"));
                continue;
            }
            let route = image.routes(tile).and_then(|r| r.get(color));
            let good = route.is_some_and(|r| {
                if inward { r.receives().contains(port) } else { r.transmits().contains(port) }
            });
            if !good {
                self.error(tile, format!("host port {port} has no route for color {color}"));
            }
        }
    }
}
