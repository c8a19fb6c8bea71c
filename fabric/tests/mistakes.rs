//! What does a newcomer read who makes one mistake? A sound kernel is damaged in one place; the words
//! are compared in full, with the cure.

use fabric::{lint, presets, text};

const SOUND: &str = "\
color red
program send {
    mem v: f32[4] = i
    task main activated:
        mov out(red), v
        end
}
program receive {
    mem w: f32[4]
    task main activated:
        mov w, in(red)
        end
}
place send at (0, 0)
place receive at (2, 0)
path red: (0, 0) -> (2, 0)
result w at (2, 0)
expect w at (2, 0) = i
";

/// Each mistake in one line: place, message, cure. All that the linter finds if there is none.
fn told(source: &str) -> Vec<String> {
    let mut machine = presets::preset("wse2").expect("a preset");
    (machine.width, machine.height) = (6, 3);
    match text::parse(source, "k", &machine, &[]) {
        Ok(kernel) => lint(&kernel.image).iter().map(ToString::to_string).collect(),
        Err(errors) => {
            let line = |d: &text::Diagnostic| {
                format!("{}:{} {} | {}", d.line, d.column, d.message, d.cure)
            };
            errors.list.iter().map(line).collect()
        }
    }
}

/// What is told of the sound kernel once `old` is replaced.
fn damaged(old: &str, new: &str) -> Vec<String> {
    assert!(SOUND.contains(old), "{old}");
    told(&SOUND.replacen(old, new, 1))
}

#[test]
fn does_a_mistake_in_a_sum_leave_its_index_behind() {
    let text = format!("param P = 4\nlet a = sum(P, 0, 2, nope)\nlet b = 8 / P\n{SOUND}");
    assert_eq!(told(&text), ["2:22 `nope` is not known here | "]);
}

#[test]
fn is_a_number_that_cannot_be_read_one_mistake() {
    for (number, want) in [
        ("0xfg", "1:9 behind `0x` stand digits 0 to 9 and a to f | "),
        ("0b12 + 1", "1:9 behind `0b` stand digits 0 and 1 | "),
        ("0x", "1:9 behind `0x` stand digits 0 to 9 and a to f | "),
        ("9223372036854775808", "1:9 this is no integer of 63 bits | "),
        ("1e999", "1:9 this number is too large | "),
    ] {
        assert_eq!(told(&format!("let n = {number}\n{SOUND}")), [want], "{number}");
    }
}

#[test]
fn is_one_mistake_told_once_at_its_place_with_a_cure() {
    assert_eq!(told(SOUND), [""; 0]);
    for (old, new, want) in [
        ("in(red)", "in(rad)", "11:19 `rad` is not known here | did you mean `red`?"),
        (
            "mov w, in(red)",
            "mov w",
            "11:9 `mov` takes 2 operands, not 1 | they are: a destination and a source",
        ),
        ("f32[4] = i", "f33[4] = i", "3:12 `f33` is no type | types are f16, bf16, f32, u32"),
        (
            "f32[4] = i",
            "f32[4] = j",
            "3:21 `j` is not known here | indices count the extents; here there is no other than i",
        ),
        (
            "mov w, in(red)",
            "li foo, 1",
            "11:12 `foo` is no register | write `reg foo` first, or r0 to r31",
        ),
        ("color red", "color red, red", "1:12 `red` has a meaning already | choose another name"),
        (
            "place send at",
            "place send(1) at",
            "14:7 `send` takes 0 arguments, not 1 | write `send` alone",
        ),
        (
            "place send at",
            "place sent at",
            "14:7 there is no program `sent` | did you mean `send`?",
        ),
        (
            "at (2, 0)\npath",
            "at (0..3, 0)\npath",
            "15:18 tile (0,0) has a program already | a PE runs one program; do two rectangles overlap?",
        ),
        (
            "at (2, 0)\npath",
            "at (6, 0)\npath",
            "15:18 tile (6,0) is not on the wafer | the machine has 6 × 3 tiles",
        ),
        (
            "expect w at (2, 0)",
            "expect w at (1, 0)",
            "18:8 no program is placed on tile (1,0) | name a tile that has one, or `place` one there",
        ),
        (
            "expect w",
            "expect sums",
            "18:8 the program on tile (2,0) has no region `sums` | it has `w`",
        ),
        ("color red", "color red = 30", "1:13 the color is 30, which is not in 0 to 23 | "),
        ("f32[4] = i", "f32[-4] = i", "3:16 this extent is -4, which is not in 0 to 44976 | "),
        ("-> (2, 0)", "→ (2, 0)", "16:18 `→` has no meaning here | "),
        (
            "(2, 0)\nresult",
            "(2, 1)\nresult",
            "16:21 a path from (0,0) to (2,1) is not straight | put a corner between them",
        ),
        (
            "color red",
            "machine \"wse2\"\ncolor red",
            "1:9 machine:1:1: Expected struct `Machine` but found `wse2` (at `wse2`) | `machine` holds the \
             text of a machine file; for one by its name leave it out and give --machine",
        ),
    ] {
        let found = damaged(old, new);
        assert_eq!(found[0], want);
        assert!(found.len() == 1 || new.contains('→'), "{found:#?}");
    }
}

#[test]
fn is_an_open_brace_the_only_thing_told_of_what_stands_behind_it() {
    let found = damaged("        end\n}\nprogram receive", "        end\nprogram receive");
    assert_eq!(found, ["2:14 this `{` is never closed | add a `}`"]);
    let found =
        damaged("path red", "program third { place send at (3, 0); task t: end }\npath red");
    assert_eq!(
        found,
        ["16:17 `place` cannot stand within a program | is a `}` missing before it?"]
    );
    let found = damaged("end\n}\nprogram receive", "if 1 { end\nprogram receive");
    let both = ["2:14", "6:14"].map(|at| format!("{at} this `{{` is never closed | add a `}}`"));
    assert_eq!(found, both);
}

#[test]
fn are_instructions_without_a_task_told() {
    let found = damaged("    task main activated:\n        mov w", "        mov w");
    assert_eq!(
        found[0].lines().next(),
        Some(
            "warning[idle-task]: tile (2,0): program 1: it has instructions but no task, so none is ever executed"
        )
    );
}

#[test]
fn do_tabs_and_foreign_line_ends_not_matter() {
    let tabs = SOUND.replace("    ", "\t").replace('\n', "\r\n");
    assert_eq!(told(&tabs), [""; 0]);
    let found = told(&tabs.replace("in(red)", "in(rad)"));
    assert_eq!(found, ["11:13 `rad` is not known here | did you mean `red`?"]);
}
