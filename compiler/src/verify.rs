//! The verifier: what must hold between passes, checked in another way than the passes made it. A failure is a
//! fault of the compiler, never of its input, so it panics and says where.

use crate::detour::{self, Laid};
use crate::lanes::Lane;
use crate::lines::FIRST_LANE;
use crate::stage::{Stage, Work};
use crate::wires::{Wires, port_node, tile_of};
use fabric::{DefectMap, Machine, PeCoord, Port, Route, Segment};
use pe_isa::Color;
use std::collections::{BTreeMap, BTreeSet};

/// After placement: the stages are embedding, all layers once and in order, head; rectangles and ports lie on the grid
/// and on live PEs, share no tile, and rectangles lie in their windows.
pub(crate) fn placement(machine: &Machine, map: &DefectMap, layers: usize, stages: &[Stage]) {
    let works: Vec<&Work> = stages.iter().map(|s| &s.work).collect();
    assert!(matches!(works.first(), Some(Work::Embed)), "the first stage is the embedding");
    assert!(matches!(works.last(), Some(Work::Head)), "the last stage is the head");
    let mut next = 0;
    for work in &works[1..works.len() - 1] {
        let Work::Layers(range) = work else {
            panic!("only layers lie between embedding and head")
        };
        assert_eq!(range.start, next, "layers are placed in order");
        next = range.end;
    }
    assert_eq!(next, layers, "every layer is placed");
    let mut taken: BTreeSet<PeCoord> = BTreeSet::new();
    let mut take = |at: PeCoord| {
        assert!(at.x < machine.width && at.y < machine.height, "tile {at} is not on the grid");
        assert!(!map.is_dead(at), "the PE of tile {at} is dead");
        assert!(taken.insert(at), "tile {at} is given out twice");
    };
    for stage in stages {
        for node in 0..port_node(stage, stage.width) {
            let at = tile_of(stage, node);
            assert!(stage.contains(at), "tile {at} lies outside of its window");
            take(at);
        }
    }
}

/// After detours: from the tile of every source, its color's routes lead over live links to exactly the PEs that
/// the net reaches, and no other route is there.
pub(crate) fn laid(machine: &Machine, map: &DefectMap, stage: &Stage, wires: &Wires, laid: &Laid) {
    let mut routes: BTreeMap<(PeCoord, Color), &Route> = BTreeMap::new();
    for (tile, route) in &laid.routes {
        let before = routes.insert((*tile, route.color), route);
        assert!(before.is_none(), "color {} is routed twice on {tile}", route.color);
    }
    let mut walked = 0;
    for net in detour::nets(stage, wires) {
        let color = laid.renamed.get(&(net.source, net.color)).copied().unwrap_or(net.color);
        let mut reached = BTreeSet::new();
        let mut open = vec![(tile_of(stage, net.source), Port::Ramp)];
        while let Some((tile, from)) = open.pop() {
            let route =
                routes.get(&(tile, color)).unwrap_or_else(|| panic!("{color} ends at {tile}"));
            assert_eq!(route.positions[0].rx, from, "color {color} on {tile}");
            walked += 1;
            for port in route.transmits().iter() {
                assert!(!map.is_dead_behind(tile, port), "{port} of {tile} is dead");
                match tile.neighbour(port, machine.width, machine.height) {
                    Some(next) => open.push((next, port.opposite())),
                    None => assert!(reached.insert(tile), "color {color} reaches {tile} twice"),
                }
            }
        }
        let sinks: BTreeSet<PeCoord> = net.sinks.iter().map(|&node| tile_of(stage, node)).collect();
        assert_eq!(reached, sinks, "color {color} from {}", tile_of(stage, net.source));
        for &sink in &net.sinks {
            let known = laid.renamed.get(&(sink, net.color)).copied().unwrap_or(net.color);
            assert_eq!(known, color, "a receiver's color on {}", tile_of(stage, sink));
        }
    }
    assert_eq!(walked, routes.len(), "routes that no net of the stage at {} has", stage.port(0));
}

/// After lanes: each goes from neighbour to neighbour over live links and visits no tile twice; on no tile does its color
/// belong to another lane or to a rectangle.
pub(crate) fn lanes<'a>(
    machine: &Machine,
    map: &DefectMap,
    stages: &[Stage],
    lanes: impl Iterator<Item = &'a Lane>,
) {
    let mut owners: BTreeMap<(PeCoord, u8), usize> = BTreeMap::new();
    for (at, lane) in lanes.enumerate() {
        for step in lane.path.windows(2) {
            let leads = |port: &&Port| {
                step[0].neighbour(**port, machine.width, machine.height) == Some(step[1])
            };
            let Some(&port) = Port::MESH.iter().find(leads) else {
                panic!("lane {at} jumps at {}", step[0])
            };
            assert!(!map.is_dead_behind(step[0], port), "lane {at}: {port} of {} is dead", step[0]);
        }
        for &tile in &lane.path {
            let before = owners.insert((tile, lane.color.0), at);
            assert!(before.is_none(), "color {} is taken twice on {tile}", lane.color);
            for stage in stages {
                let reserved = stage.contains(tile) && lane.color.0 < FIRST_LANE;
                assert!(!reserved, "color {} belongs to the stage on {tile}", lane.color);
            }
        }
    }
}

/// After filling: the segments of a tile are aligned, lie within its `bytes` of data and do not overlap.
pub(crate) fn segments(at: PeCoord, bytes: u32, segments: &[Segment]) {
    let mut spans: Vec<(u64, u64)> = segments
        .iter()
        .filter(|s| !s.words.is_empty())
        .map(|s| (u64::from(s.address), u64::from(s.address) + 4 * s.words.len() as u64))
        .collect();
    spans.sort_unstable();
    for pair in spans.windows(2) {
        assert!(pair[0].1 <= pair[1].0, "tensors overlap at byte {} on {at}", pair[1].0);
    }
    let end = spans.last().map_or(0, |s| s.1);
    assert!(end <= u64::from(bytes), "a tensor ends at byte {end} of {bytes} on {at}");
    assert!(spans.iter().all(|s| s.0 % 4 == 0), "a tensor is not aligned on {at}");
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lanes::End;
    use crate::pack::Cell;
    use crate::roots::Roots;
    use crate::seams::Gaps;
    use crate::stage::Lie;
    use fabric::Defects;
    use std::panic::catch_unwind;

    fn segment(address: u32, words: usize) -> Segment {
        Segment { address, words: vec![0; words] }
    }

    #[test]
    fn are_tensors_that_overlap_or_end_outside_caught() {
        let at = PeCoord::new(0, 0);
        segments(at, 16, &[segment(8, 2), segment(0, 2)]);
        assert!(catch_unwind(|| segments(at, 16, &[segment(0, 2), segment(4, 2)])).is_err());
        assert!(catch_unwind(|| segments(at, 12, &[segment(8, 2)])).is_err());
    }

    #[test]
    fn is_a_lane_that_jumps_or_takes_a_dead_link_or_a_color_in_use_caught() {
        let defects = Defects { links: vec![(1, 0, Port::East)], ..Defects::default() };
        let preset = fabric::presets::preset("wse3-64").expect("a preset");
        let machine = Machine { defects, ..preset };
        let map = DefectMap::of(&machine);
        let lane = |columns: &[u32]| {
            let path: Vec<_> = columns.iter().map(|&x| PeCoord::new(x, 0)).collect();
            let (from, to) = (End::Pe(path[0]), End::Pe(path[path.len() - 1]));
            Lane { from, to, path, color: Color(FIRST_LANE) }
        };
        let judge = |all: &[Lane]| catch_unwind(|| lanes(&machine, &map, &[], all.iter())).is_ok();
        assert!(judge(&[lane(&[0, 1]), lane(&[2, 3])]));
        assert!(!judge(&[lane(&[0, 1, 2])]), "a dead link");
        assert!(!judge(&[lane(&[2, 4])]), "a jump");
        assert!(!judge(&[lane(&[0, 1]), lane(&[1, 0])]), "a color in use");
    }

    #[test]
    fn is_a_tile_that_is_given_out_twice_caught() {
        let machine = fabric::presets::preset("wse3-64").expect("a preset");
        let stage = |work, x| {
            let (corner, lie, gaps) = (PeCoord::new(x, 0), Lie::default(), Gaps::default());
            Stage {
                work,
                width: 2,
                height: 1,
                cell: Cell { corner, lie, gaps },
                roots: Roots::default(),
            }
        };
        let good = [stage(Work::Embed, 0), stage(Work::Layers(0..2), 2), stage(Work::Head, 4)];
        let map = DefectMap::of(&machine);
        placement(&machine, &map, 2, &good);
        let overlapping =
            [stage(Work::Embed, 0), stage(Work::Layers(0..2), 1), stage(Work::Head, 4)];
        let caught = catch_unwind(|| placement(&machine, &map, 2, &overlapping));
        assert!(caught.is_err());
        assert!(catch_unwind(|| placement(&machine, &map, 3, &good)).is_err());
    }
}
