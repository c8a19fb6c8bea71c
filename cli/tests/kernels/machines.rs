//! Machines with other constants, and kernels as texts.

use crate::harness::{LIMIT, machine, make, run};
use compiler::kernels::{self, formula};
use sim_core::{HostScript, NoObserver, engine};

#[test]
fn does_every_kernel_work_on_every_preset() {
    for preset in ["wse2", "wse3", "wse3-sdk"] {
        let machine = machine(preset, 16, 16);
        for entry in &kernels::REGISTRY {
            run(entry.name, &machine, &[], false);
        }
        for entry in &kernels::REGISTRY {
            let least = |p: &kernels::Param| (p.name, p.least);
            let least: Vec<_> = entry.params.iter().filter(|p| p.name != "S").map(least).collect();
            let sizes: Vec<_> = least.iter().map(|(n, v)| (*n, *v)).collect();
            if entry.name != "multicast" {
                run(entry.name, &machine, &sizes, true);
            }
        }
    }
}

#[test]
fn does_every_kernel_finish_with_the_shallowest_queues_and_slow_turns() {
    let mut machine = machine("wse2", 8, 8);
    machine.fabric.queue_depth = 1;
    machine.fabric.turn_cycles = 20;
    machine.pe.input_queues.fill(1);
    machine.pe.output_queues.fill(1);
    for entry in &kernels::REGISTRY {
        let (_, promised) = run(entry.name, &machine, &[], true);
        assert!(!promised, "{}: the formulas are for queues that flow", entry.name);
    }
}

#[test]
fn do_promised_cycles_hold_on_machines_of_any_constants() {
    let rows: [[&str; 8]; 8] = [
        ["1", "1", "1", "1", "2", "1", "1", "1"],
        ["1", "5", "2", "9", "4", "1", "3", "2"],
        ["2", "2", "9", "5", "4", "9/8", "1", "1"],
        ["3", "1", "5", "2", "8", "1", "2", "7"],
        ["3", "4", "5", "5", "6", "5/4", "9", "1"],
        ["1", "2", "5", "5", "4", "2", "1", "1"],
        ["5", "3", "7", "1", "16", "9/8", "1", "3"],
        ["2", "7", "3", "40", "3", "1", "1", "1"],
    ];
    let keys = [
        "fabric.hop_cycles",
        "pe.ramp_cycles",
        "pe.dispatch_cycles",
        "pe.task_launch_cycles",
        "fabric.queue_depth",
        "fabric.link_cycles",
        "pe.cost.row_cycles",
        "pe.cost.scalar_cycles",
    ];
    let base = machine("wse2", 9, 9);
    for values in rows {
        // Credits take as long as the hop itself, as on all presets.
        let mut overrides: Vec<(&str, &str)> = keys.into_iter().zip(values).collect();
        overrides.push(("fabric.credit_cycles", values[0]));
        let machine = base.with_overrides(&overrides).expect("legal values");
        let promises = |e: &&kernels::Entry| run(e.name, &machine, &[], true).1;
        let promised = kernels::REGISTRY.iter().filter(promises).count();
        assert!(promised >= 5 || !formula::flows(&machine), "{overrides:?}: {promised}");
    }
}

#[test]
fn do_kernels_run_to_the_same_digest_once_printed() {
    let machine = machine("wse3-sdk", 8, 8);
    let script = HostScript::default();
    for entry in &kernels::REGISTRY {
        let kernel = make(entry.name, &machine, &[]).expect("defaults fit");
        let text = fabric::text::print(&kernel.image);
        let printed = fabric::text::parse(&text, entry.name, &machine, &[]);
        let printed = printed.unwrap_or_else(|e| panic!("{}: {e}", entry.name)).image;
        assert!(printed == kernel.image, "{}", entry.name);
        let digest = |image| {
            let (mut host, mut none) = (Vec::new(), NoObserver);
            engine::run(image, &script, &mut host, LIMIT, &mut none).digest()
        };
        assert_eq!(digest(&printed), digest(&kernel.image), "{}", entry.name);
    }
}
