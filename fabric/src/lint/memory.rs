//! What does not fit into a PE.

use super::{Findings, Kind};
use crate::geometry::PeIdx;
use pe_isa::grouped;

pub(super) fn check(found: &mut Findings<'_>) {
    let image = found.image;
    let code: Vec<u32> = image.programs.iter().map(pe_isa::Program::code_bytes).collect();
    for (at, tile) in image.tiles.iter().enumerate() {
        let code = tile.program.map_or(0, |p| code[p.0 as usize]);
        check_tile(found, PeIdx(at as u32), code);
    }
}

fn check_tile(found: &mut Findings<'_>, idx: PeIdx, code: u32) {
    let tile = found.image.tile(idx);
    let usable = found.image.machine.usable_bytes();
    let need = u64::from(code) + u64::from(tile.sram_bytes);
    if need > u64::from(usable) {
        let message = format!(
            "SRAM over by {} bytes on PE {}: {} of code and {} of data, {} are usable",
            grouped(need - u64::from(usable)),
            found.image.coord(idx),
            grouped(code.into()),
            grouped(tile.sram_bytes.into()),
            grouped(usable.into())
        );
        found.error(Kind::SramOverflow, idx, message);
    }
    if !tile.sram_bytes.is_multiple_of(4) {
        let message = format!(
            "{} bytes of data are no whole number of 4-byte words",
            grouped(tile.sram_bytes.into())
        );
        found.error(Kind::BadData, idx, message);
    }
    for segment in &tile.data {
        let end = u64::from(segment.address) + 4 * segment.words.len() as u64;
        if segment.address % 4 != 0 || end > u64::from(tile.sram_bytes) {
            let (from, bytes) = (grouped(segment.address.into()), grouped(tile.sram_bytes.into()));
            let end = grouped(end);
            let message = format!(
                "initial data at bytes {from}..{end} lie outside of the PE's {bytes} bytes"
            );
            found.error(Kind::BadData, idx, message);
        }
    }
    for (reg, _) in &tile.params {
        if usize::from(reg.0) >= pe_isa::REGISTERS {
            let message =
                format!("parameter register {reg} does not exist; there are {}", pe_isa::REGISTERS);
            found.error(Kind::BadData, idx, message);
        }
    }
}
