//! What does the linter say? Each kernel has one mistake; the words are compared in full.

use fabric::lint::Kind;
use fabric::{WaferImage, lint, presets, text};

fn image(source: &str) -> WaferImage {
    let mut machine = presets::preset("wse2").expect("a preset");
    (machine.width, machine.height) = (6, 3);
    text::parse(source, "kernel", &machine, &[]).unwrap_or_else(|e| panic!("{e}")).image
}

/// All findings without their cures, as lines.
fn findings(source: &str) -> Vec<String> {
    let said: Vec<String> = lint(&image(source)).iter().map(ToString::to_string).collect();
    said.iter().map(|f| f.split("\n  cure: ").next().unwrap_or_default().to_string()).collect()
}

/// A sender at (0,0) and a receiver at `(n, 0)` of four words, with routes of their own to be added.
fn pair(n: u32, routes: &str) -> String {
    format!(
        "color red = 3
        program send {{ mem v: f32[4]; task main activated: mov out(red), v; end }}
        program receive {{ mem v: f32[4]; task main activated: mov v, in(red); end }}
        place send at (0, 0)
        place receive at ({n}, 0)
        {routes}"
    )
}

#[test]
fn is_a_sound_kernel_free_of_findings() {
    assert_eq!(findings(&pair(2, "path red: (0, 0) -> (2, 0)")), [""; 0]);
}

#[test]
fn does_a_finding_name_kind_place_and_cure() {
    let found = lint(&image(&pair(2, "route red: R -> E at (0, 0); route red: W -> R at (2, 0)")));
    assert_eq!(
        found[0].to_string(),
        "error[dead-end]: tile (0,0): color c3 leaves through E, but the router at (1,0) has no route for it\n  \
         cure: give the next router a route that receives from here, or end this one earlier"
    );
}

#[test]
fn is_a_route_that_ends_nowhere_told() {
    let routes = "route red: R -> W at (0, 0); route red: W -> R at (1, 0)";
    assert_eq!(
        findings(&pair(1, routes)),
        [
            "error[dead-end]: tile (0,0): color c3 leaves the wafer through W; no host port is there",
            "warning[unfed-route]: tile (1,0): the route of color c3 takes from W, but tile (0,0) sends nothing there",
            "warning[nothing-arrives]: tile (1,0): nothing can arrive on input color c3: no source reaches it",
        ]
    );
    let routes = "route red: R -> E at (0, 0); route red: N -> R at (1, 0)";
    assert_eq!(
        findings(&pair(1, routes))[0],
        "error[dead-end]: tile (0,0): color c3 leaves through E, but the router at (1,0) does not receive it from W, only from N"
    );
}

#[test]
fn is_a_color_that_nobody_takes_told() {
    let routes = "broadcast red: (0, 0) -> (2, 0)";
    assert_eq!(
        findings(&pair(2, routes)),
        [
            "error[no-receiver]: tile (1,0): color c3 goes down the ramp to the PE, but no input queue is bound to it"
        ]
    );
    let deaf = "program deaf { in red; task main activated: end }; place deaf at (1, 0)";
    assert_eq!(
        findings(&pair(2, &format!("{routes}; {deaf}"))),
        [
            "warning[no-receiver]: tile (1,0): color c3 comes to the PE, but no task and no operand takes it"
        ]
    );
}

#[test]
fn are_loops_told_with_their_tiles() {
    // Nothing gets off the ring: the switch lets wavelets on.
    let ring = "route red: R -> E | S -> E at (0, 0); route red: W -> S at (1, 0)
        route red: N -> W at (1, 1); route red: E -> N at (0, 1)";
    let found = findings(&pair(3, ring));
    assert_eq!(
        found[0],
        "error[route-loop]: tile (0,0): color c3 goes round and never leaves: (0,0) E (1,0) S (1,1) W (0,1) N (0,0)"
    );
    // The second position of (1,0) ends it.
    let open = ring.replace("W -> S at (1, 0)", "W -> S | W -> E at (1, 0)")
        + "; path red: (3, 1) -> (3, 0)";
    let open = open.replace("path red: (3, 1) -> (3, 0)", "route red: W -> E at (2, 0)")
        + "; route red: W -> R at (3, 0)";
    let found = findings(&pair(3, &open));
    assert_eq!(
        found[0],
        "warning[route-loop]: tile (0,0): color c3 may go round while the switches at (0,0), (1,0) let it: \
         (0,0) E (1,0) S (1,1) W (0,1) N (0,0)"
    );
}

#[test]
fn are_two_sources_told_by_name() {
    let routes = "path red: (0, 0) -> (2, 0); place send at (1, 0)";
    assert_eq!(
        findings(&pair(2, routes)),
        [
            "error[two-sources]: tile (1,0): two sources on color c3: PE (1,0) sends on it, but its router takes it \
          from W only, where it comes from tile (0,0)"
        ]
    );
    let switched = "route red: R -> E at (0, 0); route red: W -> E | R -> E at (1, 0)
        route red: W -> R at (2, 0); place send at (1, 0)";
    assert_eq!(
        findings(&pair(2, switched)),
        [
            "warning[two-sources]: tile (1,0): two sources feed color c3 here, (0,0) from W and (1,0) from R, \
          and nobody turns the switch between them"
        ]
    );
    let turned = switched.replace(
        "place send at (1, 0)",
        "program turn { mem v: f32[4]
        task main activated: sendctrl out(red), 1; end }; place turn at (1, 0)",
    );
    assert_eq!(findings(&pair(2, &turned)), [""; 0]);
}

#[test]
fn is_a_switch_that_nobody_turns_told() {
    let routes = "route red: R -> E at (0, 0); route red: W -> R | W -> E at (1, 0)
        route red: W -> R at (2, 0); place receive at (2, 0)";
    assert_eq!(
        findings(&pair(1, routes)),
        [
            "warning[unturned-switch]: tile (1,0): the switch of color c3 has 2 positions, but its source, \
          tile (0,0) from W, sends no control wavelet"
        ]
    );
}

#[test]
fn is_a_send_without_a_route_told() {
    let routes = "route red: W -> R at (2, 0)";
    assert_eq!(
        findings(&pair(2, routes))[0],
        "error[no-route]: tile (0,0): the PE sends on color c3, but its router has no route for it"
    );
    let routes = "route red: N -> E at (0, 0); path red: (1, 1) -> (2, 1)";
    assert_eq!(
        findings(&pair(2, routes))[1],
        "error[no-route]: tile (0,0): the PE sends on color c3, but its router takes it from N, not from R"
    );
}

#[test]
fn are_tasks_that_never_run_told() {
    let source = "color red = 3
        program p { reg n
            task main activated: end
            task never: end
            task shut activated blocked priority 2: end
            task data data(red -> n): end }
        place p at (0..2, 0)";
    assert_eq!(
        findings(source),
        [
            "warning[idle-task]: tile (0,0): program 0: `task t1` is never launched: nothing activates it (so on 2 tiles)",
            "warning[idle-task]: tile (0,0): program 0: `task t2 priority 2 activated blocked` is never launched: \
             it starts blocked, and nothing unblocks it (so on 2 tiles)",
            "warning[idle-task]: tile (0,0): `task t3 data(c3 -> r0)` is never launched: \
             nothing can arrive on input color c3: no source reaches it (so on 2 tiles)",
        ]
    );
}

#[test]
fn is_a_queue_that_feeds_task_and_operand_told() {
    let mut image = image(&pair(1, "path red: (0, 0) -> (1, 0)"));
    let (queue, reg) = (pe_isa::InQueue(0), pe_isa::Reg(0));
    let task =
        |kind| pe_isa::Task { kind, entry: 0, priority: 0, activated: false, blocked: false };
    let data = pe_isa::TaskKind::Data(queue, reg);
    let receive = image.programs.iter_mut().find(|p| !p.in_queues.is_empty()).expect("a receiver");
    receive.tasks.push(task(data));
    let said = |image: &WaferImage| lint(image)[0].to_string().lines().next().unwrap().to_string();
    assert_eq!(
        said(&image),
        "error[shared-queue]: tile (1,0): program 1: task 1: input queue 0 feeds this task and an operand; choose one"
    );
    let receive = image.programs.iter_mut().find(|p| !p.in_queues.is_empty()).expect("a receiver");
    receive.tasks[1] = task(pe_isa::TaskKind::Data(pe_isa::InQueue(1), reg));
    assert_eq!(
        said(&image),
        "error[unbound-task]: tile (1,0): program 1: task 1: input queue 1 is bound to no color"
    );
}

#[test]
fn is_an_overflow_told_in_bytes_with_its_pe() {
    let source = "program p { sram 44968; task main activated: end }; place p at (5, 2)";
    assert_eq!(
        findings(source),
        [
            "error[sram-overflow]: tile (5,2): SRAM over by 4 bytes on PE (5,2): 12 of code and 44,968 of data, \
          44,976 are usable"
        ]
    );
}

/// Two PEs that send `n` words to each other and then receive as many, `hops` apart.
fn exchange(n: u32, hops: u32, asynchronous: &str) -> String {
    format!(
        "color there = 3, back = 4
        program pe(from, to) {{
            mem v: f32[{n}]; mem w: f32[{n}]
            task main activated: mov v, in(from) {asynchronous}; mov out(to), w; end }}
        program sends(from, to) {{
            mem v: f32[{n}]; mem w: f32[{n}]
            task main activated: mov out(to), w; mov v, in(from); end }}
        place sends(back, there) at (0, 0)
        place {} at ({hops}, 0)
        path there: (0, 0) -> ({hops}, 0)
        path back: ({hops}, 0) -> (0, 0)",
        if asynchronous.is_empty() { "sends(there, back)" } else { "pe(there, back)" }
    )
}

#[test]
fn is_an_exchange_told_that_is_longer_than_the_queues_hold() {
    // Output queue 2, up 4 + 2, three routers of 4, down 6 + 2.
    assert_eq!(findings(&exchange(28, 3, "")), [""; 0]);
    assert_eq!(
        findings(&exchange(29, 3, "")),
        [
            "warning[burst-too-long]: tile (0,0): each sends before it receives, and no send can end: \
          PE (0,0) sends 29 words to PE (3,0) on color c3, of which 28 fit in the queues on the way; \
          PE (3,0) sends 29 words to PE (0,0) on color c4, of which 28 fit in the queues on the way"
        ]
    );
    assert_eq!(findings(&exchange(29, 3, "async 0")), [""; 0]);
}

/// PE (0,0) multicasts `n` words to two PEs; (1,0) takes them only after an answer of (2,0), which that sends
/// behind them.
fn late(n: u32, taken: &str) -> String {
    format!(
        "color all = 3, answer = 4
        program root {{ mem v: f32[{n}]; task main activated: mov out(all), v; end }}
        program late {{ mem v: f32[{n}]; mem w: f32[4]; task main activated: {taken}; end }}
        program answers {{ mem v: f32[{n}]; mem w: f32[4]
            task main activated: mov v, in(all); mov out(answer), w; end }}
        place root at (0, 0); place late at (1, 0); place answers at (2, 0)
        broadcast all: (0, 0) -> (2, 0)
        path answer: (2, 0) -> (1, 0)"
    )
}

#[test]
fn is_a_receiver_told_that_stalls_what_it_waits_for() {
    let first_answer = "mov w, in(answer); mov v, in(all)";
    // One router of 4, down 4 + 2 (the second queue: 6, bound after `answer`).
    assert_eq!(findings(&late(12, first_answer)), [""; 0]);
    assert_eq!(
        findings(&late(13, first_answer)),
        ["warning[late-receiver]: tile (1,0): none of these can go on: \
          PE (1,0) first receives color c4, which PE (2,0) does not send yet; \
          PE (2,0) first receives 13 words of color c3, of which no more than 12 pass while PE (1,0) takes none"]
    );
    assert_eq!(findings(&late(13, "mov v, in(all); mov w, in(answer)")), [""; 0]);
    assert_eq!(findings(&late(13, "mov v, in(all) async 0; mov w, in(answer)")), [""; 0]);
}

#[test]
fn is_every_kind_documented_with_its_cure() {
    let page = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/src/diagnostics.md");
    let page = std::fs::read_to_string(page).expect("the page exists");
    for kind in Kind::ALL {
        assert!(page.contains(&format!("| `{kind}` |")), "{kind}");
        assert!(page.contains(&format!("{} |", kind.cure())), "{kind}: {}", kind.cure());
    }
}

#[test]
fn is_what_900_000_tiles_share_told_once() {
    let mut machine = presets::preset("wse2").expect("a preset");
    (machine.width, machine.height) = (900, 1000);
    let source = "color east, west
        program p { in east, west; mem v: f32[64]
            task main activated: mov out(east), v; mov v, in(west); end }
        route east: W -> E | R -> E | W -> R at (1..899, 0..1000)
        route west: E -> WR at (1..899, 0..1000)
        place p at (1..899, 0..1000)";
    let image =
        text::parse(source, "kernel", &machine, &[]).unwrap_or_else(|e| panic!("{e}")).image;
    let found = lint(&image).len();
    assert!((1..10_000).contains(&found), "{found}");
}
