//! A short smoke run of the fuzz entry points, on damaged versions of what is healthy.

use fabric::{Machine, binary, fuzz, presets, text};
use proptest::prelude::*;
use proptest::sample::Index;
use proptest::test_runner::RngSeed;
use std::path::Path;

/// Where, how many bytes go, and the bytes that come.
type Damage = Vec<(Index, usize, Vec<u8>)>;

fn damage() -> impl Strategy<Value = Damage> {
    let bytes = prop::collection::vec(any::<u8>(), 0..4);
    prop::collection::vec((any::<Index>(), 0..4usize, bytes), 1..5)
}

fn damaged(healthy: &[u8], damage: &Damage) -> Vec<u8> {
    let mut bytes = healthy.to_vec();
    for (place, gone, come) in damage {
        let at = place.index(bytes.len().max(1)).min(bytes.len());
        let end = (at + gone).min(bytes.len());
        bytes.splice(at..end, come.iter().copied());
    }
    bytes
}

/// `WAFERSIM_CASES` cases drawn from `WAFERSIM_SEED`, if these are set.
fn config() -> ProptestConfig {
    let set = |name: &str| std::env::var(name).ok().and_then(|n| n.parse::<u32>().ok());
    ProptestConfig {
        cases: set("WAFERSIM_CASES").unwrap_or(200),
        rng_seed: RngSeed::Fixed(set("WAFERSIM_SEED").unwrap_or(1).into()),
        failure_persistence: None,
        ..ProptestConfig::default()
    }
}

fn machine() -> Machine {
    presets::preset(presets::DEFAULT).unwrap()
}

fn kernel() -> String {
    let kernels = Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/kernels");
    std::fs::read_to_string(kernels.join("chain_reduce.wsk")).unwrap()
}

#[test]
fn does_any_damage_to_a_machine_file_panic() {
    let healthy = machine().to_ron();
    assert!(fuzz::machine(healthy.as_bytes()));
    proptest!(config(), |(damage in damage())| {
        fuzz::machine(&damaged(healthy.as_bytes(), &damage));
    });
}

#[test]
fn does_any_damage_to_defects_panic() {
    let healthy =
        "(rate: 0.01, seed: 7, pes: [(3, 4), (63, 63)], links: [(3, 7, East), (9, 1, North)])";
    assert!(fuzz::defects(healthy.as_bytes()));
    assert!(!fuzz::defects(b"(pes: [(64, 0)])") && !fuzz::defects(b"(links: [(0, 5, West)])"));
    assert!(!fuzz::defects(b"(rate: -0.1)") && !fuzz::defects(b"(rate: NaN)"));
    proptest!(config(), |(damage in damage())| {
        fuzz::defects(&damaged(healthy.as_bytes(), &damage));
    });
}

#[test]
fn does_any_damage_to_a_kernel_panic() {
    let healthy = kernel();
    assert!(fuzz::assembly(healthy.as_bytes()));
    proptest!(config(), |(damage in damage())| {
        fuzz::assembly(&damaged(healthy.as_bytes(), &damage));
    });
}

#[test]
fn does_any_damage_to_a_binary_image_panic() {
    let kernel = text::parse(&kernel(), "chain_reduce.wsk", &machine(), &[]).unwrap();
    let healthy = binary::write(&kernel.image, &kernel.host);
    assert!(fuzz::image(&healthy));
    proptest!(config(), |(damage in damage())| {
        fuzz::image(&damaged(&healthy, &damage));
    });
}
