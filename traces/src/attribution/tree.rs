//! Where time came from: a tree of spans. Each moment names the span that ends with it, each span the one before it, down to cycle 0.

use std::collections::BTreeMap;

/// What a span of the critical path went to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Category {
    /// The datapath does arithmetic, or an instruction on registers.
    Compute,
    /// The datapath moves data, or waits for the ports of SRAM.
    Sram,
    /// Hops, ramps, the rate of links.
    Wire,
    /// Waiting for a free slot, for arbitration, for a switch.
    Queue,
    /// Setup, rows, dispatch, tasks.
    Launch,
    /// The link to the host.
    Host,
}

impl Category {
    /// All of them, in the order of reports.
    pub const ALL: [Category; 6] = [
        Category::Compute,
        Category::Sram,
        Category::Wire,
        Category::Queue,
        Category::Launch,
        Category::Host,
    ];
}

/// A category and a place, which is a number of the caller's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Tag(u32);

impl Tag {
    pub(super) fn new(category: Category, place: u16) -> Tag {
        Tag(u32::from(place) << 3 | category as u32)
    }

    pub(super) fn category(self) -> Category {
        Category::ALL[(self.0 & 7) as usize]
    }

    pub(super) fn place(self) -> u16 {
        (self.0 >> 3) as u16
    }
}

/// An instant and why it is not an earlier one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Moment {
    pub(super) cycle: u64,
    node: u32,
}

impl Moment {
    /// Cycle 0.
    pub(super) const START: Moment = Moment { cycle: 0, node: 0 };
}

/// Cycles by tag, ascending.
type Sums = Vec<(Tag, u64)>;

#[derive(Debug, Clone)]
struct Node {
    parent: u32,
    tag: Tag,
    cycles: u64,
    /// What lies between the parent and this span, where nodes were merged.
    before: Option<Box<Sums>>,
}

/// Nodes stand behind their parents.
#[derive(Debug, Clone)]
pub(super) struct Tree {
    nodes: Vec<Node>,
    /// As many nodes as make a collection worth its while.
    enough: usize,
}

/// Least number of nodes that are collected.
const MANY: usize = 1 << 20;

impl Tree {
    pub(super) fn new() -> Tree {
        let tag = Tag::new(Category::Launch, 0);
        Tree { nodes: vec![Node { parent: 0, tag, cycles: 0, before: None }], enough: MANY }
    }

    /// A span at `place` from `from` to `until`; none where there is no time between.
    pub(super) fn extend_at(
        &mut self,
        from: Moment,
        (category, place): (Category, u16),
        until: u64,
    ) -> Moment {
        debug_assert!(from.cycle <= until, "{from:?} is later than {until}");
        let cycles = until.saturating_sub(from.cycle);
        if cycles == 0 {
            return from;
        }
        let (tag, last) = (Tag::new(category, place), &self.nodes[from.node as usize]);
        let mut node = Node { parent: from.node, tag, cycles, before: None };
        if last.tag == tag && last.before.is_none() && from.node != 0 {
            (node.parent, node.cycles) = (last.parent, last.cycles + cycles);
        }
        self.nodes.push(node);
        Moment { cycle: until, node: (self.nodes.len() - 1) as u32 }
    }

    /// The same at the place of the span before.
    #[inline]
    pub(super) fn extend(&mut self, from: Moment, category: Category, until: u64) -> Moment {
        self.extend_at(from, (category, self.place(from)), until)
    }

    /// Where the span before a moment was spent.
    pub(super) fn place(&self, moment: Moment) -> u16 {
        self.nodes[moment.node as usize].tag.place()
    }

    /// Cycles from 0 to `moment`, by tag. They add up to its cycle.
    pub(super) fn sums(&self, moment: Moment) -> BTreeMap<Tag, u64> {
        let mut sums = BTreeMap::new();
        let mut at = moment.node;
        while at != 0 {
            let node = &self.nodes[at as usize];
            *sums.entry(node.tag).or_default() += node.cycles;
            for &(tag, cycles) in node.before.iter().flat_map(|sums| sums.iter()) {
                *sums.entry(tag).or_default() += cycles;
            }
            at = node.parent;
        }
        sums
    }

    /// Whether a collection is due.
    #[inline]
    pub(super) fn is_full(&self) -> bool {
        self.nodes.len() >= self.enough
    }

    /// Forgets all that no moment in use comes from, and merges spans that have one successor with it: so no more is left
    /// than twice the moments in use. `each` calls back with every moment in use, each time the same ones in the same order.
    pub(super) fn collect(&mut self, mut each: impl FnMut(&mut dyn FnMut(&mut Moment))) {
        let mut in_use = vec![false; self.nodes.len()];
        each(&mut |moment| in_use[moment.node as usize] = true);
        in_use[0] = true;
        let mut successors = vec![0u8; self.nodes.len()];
        for at in (1..self.nodes.len()).rev() {
            if in_use[at] || successors[at] > 0 {
                let parent = self.nodes[at].parent as usize;
                successors[parent] = successors[parent].saturating_add(1);
            }
        }
        // For each node, the one that stands for it or for the nearest before it, and what is to be merged into its successor.
        let mut moved = vec![0u32; self.nodes.len()];
        let mut passed: Vec<Option<Box<Sums>>> = vec![None; self.nodes.len()];
        let mut kept: Vec<Node> = Vec::new();
        for (at, node) in std::mem::take(&mut self.nodes).into_iter().enumerate() {
            if !in_use[at] && successors[at] == 0 {
                continue;
            }
            let parent = node.parent as usize;
            let own = node.before.unwrap_or_default();
            let mut before = passed[parent].take().unwrap_or_default();
            own.iter().for_each(|&(tag, cycles)| add(&mut before, tag, cycles));
            if in_use[at] || successors[at] > 1 {
                moved[at] = kept.len() as u32;
                let before = (!before.is_empty()).then_some(before);
                let parent = moved[parent];
                kept.push(Node { parent, tag: node.tag, cycles: node.cycles, before });
            } else {
                moved[at] = moved[parent];
                add(&mut before, node.tag, node.cycles);
                passed[at] = Some(before);
            }
        }
        self.nodes = kept;
        self.enough = (2 * self.nodes.len()).max(MANY);
        each(&mut |moment| moment.node = moved[moment.node as usize]);
    }
}

/// Adds to what there is of a tag.
fn add(sums: &mut Sums, tag: Tag, cycles: u64) {
    match sums.binary_search_by_key(&tag, |(tag, _)| *tag) {
        Ok(at) => sums[at].1 += cycles,
        Err(at) => sums.insert(at, (tag, cycles)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn does_a_collection_change_no_sum() {
        let mut tree = Tree::new();
        let mut state = 1u64;
        let mut random = |n: u64| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            (state >> 33) % n
        };
        let mut moments = vec![Moment::START; 20];
        for round in 0..40 {
            for _ in 0..200 {
                let (from, to) = (random(20) as usize, random(20) as usize);
                let category = Category::ALL[random(6) as usize];
                let until = moments[from].cycle + random(4);
                moments[to] = tree.extend_at(moments[from], (category, random(3) as u16), until);
            }
            let before: Vec<_> = moments.iter().map(|&m| tree.sums(m)).collect();
            tree.collect(|visit| moments.iter_mut().for_each(visit));
            let after: Vec<_> = moments.iter().map(|&m| tree.sums(m)).collect();
            assert_eq!(before, after, "round {round}");
            assert!(tree.nodes.len() <= 2 * moments.len(), "{} nodes", tree.nodes.len());
            for (moment, sums) in moments.iter().zip(after) {
                assert_eq!(sums.values().sum::<u64>(), moment.cycle);
            }
        }
    }
}
