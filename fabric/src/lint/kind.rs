//! The kinds of findings: a stable name and the usual cure of each.

use std::fmt;

/// What a finding is about. Names are stable: scripts and the docs ("Diagnostics") go by them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// A tile or host port refers to what is not there, or the machine is out of its ranges.
    BrokenImage,
    /// A program that breaks a rule of the instruction set.
    MalformedProgram,
    /// A task whose queue is bound to no color.
    UnboundTask,
    /// An instruction whose queue is bound to no color.
    UnboundQueue,
    /// An input queue that feeds a task and an operand, or two tasks.
    SharedQueue,
    /// A task that can never be launched.
    IdleTask,
    /// Code and data that do not fit.
    SramOverflow,
    /// Initial data or parameters that lie outside of what a PE has.
    BadData,
    /// A route that breaks a rule of routers by itself.
    MalformedRoute,
    /// A route that leads to where nothing takes the wavelets on.
    DeadEnd,
    /// A color that arrives at a PE and is taken by nothing there.
    NoReceiver,
    /// A PE that sends on a color that its router does not take.
    NoRoute,
    /// Two sources on one color.
    TwoSources,
    /// A route that leads back to where it has been.
    RouteLoop,
    /// A route that no source reaches.
    UnfedRoute,
    /// An input queue that no source reaches.
    NothingArrives,
    /// A switch with several positions that nobody turns.
    UnturnedSwitch,
    /// A burst longer than the queues on its way, where it would have to fit.
    BurstTooLong,
    /// A receiver that takes a color only after something that stands behind it.
    LateReceiver,
    /// A host port that is not at the edge, has no route or is there twice.
    HostPort,
    /// A PE that does not work, but would have to.
    DeadPe,
    /// A link that does not work, but would have to.
    DeadLink,
}

impl Kind {
    /// Every kind, in the order of the docs.
    pub const ALL: [Kind; 22] = [
        Kind::BrokenImage,
        Kind::MalformedProgram,
        Kind::UnboundTask,
        Kind::UnboundQueue,
        Kind::SharedQueue,
        Kind::IdleTask,
        Kind::SramOverflow,
        Kind::BadData,
        Kind::MalformedRoute,
        Kind::DeadEnd,
        Kind::NoReceiver,
        Kind::NoRoute,
        Kind::TwoSources,
        Kind::RouteLoop,
        Kind::UnfedRoute,
        Kind::NothingArrives,
        Kind::UnturnedSwitch,
        Kind::BurstTooLong,
        Kind::LateReceiver,
        Kind::HostPort,
        Kind::DeadPe,
        Kind::DeadLink,
    ];

    /// Its stable name.
    pub const fn name(self) -> &'static str {
        match self {
            Kind::BrokenImage => "broken-image",
            Kind::MalformedProgram => "malformed-program",
            Kind::UnboundTask => "unbound-task",
            Kind::UnboundQueue => "unbound-queue",
            Kind::SharedQueue => "shared-queue",
            Kind::IdleTask => "idle-task",
            Kind::SramOverflow => "sram-overflow",
            Kind::BadData => "bad-data",
            Kind::MalformedRoute => "malformed-route",
            Kind::DeadEnd => "dead-end",
            Kind::NoReceiver => "no-receiver",
            Kind::NoRoute => "no-route",
            Kind::TwoSources => "two-sources",
            Kind::RouteLoop => "route-loop",
            Kind::UnfedRoute => "unfed-route",
            Kind::NothingArrives => "nothing-arrives",
            Kind::UnturnedSwitch => "unturned-switch",
            Kind::BurstTooLong => "burst-too-long",
            Kind::LateReceiver => "late-receiver",
            Kind::HostPort => "host-port",
            Kind::DeadPe => "dead-pe",
            Kind::DeadLink => "dead-link",
        }
    }

    /// What to do about it, as a rule.
    pub const fn cure(self) -> &'static str {
        match self {
            Kind::BrokenImage => {
                "make the image anew; its file is damaged or was put together wrongly"
            }
            Kind::MalformedProgram => "correct the program at the place that is named",
            Kind::UnboundTask => "bind the task's queue to a color with `in`, or remove the task",
            Kind::UnboundQueue => "bind the queue to a color with `in` or `out`",
            Kind::SharedQueue => "give the operand a color and queue of its own",
            Kind::IdleTask => {
                "activate or unblock the task where it is due, route its color, or remove it"
            }
            Kind::SramOverflow => {
                "keep fewer or smaller regions on this PE, or spread them over more PEs"
            }
            Kind::BadData => {
                "keep initial data within `sram` bytes and parameters within the registers"
            }
            Kind::MalformedRoute => {
                "correct the route: one receive port and other transmit ports a position"
            }
            Kind::DeadEnd => {
                "give the next router a route that receives from here, or end this one earlier"
            }
            Kind::NoReceiver => {
                "bind an input queue to the color and receive on it, or leave `R` out of the route"
            }
            Kind::NoRoute => "add a route that takes the color from `R`",
            Kind::TwoSources => {
                "give one of the sources another color, or let a control wavelet turn a switch between them"
            }
            Kind::RouteLoop => "end the route at one of these tiles, or change the color there",
            Kind::UnfedRoute => "send on the color, or remove the route",
            Kind::NothingArrives => {
                "route a color that somebody sends to this queue, or do not bind it"
            }
            Kind::UnturnedSwitch => {
                "send a control wavelet (`sendctrl`) on the color, or leave one position"
            }
            Kind::BurstTooLong => {
                "receive in a microthread (`async`) before sending, or send in pieces that fit"
            }
            Kind::LateReceiver => {
                "receive the color first or in a microthread (`async`), or send in pieces that fit"
            }
            Kind::HostPort => {
                "put host ports on the wafer's edge, one a color, where a route begins or ends"
            }
            Kind::DeadPe => "place the program on another PE, or change the machine's `defects`",
            Kind::DeadLink => {
                "lead the route through other tiles, or change the machine's `defects`"
            }
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
