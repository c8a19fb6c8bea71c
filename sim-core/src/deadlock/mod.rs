//! Why nothing can happen any more: from the threads and wavelets that a deadlock leaves behind to
//! the circles of waits, or the chains of waits that end at what never comes.
//!
//! * `scene`: who waits where, and what stands in which FIFO.
//! * `blocker`: for each thread and wavelet, the one that it waits for.
//! * `ending`: what ends a chain of waits.
//! * `wording`: who waits for what, in words; `release`: what would end it.
//!
//! Nothing here runs or changes anything: a report is a function of the image and
//! [`StopReason::Deadlock`](crate::StopReason::Deadlock).

mod blocker;
mod ending;
mod release;
mod scene;
mod wording;

use crate::run::{Head, Wait};
use blocker::{Next, next};
use ending::End;
use fabric::WaferImage;
use scene::{Node, Scene};
use std::collections::BTreeMap;
use std::fmt;

/// Threads and wavelets from which waits are followed, so that a wafer full of them is explained in
/// seconds.
const MOST_FOLLOWED: usize = 20_000;

/// Causes that a report lists; the rest are counted.
const LISTED: usize = 4;

/// One reason why threads wait for ever.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Cause {
    /// Each waits for the next: the last for the first, or for what never comes.
    chain: Vec<Node>,
    /// What never comes; `None` for a circle.
    end: Option<End>,
    /// Threads that wait, directly or through others, for this.
    threads: usize,
}

/// Why a run came to a halt, for people: [`fmt::Display`] gives lines without indentation before the
/// first of each cause.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Explanation {
    /// One text a cause: circles first, then by the number of threads behind each.
    pub causes: Vec<String>,
    /// Threads and wavelets that were not followed, there being too many.
    pub unfollowed: usize,
}

impl fmt::Display for Explanation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let listed = self.causes.iter().take(LISTED).cloned();
        let mut parts: Vec<String> = listed.collect();
        if self.causes.len() > LISTED {
            parts.push(format!("and {} more causes", self.causes.len() - LISTED));
        }
        if self.unfollowed > 0 {
            parts.push(format!("{} threads and wavelets were not looked at", self.unfollowed));
        }
        f.write_str(&parts.join("\n"))
    }
}

/// Explains a deadlock of `image` by the `waits` and `heads` that it left behind.
pub fn explain(image: &WaferImage, waits: &[Wait], heads: &[Head]) -> Explanation {
    let scene = Scene::new(image, waits, heads);
    let causes = causes(&scene);
    let nodes = waits.len() + heads.len();
    Explanation {
        causes: causes.iter().map(|cause| wording::cause(&scene, cause)).collect(),
        unfollowed: nodes.saturating_sub(MOST_FOLLOWED),
    }
}

/// Follows every wait to its end. Each node is left once, so this is linear in nodes and in the
/// searches of [`next`].
fn causes(scene: &Scene<'_>) -> Vec<Cause> {
    let nodes = scene.nodes();
    // The number of the cause that a node leads to.
    let mut leads: BTreeMap<Node, usize> = BTreeMap::new();
    let mut ends: BTreeMap<End, usize> = BTreeMap::new();
    let mut found: Vec<Cause> = Vec::new();
    for start in nodes.take(MOST_FOLLOWED) {
        let mut way: Vec<Node> = Vec::new();
        let mut passed: BTreeMap<Node, usize> = BTreeMap::new();
        let mut at = start;
        let cause = loop {
            if let Some(&cause) = leads.get(&at) {
                break cause;
            }
            if let Some(from) = passed.insert(at, way.len()) {
                let chain = rotated(way[from..].to_vec());
                found.push(Cause { chain, end: None, threads: 0 });
                break found.len() - 1;
            }
            way.push(at);
            match next(scene, at) {
                Next::Node(node) => at = node,
                Next::End(end) => {
                    break *ends.entry(end).or_insert_with(|| {
                        let chain = way.clone();
                        found.push(Cause { chain, end: Some(end), threads: 0 });
                        found.len() - 1
                    });
                }
            }
        };
        for node in way {
            found[cause].threads += usize::from(matches!(node, Node::Thread(_)));
            leads.insert(node, cause);
        }
    }
    found.sort_by_key(|cause| (cause.end.is_some(), std::cmp::Reverse(cause.threads)));
    found
}

/// A circle from its first thread on, or its first wavelet where there is no thread.
fn rotated(mut circle: Vec<Node>) -> Vec<Node> {
    let first = (0..circle.len()).min_by_key(|&at| circle[at]).unwrap_or(0);
    circle.rotate_left(first);
    circle
}
