//! Compiled models on simulated wafers: tokens, engine against oracle, and whether the weights matter.

mod request;

use compiler::{Compiled, Mapping, Options};
use models::ModelDir;
use pe_isa::Cycle;
use request::{LIMIT, Logits, Request, examples, family_model, ids, json, machine};
use sim_core::{Engine, NoObserver, StopReason, oracle};

/// Every prompt of the trained model's oracle of at most `longest` tokens, on one grid.
fn assert_tokens(width: u32, height: u32, longest: usize) {
    let path = examples("models/stdlib-1m");
    let model = ModelDir::open(&path).expect("the model opens");
    let oracle = json(&path.join("oracle/oracle.json"));
    let cases = oracle["cases"].as_array().expect("cases are a list");
    let mut run = 0;
    for case in cases {
        let request = Request::of_case(case, &model.graph().eos_ids);
        if request.prompt.len() > longest {
            continue;
        }
        run += 1;
        let compiled = request.compile(&model, &machine(width, height), Mapping::default());
        let (tokens, _) = request.run(&compiled, &mut NoObserver);
        let expected = ids(&case["expected_ids_fp16_weights"]);
        assert_eq!(tokens, expected, "{width} x {height}: {}", case["prompt_text"]);
    }
    assert!(run >= 5, "the oracle has short prompts");
}

#[test]
fn are_all_prompts_answered_as_by_the_reference_on_the_default_grid() {
    assert_tokens(64, 64, 200);
}

#[test]
fn are_prompts_answered_as_by_the_reference_on_a_grid_that_divides_nothing() {
    assert_tokens(20, 13, 10);
}

#[test]
fn are_prompts_answered_as_by_the_reference_on_one_row() {
    assert_tokens(200, 1, 7);
}

#[test]
fn are_prompts_answered_as_by_the_reference_on_one_column() {
    assert_tokens(1, 150, 7);
}

#[test]
fn do_llama_variants_answer_as_the_reference_on_odd_grids() {
    let grids = [(13, 20), (9, 7), (40, 2), (2, 40)];
    let names =
        ["llama", "llama-odd", "llama-eos", "llama-bf16", "llama-sharded", "llama-gqa-rope-llama3"];
    for (name, (width, height)) in names.into_iter().zip(grids.into_iter().cycle()) {
        let folder = examples("oracle").join(name);
        let model = ModelDir::open(folder.join("model")).expect("the model opens");
        let case = json(&folder.join("case.json"));
        let request = Request::of_case(&case, &model.graph().eos_ids);
        let compiled = request.compile(&model, &machine(width, height), Mapping::default());
        let (tokens, _) = request.run(&compiled, &mut NoObserver);
        let expected = ids(&case["expected_ids_fp16_weights"]);
        assert_eq!(tokens, expected, "{name} on {width} x {height}");
    }
}

#[test]
fn does_the_engine_agree_with_the_oracle_on_steps_of_a_model() {
    let folder = examples("oracle/llama-odd");
    let model = ModelDir::open(folder.join("model")).expect("the model opens");
    let request = Request { prompt: vec![143, 410, 382], new: 2, eos: Vec::new() };
    let cuts = [(9, 7, 1, 2, 2), (12, 9, 2, 3, 5), (60, 1, 2, 1, 15)];
    for (width, height, layers_per_stage, stage_width, stage_height) in cuts {
        let mapping = Mapping { layers_per_stage, stage_width, stage_height, ..Mapping::default() };
        let compiled = request.compile(&model, &machine(width, height), mapping);
        let (tokens, fast) = request.run(&compiled, &mut NoObserver);
        let mut listener = request.listener(&compiled);
        let script = request.script(&compiled);
        let literal = oracle::run(&compiled.image, &script, &mut listener, LIMIT, &mut NoObserver);
        assert_eq!(fast.stop, StopReason::Host);
        assert_eq!(tokens, listener.ids());
        assert_eq!((&fast.stop, fast.cycle), (&literal.stop, literal.cycle));
        assert!(fast == literal, "{width} x {height}: the final states differ");
    }
}

#[test]
fn does_a_model_without_a_calendar_stand_where_it_does_with_one() {
    let model = family_model("gpt2");
    let request = Request { prompt: (70..94).collect(), new: 6, eos: Vec::new() };
    let compiled = request.compile(&model, &machine(64, 64), Mapping::default());
    let script = request.script(&compiled);
    let mut last = 0;
    for limit in (1..=40).map(|n| Cycle(4_001 * n)) {
        let load = || Engine::load(&compiled.image);
        let (mut flow, mut calendar) = (load(), load());
        // From some cycle on something competes.
        let Some(stop) = flow.flow(&script, &mut Vec::new(), limit) else { break };
        let want = calendar.run(&script, &mut Vec::new(), limit, &mut NoObserver);
        assert_eq!(stop, want);
        assert!(flow.final_state() == calendar.final_state(), "the states differ at {limit:?}");
        last = limit.0;
    }
    assert!(last > 20_000, "something competes at cycle {last} already");
}

#[test]
fn does_one_bit_of_one_weight_change_the_logits() {
    let folder = examples("oracle/llama");
    let model = ModelDir::open(folder.join("model")).expect("the model opens");
    let request = Request { prompt: vec![73, 77], new: 1, eos: Vec::new() };
    let mut compiled = request.compile(&model, &machine(20, 13), Mapping::default());
    let logits = |compiled: &Compiled| {
        let mut seen = Logits::of(&compiled.image);
        let (_, outcome) = request.run(compiled, &mut seen);
        (seen.values, outcome.cycle)
    };
    let (before, cycle) = logits(&compiled);
    assert_eq!(before.len(), model.graph().vocab);
    assert_eq!(logits(&compiled), (before.clone(), cycle), "the same run gives the same logits");
    // One bit of a query-key-value weight on one PE of the first layer's rectangle.
    let stage = &compiled.image.stages[1];
    let pe = compiled.image.index(stage.origin).0 as usize;
    let segments = &mut compiled.image.tiles[pe].data;
    let weights = segments.iter_mut().max_by_key(|s| s.words.len()).expect("it has weights");
    weights.words[0] ^= 1 << 9;
    let (after, cycle_after) = logits(&compiled);
    assert_ne!(before, after);
    assert_eq!(cycle, cycle_after, "timing does not depend on data");
}

#[test]
fn does_an_observer_leave_no_trace() {
    let folder = examples("oracle/llama");
    let model = ModelDir::open(folder.join("model")).expect("the model opens");
    let request = Request { prompt: vec![73, 77, 80], new: 2, eos: Vec::new() };
    let compiled = request.compile(&model, &machine(20, 13), Mapping::default());
    let (_, blind) = request.run(&compiled, &mut NoObserver);
    let mut seen = Logits::of(&compiled.image);
    let (_, watched) = request.run(&compiled, &mut seen);
    assert_eq!(blind.digest(), watched.digest());
    assert_eq!(seen.values.len(), 2 * model.graph().vocab);
}

#[test]
fn does_a_model_that_does_not_fit_say_by_how_much_and_which_grid_would_do() {
    let model = ModelDir::open(examples("models/stdlib-1m")).expect("the model opens");
    let weights = model.weights().expect("weights are there");
    let options = Options { contexts: vec![16], ..Options::default() };
    let error = compiler::compile(model.graph(), weights, &machine(6, 6), &options);
    let text = error.expect_err("it cannot fit").to_string();
    for part in ["does not fit", "over by", "smallest square grid", "--set machine.width="] {
        assert!(text.contains(part), "no `{part}` in {text}");
    }
    let side = text.split("machine.width=").nth(1).and_then(|t| t.split(' ').next());
    let side: u32 = side.and_then(|s| s.parse().ok()).expect("a number");
    assert!(compiler::compile(model.graph(), weights, &machine(side, side), &options).is_ok());
    let smaller = machine(side - 1, side - 1);
    assert!(compiler::compile(model.graph(), weights, &smaller, &options).is_err());
}
