//! One cell on its way: where it is, and where it goes from there.

use super::cells::Cell;
use super::memory::Memory;
use crate::engine::{Crossed, Totals};

/// Where a cell is.
#[derive(Debug, Clone, Copy)]
pub(super) enum Place {
    /// At a rest since a cycle.
    Rest { rest: usize, since: u64 },
    /// In a segment, as the one for which it is simulated.
    Leads { segment: usize, begun: u64 },
    /// In a segment that another one leads, which began it no later. Of its arrivals and departures so many have been.
    Follows { segment: usize, begun: u64, arrived: usize, departed: usize },
}

/// A cell on its way.
#[derive(Debug)]
pub(super) struct Walker {
    pub(super) cell: Cell,
    pub(super) place: Place,
    /// What was counted before that.
    pub(super) counted: Totals,
    /// It has been simulated.
    pub(super) simulated: bool,
    /// What crosses its border in this cycle.
    pub(super) inbox: Vec<Crossed>,
}

impl Walker {
    /// Takes in what crosses its border at `now`, in order; nothing, perhaps.
    pub(super) fn receive(&mut self, memory: &mut Memory, now: u64, inbox: &[Crossed]) {
        match &mut self.place {
            Place::Leads { segment, begun } => {
                if inbox.is_empty() {
                    return;
                }
                let (time, alone) = (now - *begun, memory.is_alone());
                let segment = &mut memory.segments[*segment];
                segment.live.as_mut().expect("it is led").take(time, inbox);
                if !alone {
                    segment.arrivals.extend(inbox.iter().map(|&crossed| (time, crossed)));
                }
            }
            Place::Follows { segment, begun, arrived, .. } => {
                let (begun, time) = (*begun, now - *begun);
                let known = &memory.segments[*segment].arrivals;
                let ahead = known[*arrived..].partition_point(|a| a.0 <= time);
                let expected = &known[*arrived..*arrived + ahead];
                if expected.iter().map(|a| &a.1).eq(inbox) {
                    *arrived += ahead;
                    return;
                }
                let mut given = known[..*arrived].to_vec();
                given.extend(inbox.iter().map(|&crossed| (time, crossed)));
                let rest = memory.segments[*segment].rest;
                self.enter(memory, (rest, begun), given, time);
            }
            Place::Rest { rest, since } => {
                if inbox.is_empty() {
                    return;
                }
                let rest = *rest;
                self.counted.add(&memory.rest_cycle(rest), now - *since);
                let given = inbox.iter().map(|&crossed| (0, crossed)).collect();
                self.enter(memory, (rest, now), given, 0);
            }
        }
    }

    /// Goes into the segment from `rest` on, begun at `begun`, in which `given` has arrived in `time` cycles; into a new one where
    /// none is known.
    fn enter(
        &mut self,
        memory: &mut Memory,
        (rest, begun): (usize, u64),
        given: Vec<(u64, Crossed)>,
        time: u64,
    ) {
        self.place = match memory.find(rest, &given, (time, begun)) {
            Some(segment) => {
                let arrived = given.len();
                let departures = &memory.segments[segment].departures;
                let departed = departures.partition_point(|d| d.0 <= time);
                Place::Follows { segment, begun, arrived, departed }
            }
            None => {
                self.simulated = true;
                let segment = memory.begin(rest, given, (time, begun));
                Place::Leads { segment, begun }
            }
        };
    }
}
