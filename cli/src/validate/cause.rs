//! Why simulated and published figures differ, by number.

/// A star's control wavelets.
pub(super) const STAR: usize = 1;
/// A tree's rounds.
pub(super) const TREE: usize = 2;
/// The two phases.
pub(super) const TWO_PHASE: usize = 3;
/// A ring's second step.
pub(super) const RING: usize = 4;
/// What the relay's fit holds.
pub(super) const RELAY: usize = 5;
/// The SRAM's write port.
pub(super) const PORT: usize = 6;
/// Turns.
pub(super) const TURN: usize = 7;
/// A loop's cost.
pub(super) const ROWS: usize = 8;
/// A queue's stages.
pub(super) const QUEUES: usize = 9;
/// What a completion is.
pub(super) const COMPLETION: usize = 10;

/// All causes; the first is number 1.
pub(super) const CAUSES: [&str; 10] = [
    "**Star.** The formula counts no hop (1 cycle) and lets vectors follow one another without a gap. Here a router takes a color \
     from one port at a time, so a control wavelet behind each vector but the last (P − 2 of them) turns the next switch, and \
     takes a slot of the root's only link. Contract: B (P − 1) + 2 T_R + 2 + (P − 2), to the cycle: P − 1 more.",
    "**Tree.** The formula takes the larger of contention and distance. In a run round r begins when the root has added \
     round r − 1 and dispatched the next operation (B + 4 cycles) or when the words have come (2 T_R + 1 + 2^r), whichever is \
     later; the sum of that over the rounds is the floor in the column *contract*, and it is what comes out for up to four words. Of \
     longer vectors, words of a later round enter the links before their turn and take slots from the round before, until the FIFOs \
     on their way are full: in round 1 the 12 words of the root's router and input queue, in round r at most 2^r + 3, never more than \
     B. The sum is allowed; that for r > 1 was found by running all sizes.",
    "**Two phases.** The formula spreads the words evenly over all links and lets the second phase overlap the first. Here \
     the links of a group carry its chain and then the stream of the heads, one after the other, and the heads' second operation is \
     dispatched (4). Contract: (√P − 1)(2 T_R + 2) + B + 4 + (√P − 1)(2 T_R + 1 + √P) + B, to the cycle. Where links bind, that is \
     2 B / (√P + 1) + 4 more than published; where the root binds, P − 1 + 4. A second phase that begins earlier takes its \
     slots from the first, as in cause 2. P is a square: the formula has √P groups of √P.",
    "**Ring.** The formula counts a cycle for each word that a PE receives. A datapath takes a step to receive a word and another to send \
     it, and each round is issued and dispatched (5). A PE that added to what passes, in one step, would store nothing, and all \
     PEs of the ring would wait for room in the next one's queues: parts longer than these stand still. With parts of \
     m = ⌈B / P⌉ words the contract has 2 (P − 1) (max(2 m, m + 2 T_R + 2) + 5) − 6, to the cycle: with long parts twice the \
     formula's words, with short ones the way of each part instead of a stream. (B = 1: P − 2 less, since no PE sends and \
     receives in one round.)",
    "**Relay.** The published line is a fit to N in {1, 2, 4, 8} and B in {64, 512}, within 4 % of these runs, and holds what \
     stands around the stages: timer reads and a handshake at the end, which the same source counts as 17 cycles of a message \
     (36 by timer, 19 by trace). A run here has none of that. Contract: N (B + 16), to the cycle; the rest is the fit's 16.5 + \
     0.1 N + 0.001 N B.",
    "**Write port.** A memory operation is as slow as its rate, its reads or its writes (rule C-1). The machine file's 8 bytes of \
     write port, which are a WSE-2's, let at most 4 f16 or 2 f32 results out in a cycle, so that rates above \
     that cannot be reached: a copy runs at 4 and 2, as on a WSE-2, and so does an addition. (The vendor's simulator, too, adds f16 at 4 a cycle, not at the \
     documented 8; but it copies at 8, so that its write port has 16 bytes.) With \
     `--set machine.pe.cost.write_bytes_per_cycle=16` copies run at their rate.",
    "**Turns.** One measurement on a CS-3 shows about 20 cycles on the first wavelet of a bend, and no second source \
     does; the key exists and is 0 in all presets. Set to 20, a bend costs 20.",
    "**Rows.** Published is a slope over tiles of several shapes, whose loop costs 17 cycles for each row of 32; here a row costs \
     `row_cycles` = 9 and 8 of arithmetic: 17 / 32 a multiply-add.",
    "**Queues.** Published are the words that a queue of a PE holds. Words on the ramp stand in the ramp's own stages (rules F-3, F-4), which \
     the measurement takes off: `ramp_cycles` words more leave the router than the queue holds.",
    "**Completion.** Counted from the last wavelet's arrival at the router to the cycle in which the receiving operation is complete and its task \
     activated. The task's first instruction follows `task_launch_cycles` later: the source sees a completion task 3 cycles after the \
     wavelet, and a stage of a relay that takes 5 more than a message; here both are kept, in this order.",
];
