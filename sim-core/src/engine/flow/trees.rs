//! What a PE's output queue sends into, as a whole.

use super::wires::{NONE, Wires};
use std::ops::Range;

/// A FIFO of a router in a net.
#[derive(Debug, Clone, Copy)]
pub(super) struct Node {
    pub(super) line: u32,
    /// Cycles from the departure at the source's router to the one here, in free flow.
    pub(super) behind: u32,
}

/// An input queue at the end of a net.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Leaf {
    pub(super) line: u32,
    pub(super) pe: u32,
    /// Cycles from the departure at the source's router to the one of the last router.
    pub(super) sent: u32,
    /// Cycles from there to the arrival.
    pub(super) arrival: u32,
}

/// An output queue and all that its wavelets go through.
#[derive(Debug, Clone)]
pub(super) struct Tree {
    /// The PE of the queue.
    pub(super) pe: u32,
    /// The lines before the routers: steps, output queue, ramp.
    pub(super) steps: u32,
    pub(super) queue: u32,
    pub(super) up: u32,
    nodes: Range<u32>,
    leaves: Range<u32>,
    contested: Range<u32>,
    /// Cycles from the departure at the ramp to that of the last router.
    pub(super) reach: u32,
    /// Cycles after which a slot of any of its FIFOs is free again.
    pub(super) slack: u32,
    /// Wavelets that have passed the routers behind the ramp, which do not know of them yet.
    pub(super) lag: u32,
    /// All wavelets go to PEs, and bends cost nothing.
    pub(super) is_joint: bool,
    /// What is more, wavelets one cycle apart flow without a wait, if the leaves take them.
    pub(super) is_free: bool,
    /// Leaves that will take what comes as it comes.
    pub(super) open: u32,
}

impl Tree {
    pub(super) fn is_open(&self) -> bool {
        self.is_joint && self.open == self.leaves.end - self.leaves.start
    }
}

/// All of them.
#[derive(Debug)]
pub(super) struct Trees {
    pub(super) list: Vec<Tree>,
    nodes: Vec<Node>,
    leaves: Vec<Leaf>,
    /// Nodes that share outputs with others.
    contested: Vec<Node>,
    /// The tree of each line but those of the host and steps.
    pub(super) of: Vec<u32>,
}

impl Trees {
    pub(super) fn new(wires: &Wires) -> Trees {
        let lines = &wires.lines;
        let mut all = Trees {
            list: Vec::new(),
            nodes: Vec::new(),
            leaves: Vec::new(),
            contested: Vec::new(),
            of: vec![NONE; lines.len()],
        };
        for queue in 0..lines.len() as u32 {
            let line = &lines[queue as usize];
            if line.pe != NONE && !line.is_input {
                all.add(wires, queue);
            }
        }
        all
    }

    fn add(&mut self, wires: &Wires, queue: u32) {
        let lines = &wires.lines;
        let id = self.list.len() as u32;
        let up = lines[queue as usize].behind[0];
        let (first_node, first_leaf) = (self.nodes.len(), self.leaves.len());
        let mut open = vec![Node { line: up, behind: 0 }];
        let (mut is_joint, mut is_free) = (true, true);
        let first_contested = self.contested.len();
        let (mut reach, mut slack) = (0, 0);
        while let Some(at) = open.pop() {
            let line = &lines[at.line as usize];
            is_joint &= line.host == NONE && !(line.bend && wires.turn_cycles > 0);
            for &next in &line.behind[..usize::from(line.count)] {
                let child = &lines[next as usize];
                let latency = u32::from(child.latency);
                if child.is_input {
                    self.of[next as usize] = id;
                    self.leaves.push(Leaf {
                        line: next,
                        pe: child.pe,
                        sent: at.behind,
                        arrival: latency,
                    });
                    continue;
                }
                is_free &= u32::from(child.capacity) >= latency + u32::from(child.credit);
                let node = Node { line: next, behind: at.behind + latency };
                reach = reach.max(node.behind);
                slack = slack.max(latency + u32::from(child.credit));
                self.of[next as usize] = id;
                self.nodes.push(node);
                if child.contested != NONE {
                    self.contested.push(node);
                }
                open.push(node);
            }
        }
        self.of[queue as usize] = id;
        self.of[up as usize] = id;
        self.list.push(Tree {
            pe: lines[queue as usize].pe,
            steps: lines[queue as usize].upstream,
            queue,
            up,
            nodes: first_node as u32..self.nodes.len() as u32,
            leaves: first_leaf as u32..self.leaves.len() as u32,
            contested: first_contested as u32..self.contested.len() as u32,
            reach,
            slack,
            lag: 0,
            is_joint: is_joint && self.leaves.len() > first_leaf,
            is_free: is_joint && is_free,
            open: 0,
        });
    }

    /// The FIFOs of routers behind the ramp.
    pub(super) fn nodes(&self, tree: u32) -> &[Node] {
        let range = &self.list[tree as usize].nodes;
        &self.nodes[range.start as usize..range.end as usize]
    }

    /// Those of them that share outputs with others.
    pub(super) fn contested(&self, tree: u32) -> &[Node] {
        let range = &self.list[tree as usize].contested;
        &self.contested[range.start as usize..range.end as usize]
    }

    pub(super) fn leaves(&self, tree: u32) -> &[Leaf] {
        let range = &self.list[tree as usize].leaves;
        &self.leaves[range.start as usize..range.end as usize]
    }
}
