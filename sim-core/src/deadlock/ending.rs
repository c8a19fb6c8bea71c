//! What ends a chain of waits: things that never come.

use fabric::{PeIdx, Port};
use pe_isa::{Color, TaskId};

/// What a chain of waits ends at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum End {
    /// The PE that would have to send runs nothing any more.
    SenderEnded { pe: PeIdx, color: Color },
    /// The PE that would have to receive runs nothing any more.
    ReceiverEnded { pe: PeIdx, color: Color },
    /// No instruction and no task of the PE takes the color.
    NeverReceives { pe: PeIdx, color: Color },
    /// The host has sent all that it had.
    HostSilent { tile: PeIdx, port: Port, color: Color },
    /// Nothing sends on the color towards this tile.
    NoSource { tile: PeIdx, color: Color },
    /// A wavelet stands at a port that the switch does not take from, and nobody will turn it.
    Switch { tile: PeIdx, port: Port, color: Color, selected: u8 },
    /// The task that would take the wavelet is blocked.
    TaskBlocked { pe: PeIdx, task: TaskId, color: Color },
    /// The waits and wavelets that are there do not tell.
    Unknown { tile: PeIdx, color: Color },
}
