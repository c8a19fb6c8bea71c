//! The linter: everything that is wrong or suspicious in an image, collected.
//!
//! * `kind`: the kinds of findings, their names and cures.
//! * `programs`, `memory`, `routes`, `hosts`, `defects`: what can be seen at one tile and its neighbours.
//! * `loops`, `reach`: what can be seen only by following a color over the wafer.
//! * `burst`, `late`: sends that wait for each other, receivers that stall what they wait for.
//!
//! Time and memory are linear in tiles × colors: routes are followed a color at a time, and no
//! router's port twice.

mod alike;
mod burst;
mod cycle;
mod defects;
mod hosts;
mod kind;
mod late;
mod loops;
mod memory;
mod opening;
mod programs;
mod reach;
mod routes;
mod wiring;

pub use kind::Kind;

use crate::geometry::{PeCoord, PeIdx};
use crate::image::WaferImage;
use std::fmt;
use wiring::Wiring;

/// Tiles of a list that a message names; the rest are counted.
const NAMED: usize = 12;

/// One finding. An image with an error cannot be run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// Its kind, which knows the cure.
    pub kind: Kind,
    /// Whether the image cannot run, or merely looks wrong.
    pub error: bool,
    /// Where.
    pub at: PeCoord,
    /// What is wrong.
    pub message: String,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let level = if self.error { "error" } else { "warning" };
        let Finding { kind, at, message, .. } = self;
        write!(f, "{level}[{kind}]: tile {at}: {message}\n  cure: {}", kind.cure())
    }
}

/// Collects all findings, ordered by tile. What follows from a program or a set of routes that tiles
/// share is told once, at the first of them. An image that refers to what is not there gets no others.
pub fn lint(image: &WaferImage) -> Vec<Finding> {
    let mut found = match broken(image) {
        Ok(()) => Findings { image, list: Vec::new() },
        Err(findings) => return findings,
    };
    let wirings = Wiring::all(image);
    found.errors(&wirings);
    reach::check(&mut found, &wirings);
    burst::check(&mut found, &wirings);
    late::check(&mut found, &wirings);
    found.sorted()
}

/// Collects only what keeps an image from being run: faster than [`lint()`].
pub fn errors(image: &WaferImage) -> Vec<Finding> {
    let mut found = match broken(image) {
        Ok(()) => Findings { image, list: Vec::new() },
        Err(findings) => return findings,
    };
    found.errors(&Wiring::all(image));
    found.list.retain(|f| f.error);
    found.sorted()
}

/// # Errors
/// Findings for which nothing else can be asked of the image.
fn broken(image: &WaferImage) -> Result<(), Vec<Finding>> {
    let mut broken = image.broken_references();
    broken.extend(image.machine.validate().err().map(|e| e.to_string()));
    if broken.is_empty() {
        return Ok(());
    }
    let (kind, at) = (Kind::BrokenImage, PeCoord::new(0, 0));
    let finding = |message| Finding { kind, error: true, at, message };
    Err(broken.into_iter().map(finding).collect())
}

/// What has been found so far.
struct Findings<'a> {
    image: &'a WaferImage,
    list: Vec<Finding>,
}

impl Findings<'_> {
    /// Every check that may find an error.
    fn errors(&mut self, wirings: &[Wiring<'_>]) {
        programs::check(self);
        memory::check(self);
        routes::check(self, wirings);
        hosts::check(self);
        loops::check(self, wirings);
        defects::check(self);
    }

    fn error(&mut self, kind: Kind, idx: PeIdx, message: String) {
        let at = self.image.coord(idx);
        self.list.push(Finding { kind, error: true, at, message });
    }

    fn warning(&mut self, kind: Kind, idx: PeIdx, message: String) {
        let at = self.image.coord(idx);
        self.list.push(Finding { kind, error: false, at, message });
    }

    fn sorted(mut self) -> Vec<Finding> {
        self.list.sort_by_key(|f| (f.at.y, f.at.x));
        self.list
    }
}
