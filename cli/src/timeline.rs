//! `wafersim run --trace FILE`: a second pass over a run, which is recorded as a timeline.

use crate::args::{TraceLevel, ViewArgs};
use crate::attribution::Until;
use crate::output::write_file;
use crate::places;
use crate::session::Finished;
use anyhow::{Result, bail, ensure};
use compiler::Compiled;
use fabric::{Machine, PeCoord};
use pe_isa::Cycle;
use sim_core::{Data, Outcome, engine};
use std::num::NonZeroUsize;
use std::ops::Range;
use std::path::Path;
use traces::attribution::{Sent, with_marks};
use traces::timeline::{Level, Recorded, Region, Selection, Timeline};

/// Bytes that a file has at most.
pub(crate) const MAX_BYTES: usize = 50_000_000;

/// What is to be recorded, and where to.
pub(crate) struct Recording<'a> {
    file: &'a Path,
    selection: Selection,
}

impl<'a> Recording<'a> {
    /// What the options ask for, on this machine.
    ///
    /// # Errors
    /// A region that lies beyond the wafer; a file that cannot be one.
    pub(crate) fn of(views: &'a ViewArgs, machine: &Machine) -> Result<Option<Recording<'a>>> {
        let Some(file) = &views.trace else { return Ok(None) };
        if let Some(region) = &views.trace_region {
            let inside = |from: u32, count: u32, all: u32| from < all && count <= all - from;
            let (x, y) = (region.origin.x, region.origin.y);
            let (width, height) = (machine.width, machine.height);
            if !inside(x, region.width, width) || !inside(y, region.height, height) {
                bail!(
                    "--trace-region: the wafer has {width} x {height} tiles, which end before it does"
                );
            }
        }
        let level = match views.trace_level {
            TraceLevel::Stages => Level::Stages,
            TraceLevel::Tasks => Level::Tasks,
            TraceLevel::Instructions => Level::Instructions,
            TraceLevel::Wavelets => Level::Wavelets,
        };
        let selection = Selection {
            level,
            region: views.trace_region,
            window: views.trace_window.clone().unwrap_or(0..u64::MAX),
            max_bytes: MAX_BYTES,
        };
        Ok(Some(Recording { file, selection }))
    }

    /// Runs again what was run, and writes the file. The image is the same afterwards. Says how it came out.
    ///
    /// # Errors
    /// Whatever the system reports.
    pub(crate) fn write(
        &self,
        compiled: &mut Compiled,
        data: Data,
        finished: &Finished,
    ) -> Result<String> {
        let recorded =
            record(compiled, data, (&finished.sent, finished.outcome()), &self.selection)?;
        write_file(self.file, &recorded.bytes)?;
        let name = self.file.display();
        let size = recorded.bytes.len() as f64 / 1e6;
        let held = format!("{name} holds {} events in {size:.1} MB", recorded.events);
        Ok(match recorded.full {
            None => format!("{held}; open it at ui.perfetto.dev"),
            Some(cycle) => format!(
                "{held}, which is the most: recording stopped at cycle {cycle}; choose a region, a window or a level"
            ),
        })
    }
}

/// The second pass: what is sent is known, and so is when it ends.
fn record(
    compiled: &mut Compiled,
    data: Data,
    (sent, outcome): (&Sent, &Outcome),
    selection: &Selection,
) -> Result<Recorded> {
    let places = places::of(compiled);
    let image = &mut compiled.image;
    let marked = with_marks(&image.programs);
    let programs = std::mem::replace(&mut image.programs, marked);
    let mut seen = Timeline::new(image, &programs, &places, selection.clone());
    let end = outcome.cycle;
    let limit = Cycle(selection.window.end.min(end.0 + 1));
    let how = (data, NonZeroUsize::MIN);
    let (again, _) = engine::run_for(image, how, &sent.script, &mut Until(end), limit, &mut seen);
    let recorded = seen.end(again.cycle);
    image.programs = programs;
    let is_whole = limit > end;
    ensure!(!is_whole || again.digest() == outcome.digest(), "the recorded run is another one");
    Ok(recorded)
}

/// Reads `X,Y,WxH`.
pub(crate) fn parse_region(text: &str) -> Result<Region, String> {
    let read = || {
        let (x, rest) = text.split_once(',')?;
        let (y, size) = rest.split_once(',')?;
        let (width, height) = size.split_once('x')?;
        let number = |text: &str| text.trim().parse::<u32>().ok();
        let origin = PeCoord::new(number(x)?, number(y)?);
        let (width, height) = (number(width)?, number(height)?);
        (width > 0 && height > 0).then_some(Region { origin, width, height })
    };
    read()
        .ok_or_else(|| format!("`{text}` is no rectangle of tiles; write X,Y,WxH, such as 0,0,4x2"))
}

/// Reads `A..B`.
pub(crate) fn parse_window(text: &str) -> Result<Range<u64>, String> {
    let read = || {
        let (from, to) = text.split_once("..")?;
        let number = |text: &str| text.trim().replace('_', "").parse::<u64>().ok();
        let (from, to) = (number(from)?, number(to)?);
        (from < to).then_some(from..to)
    };
    read().ok_or_else(|| format!("`{text}` is no span of cycles; write A..B, such as 10000..20000"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn are_regions_and_windows_read_as_documented() {
        let region = parse_region("3,4,5x6").unwrap();
        assert_eq!((region.origin, region.width, region.height), (PeCoord::new(3, 4), 5, 6));
        assert_eq!(parse_window("10..20"), Ok(10..20));
        for wrong in ["", "1,2", "1,2,3", "1,2,0x4", "-1,2,3x4"] {
            assert!(parse_region(wrong).is_err(), "{wrong}");
        }
        for wrong in ["", "5", "5..5", "9..1", "a..b"] {
            assert!(parse_window(wrong).is_err(), "{wrong}");
        }
    }
}
