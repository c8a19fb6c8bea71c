//! Pass 7, lanes: single-source paths between stages, ports and host, each with a color that is free on all its
//! tiles.

mod router;

use crate::detour::Ground;
use crate::emit::FEEDBACK_WORDS;
use crate::error::CompileError;
use crate::stage::Stage;
use fabric::{Machine, PeCoord, Port, Ports, Route};
use pe_isa::Color;
use router::LaneRouter;

/// Where a lane begins or ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum End {
    /// The PE of a tile.
    Pe(PeCoord),
    /// The west edge of a tile, where the host is.
    Host(PeCoord),
}

impl End {
    fn tile(self) -> PeCoord {
        match self {
            End::Pe(at) | End::Host(at) => at,
        }
    }
}

/// A path through the fabric with its color.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Lane {
    pub(crate) from: End,
    pub(crate) to: End,
    pub(crate) path: Vec<PeCoord>,
    pub(crate) color: Color,
}

/// The lanes of an image.
#[derive(Debug)]
pub(crate) struct Lanes {
    /// Prompt ids, host to first port.
    pub(crate) prompts: Lane,
    /// New tokens, or their logits, head to host.
    pub(crate) answers: Lane,
    /// New tokens, head to first port; none where the host sends them there.
    pub(crate) feedback: Option<Lane>,
    /// From each stage but the last to the ports of the next, by column.
    pub(crate) transfers: Vec<Vec<Transfer>>,
}

/// The lanes of a column between a stage and the next.
#[derive(Debug)]
pub(crate) struct Transfer {
    /// From the stage's exit row to the next one's port.
    pub(crate) item: Lane,
    /// Back.
    pub(crate) grant: Lane,
}

impl Lanes {
    /// All of them.
    pub(crate) fn all(&self) -> impl Iterator<Item = &Lane> {
        let single = [&self.prompts, &self.answers];
        let transfers = self.transfers.iter().flatten();
        let pairs = transfers.flat_map(|transfer| [&transfer.item, &transfer.grant]);
        single.into_iter().chain(&self.feedback).chain(pairs)
    }
}

/// Lays all lanes between the stages, for `slots` requests at a time. `logits_to_host`: the host draws new tokens.
///
/// # Errors
/// No way or no color for a lane; too short a lane back to the embedding.
pub(crate) fn lay(
    ground: &mut Ground<'_>,
    stages: &[Stage],
    (slots, logits_to_host): (u32, bool),
) -> Result<Lanes, CompileError> {
    let machine = ground.machine;
    let mut router = LaneRouter { ground };
    let host = End::Host(PeCoord::new(0, 0));
    let first = End::Pe(stages[0].port(0));
    let head = stages.last().expect("there are at least three stages");
    let root = End::Pe(head.tile(head.roots.row, head.roots.column));
    let transfers = stages.windows(2).map(|pair| router.transfers(&pair[0], &pair[1]));
    let transfers = transfers.collect::<Result<_, CompileError>>()?;
    let lanes = Lanes {
        prompts: router.lane(host, first)?,
        answers: router.lane(root, host)?,
        feedback: (!logits_to_host).then(|| router.lane(root, first)).transpose()?,
        transfers,
    };
    if let Some(feedback) = &lanes.feedback {
        check_feedback(feedback, machine, slots)?;
    }
    Ok(lanes)
}

/// The first port takes all prompt items before any token that is fed back, so the lane must be able to hold one
/// such item of every request; else the head would wait for the port and the port for the head.
fn check_feedback(lane: &Lane, machine: &Machine, slots: u32) -> Result<(), CompileError> {
    let words = (lane.path.len() as u64 - 1) * u64::from(machine.fabric.queue_depth);
    let most = words / u64::from(FEEDBACK_WORDS);
    if slots > 1 && u64::from(slots) > most {
        return Err(CompileError::one(format!(
            "{slots} requests at a time: the lane back to the embedding holds {most} of them on this placement; ask \
             for fewer at a time (or --set machine.fabric.queue_depth)"
        )));
    }
    Ok(())
}

impl Lane {
    /// Adds the lane's routes, tile by tile.
    pub(crate) fn route(&self, mut add: impl FnMut(PeCoord, Route)) {
        for (step, &at) in self.path.iter().enumerate() {
            let rx = match step.checked_sub(1) {
                Some(before) => towards(at, self.path[before]),
                None if matches!(self.from, End::Host(_)) => Port::West,
                None => Port::Ramp,
            };
            let tx = match self.path.get(step + 1) {
                Some(&next) => towards(at, next),
                None if matches!(self.to, End::Host(_)) => Port::West,
                None => Port::Ramp,
            };
            add(at, Route::fixed(self.color, rx, Ports::one(tx)));
        }
    }
}

/// The port of `at` that leads to its neighbour `next`.
fn towards(at: PeCoord, next: PeCoord) -> Port {
    match (next.x.cmp(&at.x), next.y.cmp(&at.y)) {
        (std::cmp::Ordering::Greater, _) => Port::East,
        (std::cmp::Ordering::Less, _) => Port::West,
        (_, std::cmp::Ordering::Greater) => Port::South,
        _ => Port::North,
    }
}
