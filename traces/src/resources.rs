//! What of the wafer an image uses.

use fabric::{ProgramId, WaferImage};
use pe_isa::Program;
use serde::Serialize;
use std::collections::BTreeSet;

/// Tiles, memory and colors in use.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Resources {
    /// PEs that have a program.
    pub pes_used: u64,
    /// Bytes in use in the fullest PE: code, data and the runtime's reserve.
    pub sram_bytes_used_max: u64,
    /// Bytes in use in all PEs that have a program.
    pub sram_bytes_used_total: u64,
    /// Colors with a route in some router.
    pub colors_used: u64,
    /// Most positions (prompt and new tokens) that a request can have in this image.
    pub context_max: u64,
}

impl Resources {
    /// Counts what `image` uses; `context_max` is the compiler's to know.
    pub fn of(image: &WaferImage, context_max: u64) -> Resources {
        let code: Vec<u32> = image.programs.iter().map(Program::code_bytes).collect();
        let mut bytes = Vec::new();
        let mut route_sets = BTreeSet::new();
        for tile in &image.tiles {
            route_sets.extend(tile.routes);
            let used = |program: ProgramId| {
                [image.machine.pe.reserve_bytes, code[program.0 as usize], tile.sram_bytes]
            };
            bytes.extend(tile.program.map(|p| used(p).map(u64::from).iter().sum::<u64>()));
        }
        let colors: BTreeSet<_> = route_sets
            .iter()
            .flat_map(|set| &image.route_sets[set.0 as usize].routes)
            .map(|route| route.color)
            .collect();
        Resources {
            pes_used: bytes.len() as u64,
            sram_bytes_used_max: bytes.iter().copied().max().unwrap_or(0),
            sram_bytes_used_total: bytes.iter().sum(),
            colors_used: colors.len() as u64,
            context_max,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use fabric::{Port, Ports, Route, RouteSet};
    use pe_isa::Color;

    #[test]
    fn only_tiles_with_a_program_or_routes_count() {
        let machine = fabric::presets::preset(fabric::presets::DEFAULT).unwrap();
        let mut image = WaferImage::empty(machine);
        assert_eq!(Resources::of(&image, 7).pes_used, 0);
        let program = Program::default();
        let own = u64::from(image.machine.pe.reserve_bytes + program.code_bytes());
        let id = image.intern_program(program);
        let route = |color| Route::fixed(Color(color), Port::West, Ports::one(Port::Ramp));
        let routes = image.intern_routes(RouteSet { routes: vec![route(3), route(5)] });
        for (at, bytes) in [(0, 400), (9, 1_200)] {
            image.tiles[at].program = Some(id);
            image.tiles[at].sram_bytes = bytes;
        }
        image.tiles[1].routes = Some(routes);
        let used = Resources::of(&image, 7);
        assert_eq!(
            used,
            Resources {
                pes_used: 2,
                sram_bytes_used_max: own + 1_200,
                sram_bytes_used_total: 2 * own + 1_600,
                colors_used: 2,
                context_max: 7,
            }
        );
    }
}
