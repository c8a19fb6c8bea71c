//! Do generated kernels and a whole model keep the laws of conservation, and does watching change a cycle?
//! (The checker is `sim_core::testing::conserve`; random wafers go through it in `sim-core/tests`.)

mod request;

use compiler::kernels::{REGISTRY, generate};
use compiler::{Compiled, Options};
use fabric::{Machine, WaferImage, presets};
use models::ModelDir;
use pe_isa::Cycle;
use request::{Listener, examples, script};
use sim_core::testing::{Record, Runner, conserve, watched};
use sim_core::{
    Answers, Host, HostScript, HostWavelet, NoObserver, StopReason, Verdict, engine, oracle,
    testing,
};

const LIMIT: Cycle = Cycle(50_000_000);

/// Runs an image under observation and asserts that it keeps the laws.
fn assert_conserves(
    what: &str,
    runner: Runner,
    (image, script): (&WaferImage, &HostScript),
    host: &mut dyn Host,
) -> Record {
    let record = watched(runner, image, script, host, LIMIT);
    let broken = conserve::of_run(image, script, &record);
    assert!(broken.is_empty(), "{what}: {broken:#?}");
    record
}

#[test]
fn do_kernels_of_every_preset_conserve_wavelets_credits_and_cycles() {
    let script = HostScript::default();
    for preset in ["wse2", "wse3", "wse3-sdk"] {
        let machine =
            Machine { width: 16, height: 16, ..presets::preset(preset).expect("a preset") };
        for entry in &REGISTRY {
            let what = format!("{} on {preset}", entry.name);
            let kernel = generate(entry.name, &machine, &[]).expect("defaults fit");
            let run = (&kernel.image, &script);
            let record = assert_conserves(&what, testing::engine, run, &mut Vec::new());
            assert_eq!(record.outcome.stop, StopReason::Finished, "{what}");
            let blind = engine::run(run.0, run.1, &mut Vec::new(), LIMIT, &mut NoObserver);
            assert!(blind == record.outcome, "{what}: watching changed the run");
            if preset == "wse3" {
                let slow = assert_conserves(&what, oracle::run, run, &mut Vec::new());
                assert_eq!(record.difference(&slow), None, "{what}: engine and oracle");
            }
        }
    }
}

/// Draws the most likely token until it has two, and sends the first one back.
struct TwoTokens {
    protocol: compiler::Protocol,
    ids: Vec<u32>,
}

impl Host for TwoTokens {
    fn receive(
        &mut self,
        _cycle: Cycle,
        _port: usize,
        payload: u32,
        answers: &mut Answers,
    ) -> Verdict {
        let Some(logits) = self.protocol.logits(payload) else { return Verdict::Continue };
        let id = models::argmax(&logits.values);
        self.ids.push(id);
        if self.ids.len() == 2 {
            return Verdict::Stop;
        }
        for payload in self.protocol.feed_back(&logits, id) {
            answers.send(0, HostWavelet { cycle: Cycle::ZERO, payload, control: false });
        }
        Verdict::Continue
    }
}

/// The example model, placed for a prompt of two tokens and two new ones, and what the host sends.
fn stdlib(logits_to_host: bool) -> (Compiled, HostScript) {
    let model = ModelDir::open(examples("models/stdlib-1m")).expect("the model opens");
    let machine = presets::preset(presets::DEFAULT).expect("a preset");
    let options = Options { contexts: vec![4], logits_to_host, ..Options::default() };
    let weights = model.weights().expect("weights are there");
    let compiled =
        compiler::compile(model.graph(), weights, &machine, &options).expect("it compiles");
    let script = script(&compiled, &[vec![73, 77]], &[2]);
    (compiled, script)
}

#[test]
fn does_a_model_conserve_wavelets_credits_and_cycles_until_its_first_token() {
    let (compiled, script) = stdlib(false);
    let image = &compiled.image;
    let host = || Listener::new(&compiled, 1, &[]);
    let record = assert_conserves("stdlib-1m", testing::engine, (image, &script), &mut host());
    assert_eq!(record.outcome.stop, StopReason::Host);
    assert!(record.events.len() > 500_000, "{} events", record.events.len());
    let blind = engine::run(image, &script, &mut host(), LIMIT, &mut NoObserver);
    assert!(blind == record.outcome, "watching changed the run");
}

#[test]
fn does_a_model_whose_host_draws_conserve_them_too() {
    let (compiled, script) = stdlib(true);
    let image = &compiled.image;
    let host = || TwoTokens { protocol: compiled.protocol.clone(), ids: Vec::new() };
    let mut first = host();
    let record = assert_conserves("stdlib-1m", testing::engine, (image, &script), &mut first);
    assert_eq!((&record.outcome.stop, first.ids.len()), (&StopReason::Host, 2));
    assert_eq!(record.answers.len(), 3);
    let mut cut = host();
    let thirds = testing::thirds(image, &script, &mut cut, LIMIT, &mut NoObserver);
    assert!(thirds == record.outcome && cut.ids == first.ids, "domains changed the run");
}
