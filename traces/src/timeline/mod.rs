//! A run as a timeline, in the format of Perfetto (docs, "Timeline"). One cycle is one nanosecond there.
//!
//! [`Timeline`] observes a run and writes what it sees at once: slices, flows, counters.
//!
//! * `thread`: which instruction a step belongs to, and what the PE waited for before it;
//! * `journeys`: where wavelets come from; `load`: counters of stages;
//! * `file`: tracks, slices, and the bound on the file's size; `proto`: bytes.

mod file;
mod journeys;
mod load;
mod proto;
mod thread;

use crate::attribution::Places;
use fabric::{PeCoord, PeIdx, WaferImage};
use file::TraceFile;
use journeys::{Journey, Journeys};
use load::Load;
use pe_isa::{Color, Cycle, Program};
use sim_core::{Event, Observer, What};
use std::ops::Range;
use thread::{Pe, Wait};

/// How much is recorded; each level has what those before it have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// Of each stage, what one PE works on, and counters of all of them.
    Stages,
    /// What each PE works on.
    Tasks,
    /// Steps of PEs, and what they wait for between them.
    Instructions,
    /// Each wavelet, from where it is put to where it is taken.
    Wavelets,
}

/// A rectangle of tiles.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Region {
    /// North-west tile.
    pub origin: PeCoord,
    /// Columns.
    pub width: u32,
    /// Rows.
    pub height: u32,
}

impl Region {
    fn contains(&self, at: PeCoord) -> bool {
        let inside = |at: u32, from: u32, count: u32| at >= from && at - from < count;
        inside(at.x, self.origin.x, self.width) && inside(at.y, self.origin.y, self.height)
    }
}

/// What is recorded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Selection {
    /// How much.
    pub level: Level,
    /// Of which PEs; counters are of whole stages.
    pub region: Option<Region>,
    /// What begins in these cycles.
    pub window: Range<u64>,
    /// The file has no more bytes than this.
    pub max_bytes: usize,
}

/// A file, and how it came out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Recorded {
    /// The file.
    pub bytes: Vec<u8>,
    /// Slices, instants and values in it.
    pub events: u64,
    /// The cycle at which the bound on its size was reached.
    pub full: Option<u64>,
}

/// Numbers of tracks: the wafer, stages from 2 on, PEs with several each behind all of these.
const WAFER: u64 = 1;
const STAGES: u64 = 2;
const PER_STAGE: u64 = 4;
const PES: u64 = 1 << 32;
const PER_PE: u64 = 8;

/// Sees a run of an image whose programs are [`crate::attribution::with_marks`].
#[derive(Debug)]
pub struct Timeline<'a> {
    image: &'a WaferImage,
    programs: &'a [Program],
    places: &'a Places,
    names: Vec<String>,
    selection: Selection,
    file: TraceFile,
    /// Of each tile its stage, and the PE that stands for it.
    stage_of: Vec<Option<u16>>,
    seen_of: Vec<Option<PeIdx>>,
    loads: Vec<Load>,
    pes: Vec<Option<Box<Pe>>>,
    journeys: Journeys,
    visit: Visit,
    told: u64,
}

/// What is told of one PE in one cycle.
#[derive(Debug, Default)]
struct Visit {
    at: Option<(PeIdx, u64)>,
    step: Option<u64>,
    put: Option<Color>,
    taken: Vec<(sim_core::Wavelet, Option<Journey>)>,
}

impl<'a> Timeline<'a> {
    /// An observer of a run of `image`, whose programs were `programs` before they got marks.
    pub fn new(
        image: &'a WaferImage,
        programs: &'a [Program],
        places: &'a Places,
        selection: Selection,
    ) -> Timeline<'a> {
        let mut stage_of = vec![None; image.tiles.len()];
        let mut seen_of = vec![None; image.stages.len()];
        for (number, stage) in image.stages.iter().enumerate() {
            for (x, y) in (0..stage.height).flat_map(|y| (0..stage.width).map(move |x| (x, y))) {
                let at = image.index(PeCoord::new(stage.origin.x + x, stage.origin.y + y));
                if image.tile(at).program.is_some() {
                    stage_of[at.0 as usize] = Some(number as u16);
                    seen_of[number].get_or_insert(at);
                }
            }
        }
        let name = |place: &crate::attribution::Place| match place.layer {
            Some(layer) => format!("layer {layer} {}", place.operation),
            None => place.operation.to_string(),
        };
        let mut file = TraceFile::new(selection.max_bytes);
        let title = format!("{} (1 ns = 1 cycle)", image.machine.name);
        file.track((WAFER, 0), || title, None);
        let pe = |tile: &fabric::Tile| tile.program.map(|id| Box::new(Pe::new(id)));
        Timeline {
            names: places.places.iter().map(name).collect(),
            file,
            stage_of,
            loads: vec![Load::default(); seen_of.len()],
            seen_of,
            pes: image.tiles.iter().map(pe).collect(),
            image,
            programs,
            places,
            selection,
            journeys: Journeys::default(),
            visit: Visit::default(),
            told: 0,
        }
    }

    /// The file of a run that stopped at `stop`.
    pub fn end(mut self, stop: Cycle) -> Recorded {
        self.end_visit();
        for at in 0..self.pes.len() {
            self.end_operation(PeIdx(at as u32), stop.0);
        }
        self.tell(u64::MAX / 2);
        let (events, full) = (self.file.events, self.file.full);
        Recorded { bytes: self.file.end(), events, full }
    }

    /// Whether events of a PE are recorded at a level.
    fn wants(&self, tile: PeIdx, level: Level) -> bool {
        let is_near = |region: Region| region.contains(self.image.coord(tile));
        self.selection.level >= level && self.selection.region.is_none_or(is_near)
    }

    fn in_window(&self, cycle: u64) -> bool {
        self.selection.window.contains(&cycle)
    }

    /// The track number `which` of a stage.
    fn stage_track(&mut self, stage: usize, which: u64, name: &str, unit: Option<&str>) -> u64 {
        let group = STAGES + stage as u64 * PER_STAGE;
        let info = &self.image.stages[stage];
        self.file.track((group, WAFER), || format!("stage {stage}: {}", info.name), None);
        self.file.track((group + which, group), || name.to_string(), unit);
        group + which
    }

    /// The track number `which` of a PE.
    fn pe_track(&mut self, tile: PeIdx, which: u64, name: &str) -> u64 {
        let group = PES + u64::from(tile.0) * PER_PE;
        let parent = match self.stage_of[tile.0 as usize] {
            Some(stage) => self.stage_track(usize::from(stage), 0, "", None),
            None => WAFER,
        };
        let at = self.image.coord(tile);
        self.file.track((group, parent), || format!("PE {at}"), None);
        self.file.track((group + which, group), || name.to_string(), None);
        group + which
    }

    /// What a PE works on ends, and is written.
    fn end_operation(&mut self, tile: PeIdx, now: u64) {
        let Some(pe) = &mut self.pes[tile.0 as usize] else { return };
        let Some((place, since)) = pe.operation.take() else { return };
        if !self.in_window(since) {
            return;
        }
        let stage = self.stage_of[tile.0 as usize].map(usize::from);
        if let Some(stage) = stage.filter(|stage| self.seen_of[*stage] == Some(tile)) {
            let name = format!("operations, at PE {}", self.image.coord(tile));
            let track = self.stage_track(stage, 1, &name, None);
            self.file.slice(track, &self.names[usize::from(place)], (since, now));
        }
        if self.wants(tile, Level::Tasks) {
            let track = self.pe_track(tile, 1, "operations");
            self.file.slice(track, &self.names[usize::from(place)], (since, now));
        }
    }

    /// Counters, as far as their values are known.
    fn tell(&mut self, now: u64) {
        for stage in 0..self.loads.len() {
            let mut values = Vec::new();
            self.loads[stage].tell(now, &mut |at, busy, puts| values.push((at, busy, puts)));
            values.retain(|(at, ..)| self.in_window(*at));
            for (at, busy, puts) in values {
                if let Some(busy) = busy {
                    let track = self.stage_track(stage, 2, "PEs working", Some("hundredths"));
                    self.file.counter(track, at, busy);
                }
                if let Some(puts) = puts {
                    let unit = "per 128 cycles";
                    let track = self.stage_track(stage, 3, "wavelets put", Some(unit));
                    self.file.counter(track, at, puts);
                }
            }
        }
    }

    /// All of a PE's cycle is told.
    fn end_visit(&mut self) {
        let Visit { at, step, put, taken } = std::mem::take(&mut self.visit);
        let Some((tile, cycle)) = at else { return };
        if self.selection.level < Level::Instructions {
            return self.end_of_task(tile, (cycle, step), put.is_none() && taken.is_empty());
        }
        for (wavelet, journey) in &taken {
            if let Some(journey) = journey {
                self.arrive(tile, cycle, wavelet.color, *journey);
            }
        }
        let Some(pe) = &mut self.pes[tile.0 as usize] else { return };
        let program = &self.programs[pe.program.0 as usize];
        let room = put.and_then(|color| self.journeys.room(self.image, tile, color));
        let Some(cost) = step else {
            return pe.launch(cycle);
        };
        let colors: Vec<Color> = taken.iter().map(|(wavelet, _)| wavelet.color).collect();
        let arrived = taken.iter().filter_map(|(_, journey)| Some((*journey)?.arrived)).max();
        let arrived = colors.last().copied().zip(arrived);
        let gap = pe.gap(cycle, arrived, put.zip(room));
        let (name, ends_task) = pe.step(program, (cycle, cost), &colors, put);
        if self.wants(tile, Level::Instructions) && self.in_window(cycle) {
            let track = self.pe_track(tile, 2, "steps and waits");
            for Wait { cause, from, to } in gap {
                self.file.slice(track, &cause, (from, to));
            }
            self.file.slice(track, &name, (cycle, cycle + cost));
        }
        if ends_task {
            self.end_operation(tile, cycle + cost);
        }
    }

    /// Ends the operation if the step was the `end` of a task, which moves no wavelets.
    fn end_of_task(&mut self, tile: PeIdx, (cycle, step): (u64, Option<u64>), is_still: bool) {
        let Some(pe) = &self.pes[tile.0 as usize] else { return };
        let program = &self.programs[pe.program.0 as usize];
        if let Some(cost) = step.filter(|_| is_still && pe.is_at_end(program)) {
            self.end_operation(tile, cycle + cost);
        }
    }

    /// A wavelet is taken: a flow from where it was put.
    fn arrive(&mut self, tile: PeIdx, cycle: u64, color: Color, journey: Journey) {
        if !self.wants(tile, Level::Wavelets) || !self.in_window(cycle) {
            return;
        }
        let to = self.pe_track(tile, 4, "wavelets taken");
        let (from, name) = match journey.from {
            Some(from) => {
                let name = format!("{color} from {}", self.image.coord(from));
                (self.pe_track(from, 3, "wavelets put"), name)
            }
            None => {
                let track = WAFER + (1 << 31);
                self.file.track((track, WAFER), || "host".into(), None);
                (track, format!("{color} from the host"))
            }
        };
        let sent = format!("{color} to {}", self.image.coord(tile));
        self.file.flow((from, journey.sent, &sent), (to, cycle, &name));
    }
}

impl Observer for Timeline<'_> {
    fn mark(&mut self, cycle: Cycle, tile: PeIdx, mark: u16, _sram: &[u32]) {
        self.end_visit();
        let launch = self.image.machine.pe.task_launch_cycles;
        let table = &self.places.tables[self.places.tiles[tile.0 as usize] as usize];
        let place = table[usize::from(mark)];
        let Some(pe) = &mut self.pes[tile.0 as usize] else { return };
        pe.reach(cycle.0, mark, launch);
        if pe.operation.is_none_or(|(before, _)| before != place) {
            self.end_operation(tile, cycle.0);
            if let Some(pe) = &mut self.pes[tile.0 as usize] {
                pe.operation = Some((place, cycle.0));
            }
        }
    }

    fn sees_events(&self) -> bool {
        true
    }

    fn event(&mut self, event: &Event) {
        let &Event { cycle, tile, what } = event;
        if self.file.full.is_some() {
            return;
        }
        if self.visit.at.is_some_and(|at| at != (tile, cycle.0)) {
            self.end_visit();
        }
        let follows = self.selection.level >= Level::Instructions;
        let journey = if follows { self.journeys.follow(self.image, event) } else { None };
        let stage = self.stage_of[tile.0 as usize].map(usize::from);
        match what {
            What::Step { cycles } => {
                self.visit.step = Some(cycles);
                if let Some(stage) = stage {
                    self.loads[stage].step(cycle.0, cycle.0 + cycles);
                }
            }
            What::Put { wavelet, .. } => {
                self.visit.put = Some(wavelet.color);
                if let Some(stage) = stage {
                    self.loads[stage].put(cycle.0);
                }
            }
            What::Take { wavelet } => self.visit.taken.push((wavelet, journey)),
            What::Enter { .. } | What::Rise { .. } | What::Fire { .. } => return,
        }
        self.visit.at = Some((tile, cycle.0));
        if cycle.0 >= self.told + 64 * load::SPAN {
            self.told = cycle.0;
            self.tell(cycle.0);
        }
    }
}
