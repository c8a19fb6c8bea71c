//! The smallest, the largest, and what is too large.

use crate::harness::{machine, make, run};
use fabric::{Machine, presets};

#[test]
fn are_sizes_that_cannot_be_told_with_the_largest_legal_value() {
    let mut machine = machine("wse2", 8, 8);
    let error = |machine: &Machine, name: &str, params: &[(&str, u32)]| {
        make(name, machine, params).expect_err("it is refused").to_string()
    };
    assert_eq!(
        error(&machine, "chain-reduce", &[("P", 9)]),
        "P = 9 is outside its legal range, 2 to 8 (machine wse2 has 8 columns)"
    );
    assert_eq!(
        error(&machine, "chain-reduce", &[("B", 4097)]),
        "B = 4097 is outside its legal range, 1 to 4096"
    );
    assert_eq!(
        error(&machine, "chain-reduce", &[("Q", 1)]),
        "kernel chain-reduce: no parameter `Q` (it has P, B)"
    );
    assert!(error(&machine, "chain-reduc", &[]).contains("did you mean `chain-reduce`?"));
    (machine.pe.sram_bytes, machine.pe.reserve_bytes) = (8_000, 4_000);
    let message = error(&machine, "chain-reduce", &[("B", 1024)]);
    let largest: u32 = message.rsplit(' ').next().and_then(|n| n.parse().ok()).expect("a number");
    assert!(message.starts_with("B = 1024 needs more than the 4000 usable bytes"), "{message}");
    assert!(make("chain-reduce", &machine, &[("B", largest)]).is_ok());
    assert!(make("chain-reduce", &machine, &[("B", largest + 1)]).is_err());
    let message = error(&machine, "gemm-summa", &[("K", 128), ("M", 2), ("N", 2)]);
    assert!(
        message.starts_with("K = 128 needs") || message.starts_with("M = 2 needs"),
        "{message}"
    );
    machine.pe.microthreads = 1;
    let message = error(&machine, "gemm-cannon", &[("P", 2)]);
    assert!(message.contains("microthread 1 does not exist"), "{message}");
}

#[test]
fn does_every_kernel_work_on_a_row_of_512() {
    let machine = machine("wse2", 512, 1);
    let params: &[(&str, &[(&str, u32)])] = &[
        ("message", &[("N", 511), ("B", 4096)]),
        ("multicast", &[("P", 512), ("S", 3), ("B", 4096)]),
        ("relay", &[("N", 511), ("B", 100)]),
        ("star-reduce", &[("P", 512), ("B", 200)]),
        ("two-phase-reduce", &[("P", 512), ("B", 4096)]),
        ("reduce-scatter", &[("P", 512), ("B", 1000)]),
        ("all-gather", &[("P", 512), ("B", 1000)]),
        ("ring-all-reduce", &[("P", 512), ("B", 1000)]),
        ("halo", &[("W", 512), ("H", 1), ("N", 9)]),
    ];
    for (name, params) in params {
        run(name, &machine, params, false);
    }
}

#[test]
fn are_kernels_made_for_a_whole_wafer_and_refused_where_far_too_large() {
    let machine = presets::preset("wse2").expect("a preset");
    let error = |name: &str, params: &[(&str, u32)]| {
        make(name, &machine, params).expect_err("it is refused").to_string()
    };
    let range = "P = 751 is outside its legal range, 2 to 750 (machine wse2 has 750 columns)";
    assert_eq!(error("chain-reduce", &[("P", 751)]), range);
    for (name, params) in [
        ("gemv", &[("M", 4096), ("N", 4096)][..]),
        ("gemm-summa", &[("M", 128), ("K", 128), ("N", 128)]),
        ("halo", &[("N", 256)]),
    ] {
        let message = error(name, params);
        assert!(message.contains("usable bytes of a PE's SRAM; "), "{message}");
    }
    for (name, params) in [("chain-reduce", [("P", 750)]), ("ring-all-reduce", [("P", 750)])] {
        run(name, &machine, &params, false);
    }
}
