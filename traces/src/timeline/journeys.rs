//! Where each wavelet comes from: FIFOs as queues of origins, filled and emptied by what an observer is told.

use fabric::{PeIdx, Port, WaferImage};
use pe_isa::Color;
use sim_core::{Event, What};
use std::collections::{BTreeMap, VecDeque};

/// Whose queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Queue {
    Router(Port),
    Input,
    Output,
}

/// A wavelet on its way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Journey {
    /// The PE that sent it; none for the host.
    pub(super) from: Option<PeIdx>,
    /// When it was put into the output queue, or entered the wafer.
    pub(super) sent: u64,
    /// When it reached the head of an input queue, or could have; 0 until then.
    pub(super) arrived: u64,
}

/// All that is under way.
#[derive(Debug, Default)]
pub(super) struct Journeys {
    queues: BTreeMap<(PeIdx, Queue, Color), VecDeque<Journey>>,
    /// When wavelets left an output queue, the latest last; as many as the queue has slots.
    left: BTreeMap<(PeIdx, Color), VecDeque<u64>>,
    puts: BTreeMap<(PeIdx, Color), u64>,
}

impl Journeys {
    /// Takes note; a wavelet that a PE takes is handed out.
    pub(super) fn follow(&mut self, image: &WaferImage, event: &Event) -> Option<Journey> {
        let &Event { cycle, tile, what } = event;
        let color = what.wavelet()?.color;
        match what {
            What::Step { .. } => None,
            What::Enter { port, .. } => {
                let journey = Journey { from: None, sent: cycle.0, arrived: 0 };
                self.push((tile, Queue::Router(port), color), journey);
                None
            }
            What::Put { .. } => {
                let journey = Journey { from: Some(tile), sent: cycle.0, arrived: 0 };
                self.push((tile, Queue::Output, color), journey);
                *self.puts.entry((tile, color)).or_default() += 1;
                None
            }
            What::Rise { .. } => {
                let journey = self.pop((tile, Queue::Output, color))?;
                self.push((tile, Queue::Router(Port::Ramp), color), journey);
                let left = self.left.entry((tile, color)).or_default();
                left.push_back(cycle.0);
                if left.len() > DEEPEST {
                    left.pop_front();
                }
                None
            }
            What::Fire { from, to, .. } => {
                let journey = self.pop((tile, Queue::Router(from), color))?;
                for port in to.iter() {
                    self.pass_on(image, (tile, port, color), cycle.0, journey);
                }
                None
            }
            What::Take { .. } => self.pop((tile, Queue::Input, color)),
        }
    }

    fn pass_on(
        &mut self,
        image: &WaferImage,
        (tile, port, color): (PeIdx, Port, Color),
        at: u64,
        journey: Journey,
    ) {
        let machine = &image.machine;
        if port == Port::Ramp {
            let arrived = at + machine.pe.ramp_cycles;
            return self.push((tile, Queue::Input, color), Journey { arrived, ..journey });
        }
        let next = image.coord(tile).neighbour(port, machine.width, machine.height);
        if let Some(next) = next {
            let key = (image.index(next), Queue::Router(port.opposite()), color);
            self.push(key, journey);
        }
    }

    /// When the slot became free that the last wavelet put took; none where there had been room all along.
    pub(super) fn room(&self, image: &WaferImage, tile: PeIdx, color: Color) -> Option<u64> {
        let program = image.program(tile)?;
        let queue = program.out_queues.iter().position(|bound| *bound == Some(color))?;
        let depth = u64::from(*image.machine.pe.output_queues.get(queue)?);
        let puts = *self.puts.get(&(tile, color))?;
        // The last put took the slot of the one that many puts before it.
        let before = puts.checked_sub(depth + 1)?;
        let left = self.left.get(&(tile, color))?;
        let inside = self.queues.get(&(tile, Queue::Output, color)).map_or(0, VecDeque::len);
        let departed = puts - inside as u64;
        let back = departed.checked_sub(before + 1)?;
        left.len().checked_sub(1 + back as usize).map(|at| left[at] + 1)
    }

    fn push(&mut self, key: (PeIdx, Queue, Color), journey: Journey) {
        self.queues.entry(key).or_default().push_back(journey);
    }

    fn pop(&mut self, key: (PeIdx, Queue, Color)) -> Option<Journey> {
        self.queues.get_mut(&key)?.pop_front()
    }
}

/// Departures that are kept of an output queue: more than any has slots.
const DEEPEST: usize = 64;
