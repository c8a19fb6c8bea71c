//! What does the linter say of an image that relies on dead PEs and links?

use fabric::{Defects, Machine, Port, lint, presets, text};

const KERNEL: &str = "color red = 3
    program send { mem v: f32[4]; task main activated: mov out(red), v; end }
    program receive { mem v: f32[4]; task main activated: mov v, in(red); end }
    place send at (0, 0)
    place receive at (2, 0)
    path red: (0, 0) -> (2, 0)";

fn findings(defects: Defects) -> Vec<String> {
    let machine =
        Machine { width: 6, height: 3, defects, ..presets::preset("wse2").expect("a preset") };
    let kernel = text::parse(KERNEL, "kernel", &machine, &[]).unwrap_or_else(|e| panic!("{e}"));
    lint(&kernel.image).iter().map(ToString::to_string).collect()
}

#[test]
fn is_a_program_on_a_dead_pe_refused() {
    assert_eq!(
        findings(Defects { pes: vec![(2, 0)], ..Defects::default() }),
        [
            "error[dead-pe]: tile (2,0): the PE is dead, but has a program\n  cure: place the program on \
             another PE, or change the machine's `defects`"
        ]
    );
}

#[test]
fn may_a_route_pass_a_dead_pe_but_no_dead_link() {
    assert_eq!(findings(Defects { pes: vec![(1, 0)], ..Defects::default() }), [""; 0]);
    assert_eq!(
        findings(Defects { links: vec![(2, 0, Port::West)], ..Defects::default() }),
        [
            "error[dead-link]: tile (1,0): color c3 leaves through E, where the link is dead\n  cure: lead the \
             route through other tiles, or change the machine's `defects`"
        ]
    );
}
