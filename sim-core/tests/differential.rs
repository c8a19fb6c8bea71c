//! Do all runners agree on random wafers, on every cycle, counter and byte?

use pe_isa::Fault;
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::{Config, RngSeed, TestRunner};
use sim_core::testing::spec::{self, CaseSpec};
use sim_core::testing::{
    Case, Runner, conserve, engine, engine_without_data, flow, flow_without_data, fuzz, generate,
    lines, oracle_without_data, shattered, thirds, thirds_without_data,
};
use sim_core::{Data, Engine, HostScript, NoObserver, StopReason, oracle};
use std::sync::atomic::{AtomicU32, Ordering};

/// An environment variable, or its default.
fn set(name: &str, default: u32) -> u32 {
    std::env::var(name).ok().and_then(|n| n.parse().ok()).unwrap_or(default)
}

/// `WAFERSIM_CASES` cases (1,000) of each test, drawn from `WAFERSIM_SEED` (1).
fn config() -> Config {
    Config {
        cases: set("WAFERSIM_CASES", 1_000),
        rng_seed: RngSeed::Fixed(set("WAFERSIM_SEED", 1).into()),
        failure_persistence: None,
        max_shrink_iters: 2_000,
        ..Config::default()
    }
}

fn shuffled_oracle(
    image: &fabric::WaferImage,
    script: &HostScript,
    host: &mut dyn sim_core::Host,
    limit: pe_isa::Cycle,
    observer: &mut dyn sim_core::Observer,
) -> sim_core::Outcome {
    oracle::run_shuffled(image, script, host, limit, observer, 0x5eed)
}

/// Runs random cases on the oracle and on another runner, and compares all that can be seen.
fn compare(name: &str, runner: Runner) {
    compare_with(oracle::run, name, runner);
}

fn compare_with(oracle: Runner, name: &str, runner: Runner) {
    let mut tests = TestRunner::new(config());
    let result = tests.run(&spec::case(), |spec| {
        let case = generate::case(&spec);
        let want = case.run(oracle);
        let got = case.run(runner);
        for (who, record) in [("oracle", &want), (name, &got)] {
            let broken = conserve::violations(&case, record);
            prop_assert!(broken.is_empty(), "{who}: {broken:#?}");
        }
        if let Some(difference) = want.difference(&got) {
            let first = case.first_difference(oracle, runner);
            let text = format!("oracle and {name}: {difference}; by limit: {first:?}");
            return Err(TestCaseError::fail(text));
        }
        Ok(())
    });
    if let Err(error) = result {
        panic!("{error}");
    }
}

#[test]
fn does_the_order_of_visits_within_a_cycle_not_matter() {
    compare("oracle in another order", shuffled_oracle); // T-1
}

#[test]
fn does_the_engine_agree_with_the_oracle() {
    compare("engine", engine);
}

#[test]
fn does_the_engine_in_domains_agree_with_the_oracle() {
    compare("engine in thirds", thirds);
}

#[test]
fn does_the_engine_with_a_domain_for_each_tile_agree_with_the_oracle() {
    compare("shattered engine", shattered);
}

#[test]
fn does_the_engine_without_its_calendar_agree_with_the_oracle() {
    compare("flow", flow);
    compare_with(oracle_without_data, "flow without data", flow_without_data);
}

#[test]
fn do_sums_and_broadcasts_need_no_calendar() {
    let cases = set("WAFERSIM_CASES", 1_000);
    let mut flowed = 0;
    for n in 0..cases {
        let seed = u64::from(set("WAFERSIM_SEED", 1)) << 32 | u64::from(n);
        let case = lines::case(seed, 5);
        let want = case.run(oracle::run);
        let difference = want.difference(&case.run(flow));
        assert_eq!(difference, None, "case {seed}");
        let want = case.run(oracle_without_data);
        let difference = want.difference(&case.run(flow_without_data));
        assert_eq!(difference, None, "case {seed} without data");
        let mut engine = Engine::load(&case.image);
        flowed += u32::from(engine.flow(&case.script, &mut Vec::new(), case.limit).is_some());
    }
    assert!(2 * flowed > cases, "only {flowed} of {cases} did without");
}

#[test]
fn does_the_engine_without_data_agree_with_the_oracle() {
    compare_with(oracle_without_data, "engine", engine_without_data);
}

#[test]
fn does_the_engine_without_data_in_domains_agree_with_the_oracle() {
    compare_with(oracle_without_data, "engine in thirds", thirds_without_data);
}

/// Registers of generated programs that searches put indices into.
const FOUND: u32 = 1 << 17 | 1 << 19;

/// Runs random cases with data and without, and compares all that the latter know. Of the cases, not all trap where data decides.
#[test]
fn does_a_run_without_data_know_what_one_with_data_does() {
    let same = AtomicU32::new(0);
    let mut tests = TestRunner::new(config());
    let result = tests.run(&spec::case(), |spec| {
        let case = generate::case(&spec);
        let void = case.run(oracle_without_data);
        if matches!(void.outcome.stop, StopReason::Trap { fault: Fault::Void(_), .. }) {
            return Ok(());
        }
        same.fetch_add(1, Ordering::Relaxed);
        let difference = case.run(oracle::run).difference_without_data(&void, FOUND);
        prop_assert!(difference.is_none(), "with and without data: {difference:?}");
        Ok(())
    });
    if let Err(error) = result {
        panic!("{error}");
    }
    let same = same.into_inner();
    assert!(same > config().cases / 2, "only in {same} cases data decides nothing");
}

#[test]
fn do_bytes_choose_cases_on_which_the_runners_agree() {
    let mut state = 1u64;
    let bytes: Vec<u8> = std::iter::repeat_with(|| {
        state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        (state >> 56) as u8
    })
    .take(600 * 300)
    .collect();
    bytes.chunks(600).for_each(fuzz::runners_agree);
    fuzz::runners_agree(&[]);
}

/// What a sample of generated cases did.
#[derive(Debug, Default)]
struct Statistics {
    finished: u32,
    deadlock: u32,
    trap: u32,
    limit: u32,
    host: u32,
    held_by_output: u32,
    held_by_slot: u32,
    switched: u32,
    marks: u64,
    received: u32,
    cycles: Vec<u64>,
    hops: Vec<u64>,
    wavelets: Vec<u64>,
    instructions: Vec<u64>,
}

impl Statistics {
    fn add(&mut self, case: &Case) {
        let record = case.run(oracle::run);
        match record.outcome.stop {
            StopReason::Finished => self.finished += 1,
            StopReason::Deadlock { .. } => self.deadlock += 1,
            StopReason::Trap { .. } => self.trap += 1,
            StopReason::CycleLimit => self.limit += 1,
            StopReason::Host => self.host += 1,
        }
        let mut host: Vec<(pe_isa::Cycle, usize, u32)> = Vec::new();
        let (_, held) = oracle::run_counting(
            (&case.image, Data::Full),
            &case.script,
            &mut host,
            case.limit,
            &mut NoObserver,
            0,
        );
        self.held_by_output += u32::from(held.by_output > 0);
        self.held_by_slot += u32::from(held.by_slot > 0);
        let mut routes = case.image.route_sets.iter().flat_map(|s| &s.routes);
        self.switched += u32::from(routes.any(|r| r.positions.len() > 1));
        self.marks += record.marks.len() as u64;
        self.received += u32::from(!record.received.is_empty());
        let state = &record.outcome.state;
        self.cycles.push(record.outcome.cycle.0);
        self.hops.push(state.wavelet_hops());
        self.wavelets.push(state.pes.iter().map(|p| p.wavelets_in).sum());
        self.instructions.push(state.instructions());
    }
}

fn sample(count: u32) -> Statistics {
    let config = Config { rng_seed: RngSeed::Fixed(7), ..Config::default() };
    let mut runner = TestRunner::new(config);
    let mut statistics = Statistics::default();
    for _ in 0..count {
        let tree = spec::case().new_tree(&mut runner);
        let spec: CaseSpec = tree.expect("cases can be drawn").current();
        statistics.add(&generate::case(&spec));
    }
    statistics
}

#[test]
fn are_generated_cases_diverse() {
    let s = sample(300);
    assert!(s.finished > 120, "{s:?}");
    assert!(s.deadlock > 30, "{s:?}");
    assert!(s.trap > 3 && s.limit > 3 && s.host > 3, "{s:?}");
    assert!(s.held_by_output > 75 && s.held_by_slot > 75, "{s:?}");
    let moving = s.hops.iter().filter(|&&hops| hops > 0).count();
    assert!(moving > 200, "{s:?}");
}

#[test]
#[ignore = "prints the distribution of generated cases"]
fn statistics_of_generated_cases() {
    let s = sample(config().cases);
    let percent = |n: u32| 100.0 * f64::from(n) / f64::from(config().cases);
    println!("finished {:5.1} %", percent(s.finished));
    println!("deadlock {:5.1} %", percent(s.deadlock));
    println!("trap     {:5.1} %", percent(s.trap));
    println!("limit    {:5.1} %", percent(s.limit));
    println!("host     {:5.1} %", percent(s.host));
    println!("held up by an output {:5.1} %", percent(s.held_by_output));
    println!("held up by a slot    {:5.1} %", percent(s.held_by_slot));
    println!("with switched routes {:5.1} %", percent(s.switched));
    println!("host received        {:5.1} %", percent(s.received));
    println!("marks {}", s.marks);
    let lists = [
        ("cycles", s.cycles),
        ("wavelet hops", s.hops),
        ("wavelets taken", s.wavelets),
        ("instructions", s.instructions),
    ];
    for (name, mut list) in lists {
        list.sort();
        let at = |tenth: usize| list[(list.len() - 1) * tenth / 10];
        let tenths: Vec<u64> = (0..=10).map(at).collect();
        println!("{name}, by tenths: {tenths:?}");
    }
}
