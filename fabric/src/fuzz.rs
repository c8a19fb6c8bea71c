//! Fuzz entry points: any bytes as a machine file, its defects, an assembly text or a binary image.
//!
//! Each ends with an error or a value that is whole: it can be judged by the linter, written and read back equal.
//! `fuzz/` drives them with coverage, a test with random damage.

use crate::{
    DefectMap, Defects, HostPlan, Machine, PeCoord, WaferImage, binary, lint, presets, text,
};

/// `data` as a machine file. Returns whether it is one.
///
/// # Panics
/// When a machine that was read is not valid, or does not read back equal.
pub fn machine(data: &[u8]) -> bool {
    let Ok(source) = str::from_utf8(data) else {
        return false;
    };
    let Ok(machine) = Machine::from_ron(source, "fuzz.ron") else {
        return false;
    };
    machine.validate().expect("what is read is valid");
    let again =
        Machine::from_ron(&machine.to_ron(), "again.ron").expect("what is written can be read");
    assert_eq!(again, machine);
    true
}

/// `data` as the defects of a machine file. Returns whether they are.
///
/// # Panics
/// When a map that was made of them contradicts itself or them, or they do not read back equal.
pub fn defects(data: &[u8]) -> bool {
    let Ok(source) = str::from_utf8(data) else {
        return false;
    };
    let mut machine = presets::preset(presets::DEFAULT).expect("the default is a preset");
    let nothing = machine.to_ron();
    let group = nothing.rfind("    defects: (").expect("a machine is written with its defects");
    let text = format!("{}    defects: {source},\n)", &nothing[..group]);
    let Ok(read) = Machine::from_ron(&text, "fuzz.ron") else {
        return false;
    };
    machine.defects = read.defects.clone();
    if machine != read {
        return false; // The text goes on with other keys.
    }
    let again = Machine::from_ron(&read.to_ron(), "again.ron");
    assert_eq!(again.expect("what is written can be read"), read);
    let map = DefectMap::of(&read);
    let Defects { pes, links, .. } = &read.defects;
    assert!(pes.iter().all(|&(x, y)| map.is_dead(PeCoord::new(x, y))));
    assert!(links.iter().all(|&(x, y, port)| map.is_dead_behind(PeCoord::new(x, y), port)));
    for (at, port) in map.dead_links() {
        let next = at.neighbour(port, read.width, read.height).expect("links have two ends");
        assert!(map.is_dead_behind(at, port) && map.is_dead_behind(next, port.opposite()));
    }
    true
}

/// `data` as an assembly text. Returns whether it is one.
///
/// # Panics
/// When a sound image does not read back equal from text or bytes.
pub fn assembly(data: &[u8]) -> bool {
    let Ok(source) = str::from_utf8(data) else {
        return false;
    };
    let machine = presets::preset(presets::DEFAULT).expect("the default is a preset");
    match text::parse(source, "fuzz.wsk", &machine, &[]) {
        Ok(kernel) => {
            judge(&kernel.image, &kernel.host);
            true
        }
        Err(errors) => {
            assert!(!errors.rendered.is_empty());
            false
        }
    }
}

/// `data` as a binary image. Returns whether it is one.
///
/// # Panics
/// As [`assembly`].
pub fn image(data: &[u8]) -> bool {
    let Ok((image, host)) = binary::read(data) else {
        return false;
    };
    judge(&image, &host);
    true
}

fn judge(image: &WaferImage, host: &HostPlan) {
    if lint(image).iter().any(|finding| finding.error) {
        return;
    }
    let again = binary::read(&binary::write(image, host));
    let (same, plan) = again.expect("what is written can be read");
    assert!(same == *image && plan == *host, "bytes read back differ");
    let printed = text::print(image);
    let again = text::parse(&printed, "printed", &image.machine, &[]);
    let again = again.unwrap_or_else(|errors| panic!("{}", errors.rendered));
    assert!(again.image == *image, "text reads back different: {printed}");
}
