//! Deviations of routers and links.

use crate::harness::{PRESETS, cycles, is_legal, machine, run};

#[test]
fn deviation_11_does_a_bend_cost_nothing() {
    for preset in PRESETS {
        let to = |x: u32, y: u32, by: &str| {
            let text = format!(
                "color c
                program send {{ mem v: f32[4]\n task main activated:\n mov out(c), v\n end }}
                program receive {{ mem v: f32[4]\n task main activated:\n mov v, in(c)\n end }}
                place send at (0, 0)
                place receive at ({x}, {y})
                path c: (0, 0) -> {by}"
            );
            cycles(&machine(preset, 5, 3), &text)
        };
        assert_eq!(to(4, 0, "(4, 0)"), to(2, 2, "(2, 0) -> (2, 2)"), "{preset}");
    }
}

#[test]
fn deviation_12_are_all_directions_alike() {
    for preset in PRESETS {
        let between = |from: u32, to: u32| {
            let text = format!(
                "color c
                program send {{ mem v: f32[64]\n task main activated:\n mov out(c), v\n end }}
                program receive {{ mem v: f32[64]\n task main activated:\n mov v, in(c)\n end }}
                place send at ({from}, 0)
                place receive at ({to}, 0)
                path c: ({from}, 0) -> ({to}, 0)"
            );
            cycles(&machine(preset, 128, 1), &text)
        };
        assert_eq!(between(0, 127), between(127, 0), "{preset}");
    }
}

#[test]
fn deviation_13_has_a_router_four_slots_for_a_port_and_color() {
    // Words of a port that no position takes from: four are in, the fifth is not.
    let text = |words: u32| {
        format!(
            "color c
            route c: W -> N | E -> N at (0, 0)
            route c: R -> W at (1, 0)
            program p {{ mem v: f32[{words}]\n task main activated:\n mov out(c), v\n end }}
            place p at (1, 0)
            host in feed: c at (0, 0) W
            host out sink: c at (0, 0) N"
        )
    };
    for preset in PRESETS {
        let sent = run(&machine(preset, 2, 1), &text(200)).outcome.state.links[1];
        assert_eq!(sent.iter().sum::<u64>(), 4, "{preset}");
    }
}

#[test]
fn deviation_14_do_colors_of_a_link_take_turns() {
    let text = "color a, b
        route a: W -> E at (0, 0)
        route b: N -> E at (0, 0)
        host in first: a at (0, 0) W
        host in second: b at (0, 0) N
        host out one: a at (0, 0) E
        host out two: b at (0, 0) E
        send first: u32[20] = 1
        send second: u32[20] = 2";
    let ports = run(&machine("wse2", 1, 1), text).ports;
    assert_eq!(ports.len(), 40);
    assert!(ports.windows(2).all(|pair| pair[0] != pair[1]), "{ports:?}");
}

#[test]
fn deviation_15_may_programs_use_every_color_and_queue() {
    for preset in PRESETS {
        for color in 0..24 {
            let text = format!(
                "color c = {color}
                program send {{ mem v: f32[4]\n task main activated:\n mov out(c), v\n end }}
                program receive {{ mem v: f32[4]\n task main activated:\n mov v, in(c)\n end }}
                place send at (0, 0)
                place receive at (1, 0)
                path c: (0, 0) -> (1, 0)"
            );
            assert!(is_legal(&machine(preset, 2, 1), &text), "{preset}, color {color}");
        }
    }
}

#[test]
fn deviation_16_does_the_fourth_switch_command_keep_the_position() {
    // On a switch at position 0 of 2: after command 3, West is still taken from.
    let text = |command: u32| {
        format!(
            "color c
            route c: W -> E | N -> E at (0, 0)
            host in west: c at (0, 0) W
            host in north: c at (0, 0) N
            host out away: c at (0, 0) E
            send west: u32[1] control = {command}
            send west: u32[3] = 7"
        )
    };
    let received = |command| run(&machine("wse3", 1, 1), &text(command)).received.len();
    assert_eq!((received(3), received(0), received(1)), (4, 4, 1));
}

#[test]
fn deviation_17_have_routers_no_filters() {
    let text = |more: &str| {
        format!(
            "color c
            route c: W -> E{more} at (0, 0)
            host in a: c at (0, 0) W
            host out b: c at (0, 0) E"
        )
    };
    let machine = machine("wse3", 1, 1);
    assert!(is_legal(&machine, &text("")));
    assert!(!is_legal(&machine, &text(" filter 4")));
}
