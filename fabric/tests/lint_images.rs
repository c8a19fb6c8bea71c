//! What does the linter say of images that no text can make? And is there a golden text for every kind?

use fabric::lint::Kind;
use fabric::{HostOut, PeCoord, PeIdx, Port, Ports, ProgramId, RouteSetId, Segment, WaferImage};
use fabric::{lint, presets, text};
use pe_isa::{Color, InQueue, Instr, Operand, OutQueue, Reg};

/// Two PEs, one of which sends four words to the other over one hop.
fn sound() -> WaferImage {
    let mut machine = presets::preset("wse2").expect("a preset");
    (machine.width, machine.height) = (3, 3);
    let source = "color red = 3
        program send { mem v: f32[4]; task main activated: mov out(red), v; end }
        program receive { mem v: f32[4]; task main activated: mov v, in(red); end }
        place send at (1, 1); place receive at (2, 1); path red: (1, 1) -> (2, 1)";
    text::parse(source, "kernel", &machine, &[]).unwrap_or_else(|e| panic!("{e}")).image
}

/// All findings without their cures once the sound image is damaged.
fn damaged(damage: impl FnOnce(&mut WaferImage)) -> Vec<String> {
    let mut image = sound();
    assert_eq!(lint(&image), []);
    damage(&mut image);
    let first_line = |f: fabric::Finding| f.to_string().lines().next().map(String::from);
    lint(&image).into_iter().filter_map(first_line).collect()
}

#[test]
fn are_references_to_nothing_told_and_nothing_else() {
    let found = damaged(|image| {
        image.tiles[0].program = Some(ProgramId(7));
        image.tiles[1].routes = Some(RouteSetId(9));
        let (tile, port, color) = (PeIdx(9), Port::East, Color(3));
        image.host_out.push(HostOut { tile, port, color });
    });
    assert_eq!(
        found,
        [
            "error[broken-image]: tile (0,0): tile number 0 has program 7, which does not exist",
            "error[broken-image]: tile (0,0): tile number 1 has routes 9, which do not exist",
            "error[broken-image]: tile (0,0): a host port is at tile number 9, which does not exist",
        ]
    );
    let found = damaged(|image| image.machine.fabric.queue_depth = 0);
    assert_eq!(
        found,
        [
            "error[broken-image]: tile (0,0): wse2: fabric.queue_depth = 0 is outside its legal range, 1 to 1024"
        ]
    );
}

#[test]
fn are_broken_rules_of_a_program_told_at_its_first_tile() {
    let found = damaged(|image| {
        let program = &mut image.programs[0];
        program.instrs.insert(1, Instr::Jump { target: 40 });
        program.tasks[0].entry = 9;
        image.tiles[8].program = Some(ProgramId(0));
    });
    assert_eq!(
        found[..2],
        [
            "error[malformed-program]: tile (1,1): program 0: task 0: entry 9 is beyond the last instruction (so on 2 tiles)",
            "error[malformed-program]: tile (1,1): program 0: instruction 1: target 40 is beyond the last instruction (so on 2 tiles)",
        ]
    );
}

#[test]
fn are_queues_without_a_color_told() {
    let found = damaged(|image| {
        let Instr::Vector(send) = &mut image.programs[0].instrs[0] else { panic!("a vector") };
        let Operand::FabOut(queue, _) = &mut send.dst else { panic!("a send") };
        *queue = OutQueue(1);
        let Instr::Vector(receive) = &mut image.programs[1].instrs[0] else { panic!("a vector") };
        let Operand::FabIn(queue, _) = &mut receive.a else { panic!("a receive") };
        *queue = InQueue(2);
    });
    let errors: Vec<&String> = found.iter().filter(|f| f.starts_with("error")).collect();
    assert_eq!(
        errors,
        [
            "error[unbound-queue]: tile (1,1): program 0: instruction 0: output queue 1 is bound to no color",
            "error[unbound-queue]: tile (2,1): program 1: instruction 0: input queue 2 is bound to no color",
        ]
    );
}

#[test]
fn are_data_outside_of_a_pe_told() {
    let found = damaged(|image| {
        let tile = &mut image.tiles[4];
        tile.sram_bytes = 18;
        tile.data = vec![Segment { address: 12, words: vec![1, 2] }];
        tile.params = vec![(Reg(32), 5)];
    });
    assert_eq!(
        found,
        [
            "error[bad-data]: tile (1,1): 18 bytes of data are no whole number of 4-byte words",
            "error[bad-data]: tile (1,1): initial data at bytes 12..20 lie outside of the PE's 18 bytes",
            "error[bad-data]: tile (1,1): parameter register r32 does not exist; there are 32",
        ]
    );
}

#[test]
fn are_routes_that_are_wrong_by_themselves_told() {
    let found = damaged(|image| {
        let routes = &mut image.route_sets[1].routes;
        routes[0].positions[0].tx = Ports::NONE;
        let back = fabric::Route::fixed(Color(2), Port::West, Ports::one(Port::West));
        routes.push(back);
        let mut many = fabric::Route::fixed(Color(24), Port::Ramp, Ports::one(Port::South));
        many.positions = vec![many.positions[0]; 5];
        routes.push(many);
    });
    let malformed: Vec<&String> = found.iter().filter(|f| f.contains("malformed-route")).collect();
    assert_eq!(
        malformed,
        [
            "error[malformed-route]: tile (2,1): the route of color c2 stands behind that of color c3; routes are in the order of their colors",
            "error[malformed-route]: tile (2,1): the route of color c3 sends nowhere",
            "error[malformed-route]: tile (2,1): the route of color c2 sends back through W, where it takes from",
            "error[malformed-route]: tile (2,1): color c24 does not exist; the machine has 24, c0 to c23",
            "error[malformed-route]: tile (2,1): the route of color c24 has 5 positions, not 1 to 4",
        ]
    );
}

#[test]
fn are_host_ports_told_that_lead_nowhere() {
    let found = damaged(|image| {
        let host = |x, y, port, color| {
            let tile = image.index(PeCoord::new(x, y));
            HostOut { tile, port, color: Color(color) }
        };
        let all = [
            host(1, 1, Port::East, 3),
            host(0, 0, Port::West, 5),
            host(2, 1, Port::East, 3),
            host(2, 1, Port::East, 3),
        ];
        image.host_out.extend(all);
        let Some(route) = image.route_sets[1].routes.first_mut() else { panic!("a route") };
        route.positions[0].tx = route.positions[0].tx.with(Port::East);
    });
    assert_eq!(
        found,
        [
            "error[host-port]: tile (0,0): the host port at W has color c5, for which the router has no route to there",
            "error[host-port]: tile (1,1): the host port at E is not on the wafer's edge",
            "error[host-port]: tile (2,1): two host ports of one direction at E have color c3",
        ]
    );
}

/// A test that prints a kind holds it to a text, since all texts are compared in full.
#[test]
fn does_every_kind_have_a_golden_text() {
    let goldens = concat!(
        include_str!("lint.rs"),
        include_str!("lint_images.rs"),
        include_str!("defects.rs")
    );
    for kind in Kind::ALL {
        let written = ["error", "warning"].map(|level| format!("\"{level}[{kind}]: tile ("));
        assert!(written.iter().any(|text| goldens.contains(text)), "no golden text for {kind}");
    }
}
