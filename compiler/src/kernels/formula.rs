//! Exact cycles of kernels, where the timing contract makes them a formula. What was published about such programs stands
//! with its comparison in `cli` (`wafersim validate`).

use fabric::Machine;

/// Cycles from 0 to the first step of the first vector operation of an activated task at the earliest (contract rules K-3, P-4).
pub fn start(machine: &Machine) -> u64 {
    machine.pe.task_launch_cycles + first_step(machine)
}

/// Cycles from the issue of a vector operation with a fabric operand to its first step at the earliest (rule P-4).
pub fn first_step(machine: &Machine) -> u64 {
    (machine.pe.dispatch_cycles - 1).max(1)
}

/// Cycles from a step that sends a wavelet to the step that receives it, `hops` routers away: the step, two ramps, the hops.
pub fn way(machine: &Machine, hops: u32) -> u64 {
    1 + 2 * machine.pe.ramp_cycles + u64::from(hops) * machine.fabric.hop_cycles
}

/// Cycles from the first to the last of `b` wavelets on a link that is kept busy (rule L-1).
pub fn stream(machine: &Machine, b: u32) -> u64 {
    let rate = machine.fabric.link_cycles;
    let (j, p, q) = (u64::from(b - 1), u64::from(rate.num()), u64::from(rate.den()));
    j / q * p + j % q
}

/// The cycle at which a run stops whose only task starts at cycle 0, works for `work` cycles from its first step, and ends.
pub fn stop(machine: &Machine, work: u64) -> u64 {
    start(machine) + work + machine.pe.cost.scalar_cycles
}

/// Cycles of work in a run that stopped at `cycle`: from the first step to the end of the last one, which is what
/// published formulas count.
pub fn work(machine: &Machine, cycle: u64) -> u64 {
    cycle - stop(machine, 0)
}

/// Whether elements of f32 flow through routers and datapath as fast as the links let them: enough slots for a hop
/// and its credit, and no operation slower than a wavelet a cycle.
pub fn flows(machine: &Machine) -> bool {
    let f = &machine.fabric;
    let (add, copy) = (machine.pe.cost.add_32, machine.pe.cost.copy_32);
    let slots = machine.pe.output_queues.iter().all(|&depth| depth >= 2);
    u64::from(f.queue_depth) >= f.hop_cycles + f.credit_cycles
        && f.turn_cycles == 0
        && add.cycles_for(1) == 1
        && copy.cycles_for(1) == 1
        && slots
}

/// The same, and links carry a wavelet a cycle.
pub fn flows_freely(machine: &Machine) -> bool {
    flows(machine) && machine.fabric.link_cycles.num() == machine.fabric.link_cycles.den()
}

/// Cycles of f32 multiply-adds over memory: `rows` runs of `len` elements that each read one factor and the sum, the
/// other factor being the same along a run (rule C-1).
pub fn multiply_adds(machine: &Machine, rows: u32, len: u32) -> u64 {
    let cost = &machine.pe.cost;
    let elements = u64::from(rows) * u64::from(len);
    let reads = (8 * elements).div_ceil(u64::from(cost.read_bytes_per_cycle));
    let writes = (4 * elements).div_ceil(u64::from(cost.write_bytes_per_cycle));
    let work = cost.fmac_32.cycles_for(elements).max(reads).max(writes);
    cost.setup_fmac_32 + work + cost.row_cycles * u64::from(rows - 1)
}
