//! The text form of kernels: are mistakes told well, and do large images stay small?

use fabric::text::{Errors, Kernel, Value, parse, print};
use fabric::{Machine, PeCoord, Segment, WaferImage, presets};
use pe_isa::{Instr, Program, Reg};

fn machine() -> Machine {
    let mut machine = presets::preset("wse3-sdk").expect("a preset");
    (machine.width, machine.height) = (8, 4);
    machine
}

fn read(source: &str) -> Result<Kernel, Errors> {
    parse(source, "k.wsk", &machine(), &[])
}

/// The rendered mistakes of a source.
fn mistakes(source: &str) -> String {
    read(source).expect_err("there is a mistake").rendered
}

#[test]
fn is_a_misspelt_name_shown_with_a_caret_and_the_nearest_one() {
    let source = "\
param P = 4
color red
program p(from) {
    mem v: f32[8]
    task main activated:
        add v, in(frm), v
        end
}
place p(red) at (0..P, 0)
";
    let want = "\
k.wsk:6:19: `frm` is not known here
   |
 6 |         add v, in(frm), v
   |                   ^^^ did you mean `from`?
";
    assert_eq!(mistakes(source), want);
}

#[test]
fn are_all_mistakes_of_a_file_collected() {
    let source = "\
param P = 4 5
prgram p { }
place p at (0..P, 0
route red: W => E at (0, 0)
";
    let want = "\
k.wsk:1:13: expected the end of the statement, found `5`
   |
 1 | param P = 4 5
   |             ^
k.wsk:2:1: `prgram` begins no statement
   |
 2 | prgram p { }
   | ^^^^^^ did you mean `program`?
k.wsk:3:20: expected `)` before the end of the line
   |
 3 | place p at (0..P, 0
   |                    ^
";
    assert_eq!(mistakes(source), want);
}

#[test]
fn are_mistakes_of_meaning_collected_too() {
    let source = "\
color red
program p {
    mem v: f32[100, 1000]
    reg n
    task main activated:
        mov v, in(red) over n async 9 activate nobody
        bne m, 0, again
        addd v, v, v
        mov.f32 r1, in(red)
        end
}
place p at (0..9, 0)
route red: W -> EQ at (0, 0)
expect v at (0, 0) = 1
expect stop = never
";
    let want = "\
k.wsk:3:9: `v` ends 355024 bytes beyond the SRAM
   |
 3 |     mem v: f32[100, 1000]
   |         ^ a PE has 44976 bytes for code and data
";
    let told = mistakes(source);
    assert!(told.starts_with(want), "{told}");
    for part in [
        "there is no task `nobody`",
        "`m` is no register",
        "did you mean `add`?",
        "tile (8,0) is not on the wafer",
        "`EQ` is no port",
        "`never` is no ending",
        "add `over n`",
    ] {
        assert!(told.contains(part), "{part} is missing in\n{told}");
    }
    // That follows from the program's own mistakes.
    assert!(!told.contains("no program is placed"), "{told}");
}

#[test]
fn is_a_malformed_instruction_shown_where_it_stands() {
    let source = "\
program p {
    task t activated:
        mov.f32 in(c1), r0 over 4
        end
}
";
    let want = "\
k.wsk:3:9: the destination is memory, a register or an output queue
   |
 3 |         mov.f32 in(c1), r0 over 4
   |         ^^^^^^^^^^^^^^^^^^^^^^^^^
";
    assert_eq!(mistakes(source), want);
}

#[test]
fn is_a_program_told_that_it_does_not_know_its_tile() {
    let source = "program p {\n    task t activated:\n        li r0, x\n        end\n}\n";
    let want = "\
k.wsk:3:16: `x` is not known here
   |
 3 |         li r0, x
   |                ^ give the program a parameter, and place it with `x` for it
";
    assert_eq!(mistakes(source), want);
}

#[test]
fn are_parameters_overridden_and_unknown_ones_told() {
    let source = "param P = 4, Q = 2 * P\nlet R = P + Q\n";
    let set = |name: &str, v| parse(source, "k", &machine(), &[(name.into(), Value::Int(v))]);
    let params = set("P", 10).unwrap().params;
    assert_eq!(params, [("P".into(), Value::Int(10)), ("Q".into(), Value::Int(20))]);
    let told = set("p", 1).unwrap_err().rendered;
    assert_eq!(told, "k: --param p=1: the text has no parameter `p`; did you mean `P`?\n");
}

#[test]
fn does_a_mistake_name_the_values_that_replaced_the_texts_own() {
    let source = "param P = 4, Q = 2\nprogram p { task t activated: end }\nplace p at (0..P, 0)\n";
    let given = [("P".to_string(), Value::Int(9))];
    let told = parse(source, "k", &machine(), &given).unwrap_err().rendered;
    let want = "\
k:3:12: tile (8,0) is not on the wafer
   |
 3 | place p at (0..P, 0)
   |            ^^^^^^^^^ the machine has 8 × 4 tiles
k:1:7: --param P=9 stands in place of this
   |
 1 | param P = 4, Q = 2
   |       ^^^^^
";
    assert_eq!(told, want);
}

#[test]
fn are_names_with_a_meaning_refused() {
    for source in ["param x = 1", "color c1", "let r2 = 1", "param width = 2", "let min = 1"] {
        assert!(mistakes(source).contains("has a meaning"), "{source}");
    }
}

#[test]
fn does_runaway_text_end_in_an_error() {
    for source in [
        "for a in 0..1000000000 { for b in 0..1000000000 { } }",
        "let a = sum(i, 0, 1 << 60, 1)",
        "let f(n) = f(n)\nlet a = f(1)",
        "let f(n) = n < 1 ? 0 : f(n - 1) + f(n - 1)\nlet a = f(100)",
        "place none at (0..1000000000000, 0..1000000000000)",
        "at (0..8, 0..4) { words 0 \"0*4000000000\" }",
        "host in a: c1 at (0, 0) W\nsend a: f32[1 << 40] = i",
        "let a = 9223372036854775807 + 1",
        "color a\nroute a: W -> E at (-1, 0)",
        "program p { mem a: f32[1 << 30, 1 << 30, 1 << 30] }",
        "stage \"s\" at (0, 0) size -1, 2",
        "machine \"\"\"(\"\"\"",
        "\"",
        "/* */ \u{1F600}",
    ] {
        assert!(read(source).is_err(), "{source}");
    }
}

/// A wafer of `side` × `side` tiles: four programs in a checkerboard, a register of its own for each
/// tile, and eight words of SRAM for each row.
fn wafer(side: u32) -> WaferImage {
    let mut machine = presets::preset("wse2").expect("a preset");
    (machine.width, machine.height) = (side, side);
    let mut image = WaferImage::empty(machine);
    for k in 0..4 {
        let program = Program { instrs: vec![Instr::Mark(k), Instr::End], ..Program::default() };
        image.intern_program(program);
    }
    for y in 0..side {
        for x in 0..side {
            let at = image.index(PeCoord::new(x, y)).0 as usize;
            let tile = &mut image.tiles[at];
            tile.program = Some(fabric::ProgramId(x % 2 + 2 * (y % 2)));
            tile.sram_bytes = 1024;
            tile.params = vec![(Reg(1), x * side + y)];
            tile.data = vec![Segment { address: 64, words: vec![y, 0, 0, 0, 0, 0, 7, 8] }];
        }
    }
    image
}

#[test]
fn does_a_wafer_of_a_hundred_thousand_tiles_stay_small() {
    let image = wafer(320);
    let text = print(&image);
    // A line for the register of each tile, little else.
    assert!(text.len() < 40 * image.tiles.len(), "{} bytes", text.len());
    let read = parse(&text, "printed", &machine(), &[]).expect("it reads back");
    assert!(read.image == image);
    let bytes = fabric::binary::write(&image, &fabric::HostPlan::default());
    assert!(bytes.len() < 64 * image.tiles.len(), "{} bytes", bytes.len());
    assert!(fabric::binary::read(&bytes).expect("it reads back").0 == image);
}

#[test]
fn are_stages_probes_and_names_with_quotes_kept() {
    let mut image = wafer(4);
    let name = "a \"b\"\\\n\tµ".to_string();
    let origin = PeCoord::new(1, 2);
    image.stages.push(fabric::StageInfo { name: name.clone(), origin, width: 2, height: 0 });
    let parts = vec![(fabric::PeIdx(3), 64, 4), (fabric::PeIdx(5), 0, 1)];
    image.probes.push(fabric::Probe { name, dtype: pe_isa::DType::F16, parts });
    let empty = fabric::Probe { name: String::new(), dtype: pe_isa::DType::U32, parts: Vec::new() };
    image.probes.push(empty);
    let text = print(&image);
    assert!(parse(&text, "printed", &machine(), &[]).expect("it reads back").image == image);
}

#[test]
fn does_the_hosts_part_read_back_equal() {
    let source = "\
host in a: c1 at (0, 0) W
host in b: c2 at (0, 1) W
host out x: c3 at (0, 2) W
host out y: c4 at (0, 3) W
send a: u32[3] at 10 = 7
send a: u32[2] control at 20 every 5 = [1, 2]
send b: f32[4] at 3 every 2 = i + 0.5
stop y: u32[2] after 8
stop x: u32[3] if [0] & 0xff0 = 0x10, 0x20 after 2 or [2] = 4294967295
stop x: f32[1] after 9 or [0] = -1
";
    let kernel = parse(source, "source", &machine(), &[]).expect("it is sound");
    assert_eq!(kernel.host.sends.iter().map(Vec::len).collect::<Vec<_>>(), [5, 4]);
    assert_eq!(kernel.host.stops[2].last.as_ref().map(|t| t.values[0]), Some(0xbf80_0000));
    assert_eq!(kernel.ending, fabric::text::Ending::Stopped);
    assert_eq!(kernel.host.check(&kernel.image), Ok(()));
    let text = print(&kernel.image) + &fabric::text::print_host(&kernel.host);
    let read = parse(&text, "printed", &machine(), &[]).expect("it reads back");
    assert!(read.image == kernel.image && read.host == kernel.host, "{text}");
}

#[test]
fn are_impossible_stops_refused_with_their_place() {
    let told = |stop: &str| {
        let source = format!("host out x: c3 at (0, 2) W\n{stop}\n");
        parse(&source, "k", &machine(), &[]).expect_err(stop).to_string()
    };
    for (stop, place) in [
        ("stop z: u32[2] after 8", "k:2:6: there is no `host out z`"),
        ("stop x: f16[2] after 8", "k:2:6: payloads are f32 or u32"),
        ("stop x: u32[0] after 8", "k:2:13: "),
        ("stop x: u32[2] after 0", "k:2:22: "),
        ("stop x: u32[2] after 1 or [2] = 0", "k:2:28: "),
        ("stop x: u32[2] if [0] & 1.5 = 0 after 1", "k:2:25: "),
        ("stop x: u32[2] = 8", "k:2:16: "),
    ] {
        assert!(told(stop).starts_with(place), "{stop}: {}", told(stop));
    }
}
