//! Does nothing that can be seen of a run depend on threads, or on where the wafer is cut into domains?
//! (Random wafers are cut in `sim-core/tests/differential.rs`.)

mod request;

use compiler::kernels::{REGISTRY, generate};
use compiler::{Mapping, Options};
use fabric::{Machine, PeIdx, WaferImage, presets, text};
use models::ModelDir;
use pe_isa::Cycle;
use request::{examples, script};
use sim_core::testing::traffic::{Traffic, broadcast_reduce};
use sim_core::{
    Answers, Data, Engine, Event, Host, HostScript, NoObserver, Observer, Outcome, StopReason,
    Verdict,
};
use std::num::NonZeroUsize;

const LIMIT: Cycle = Cycle(50_000_000);
const THREADS: [usize; 4] = [1, 2, 4, 7];

/// All that an observer is told, in the order in which it is told.
#[derive(Debug, Default, PartialEq)]
struct Told {
    events: Vec<Event>,
    marks: Vec<(Cycle, PeIdx, u16)>,
}

impl Observer for Told {
    fn sees_events(&self) -> bool {
        true
    }

    fn event(&mut self, event: &Event) {
        self.events.push(*event);
    }

    fn mark(&mut self, cycle: Cycle, pe: PeIdx, mark: u16, _sram: &[u32]) {
        self.marks.push((cycle, pe, mark));
    }
}

/// Takes `words` words, then ends the run.
struct Listener {
    words: usize,
    received: Vec<(Cycle, usize, u32)>,
}

impl Host for Listener {
    fn receive(
        &mut self,
        cycle: Cycle,
        port: usize,
        payload: u32,
        _answers: &mut Answers,
    ) -> Verdict {
        self.received.push((cycle, port, payload));
        if self.received.len() == self.words { Verdict::Stop } else { Verdict::Continue }
    }
}

/// What is run, and after how many words the host ends it.
struct Run<'a> {
    image: &'a WaferImage,
    script: &'a HostScript,
    words: usize,
}

impl Run<'_> {
    fn of(
        &self,
        engine: Engine,
        observer: &mut dyn Observer,
    ) -> (Outcome, Vec<(Cycle, usize, u32)>) {
        let mut host = Listener { words: self.words, received: Vec::new() };
        let outcome = engine.outcome(self.script, &mut host, LIMIT, observer);
        (outcome, host.received)
    }

    /// Asserts that domains and threads change nothing. Returns what is the same in all runs.
    fn assert_same(&self, what: &str) -> (Outcome, Told) {
        let mut told = Told::default();
        let want = self.of(Engine::load(self.image), &mut told);
        let tiles = self.image.tiles.len();
        for threads in THREADS.map(|n| NonZeroUsize::new(n).expect("a thread")) {
            let even = (1..threads.get()).map(|n| (n * tiles / threads) as u32);
            let uneven = (1..threads.get()).map(|n| (n * n).min(tiles) as u32);
            for cuts in [even.collect::<Vec<_>>(), uneven.collect()] {
                let what = format!("{what}, {threads} threads, cut at {cuts:?}");
                let engine = || Engine::load_cut(self.image, Data::Full, &cuts, threads);
                assert!(want == self.of(engine(), &mut NoObserver), "{what}: unseen");
                let mut again = Told::default();
                assert!(want == self.of(engine(), &mut again), "{what}: seen");
                assert!(told == again, "{what}: what is told, or its order");
            }
            let engine = Engine::load_for(self.image, Data::Full, threads);
            assert!(want == self.of(engine, &mut NoObserver), "{what}: cut by itself");
        }
        (want.0, told)
    }
}

#[test]
fn are_generated_kernels_the_same_on_any_number_of_threads() {
    let script = HostScript::default();
    let machine = Machine { width: 16, height: 16, ..presets::preset("wse3").expect("a preset") };
    for entry in &REGISTRY {
        let kernel = generate(entry.name, &machine, &[]).expect("defaults fit");
        let run = Run { image: &kernel.image, script: &script, words: 0 };
        let (outcome, told) = run.assert_same(entry.name);
        assert_eq!(outcome.stop, StopReason::Finished, "{}", entry.name);
        assert!(!told.events.is_empty(), "{}", entry.name);
    }
}

#[test]
fn is_a_deadlock_told_alike_on_any_number_of_threads() {
    let source =
        std::fs::read_to_string(examples("kernels/deadlock.wsk")).expect("the example is there");
    let machine = Machine { width: 4, height: 4, ..presets::preset("wse3").expect("a preset") };
    let kernel = text::parse(&source, "deadlock.wsk", &machine, &[]).expect("it is correct");
    let script = HostScript::default();
    let run = Run { image: &kernel.image, script: &script, words: 0 };
    let (outcome, _) = run.assert_same("deadlock.wsk");
    assert!(matches!(outcome.stop, StopReason::Deadlock { .. }), "{:?}", outcome.stop);
}

#[test]
fn is_a_model_the_same_on_any_number_of_threads() {
    let model = ModelDir::open(examples("models/stdlib-1m")).expect("the model opens");
    let machine = presets::preset(presets::DEFAULT).expect("a preset");
    let options = Options { contexts: vec![3], mapping: Mapping::default(), ..Options::default() };
    let weights = model.weights().expect("weights are there");
    let compiled =
        compiler::compile(model.graph(), weights, &machine, &options).expect("it compiles");
    let script = script(&compiled, &[vec![73, 77]], &[1]);
    // A token is two words: its place and its id.
    let run = Run { image: &compiled.image, script: &script, words: 2 };
    let (outcome, told) = run.assert_same("stdlib-1m");
    assert_eq!(outcome.stop, StopReason::Host);
    assert!(told.events.len() > 500_000, "{} events", told.events.len());
    assert!(told.marks.len() > 1_000, "{} marks", told.marks.len());
}

#[test]
fn is_a_wafer_that_is_worth_sharing_the_same_on_any_number_of_threads() {
    let machine = Machine { width: 64, height: 64, ..presets::preset("wse2").expect("a preset") };
    let traffic = Traffic { width: 64, height: 64, words: 16, rounds: 1 };
    let image = broadcast_reduce(&machine, traffic);
    let script = HostScript::default();
    let run = Run { image: &image, script: &script, words: 0 };
    let (want, _) = run.of(Engine::load(&image), &mut NoObserver);
    assert_eq!(want.stop, StopReason::Finished);
    for threads in THREADS.map(|n| NonZeroUsize::new(n).expect("a thread")) {
        let engine = Engine::load_for(&image, Data::Full, threads);
        // It has domains for a few threads.
        assert_eq!(engine.threads().min(2), threads.get().min(2));
        assert!(engine.threads() <= threads.get());
        let (outcome, _) = run.of(engine, &mut NoObserver);
        assert!(want == outcome, "{threads} threads");
    }
}
