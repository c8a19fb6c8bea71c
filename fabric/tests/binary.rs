//! The binary form of images: are damaged files told apart, and does nothing panic on broken images?

use fabric::binary::{BinaryError, is_image, read, write};
use fabric::{
    HostIn, HostOut, HostPlan, HostStop, HostWord, PeIdx, Port, ProgramId, RouteSetId, WaferImage,
    WordTest, lint, presets,
};
use pe_isa::{Color, Cycle};

fn image() -> WaferImage {
    let mut machine = presets::preset("wse2").expect("a preset");
    (machine.width, machine.height) = (3, 2);
    WaferImage::empty(machine)
}

#[test]
fn is_every_damage_told_by_its_kind() {
    let good = write(&image(), &HostPlan::default());
    assert!(is_image(&good) && read(&good).is_ok());
    assert_eq!(read(b"param P = 4"), Err(BinaryError::NotAnImage));
    let mut newer = good.clone();
    newer[8] = 9;
    assert_eq!(read(&newer), Err(BinaryError::Version { found: 9 }));
    let stated = good.len() as u64;
    let cut = read(&good[..good.len() - 1]);
    assert_eq!(cut, Err(BinaryError::Length { stated, found: stated - 1 }));
    let mut flipped = good.clone();
    *flipped.last_mut().unwrap() ^= 1;
    assert_eq!(read(&flipped), Err(BinaryError::Checksum));
    for end in 0..good.len() {
        assert!(read(&good[..end]).is_err(), "{end}");
    }
}

#[test]
fn does_an_image_with_broken_references_end_in_an_error() {
    let mut lost_program = image();
    lost_program.tiles[4].program = Some(ProgramId(7));
    let mut lost_routes = image();
    lost_routes.tiles[0].routes = Some(RouteSetId(0));
    let mut lost_tile = image();
    lost_tile.tiles.pop();
    let mut lost_port = image();
    let (tile, port, color) = (PeIdx(99), Port::West, Color(0));
    lost_port.host_in.push(HostIn { tile, port, color });
    let mut no_machine = image();
    no_machine.machine.pe.reserve_bytes = u32::MAX;
    for broken in [lost_program, lost_routes, lost_tile, lost_port, no_machine] {
        assert!(lint(&broken).iter().any(|f| f.error));
        assert!(matches!(
            read(&write(&broken, &HostPlan::default())),
            Err(BinaryError::Section { .. })
        ));
    }
}

#[test]
fn is_a_hosts_part_that_does_not_fit_refused() {
    let mut image = image();
    let (tile, port, color) = (PeIdx(0), Port::West, Color(0));
    image.host_in.push(HostIn { tile, port, color });
    image.host_out.push(HostOut { tile, port, color });
    let at = |cycle| HostWord { cycle: Cycle(cycle), payload: 7, control: false };
    let stop = HostStop { port: 0, words: 2, only: None, after: 1, last: None };
    let test = |word| Some(WordTest { word, mask: 1, values: vec![1] });
    let good = HostPlan {
        sends: vec![vec![at(1), at(1), at(2)]],
        stops: vec![HostStop { only: test(0), last: test(1), ..stop.clone() }],
    };
    assert_eq!(read(&write(&image, &good)), Ok((image.clone(), good)));
    let sends = |sends| HostPlan { sends, stops: Vec::new() };
    let stops = |stop| HostPlan { sends: Vec::new(), stops: vec![stop] };
    for broken in [
        sends(vec![Vec::new(), Vec::new()]),
        sends(vec![vec![at(2), at(1)]]),
        stops(HostStop { port: 1, ..stop.clone() }),
        stops(HostStop { words: 0, ..stop.clone() }),
        stops(HostStop { after: 0, ..stop.clone() }),
        stops(HostStop { last: test(2), ..stop.clone() }),
    ] {
        let told = read(&write(&image, &broken));
        assert!(matches!(told, Err(BinaryError::Section { section: "host", .. })), "{told:?}");
    }
}
