//! Cycles of a graph, for route loops and for sends that wait for each other.

/// A node's place in the walk.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Seen {
    New,
    /// On the way from the start.
    Open,
    Done,
}

/// Cycles of a graph over `0..nodes`: one for each edge by which a walk in depth came back to its own
/// way, so none if and only if there are none. `next` appends a node's successors. Takes time linear
/// in nodes and edges, and in the length of what it returns.
pub(super) fn cycles(
    nodes: usize,
    starts: impl Iterator<Item = usize>,
    mut next: impl FnMut(usize, &mut Vec<usize>),
) -> Vec<Vec<usize>> {
    let mut seen = vec![Seen::New; nodes];
    let mut found = Vec::new();
    // The way from the start, and the successors that are still to be visited, the last node's last.
    let mut way: Vec<(usize, usize)> = Vec::new();
    let mut open = Vec::new();
    for start in starts {
        if seen[start] != Seen::New {
            continue;
        }
        open.push(start);
        way.push((usize::MAX, 0));
        while let Some(&(node, base)) = way.last() {
            let Some(at) = (open.len() > base).then(|| open.pop()).flatten() else {
                way.pop();
                if let Some(seen) = seen.get_mut(node) {
                    *seen = Seen::Done;
                }
                continue;
            };
            match seen[at] {
                Seen::Done => {}
                Seen::New => {
                    seen[at] = Seen::Open;
                    way.push((at, open.len()));
                    next(at, &mut open);
                }
                Seen::Open => {
                    let from = way.iter().rposition(|&(node, _)| node == at);
                    let from = from.expect("an open node is on the way");
                    found.push(way[from..].iter().map(|&(node, _)| node).collect());
                }
            }
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(edges: &[(usize, usize)]) -> Vec<Vec<usize>> {
        let next = |at: usize, into: &mut Vec<usize>| {
            into.extend(edges.iter().filter(|e| e.0 == at).map(|e| e.1));
        };
        cycles(6, 0..6, next)
    }

    #[test]
    fn is_a_cycle_found_and_a_diamond_not() {
        assert_eq!(of(&[(0, 1), (0, 2), (1, 3), (2, 3)]), Vec::<Vec<usize>>::new());
        assert_eq!(of(&[(0, 1), (1, 2), (2, 3), (3, 1), (5, 5)]), [vec![1, 2, 3], vec![5]]);
    }
}
