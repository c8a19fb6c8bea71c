//! Where the cycles of the critical path went (docs, "Metrics", "Attribution").
//!
//! [`Attributor`] observes a run and says of each event why it did not happen earlier: there is one latest event before it that it
//! had to wait for, and the time between the two belongs to one category and one place. It keeps, for all that is under way
//! (wavelets, free slots, links, threads, tasks), the chain of these spans back to cycle 0, in a `tree` that is cut back
//! to what is still under way. So memory does not grow with the run. It takes no decision of the contract again: it takes what
//! happened as given, and looks for the latest of the conditions that the contract names.
//!
//! * `tree`: spans and moments; `fifo`: FIFOs and outputs; `sites`: where they are;
//! * `code`: programs with a mark before each instruction, by which threads are followed; `pe`: threads, tasks, registers;
//! * `wires`: why a wavelet moved when it did; `steps`: why a PE did something when it did;
//! * `result`: what is told in the end.

mod code;
mod fifo;
mod pe;
mod result;
mod sites;
mod steps;
mod tree;
mod wires;

pub use code::with_marks;
pub use result::{Attribution, CategoryCycles, Entry, LayerEntry, OperationEntry};
pub use tree::Category;

use code::Code;
use fabric::{PeIdx, Port, WaferImage};
use fifo::{Fifo, Output};
use pe::{Pe, Visit};
use pe_isa::{Color, Cycle, Program};
use sim_core::{Event, HostScript, Observer, What};
use sites::Sites;
use std::collections::BTreeMap;
use tree::{Moment, Tree};

/// A part of the work, as reports name it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// The layer, where it belongs to one.
    pub layer: Option<u32>,
    /// The operation.
    pub operation: &'static str,
}

/// What each instruction of each PE works on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Places {
    /// All of them. The first is that of what belongs to no PE.
    pub places: Vec<Place>,
    /// Of each instruction of a program, marks included: indices of places.
    pub tables: Vec<Vec<u16>>,
    /// Of each tile, its program's table.
    pub tiles: Vec<u32>,
}

impl Places {
    /// One place for all that `image` does.
    pub fn one(image: &WaferImage, operation: &'static str) -> Places {
        let programs = image.programs.iter();
        Places {
            places: vec![Place { layer: None, operation }],
            tables: programs.map(|p| vec![0; p.instrs.len()]).collect(),
            tiles: image.tiles.iter().map(|tile| tile.program.map_or(0, |p| p.0)).collect(),
        }
    }
}

/// A wavelet that reached the host: when, and through which of [`WaferImage::host_out`].
pub type Received = (Cycle, usize);

/// What the host sends, and why.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Sent {
    /// All of it, answers included.
    pub script: HostScript,
    /// For each port, the wavelet that each of its wavelets answers; missing ones answer none.
    pub causes: Vec<Vec<Option<Received>>>,
}

/// Sees a run of an image whose programs are [`with_marks`].
#[derive(Debug)]
pub struct Attributor<'a> {
    image: &'a WaferImage,
    codes: Vec<Code<'a>>,
    places: &'a Places,
    sent: &'a Sent,
    tree: Tree,
    sites: Sites,
    fifos: Vec<Fifo>,
    /// Of each tile with routes five, by port.
    outputs: Vec<Output>,
    first_output: Vec<u32>,
    /// Of each tile with a program its PE.
    pe_at: Vec<u32>,
    pes: Vec<Pe>,
    /// Of each PE, its way up.
    ramps: Vec<Output>,
    switches: BTreeMap<(PeIdx, Color), Moment>,
    /// Of each port of the host, how much it has sent, and at which rate.
    lanes: Vec<(usize, Output)>,
    /// What has reached the host, as far as it is asked for.
    received: BTreeMap<Received, Option<Moment>>,
    visit: (PeIdx, Visit),
    unexplained: u64,
    arbitrated: u64,
}

impl<'a> Attributor<'a> {
    /// An observer of a run of `image`, whose programs were `programs` before they got marks, and to which the host sends
    /// `sent`. What it will be asked for is the wavelet `last`.
    pub fn new(
        image: &'a WaferImage,
        programs: &'a [Program],
        places: &'a Places,
        sent: &'a Sent,
        last: Received,
    ) -> Attributor<'a> {
        let sites = Sites::new(image);
        let (mut pe_at, mut pes) = (Vec::new(), Vec::new());
        let (mut first_output, mut outputs) = (Vec::new(), 0);
        for tile in &image.tiles {
            first_output.push(outputs);
            outputs += if tile.routes.is_some() { Port::ALL.len() as u32 } else { 0 };
            pe_at.push(pes.len() as u32);
            if let Some(id) = tile.program {
                pes.push(Pe::new(id.0, &programs[id.0 as usize], &tile.params));
            }
        }
        let asked = sent.causes.iter().flatten().flatten().copied().chain([last]);
        Attributor {
            image,
            codes: programs.iter().map(Code::new).collect(),
            places,
            sent,
            tree: Tree::new(),
            fifos: vec![Fifo::default(); sites.count],
            sites,
            outputs: vec![Output::default(); outputs as usize],
            first_output,
            pe_at,
            ramps: vec![Output::default(); pes.len()],
            pes,
            switches: BTreeMap::new(),
            lanes: vec![(0, Output::default()); image.host_in.len()],
            received: asked.map(|key| (key, None)).collect(),
            visit: (PeIdx(u32::MAX), Visit::default()),
            unexplained: 0,
            arbitrated: 0,
        }
    }

    /// What the time until a wavelet reached the host went to; none if it never did.
    pub fn attribution(&self, received: Received) -> Option<Attribution> {
        let moment = (*self.received.get(&received)?)?;
        Some(Attribution::new(&self.places.places, &self.tree.sums(moment)))
    }

    /// What the time until the end of the last step of any PE went to; of equally late ones, that of the first PE.
    pub fn attribution_of_steps(&mut self) -> Attribution {
        self.end_visit();
        let ends = self.pes.iter().map(|pe| pe.datapath);
        let last = ends.reduce(|last, end| if end.cycle > last.cycle { end } else { last });
        let sums = self.tree.sums(last.unwrap_or(Moment::START));
        Attribution::new(&self.places.places, &sums)
    }

    /// Cycles before steps and launches for which no condition accounts. There are none, or the contract has
    /// one that is not known here.
    pub fn unexplained(&self) -> u64 {
        self.unexplained
    }

    /// Cycles before moves of wavelets for which no condition accounts but the order in which a router visits its FIFOs (rules
    /// Where nothing competes there are none.
    pub fn arbitrated(&self) -> u64 {
        self.arbitrated
    }

    /// The place of an instruction.
    fn place(&self, tile: PeIdx, pc: u16) -> u16 {
        let table = &self.places.tables[self.places.tiles[tile.0 as usize] as usize];
        table[usize::from(pc)]
    }

    fn collect(&mut self) {
        let Attributor { tree, fifos, outputs, pes, ramps, switches, lanes, received, .. } = self;
        tree.collect(|visit| {
            fifos.iter_mut().for_each(|fifo| fifo.each(visit));
            let lanes = lanes.iter_mut().map(|(_, output)| output);
            let outputs = outputs.iter_mut().chain(ramps.iter_mut()).chain(lanes);
            outputs.for_each(|output| output.each(visit));
            pes.iter_mut().for_each(|pe| pe.each(visit));
            switches.values_mut().for_each(&mut *visit);
            received.values_mut().flatten().for_each(&mut *visit);
        });
    }
}

impl Observer for Attributor<'_> {
    fn mark(&mut self, cycle: Cycle, pe: PeIdx, mark: u16, _sram: &[u32]) {
        self.end_visit();
        self.reach(cycle.0, pe, mark);
    }

    fn sees_events(&self) -> bool {
        true
    }

    fn event(&mut self, event: &Event) {
        let &Event { cycle, tile, what } = event;
        if (tile, cycle) != (self.visit.0, self.visit.1.cycle) {
            self.end_visit();
            (self.visit.0, self.visit.1.cycle) = (tile, cycle);
            if self.tree.is_full() {
                self.collect();
            }
        }
        match what {
            What::Step { cycles } => self.visit.1.step = Some(cycles),
            What::Put { wavelet, .. } => self.visit.1.put = Some(wavelet),
            What::Take { wavelet } => self.visit.1.taken.push(wavelet),
            What::Enter { port, wavelet } => self.enter(cycle.0, tile, port, wavelet),
            What::Rise { wavelet } => self.rise(cycle.0, tile, wavelet),
            What::Fire { from, to, wavelet } => self.fire(cycle.0, tile, (from, to), wavelet),
        }
    }
}

/// The latest of the conditions of something that happens at `now`. Of equally late ones the one that is offered first.
#[derive(Debug, Clone, Copy)]
struct Latest {
    now: u64,
    due: u64,
    from: Moment,
    category: Category,
}

impl Latest {
    /// A condition that was met at `from`, and holds from `due` on; the time between is of the category.
    fn new(now: u64, due: u64, from: Moment, category: Category) -> Latest {
        let mut latest = Latest { now, due: 0, from: Moment::START, category };
        if due <= now && from.cycle <= due {
            (latest.due, latest.from) = (due, from);
        }
        latest
    }

    fn offer(&mut self, due: u64, from: Moment, category: Category) {
        if self.due < due && due <= self.now {
            (self.due, self.from, self.category) = (due, from, category);
        }
    }

    /// What no condition accounts for.
    fn rest(&self) -> u64 {
        self.now - self.due
    }

    /// The moment itself; what is left until then is of the category `rest`.
    fn end(self, tree: &mut Tree, rest: Category) -> Moment {
        let due = tree.extend(self.from, self.category, self.due);
        tree.extend(due, rest, self.now)
    }
}
