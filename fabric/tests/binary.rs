//! The binary form of images: are damaged files told apart, and does nothing panic on broken images?

use fabric::binary::{BinaryError, is_image, read, write};
use fabric::{HostIn, HostPlan, PeIdx, Port, ProgramId, RouteSetId, WaferImage, lint, presets};
use pe_isa::Color;

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
