//! Deviations of PEs.

use crate::harness::{PRESETS, alone, machine, program, run};

#[test]
fn deviation_01_is_the_clock_steady_whatever_the_load_and_the_data() {
    // The same work a hundred times over takes a hundred times as long, with zeros and with numbers.
    let work = |times: usize, value: &str| {
        let code = "fmac d, a, 0.5\n".repeat(times);
        alone("wse3", &format!("mem d: f16[1460]\nmem a: f16[1460] = {value}"), &code)
    };
    let once = work(2, "i") - work(1, "i");
    assert_eq!(work(101, "i") - work(1, "i"), 100 * once);
    assert_eq!(work(101, "i"), work(101, "0"));
}

#[test]
fn deviation_02_do_operands_in_one_bank_cost_nothing() {
    // Eight banks: operands a multiple of any plausible bank distance apart, and elsewhere.
    for preset in PRESETS {
        let at = |a: u32, b: u32| {
            let regions =
                format!("mem d: f16[1024] at 0\nmem a: f16[1024] at {a}\nmem b: f16[1024] at {b}");
            alone(preset, &regions, "add d, a, b")
        };
        assert_eq!(at(8192, 16384), at(2052, 4108), "{preset}");
    }
}

#[test]
fn deviation_03_do_strides_cost_nothing() {
    for preset in PRESETS {
        let with = |stride: u32| {
            let regions =
                format!("mem d: f16[512]\nmem a: f16[4096]\ndsd s: f16 at a step {stride}");
            alone(preset, &regions, "mov d, s over 512")
        };
        assert_eq!(with(1), with(8), "{preset}");
    }
}

#[test]
fn deviation_04_is_a_dot_product_one_operation_as_fast_as_a_sum() {
    for preset in PRESETS {
        let regions = "mem a: f16[100]\nmem b: f16[100]";
        let dot = alone(preset, regions, "fmac.f16 r1, a, b");
        assert_eq!(dot, alone(preset, regions, "add.f16 r1, r1, a"), "{preset}");
    }
}

#[test]
fn deviation_05_does_an_operation_need_no_descriptor_loads() {
    // 1 + 8 / 4 cycles for an addition of eight f16 on the vendor simulator's constants.
    let regions = "mem d: f16[8]\nmem a: f16[8]";
    let add = |times: usize| alone("wse3-sdk", regions, &"add d, d, a\n".repeat(times));
    assert_eq!(add(2) - add(1), 3);
}

#[test]
fn deviation_06_are_scalars_of_32_bits_and_a_cycle_each() {
    for preset in PRESETS {
        let scalars = |times: usize| alone(preset, "", &"iadd r1, r1, 0x12345\n".repeat(times));
        assert_eq!(scalars(11) - scalars(1), 10, "{preset}");
    }
}

#[test]
fn deviation_07_do_software_routines_take_the_same_for_any_argument_and_type() {
    for name in ["exp", "rsqrt", "tanh", "sin", "recip"] {
        let with = |dtype: &str, value: &str| {
            let regions = format!("mem d: {dtype}[64]\nmem a: {dtype}[64] = {value}");
            alone("wse3", &regions, &format!("{name} d, a"))
        };
        assert_eq!(with("f32", "1.0"), with("f32", "0.001 * (1 + i)"), "{name}");
        assert_eq!(with("f32", "1.0"), with("f16", "1.0"), "{name}");
    }
}

#[test]
fn deviation_08_does_a_multiply_add_round_the_product() {
    // (1 + 2^-12)^2 - (1 + 2^-11) is 2^-24 with one rounding; the product, rounded first, leaves 0.
    let a = 1.0 + f64::powi(2.0, -12);
    let d = -(1.0 + f64::powi(2.0, -11));
    let regions = format!("mem d: f32[1] = {d:?}\nmem a: f32[1] = {a:?}");
    let seen = run(&machine("wse2", 1, 1), &program(&regions, "fmac d, a, a"));
    assert_eq!(f32::from_bits(seen.outcome.state.sram[0][0]), 0.0);
}

#[test]
fn deviation_09_are_copies_held_up_by_the_write_port() {
    // 4.82 f16 a cycle were measured on a CS-3.
    let copy = |n: u32| alone("wse3", &format!("mem d: f16[{n}]\nmem a: f16[{n}]"), "mov d, a");
    assert_eq!(copy(3856) - copy(1928), 1928 / 4);
}

#[test]
fn deviation_10_does_code_take_four_bytes_an_instruction() {
    let bytes = |code: &str| {
        let kernel = fabric::text::parse(&program("", code), "text", &machine("wse3", 1, 1), &[]);
        kernel.expect("the text is right").image.programs[0].code_bytes()
    };
    assert_eq!(bytes("li r1, 1\nli r2, 0x12345678") - bytes(""), 8);
}
