//! Messages and collectives on a row.

use crate::harness::{machine, make, run};
use compiler::kernels::formula;

#[test]
fn do_uneven_rows_and_lengths_end_with_the_same_sums_at_the_promised_cycle() {
    for p in [2, 3, 5, 7, 9, 10, 31, 33, 100] {
        for b in [1, 2, 7, 33, 100] {
            let machine = machine("wse2", p, 1);
            let params = [("P", p), ("B", b)];
            for name in ["broadcast", "star-reduce", "chain-reduce"] {
                let (_, promised) = run(name, &machine, &params, p * b < 500);
                assert!(promised, "{name}: the cycle follows from the contract");
            }
            let (_, promised) = run("tree-reduce", &machine, &params, p * b < 500);
            assert_eq!(
                promised,
                b == 1,
                "words of several rounds share links unless there is one of each"
            );
            let (_, promised) = run("two-phase-reduce", &machine, &params, p * b < 500);
            assert!(promised || ![2, 9, 100].contains(&p), "all groups are alike: P = {p}");
        }
    }
}

#[test]
fn do_messages_and_relays_keep_their_promise_on_any_way() {
    for preset in ["wse2", "wse3", "wse3-sdk"] {
        let machine = machine(preset, 20, 1);
        for (hops, b) in [(1, 8), (1, 1), (19, 8), (7, 1000)] {
            for name in ["message", "relay"] {
                let (_, promised) = run(name, &machine, &[("N", hops), ("B", b)], b < 100);
                assert!(promised, "{name}, {hops} hops");
            }
        }
    }
}

#[test]
fn do_reduce_scatter_and_all_gather_take_half_a_ring_each() {
    for (p, b) in [(4, 64), (8, 1024), (64, 4096)] {
        let machine = machine("wse2", p, 1);
        for name in ["reduce-scatter", "all-gather"] {
            let (cycle, _) = run(name, &machine, &[("P", p), ("B", b)], false);
            let work = formula::work(&machine, cycle);
            assert_eq!(work, u64::from(p - 1) * u64::from(2 * b / p + 5) - 5, "P {p}, B {b}");
        }
    }
}

#[test]
fn do_rings_end_with_the_right_parts_whatever_the_lengths() {
    for p in [2, 3, 4, 7, 8, 33] {
        for b in [1, 2, 7, 33, 200] {
            let machine = machine("wse2", p, 1);
            for name in ["reduce-scatter", "all-gather", "ring-all-reduce"] {
                run(name, &machine, &[("P", p), ("B", b)], p * b < 300);
            }
        }
    }
}

#[test]
fn does_butterfly_all_reduce_stay_near_the_datapaths_floor() {
    for (p, b) in [(2, 1), (2, 100), (4, 16), (8, 1), (8, 64), (16, 256), (32, 1), (64, 64)] {
        let machine = machine("wse2", p, 1);
        let params = [("P", p), ("B", b)];
        let (cycle, _) = run("butterfly-all-reduce", &machine, &params, p * b < 2_000);
        let work = formula::work(&machine, cycle);
        // Each PE receives P - 1 vectors and sends one a round, a step a word.
        let rounds = u64::from(p.ilog2());
        let floor = u64::from(b) * (u64::from(p - 1) + rounds);
        assert!(work >= floor, "P {p}, B {b}: {work}");
        assert!(work <= 2 * floor + 30 * rounds + 4 * u64::from(p), "P {p}, B {b}: {work}");
    }
    let machine = machine("wse2", 128, 1);
    let error = make("butterfly-all-reduce", &machine, &[("P", 12)]).expect_err("no power");
    assert!(error.to_string().contains("a power of two"), "{error}");
    let error = make("butterfly-all-reduce", &machine, &[("P", 128)]).expect_err("too long");
    let limit = "P = 128 is outside its legal range, 2 to 64";
    assert!(error.to_string().starts_with(limit), "{error}");
}
