//! The constants of a machine that time depends on, each changed for the better.

use fabric::Machine;
use pe_isa::Ratio;
use serde_json::Value;

/// A constant, what it is, and what is better.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Change {
    pub(super) key: &'static str,
    pub(super) from: String,
    pub(super) to: String,
}

/// What is better.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Better {
    /// Less of it, but not less than this.
    Less(u64),
    More,
}

const PARAMETERS: [(&str, Better); 35] = [
    ("clock_hz", Better::More),
    ("fabric.hop_cycles", Better::Less(1)),
    ("fabric.turn_cycles", Better::Less(0)),
    ("fabric.link_cycles", Better::Less(1)),
    ("fabric.queue_depth", Better::More),
    ("fabric.credit_cycles", Better::Less(1)),
    ("pe.ramp_cycles", Better::Less(1)),
    ("pe.input_queues", Better::More),
    ("pe.output_queues", Better::More),
    ("pe.dispatch_cycles", Better::Less(1)),
    ("pe.task_launch_cycles", Better::Less(1)),
    ("pe.data_task_cycles", Better::Less(1)),
    ("pe.cost.fmac_16", Better::More),
    ("pe.cost.fmac_mixed", Better::More),
    ("pe.cost.fmac_32", Better::More),
    ("pe.cost.add_16", Better::More),
    ("pe.cost.add_32", Better::More),
    ("pe.cost.copy_16", Better::More),
    ("pe.cost.copy_32", Better::More),
    ("pe.cost.setup_fmac_16", Better::Less(0)),
    ("pe.cost.setup_fmac_32", Better::Less(0)),
    ("pe.cost.setup_copy", Better::Less(0)),
    ("pe.cost.reduce_cycles", Better::Less(1)),
    ("pe.cost.setup_reduce", Better::Less(0)),
    ("pe.cost.row_cycles", Better::Less(0)),
    ("pe.cost.exp_cycles", Better::Less(1)),
    ("pe.cost.rsqrt_cycles", Better::Less(1)),
    ("pe.cost.tanh_cycles", Better::Less(1)),
    ("pe.cost.sin_cycles", Better::Less(1)),
    ("pe.cost.recip_cycles", Better::Less(1)),
    ("pe.cost.scalar_cycles", Better::Less(1)),
    ("pe.cost.branch_not_taken_cycles", Better::Less(1)),
    ("pe.cost.branch_taken_cycles", Better::Less(1)),
    ("pe.cost.read_bytes_per_cycle", Better::More),
    ("pe.cost.write_bytes_per_cycle", Better::More),
];
/// The host link.
const HOST: [(&str, Better); 2] =
    [("host.latency_ns", Better::Less(0)), ("host.bits_per_s", Better::More)];

/// Every change for the better by a tenth, or by one where that is less than one of an integer; none of constants that are
/// as good as they can be.
pub(super) fn of(machine: &Machine) -> Vec<Change> {
    let changes = PARAMETERS.into_iter().chain(HOST).filter_map(|(key, better)| {
        let (from, to) = (value(machine, key), changed(&tree(machine, key), better)?);
        Some(Change { key, from, to })
    });
    changes.filter(|c| machine.with_overrides(&[(c.key, &c.to)]).is_ok()).collect()
}

/// A constant as `--set` takes it.
pub(super) fn value(machine: &Machine, key: &str) -> String {
    text(&tree(machine, key))
}

fn tree(machine: &Machine, key: &str) -> Value {
    let tree = serde_json::to_value(machine).expect("a machine is plain data");
    key.split('.').fold(&tree, |node, part| &node[part]).clone()
}

fn text(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), ToString::to_string)
}

fn changed(value: &Value, better: Better) -> Option<String> {
    match value {
        Value::String(text) => ratio(Ratio::parse(text).ok()?, better),
        Value::Array(depths) => {
            let depths: Option<Vec<String>> = depths.iter().map(|d| changed(d, better)).collect();
            Some(format!("[{}]", depths?.join(", ")))
        }
        other => integer(other.as_u64()?, better).map(|value| value.to_string()),
    }
}

fn integer(value: u64, better: Better) -> Option<u64> {
    let tenth = (value / 10).max(1);
    match better {
        Better::More => value.checked_add(tenth),
        Better::Less(least) => value.checked_sub(tenth).filter(|less| *less >= least),
    }
}

/// The denominators of links are at most 64.
const PARTS: u64 = 64;

fn ratio(value: Ratio, better: Better) -> Option<String> {
    let (num, den) = (u64::from(value.num()), u64::from(value.den()));
    match better {
        Better::More => Some(format!("{}/{}", 11 * num, 10 * den)),
        Better::Less(least) => {
            let parts = (9 * num * PARTS).div_ceil(10 * den).max(least * PARTS);
            (parts * den < num * PARTS).then(|| format!("{parts}/{PARTS}"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn is_each_constant_changed_by_a_tenth_or_by_one() {
        let machine = fabric::presets::preset("wse3").expect("a preset");
        let changes = of(&machine);
        let to = |key: &str| {
            let change = changes.iter().find(|change| change.key == key);
            change.map(|change| format!("{} to {}", change.from, change.to))
        };
        let is = |key, wanted: &str| assert_eq!(to(key).as_deref(), Some(wanted));
        is("fabric.hop_cycles", "2 to 1");
        is("fabric.link_cycles", "9/8 to 65/64");
        is("fabric.queue_depth", "4 to 5");
        is("pe.input_queues", "[8,8,4,4,4,4,4,4] to [9, 9, 5, 5, 5, 5, 5, 5]");
        is("pe.cost.setup_fmac_16", "16 to 15");
        is("pe.cost.recip_cycles", "50 to 45");
        is("host.latency_ns", "8000 to 7200");
        assert_eq!(to("fabric.turn_cycles"), None);
        assert_eq!(to("pe.cost.scalar_cycles"), None);
        assert!(changes.iter().all(|change| change.from != change.to));
    }
}
