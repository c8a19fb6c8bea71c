//! Where the cycles of the critical path go: by hand for small kernels, and for models as far as sums and machines tell.

mod call;
mod request;

use call::wafersim;
use compiler::{Mapping, Options};
use fabric::{Machine, WaferImage, presets, text};
use models::ModelDir;
use pe_isa::Cycle;
use request::{Request, examples, family_model, machine};
use serde_json::Value;
use sim_core::{Answers, Data, Host, HostScript, HostWavelet, Verdict, engine};
use std::num::NonZeroUsize;
use traces::Attribution;
use traces::attribution::{Attributor, CategoryCycles, Places, Sent, with_marks};

/// Runs an image twice, the second time to see where the time to the host's last wavelet went, or to the end of the last step.
fn attributed(image: &WaferImage, script: &HostScript, data: Data, tokens: usize) -> Attribution {
    let how = (data, NonZeroUsize::MIN);
    let run = |image: &WaferImage, observer: &mut dyn sim_core::Observer| {
        let mut host = Tokens { left: tokens, last: None };
        let (outcome, _) = engine::run_for(image, how, script, &mut host, request::LIMIT, observer);
        (outcome, host.last)
    };
    let (outcome, last) = run(image, &mut sim_core::NoObserver);
    let marked = WaferImage { programs: with_marks(&image.programs), ..image.clone() };
    let sent = Sent { script: script.clone(), causes: Vec::new() };
    let places = Places::one(image, "all");
    let last = last.unwrap_or((Cycle(0), 0));
    let mut seen = Attributor::new(&marked, &image.programs, &places, &sent, last);
    let (again, _) = run(&marked, &mut seen);
    assert!(outcome == again, "marks and observers change nothing");
    assert_eq!((seen.unexplained(), seen.arbitrated()), (0, 0));
    let attribution = seen.attribution(last).unwrap_or_else(|| seen.attribution_of_steps());
    assert_eq!(attribution.cycles(), outcome.cycle.0);
    attribution
}

/// Takes so many pairs of words, then ends the run.
struct Tokens {
    left: usize,
    last: Option<(Cycle, usize)>,
}

impl Host for Tokens {
    fn receive(&mut self, cycle: Cycle, port: usize, _: u32, _: &mut Answers) -> Verdict {
        self.last = Some((cycle, port));
        self.left = self.left.saturating_sub(1);
        if self.left == 0 { Verdict::Stop } else { Verdict::Continue }
    }
}

/// The attribution of an example among the kernels on a machine.
fn of_kernel(name: &str, machine: &Machine) -> CategoryCycles {
    let path = examples("kernels").join(name);
    let source = std::fs::read_to_string(path).expect("the example is there");
    let kernel = text::parse(&source, name, machine, &[]).unwrap_or_else(|e| panic!("{e:?}"));
    let word = |word: &fabric::HostWord| HostWavelet {
        cycle: word.cycle,
        payload: word.payload,
        control: word.control,
    };
    let port = |words: &Vec<fabric::HostWord>| words.iter().map(word).collect();
    let script = HostScript { ports: kernel.host.sends.iter().map(port).collect() };
    // The relay's host gets six words; others have none.
    attributed(&kernel.image, &script, Data::Full, 6).categories
}

/// Machines on which the examples' closed forms hold: links that carry a word a cycle, and queues that let them.
fn machines() -> Vec<Machine> {
    let small = |name: &str, keys: &[(&str, &str)]| {
        let keys = [&[("width", "12"), ("height", "3")], keys].concat();
        presets::preset(name).and_then(|m| m.with_overrides(&keys)).expect("legal")
    };
    let one = ("fabric.link_cycles", "1");
    vec![
        small("wse2", &[]),
        small("wse3", &[one]),
        small("wse3", &[one, ("fabric.hop_cycles", "3"), ("fabric.queue_depth", "8")]),
        small("wse3", &[one, ("pe.ramp_cycles", "5"), ("pe.dispatch_cycles", "9")]),
        small("wse2", &[("pe.task_launch_cycles", "11"), ("host.latency_ns", "70")]),
    ]
}

/// From a task's launch to its first fabric step.
fn start(m: &Machine) -> u64 {
    m.pe.task_launch_cycles + m.pe.dispatch_cycles - 1
}

#[test]
fn does_a_message_go_where_the_contract_says() {
    for m in machines() {
        let (hops, words) = (5, 8);
        // The receiver's steps follow one another; the first waits for the first word.
        let wanted = CategoryCycles {
            launch: start(&m) + 1,
            sram: 1 + words,
            wire: 2 * m.pe.ramp_cycles + hops * m.fabric.hop_cycles,
            ..CategoryCycles::default()
        };
        assert_eq!(of_kernel("message.wsk", &m), wanted, "{m:?}");
    }
}

#[test]
fn does_a_chain_go_where_the_contract_says() {
    for m in machines() {
        let (pes, words) = (8, 64);
        // The first PE moves a word, six add to it, the last one adds all.
        let wanted = CategoryCycles {
            launch: start(&m) + 1,
            sram: 1,
            compute: (pes - 2) + words,
            wire: (pes - 1) * (2 * m.pe.ramp_cycles + m.fabric.hop_cycles),
            ..CategoryCycles::default()
        };
        assert_eq!(of_kernel("chain_reduce.wsk", &m), wanted, "{m:?}");
    }
}

#[test]
fn does_a_relay_go_where_the_contract_says() {
    for m in machines() {
        let pes = 4;
        let sent = 10 + 5 * 50;
        // An addition and a step that sends what is in a register.
        let wanted = CategoryCycles {
            host: sent + m.host_latency_cycles(),
            launch: pes * start(&m),
            compute: pes * 2,
            wire: pes * 2 * m.pe.ramp_cycles + (pes + 1) * m.fabric.hop_cycles,
            ..CategoryCycles::default()
        };
        assert_eq!(of_kernel("relay.wsk", &m), wanted, "{m:?}");
    }
}

#[test]
fn does_a_full_queue_show_as_queue() {
    // Without room for the way of a slot and its credit, a stream waits for slots.
    let m = machines().remove(1);
    let shallow = m.with_overrides(&[("fabric.queue_depth", "1")]).expect("legal");
    let spent = of_kernel("message.wsk", &shallow);
    let once = of_kernel("message.wsk", &m);
    // Each of the seven words behind the first needs the slot that the one before has left: hop and credit.
    let period = m.fabric.hop_cycles + m.fabric.credit_cycles;
    assert_eq!(spent.total() - once.total(), 7 * (period - 1), "{spent:?}, {once:?}");
    assert!(spent.queue >= 7 * m.fabric.credit_cycles - period, "{spent:?}");
}

fn models() -> Vec<(String, ModelDir)> {
    let names = [
        "llama",
        "llama-odd",
        "llama-bf16",
        "llama-eos",
        "llama-prompt1",
        "llama-sharded",
        "llama-gqa-rope-llama3",
    ];
    let open = |name: &str| {
        let model = ModelDir::open(examples("oracle").join(name).join("model"));
        (name.to_string(), model.expect("it opens"))
    };
    let mut all: Vec<_> = names.into_iter().map(open).collect();
    for name in ["gpt2", "gpt-neox", "phi", "gemma2", "qwen2", "qwen3", "qwen3-moe", "gpt-oss"] {
        all.push((name.to_string(), family_model(name)));
    }
    all
}

const NEW: u32 = 2;

/// The attribution of two tokens behind three.
fn of_model(model: &ModelDir, machine: &Machine, mapping: Mapping, data: Data) -> CategoryCycles {
    let options = Options { contexts: vec![3 + NEW], mapping, ..Options::default() };
    let weights = data.is_full().then(|| model.weights().expect("weights"));
    let compiled =
        compiler::compile(model.graph(), weights, machine, &options).expect("it compiles");
    let request = Request { prompt: vec![5, 6, 7], new: NEW, eos: Vec::new() };
    let script = request.script(&compiled);
    // A token is two words.
    attributed(&compiled.image, &script, data, 2 * NEW as usize).categories
}

#[test]
fn is_every_cycle_of_every_model_attributed() {
    let cuts = [(0, 0, 0), (5, 8, 1), (1, 30, 1), (24, 1, 1)];
    let grid = [("width", "64"), ("height", "64")];
    let preset = |name: &str, keys: &[(&str, &str)]| {
        let keys = [&grid, keys].concat();
        presets::preset(name).and_then(|m| m.with_overrides(&keys)).expect("legal")
    };
    let turning = [("fabric.turn_cycles", "20"), ("fabric.queue_depth", "1")];
    let machines = [
        preset("wse3", &[]),
        preset("wse2", &[]),
        preset("wse3-sdk", &[("pe.dispatch_cycles", "1")]),
        preset("wse3", &turning),
    ];
    for (name, model) in models() {
        for ((stage_width, stage_height, layers_per_stage), m) in cuts.into_iter().zip(&machines) {
            let mapping =
                Mapping { stage_width, stage_height, layers_per_stage, ..Mapping::default() };
            let none = of_model(&model, m, mapping, Data::None { seed: 0 });
            assert!(none.compute > 0 && none.wire > 0 && none.launch > 0, "{name}: {none:?}");
            let is_mixture = name.contains("moe") || name.contains("oss");
            if !is_mixture {
                let full = of_model(&model, m, mapping, Data::Full);
                assert_eq!(full, none, "{name}, {mapping:?}");
            }
        }
    }
}

#[test]
fn does_a_changed_constant_move_its_category() {
    let model = ModelDir::open(examples("oracle/llama/model")).expect("it opens");
    let layers = model.graph().blocks.len() as u64;
    let mapping = Mapping { stage_width: 6, stage_height: 7, ..Mapping::default() };
    let of = |changes: &[(&str, &str)]| {
        let m = machine(64, 64).with_overrides(changes).expect("legal");
        of_model(&model, &m, mapping, Data::None { seed: 0 })
    };
    let base = of(&[]);
    // There and back, and nothing else.
    let host = of(&[("host.latency_ns", "9000")]);
    assert_eq!(host, CategoryCycles { host: base.host + 2 * 850, ..base });
    // Each token goes through four matrices of each layer, which are begun one after another; and through the head's.
    let setup = of(&[("pe.cost.setup_fmac_16", "26")]);
    let begun = 10 * u64::from(NEW) * (4 * layers + 1);
    assert!(setup.launch >= base.launch + begun, "{setup:?}, {base:?}");
    // From stage to stage, and along rows and columns of each layer, both ways.
    let hop = of(&[
        ("fabric.hop_cycles", "6"),
        ("fabric.credit_cycles", "2"),
        ("fabric.queue_depth", "12"),
    ]);
    let crossed = 4 * u64::from(NEW) * layers * (3 * (6 - 1) + 2 * (7 - 1)) / 2;
    assert!(hop.wire >= base.wire + crossed, "{hop:?}, {base:?}");
    let link = of(&[("fabric.link_cycles", "4")]);
    assert!(link.wire > base.wire + 1_000, "{link:?}, {base:?}");
    // Lanes turn from band to band, and from rows to columns nothing does.
    let turn = of(&[("height", "20"), ("fabric.turn_cycles", "20")]);
    let straight = of(&[("height", "20")]);
    assert!(turn.wire >= straight.wire + 20, "{turn:?}, {straight:?}");
    let slow = of(&[("pe.cost.fmac_mixed", "0.5")]);
    assert!(slow.compute > base.compute + 1_000, "{slow:?}, {base:?}");
    let ports = of(&[("pe.cost.read_bytes_per_cycle", "1")]);
    assert!(ports.sram > base.sram + 1_000, "{ports:?}, {base:?}");
}

/// The report of a run of the trained model, without what it says about the host.
fn report(more: &[&str]) -> Value {
    let model = examples("models/stdlib-1m").display().to_string();
    let args =
        ["run", &model, "--prompt", "def add(", "--max-new-tokens", "3", "--json", "--quiet"];
    let call = wafersim(&[&args, more].concat());
    assert_eq!(call.code, Some(0), "{}", call.err);
    let mut report: Value = serde_json::from_str(&call.out).expect("a document");
    report.as_object_mut().expect("an object").remove("host");
    report
}

fn sum<'a>(entries: impl IntoIterator<Item = &'a Value>) -> u64 {
    entries.into_iter().map(|e| e["cycles"].as_u64().expect("a number")).sum()
}

#[test]
fn do_all_views_of_a_report_add_up_and_does_the_run_not_change() {
    for more in [&["--seed", "1", "--temperature", "0.7"][..], &["--data", "none"], &[]] {
        let (on, off) = (["--attribution", "on"], ["--attribution", "off"]);
        let mut seen = report(&[more, &on].concat());
        let attribution = seen["attribution"].take();
        assert_eq!(seen, report(&[more, &off].concat()), "{more:?}");
        let tokens = seen["requests"][0]["latency"]["token_cycles"].as_array().expect("tokens");
        let last = tokens.last().and_then(Value::as_u64).expect("a cycle");
        let names = ["compute", "sram", "wire", "queue", "launch", "host"];
        let categories = |v: &Value| names.map(|n| v[n].as_u64().expect("cycles")).iter().sum();
        assert_eq!(last, categories(&attribution), "{more:?}");
        for view in ["operations", "layers", "entries"] {
            let entries = attribution[view].as_array().expect("a list");
            assert_eq!(last, sum(entries), "{view}, {more:?}");
            for entry in entries {
                assert_eq!(entry["cycles"].as_u64(), Some(categories(entry)), "{view}");
            }
        }
        let layers = attribution["layers"].as_array().expect("a list");
        let numbers: Vec<_> = layers.iter().map(|l| l["layer"].as_u64()).collect();
        assert_eq!(numbers, [None, Some(0), Some(1), Some(2), Some(3), Some(4), Some(5)]);
        let operations = attribution["operations"].as_array().expect("a list");
        let names: Vec<_> = operations.iter().filter_map(|o| o["operation"].as_str()).collect();
        for name in ["query-key-value", "scores", "softmax", "values", "gate-up", "down", "head"] {
            assert!(names.contains(&name), "{name} is not among {names:?}");
        }
    }
}
