//! Late receivers: a PE that takes none of a color before it has received something else, where that stands behind
//! the color. A slow receiver stalls its whole tree, so the other receivers and the sender wait too.
//!
//! A warning here is a proof. Each PE named stands in its main thread's first operations until another one has
//! passed its own. The nodes of the graph are PEs, and for each tree of a color what its late receivers let pass, the
//! tightest first; so it has as many edges as there are arrivals of colors. As with bursts, nothing is said of lengths
//! in registers, of switches, or of what stands behind a branch. What fits is counted from the sender's router, which for
//! another receiver may be more than fits behind the router where their ways part.

use super::cycle::cycles;
use super::opening::{Opening, opening};
use super::wiring::Wiring;
use super::{Findings, Kind, NAMED};
use crate::geometry::{PeIdx, Port};
use crate::image::WaferImage;
use pe_isa::Color;

/// What one PE sends on one color, where who takes it late stalls somebody.
struct Tree {
    from: PeIdx,
    color: Color,
    /// Words that the sender's output queue and up FIFO hold.
    near: u64,
    /// Receivers that take none of the color in their opening, with the words that fit behind the sender's router
    /// meanwhile; fewest first.
    late: Vec<(u64, PeIdx)>,
    /// The node of the first of `late`.
    node: usize,
}

impl Tree {
    /// The node behind which all late receivers are that `words` behind the first router are too many for.
    fn stalls(&self, words: u64) -> Option<usize> {
        let before = self.late.partition_point(|(fit, _)| *fit < words);
        before.checked_sub(1).map(|at| self.node + at)
    }
}

struct Graph<'a> {
    image: &'a WaferImage,
    openings: Vec<Option<Opening>>,
    trees: Vec<Tree>,
    receives: Vec<Receive>,
}

/// A color of a PE's first receive.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Receive {
    to: PeIdx,
    color: Color,
    from: PeIdx,
    words: u64,
    /// The tree on which it comes, if somebody stalls that.
    tree: Option<usize>,
}

pub(super) fn check(found: &mut Findings<'_>, wirings: &[Wiring<'_>]) {
    let graph = Graph::new(found.image, wirings);
    let tiles = found.image.tiles.len();
    let nodes = graph.trees.last().map_or(tiles, |t| t.node + t.late.len());
    if nodes == tiles {
        return;
    }
    for mut cycle in cycles(nodes, 0..tiles, |node, into| graph.next(node, into)) {
        let least = (0..cycle.len()).min_by_key(|&at| cycle[at]).unwrap_or(0);
        cycle.rotate_left(least);
        if let Some(message) = graph.message(&cycle) {
            found.warning(Kind::LateReceiver, PeIdx(cycle[0] as u32), message);
        }
    }
}

impl<'a> Graph<'a> {
    fn new(image: &'a WaferImage, wirings: &[Wiring<'_>]) -> Graph<'a> {
        let openings: Vec<_> = image.programs.iter().map(opening).collect();
        let mut graph = Graph { image, openings, trees: Vec::new(), receives: Vec::new() };
        if graph.openings.iter().flatten().all(|o| o.first.is_empty()) {
            return graph;
        }
        for wiring in wirings.iter().filter(|wiring| !wiring.is_switched()) {
            if !graph.concerns(wiring.color) {
                continue;
            }
            for (from, _) in wiring.tiles().filter(|(_, r)| r.receives().contains(Port::Ramp)) {
                graph.tree(wiring, from);
            }
        }
        if !graph.trees.is_empty() {
            graph.receives.sort_unstable();
        }
        graph
    }

    /// Whether the openings of some programs send or first receive a color.
    fn concerns(&self, color: Color) -> bool {
        let firsts = |o: &Opening| o.first.iter().any(|(first, _)| *first == color);
        let sends = |o: &Opening| o.sends.iter().any(|send| send.color == color);
        self.openings.iter().flatten().any(|opening| firsts(opening) || sends(opening))
    }

    fn tree(&mut self, wiring: &Wiring<'_>, from: PeIdx) {
        let color = wiring.color;
        let queues = self.image.program(from).map_or(&[][..], |program| &program.out_queues);
        let Some(queue) = queues.iter().position(|&c| c == Some(color)) else { return };
        let Some(near) = wiring.near(pe_isa::OutQueue(queue as u8)) else { return };
        let (mut late, mut receives) = (Vec::new(), Vec::new());
        for (to, fit) in wiring.arrivals(from) {
            let Some(opening) = self.opening(to) else { continue };
            match opening.first.iter().find(|(c, _)| *c == color) {
                Some(&(_, words)) => receives.push(Receive { to, color, from, words, tree: None }),
                None if opening.taken.contains(&color) => {}
                None => late.push((fit, to)),
            }
        }
        late.sort_unstable();
        let sends = self.opening(from).into_iter().flat_map(|o| &o.sends);
        let sent = sends.filter(|s| s.color == color).map(|s| s.words.saturating_sub(near));
        let most = receives.iter().map(|r| r.words).chain(sent).max().unwrap_or(0);
        if late.first().is_some_and(|(fit, _)| *fit < most) {
            receives.iter_mut().for_each(|r| r.tree = Some(self.trees.len()));
            let last = self.trees.last();
            let node = last.map_or(self.image.tiles.len(), |t| t.node + t.late.len());
            self.trees.push(Tree { from, color, near, late, node });
        }
        self.receives.append(&mut receives);
    }

    fn opening(&self, at: PeIdx) -> Option<&Opening> {
        self.openings[self.image.tile(at).program?.0 as usize].as_ref()
    }

    /// What a node waits for.
    fn next(&self, node: usize, into: &mut Vec<usize>) {
        if node >= self.image.tiles.len() {
            let tree = &self.trees[self.trees.partition_point(|t| t.node <= node) - 1];
            let at = node - tree.node;
            into.push(tree.late[at].1.0 as usize);
            into.extend(at.checked_sub(1).map(|before| tree.node + before));
            return;
        }
        let pe = PeIdx(node as u32);
        into.extend(self.stalls(pe).into_iter().map(|(node, ..)| node));
        into.extend(self.waits(pe).into_iter().map(|(sender, _)| sender.0 as usize));
    }

    /// What keeps words from coming to a PE's first receive, or from leaving it before: a node of a tree, the tree, the
    /// words and how many fit beside the late receivers' own queues.
    fn stalls(&self, pe: PeIdx) -> Vec<(usize, &Tree, u64, u64)> {
        let Some(opening) = self.opening(pe) else { return Vec::new() };
        let mut all = Vec::new();
        for send in &opening.sends {
            // Trees stand in the order of their colors, then senders.
            let at = self.trees.partition_point(|t| (t.color, t.from) < (send.color, pe));
            let tree = self.trees.get(at).filter(|t| (t.color, t.from) == (send.color, pe));
            let stalled = |t: &Tree| t.stalls(send.words.saturating_sub(t.near));
            all.extend(tree.and_then(|t| Some((stalled(t)?, t, send.words, t.near))));
        }
        for receive in self.firsts(pe) {
            let tree = receive.tree.map(|tree| &self.trees[tree]);
            all.extend(tree.and_then(|t| Some((t.stalls(receive.words)?, t, receive.words, 0))));
        }
        all
    }

    /// The senders that a PE's first receive waits for, which send too little before they have received themselves.
    fn waits(&self, pe: PeIdx) -> Vec<(PeIdx, Color)> {
        let withholds = |receive: &&Receive| {
            self.opening(receive.from).is_some_and(|sender| {
                let sent = sender.sends.iter().find(|s| s.color == receive.color);
                let sent = sent.map_or(0, |s| s.words);
                sent < receive.words && !sender.passed.contains(&receive.color)
            })
        };
        self.firsts(pe).iter().filter(withholds).map(|r| (r.from, r.color)).collect()
    }

    /// The colors of a PE's first receive.
    fn firsts(&self, pe: PeIdx) -> &[Receive] {
        let from = self.receives.partition_point(|r| r.to < pe);
        let count = self.receives[from..].partition_point(|r| r.to == pe);
        &self.receives[from..from + count]
    }

    /// The cycle in words; none if it is one of bursts alone, or one of PEs that all receive before they send, which the
    /// report of the deadlock tells.
    fn message(&self, cycle: &[usize]) -> Option<String> {
        let tiles = self.image.tiles.len();
        let pes: Vec<usize> = (0..cycle.len()).filter(|&at| cycle[at] < tiles).collect();
        let (mut lines, mut waits, mut bursts) = (Vec::new(), 0, 0);
        for (n, &at) in pes.iter().enumerate() {
            let pe = PeIdx(cycle[at] as u32);
            let other = PeIdx(cycle[pes[(n + 1) % pes.len()]] as u32);
            let (place, far) = (self.image.coord(pe), self.image.coord(other));
            let through = cycle[(at + 1) % cycle.len()];
            if through < tiles {
                let (_, color) = self.waits(pe).into_iter().find(|(sender, _)| *sender == other)?;
                waits += 1;
                lines.push(format!(
                    "PE {place} first receives color {color}, which PE {far} does not send yet"
                ));
                continue;
            }
            let (_, tree, words, near) =
                self.stalls(pe).into_iter().find(|(node, ..)| *node == through)?;
            let fit = near + tree.late.iter().find(|(_, late)| *late == other)?.0;
            let does = if near > 0 { "sends" } else { "receives" };
            bursts += usize::from(near > 0);
            let color = tree.color;
            lines.push(format!(
                "PE {place} first {does} {words} words of color {color}, of which no more than {fit} pass while \
                 PE {far} takes none"
            ));
        }
        if waits == lines.len() || bursts == lines.len() {
            return None;
        }
        let more = lines.len().saturating_sub(NAMED);
        lines.truncate(NAMED);
        lines.extend((more > 0).then(|| format!("{more} PEs more")));
        Some(format!("none of these can go on: {}", lines.join("; ")))
    }
}
