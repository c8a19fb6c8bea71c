//! Does the report of a deadlock name the circle of waits, and what would release it? The words are
//! compared in full.

use fabric::{Port, lint, presets, text};
use pe_isa::Cycle;
use proptest::prelude::{ProptestConfig as Config, prop_assert};
use proptest::test_runner::{RngSeed, TestRunner};
use sim_core::testing::{Case, Runner, engine, generate, spec};
use sim_core::{HostScript, HostWavelet, StopReason, deadlock, oracle};

/// Runs a kernel on oracle and engine to its deadlock; the report, which is the same for both.
fn report(source: &str) -> String {
    let mut machine = presets::preset("wse2").expect("a preset");
    (machine.width, machine.height) = (6, 3);
    let kernel = text::parse(source, "kernel", &machine, &[]).unwrap_or_else(|e| panic!("{e}"));
    let errors: Vec<_> = lint(&kernel.image).into_iter().filter(|f| f.error).collect();
    assert!(errors.is_empty(), "{errors:#?}");
    let word = |w: &fabric::HostWord| HostWavelet {
        cycle: w.cycle,
        payload: w.payload,
        control: w.control,
    };
    let ports = kernel.host.sends.iter().map(|s| s.iter().map(word).collect()).collect();
    let (script, image) = (HostScript { ports }, kernel.image);
    let case = Case { image, script, replies: Vec::new(), stop_after: None, limit: Cycle(10_000) };
    let runners: [Runner; 2] = [oracle::run, engine];
    let reports = runners.map(|run| explained(&case, run).expect("the kernel deadlocks"));
    assert_eq!(reports[0], reports[1]);
    reports[0].clone()
}

/// Lines as a report joins them.
fn lines(lines: &[&str]) -> String {
    lines.join("\n")
}

fn explained(case: &Case, run: Runner) -> Option<String> {
    match case.run(run).outcome.stop {
        StopReason::Deadlock { waits, heads } => {
            Some(deadlock::explain(&case.image, &waits, &heads).to_string())
        }
        _ => None,
    }
}

#[test]
fn are_two_pes_told_that_both_receive_first() {
    let source = std::fs::read_to_string(concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../examples/kernels/deadlock.wsk"
    ));
    assert_eq!(
        report(&source.expect("the example is there")),
        lines(&[
            "2 threads wait for each other:",
            "  PE (0,0), main thread (task t0), instruction 0 `mov.f32 d0, in(c1) over [4]`",
            "    waits since cycle 9 for a wavelet of color c1 from E, which PE (1,0) has to send",
            "  PE (1,0), main thread (task t0), instruction 0 `mov.f32 d0, in(c0) over [4]`",
            "    waits since cycle 9 for a wavelet of color c0 from W, which PE (0,0) has to send",
            "  to release it, PE (1,0) must send on color c1 before it receives on color c0, or in another thread",
            "    or PE (0,0) must send on color c0 before it receives on color c1, or in another thread",
        ])
    );
}

/// `n` PEs in a ring of two rows, each of which sends `words` to the next before it receives.
fn ring(words: u32) -> String {
    format!(
        "color a, b, c, d
        program pe(from, to) {{ mem v: f32[{words}]; mem w: f32[{words}]
            task main activated: mov out(to), v; mov w, in(from); end }}
        place pe(d, a) at (0, 0); place pe(a, b) at (1, 0)
        place pe(b, c) at (1, 1); place pe(c, d) at (0, 1)
        path a: (0, 0) -> (1, 0); path b: (1, 0) -> (1, 1)
        path c: (1, 1) -> (0, 1); path d: (0, 1) -> (0, 0)"
    )
}

#[test]
fn is_a_ring_of_full_queues_told() {
    assert_eq!(
        report(&ring(40)),
        lines(&[
            "4 threads wait for each other:",
            "  PE (0,0), main thread (task t0), instruction 0 `mov.f32 out(c0), d0 over [40]`",
            "    waits since cycle 29 for room to send on color c0 to E",
            "    18 words of color c0 stand in front of it, from tile (0,0) up to the full input queue (6 words and the ramp) of PE (1,0); PE (1,0) has to receive",
            "  PE (1,0), main thread (task t0), instruction 0 `mov.f32 out(c1), d0 over [40]`",
            "    waits since cycle 29 for room to send on color c1 to S",
            "    18 words of color c1 stand in front of it, from tile (1,0) up to the full input queue (6 words and the ramp) of PE (1,1); PE (1,1) has to receive",
            "  PE (1,1), main thread (task t0), instruction 0 `mov.f32 out(c2), d0 over [40]`",
            "    waits since cycle 29 for room to send on color c2 to W",
            "    18 words of color c2 stand in front of it, from tile (1,1) up to the full input queue (6 words and the ramp) of PE (0,1); PE (0,1) has to receive",
            "  PE (0,1), main thread (task t0), instruction 0 `mov.f32 out(c3), d0 over [40]`",
            "    waits since cycle 29 for room to send on color c3 to N",
            "    18 words of color c3 stand in front of it, from tile (0,1) up to the full input queue (6 words and the ramp) of PE (0,0); PE (0,0) has to receive",
            "  to release it, PE (1,0) must receive on color c0 before it has sent all on color c1, or in another thread",
            "    or PE (1,1) must receive on color c1 before it has sent all on color c2, or in another thread",
            "    or PE (0,1) must receive on color c2 before it has sent all on color c3, or in another thread",
        ])
    );
}

#[test]
fn is_a_receiver_told_that_has_ended() {
    let source = "color red
        program send { mem v: f32[40]; task main activated: mov out(red), v; end }
        program receive { mem v: f32[8]; task main activated: mov v, in(red); end }
        place send at (0, 0); place receive at (2, 0); path red: (0, 0) -> (2, 0)";
    assert_eq!(
        report(source),
        lines(&[
            "a thread waits for what never comes:",
            "  PE (0,0), main thread (task t0), instruction 0 `mov.f32 out(c0), d0 over [40]`",
            "    waits since cycle 41 for room to send on color c0 to E",
            "    22 words of color c0 stand in front of it, from tile (0,0) up to the full input queue (6 words and the ramp) of PE (2,0)",
            "  to release it, PE (2,0) must receive more on color c0, or less be sent on it: the PE has ended",
        ])
    );
}

#[test]
fn is_a_sender_told_that_has_ended() {
    let source = "color red
        program send { mem v: f32[4]; task main activated: mov out(red), v; end }
        program receive { mem v: f32[8]; task main activated: mov v, in(red); end }
        place send at (0, 0); place receive at (1..4, 0); broadcast red: (0, 0) -> (3, 0)";
    assert_eq!(
        report(source),
        lines(&[
            "3 threads wait for what never comes, one chain of them:",
            "  PE (1,0), main thread (task t0), instruction 0 `mov.f32 d0, in(c0) over [8]`",
            "    waits since cycle 19 for a wavelet of color c0 from W",
            "  to release it, PE (0,0) must send more on color c0, or less be received of it: the PE has ended",
        ])
    );
}

#[test]
fn is_a_switch_told_that_nobody_turns() {
    let source = "color red
        program send { mem v: f32[4]; task main activated: mov out(red), v; end }
        program receive { mem v: f32[8]; task main activated: mov v, in(red); end }
        place send at (0..2, 0); place receive at (2, 0)
        route red: R -> E at (0, 0)
        route red: W -> E | R -> E at (1, 0)
        route red: W -> R at (2, 0)";
    assert_eq!(
        report(source),
        lines(&[
            "a thread waits for what never comes:",
            "  PE (2,0), main thread (task t0), instruction 0 `mov.f32 d0, in(c0) over [8]`",
            "    waits since cycle 20 for a wavelet of color c0 from W",
            "    4 words of color c0 stand on its way, at port R of router (1,0)",
            "  to release it, a control wavelet must turn the switch of color c0 at router (1,0) from position 0 (W -> E) to 1 (R -> E), which takes from R; no source that is left sends one",
        ])
    );
}

#[test]
fn is_a_blocked_control_task_told() {
    let source = "color red
        program send { mem v: f32[4]; task main activated: sendctrl out(red), 0; mov out(red), v; end }
        program receive { mem v: f32[4]; reg n
            task main activated: mov v, in(red) async 0; end
            task turn blocked control(red -> n): end }
        place send at (0, 0); place receive at (1, 0); path red: (0, 0) -> (1, 0)";
    assert_eq!(
        report(source),
        lines(&[
            "a thread waits for what never comes:",
            "  PE (1,0), microthread 0 (task t0), instruction 0 `mov.f32 d0, in(c0) over [4] async 0`",
            "    waits since cycle 9 for a wavelet of color c0 from W; a control wavelet stands before it in the queue",
            "  to release it, PE (1,0) must unblock `task t1 control(c0 -> r0) blocked`, which takes color c0",
        ])
    );
}

#[test]
fn is_the_host_told_that_sends_no_more() {
    let source = "color red
        program receive { mem v: f32[8]; task main activated: mov v, in(red); end }
        place receive at (0, 0); route red: W -> R at (0, 0)
        host in feed: red at (0, 0) W
        send feed: f32[3] at 1200 = i";
    assert_eq!(
        report(source),
        lines(&[
            "a thread waits for what never comes:",
            "  PE (0,0), main thread (task t0), instruction 0 `mov.f32 d0, in(c0) over [8]`",
            "    waits since cycle 1,206 for a wavelet of color c0 from W",
            "  to release it, the host must send more on color c0 into side W of tile (0,0); it has sent all",
        ])
    );
}

#[test]
fn is_a_thread_told_that_waits_for_its_own_microthread() {
    let source = "color red
        program twice { mem v: f32[4]; task main activated:
            mov v, in(red) async 1; mov v, in(red) async 1; end }
        program silent { out red; task main activated: end }
        place twice at (1, 0); place silent at (0, 0); path red: (0, 0) -> (1, 0)";
    assert_eq!(
        report(source),
        lines(&[
            "2 threads wait, each for the next, for what never comes:",
            "  PE (1,0), main thread (task t0), instruction 1 `mov.f32 d0, in(c0) over [4] async 1`",
            "    waits since cycle 6 for microthread 1 to end",
            "  PE (1,0), microthread 1 (task t0), instruction 0 `mov.f32 d0, in(c0) over [4] async 1`",
            "    waits since cycle 9 for a wavelet of color c0 from W",
            "  to release it, somebody must send on color c0 to tile (1,0); nobody does",
        ])
    );
}

#[test]
fn is_a_task_told_that_stays_blocked() {
    let source = "color red
        program send { mem v: f32[40]; task main activated: mov out(red), v; end }
        program receive { reg n; task main blocked data(red -> n): end }
        place send at (0, 0); place receive at (1, 0); path red: (0, 0) -> (1, 0)";
    assert_eq!(
        report(source),
        lines(&[
            "a thread waits for what never comes:",
            "  PE (0,0), main thread (task t0), instruction 0 `mov.f32 out(c0), d0 over [40]`",
            "    waits since cycle 29 for room to send on color c0 to E",
            "    18 words of color c0 stand in front of it, from tile (0,0) up to the full input queue (6 words and the ramp) of PE (1,0)",
            "  to release it, PE (1,0) must unblock `task t0 data(c0 -> r0) blocked`, which takes color c0",
        ])
    );
}

#[test]
fn are_wavelets_told_that_stand_all_around_a_ring_of_routers() {
    let mut machine = presets::preset("wse2").expect("a preset");
    (machine.width, machine.height) = (2, 2);
    let source = "color red
        route red: S -> E at (0, 0); route red: W -> S at (1, 0)
        route red: N -> W at (1, 1); route red: E -> N at (0, 1)";
    let image = text::parse(source, "ring", &machine, &[]).expect("a kernel").image;
    let head = |pe, port| sim_core::Head {
        pe: fabric::PeIdx(pe),
        port: Some(port),
        color: pe_isa::Color(0),
        words: 4,
        control: false,
        selected: 0,
    };
    let heads =
        [head(0, Port::South), head(1, Port::West), head(2, Port::East), head(3, Port::North)];
    assert_eq!(
        deadlock::explain(&image, &[], &heads).to_string(),
        lines(&[
            "wavelets wait for each other:",
            "  16 words of color c0 stand still, from tile (0,0) up to port E of router (0,1), each behind the next, all the way round",
            "  to release it, a switch or a route must end this way, so that some wavelet gets off",
        ])
    );
}

#[test]
fn is_a_burst_that_just_fits_no_deadlock() {
    // What the linter says fits between neighbours in a ring: 2 + (4 + 2) + 4 + (6 + 2).
    let source = |n| ring(n) + "; expect stop = deadlock";
    let warned = |n: u32| {
        let mut machine = presets::preset("wse2").expect("a preset");
        (machine.width, machine.height) = (6, 3);
        let kernel = text::parse(&source(n), "ring", &machine, &[]).expect("a kernel");
        let warned = lint(&kernel.image).iter().any(|f| f.kind == fabric::lint::Kind::BurstTooLong);
        let (image, script) = (kernel.image, HostScript::default());
        let case =
            Case { image, script, replies: Vec::new(), stop_after: None, limit: Cycle(10_000) };
        assert_eq!(explained(&case, engine).is_some(), warned, "{n} words");
        warned
    };
    assert!(!warned(20) && warned(21));
}

/// PE (1,0) takes a multicast only after an answer that PE (2,0) sends behind it.
#[test]
fn does_a_late_receiver_that_is_warned_of_stall_its_tree() {
    let source = |n: u32| {
        format!(
            "color all, answer
            program root {{ mem v: f32[{n}]; task main activated: mov out(all), v; end }}
            program late {{ mem v: f32[{n}]; mem w: f32[4]
                task main activated: mov w, in(answer); mov v, in(all); end }}
            program answers {{ mem v: f32[{n}]; mem w: f32[4]
                task main activated: mov v, in(all); mov out(answer), w; end }}
            place root at (0, 0); place late at (1, 0); place answers at (2, 0)
            broadcast all: (0, 0) -> (2, 0); path answer: (2, 0) -> (1, 0)"
        )
    };
    let seen = |n: u32| {
        let mut machine = presets::preset("wse2").expect("a preset");
        (machine.width, machine.height) = (6, 3);
        let kernel = text::parse(&source(n), "late", &machine, &[]).expect("a kernel");
        let warned = lint(&kernel.image).iter().any(|f| f.kind == fabric::lint::Kind::LateReceiver);
        let (image, script) = (kernel.image, HostScript::default());
        let case =
            Case { image, script, replies: Vec::new(), stop_after: None, limit: Cycle(10_000) };
        (explained(&case, engine).is_some(), warned)
    };
    // The late receiver's queue and ramp hold 6 + 2; the linter counts the 4 of its router too.
    assert_eq!(
        [8, 9, 12, 13].map(seen),
        [(false, false), (true, false), (true, false), (true, true)]
    );
}

#[test]
fn do_random_deadlocks_have_a_cause_and_warnings_of_bursts_come_true() {
    let cases = std::env::var("WAFERSIM_CASES").ok().and_then(|n| n.parse().ok());
    let config = Config {
        cases: cases.unwrap_or(1_000),
        rng_seed: RngSeed::Fixed(3),
        failure_persistence: None,
        ..Config::default()
    };
    let mut tests = TestRunner::new(config);
    let [deadlocks, bursts] = [0, 0].map(std::cell::Cell::new);
    let result = tests.run(&spec::case(), |spec| {
        let case = generate::case(&spec);
        let found = lint(&case.image);
        let warns = |kind| found.iter().any(|f| f.kind == kind);
        let burst = warns(fabric::lint::Kind::BurstTooLong);
        let late = warns(fabric::lint::Kind::LateReceiver);
        bursts.set(bursts.get() + u32::from(burst));
        let stop = case.run(engine).outcome.stop;
        prop_assert!(!(burst || late) || stop != StopReason::Finished);
        if let StopReason::Deadlock { waits, heads } = stop {
            deadlocks.set(deadlocks.get() + 1);
            let report = deadlock::explain(&case.image, &waits, &heads).to_string();
            prop_assert!(!report.is_empty() && !report.contains("no way is known"), "{report}");
        }
        Ok(())
    });
    if let Err(error) = result {
        panic!("{error}");
    }
    assert!(deadlocks.get() > 50 && bursts.get() > 0, "{deadlocks:?} {bursts:?}");
}

/// Every PE of a large wafer waits for its neighbour in the east, and the last one for nobody.
#[test]
fn is_a_wafer_full_of_waits_explained_in_seconds() {
    let mut machine = presets::preset("wse2").expect("a preset");
    (machine.width, machine.height) = (700, 700);
    let source = "color even, odd
        program pass(from, to) { mem v: f32[4]
            task main activated: mov v, in(from); mov out(to), v; end }
        program none { task main activated: end }
        place pass(even + x % 2, odd - x % 2) at (1..699, 0..700)
        place none at (699, 0..700)
        for x in 1..699 { route even + x % 2: E -> R at (x, 0..700) }
        for x in 2..699 { route odd - x % 2: R -> W at (x, 0..700) }
        route even: R -> E at (1, 0..700)";
    let image = text::parse(source, "wafer", &machine, &[]);
    let image = image.unwrap_or_else(|e| panic!("{e}")).image;
    let wait = |(pe, x): (u32, u32)| sim_core::Wait {
        pe: fabric::PeIdx(pe),
        microthread: None,
        instruction: 0,
        waits_for: sim_core::WaitFor::Input(pe_isa::Color((x % 2) as u8)),
        since: Cycle(9),
    };
    let waits = (0..700 * 700).map(|pe| (pe, pe % 700)).filter(|(_, x)| (1..699).contains(x));
    let waits: Vec<sim_core::Wait> = waits.map(wait).collect();
    let report = deadlock::explain(&image, &waits, &[]);
    assert!(report.unfollowed > 400_000, "{report}");
    assert!(report.to_string().contains("must send on color c0 to tile (698,0)"), "{report}");
}
