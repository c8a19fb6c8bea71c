//! The verifier: what must hold between passes, checked in another way than the passes made it. A failure is a
//! fault of the compiler, never of its input, so it panics and says where.

use crate::detour::{Laid, Net};
use crate::lanes::Lane;
use crate::lines::FIRST_LANE;
use crate::stage::{Stage, Work};
use crate::wires::{port_node, tile_of};
use fabric::{DefectMap, Machine, PeCoord, Port, Segment};

fn index(machine: &Machine, at: PeCoord) -> usize {
    at.y as usize * machine.width as usize + at.x as usize
}

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
    let mut taken = vec![false; machine.tiles()];
    let mut take = |at: PeCoord| {
        assert!(at.x < machine.width && at.y < machine.height, "tile {at} is not on the grid");
        assert!(!map.is_dead(at), "the PE of tile {at} is dead");
        let before = std::mem::replace(&mut taken[index(machine, at)], true);
        assert!(!before, "tile {at} is given out twice");
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
pub(crate) fn laid(machine: &Machine, map: &DefectMap, stage: &Stage, nets: &[Net], laid: &Laid) {
    let mut set_of: Vec<Option<u32>> = vec![None; machine.tiles()];
    for &(tile, set) in &laid.tiles {
        let before = set_of[index(machine, tile)].replace(set);
        assert!(before.is_none(), "{tile} has two sets of routes");
    }
    let routes = |tile| Some(&laid.sets[set_of[index(machine, tile)]? as usize]);
    let known_as = |node, color| laid.renamed.get(&(node, color)).copied().unwrap_or(color);
    let (mut walked, mut reached, mut sinks, mut open) = (0, Vec::new(), Vec::new(), Vec::new());
    for net in nets {
        let color = known_as(net.source, net.color);
        open.push((tile_of(stage, net.source), Port::Ramp));
        while let Some((tile, from)) = open.pop() {
            let route = routes(tile).and_then(|routes| routes.get(color));
            let route = route.unwrap_or_else(|| panic!("{color} ends at {tile}"));
            assert_eq!(route.positions[0].rx, from, "color {color} on {tile}");
            walked += 1;
            for port in route.transmits().iter() {
                assert!(!map.is_dead_behind(tile, port), "{port} of {tile} is dead");
                match tile.neighbour(port, machine.width, machine.height) {
                    Some(next) => open.push((next, port.opposite())),
                    None => reached.push(tile),
                }
            }
        }
        sinks.extend(net.sinks.iter().map(|&node| tile_of(stage, node)));
        sinks.sort_unstable();
        reached.sort_unstable();
        assert_eq!(reached, sinks, "color {color} from {}", tile_of(stage, net.source));
        assert!(reached.is_sorted_by(|a, b| a < b), "color {color} reaches a tile twice");
        reached.clear();
        sinks.clear();
        for &sink in &net.sinks {
            let known = known_as(sink, net.color);
            assert_eq!(known, color, "a receiver's color on {}", tile_of(stage, sink));
        }
    }
    let counts: Vec<usize> = laid.sets.iter().map(|set| set.iter().count()).collect();
    let all: usize = laid.tiles.iter().map(|&(_, set)| counts[set as usize]).sum();
    assert_eq!(walked, all, "routes that no net of the stage at {} has", stage.port(0));
}

/// After lanes: each goes from neighbour to neighbour over live links and visits no tile twice; on no tile does its color
/// belong to another lane or to a rectangle.
pub(crate) fn lanes<'a>(
    machine: &Machine,
    map: &DefectMap,
    stages: &[Stage],
    lanes: impl Iterator<Item = &'a Lane>,
) {
    // Colors that others have, by tile.
    let mut taken: Vec<u32> = vec![0; machine.tiles()];
    for (corner, width, height) in stages.iter().map(Stage::window) {
        for y in corner.y..corner.y + height {
            let row = index(machine, PeCoord::new(corner.x, y));
            taken[row..row + width as usize].fill((1 << FIRST_LANE) - 1);
        }
    }
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
        let bit = 1 << lane.color.0;
        for &tile in &lane.path {
            let taken = &mut taken[index(machine, tile)];
            assert_eq!(*taken & bit, 0, "color {} of {tile} belongs to others", lane.color);
            *taken |= bit;
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
    use pe_isa::Color;
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
