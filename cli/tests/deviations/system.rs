//! Deviations of wafer, host and runtime.

use crate::harness::{PRESETS, cycles, is_legal, keys, machine, run};

#[test]
fn deviation_18_does_the_host_receive_at_any_rate() {
    // Words reach it a cycle apart although its link carries one in 27,200 cycles.
    let text = "color c
        program p { mem v: f32[16]\n task main activated:\n mov out(c), v\n end }
        place p at (0, 0)
        route c: R -> E at (0, 0)
        host out h: c at (0, 0) E";
    let mut machine = machine("wse2", 1, 1);
    machine.host.bits_per_s = 1_000_000;
    let received = run(&machine, text).received;
    assert_eq!(received.len(), 16);
    assert!(received.windows(2).all(|pair| pair[1] == pair[0] + 1), "{received:?}");
}

#[test]
fn deviation_19_may_the_host_stand_at_any_edge() {
    for preset in PRESETS {
        for side in ["N", "S", "E", "W"] {
            let (x, y) = match side {
                "N" => (3, 0),
                "S" => (3, 6),
                "E" => (6, 3),
                _ => (0, 3),
            };
            let text = format!(
                "color c
                program p {{ mem v: f32[1]\n task main activated:\n mov v, in(c)\n end }}
                place p at ({x}, {y})
                route c: {side} -> R at ({x}, {y})
                host in h: c at ({x}, {y}) {side}"
            );
            assert!(is_legal(&machine(preset, 7, 7), &text), "{preset}, {side}");
        }
    }
}

#[test]
fn deviation_20_do_all_pes_start_in_one_cycle() {
    // PEs far apart send to the host at once; the words arrive at once.
    let text = "color c
        program p { mem v: f32[1]\n task main activated:\n mov out(c), v\n end }
        place p at (0, 0)
        place p at (0, 63)
        route c: R -> E at (0, 0)
        route c: R -> E at (0, 63)
        host out a: c at (0, 0) E
        host out b: c at (0, 63) E";
    let received = run(&machine("wse3", 1, 64), text).received;
    assert_eq!((received.len(), received[0]), (2, received[1]));
}

#[test]
fn deviation_21_are_programs_and_weights_in_place_at_cycle_0() {
    let with = |words: u32| {
        let text = format!(
            "program p {{ mem v: f32[10000]\n mem w: f32[{words}] = i\n task main activated:\n li r1, 1\n end }}
            place p at (0, 0)"
        );
        cycles(&machine("wse3", 1, 1), &text)
    };
    assert_eq!(with(1), with(1000));
}

/// Keys of a machine file that hold one of these words.
fn keys_with(words: &[&str]) -> Vec<String> {
    keys().into_iter().filter(|key| words.iter().any(|word| key.contains(word))).collect()
}

#[test]
fn deviation_22_are_there_no_spare_tiles() {
    assert_eq!(keys_with(&["spare", "redundant"]), Vec::<String>::new());
}

#[test]
fn deviation_23_is_there_one_wafer() {
    assert_eq!(keys_with(&["wafer"]), Vec::<String>::new());
}

#[test]
fn deviation_24_is_there_no_power() {
    assert_eq!(keys_with(&["power", "watt", "joule", "energy"]), Vec::<String>::new());
}

#[test]
fn deviation_25_does_the_host_draw_tokens_in_no_time() {
    // An answer waits for the link's latency alone, and the machine file has no key for more.
    let machine = machine("wse3", 1, 1);
    let answers = sim_core::Answers::to(pe_isa::Cycle(1_000), &machine);
    assert_eq!(answers.earliest().0, 1_000 + machine.host_latency_cycles());
    let host = serde_json::to_value(&machine.host).expect("a machine is plain data");
    let keys: Vec<_> = host.as_object().expect("a group of keys").keys().collect();
    assert_eq!(keys, ["latency_ns", "bits_per_s"]);
}
