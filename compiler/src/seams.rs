//! Which tiles a rectangle leaves out, so that no dead PE is among its own.
//!
//! A rectangle of `w` columns lies in a window that is wider by as many columns as its worst row has dead PEs.
//! Every row leaves out that many tiles, its dead ones among them; the rest of the row is shifted. The
//! tiles left out form *seams* from the north to the south of the window. A seam moves only where a dead PE
//! forces it to, since only where it moves do columns have to step aside.

use crate::pack::Live;
use fabric::PeCoord;

/// The tiles of a window that a rectangle leaves out.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Gaps {
    /// Tiles that each row leaves out.
    pub(crate) spare: u32,
    /// Their columns, row by row, ascending within a row.
    columns: Vec<u32>,
    /// The wafer's rows that the rectangle has; none where they are consecutive.
    rows: Vec<u32>,
}

impl Gaps {
    /// The gaps of a rectangle on `rows` in the columns of `window`, which holds `w` live PEs in each of them and
    /// exactly so many in one.
    pub(crate) fn new(live: &Live, rows: &[u32], window: &std::ops::Range<u32>, w: u32) -> Gaps {
        let spare = window.end - window.start - w;
        let dead = |&y: &u32| {
            let live = live.within(y, window.start, window.end);
            if live.len() == window.len() {
                return Vec::new();
            }
            window.clone().filter(|x| live.binary_search(x).is_err()).collect::<Vec<u32>>()
        };
        let dead: Vec<Vec<u32>> = rows.iter().map(dead).collect();
        let consecutive = rows.windows(2).all(|pair| pair[0] + 1 == pair[1]);
        let rows = if consecutive { Vec::new() } else { rows.to_vec() };
        if spare == 0 {
            return Gaps { spare, columns: Vec::new(), rows };
        }
        let worst = dead.iter().position(|d| d.len() == spare as usize);
        let worst = worst.expect("the window is as narrow as one of its rows allows");
        let mut seams = vec![Vec::new(); dead.len()];
        seams[worst] = dead[worst].clone();
        for at in (0..worst).rev() {
            seams[at] = moved(&seams[at + 1], &dead[at]);
        }
        for at in worst + 1..dead.len() {
            seams[at] = moved(&seams[at - 1], &dead[at]);
        }
        Gaps { spare, columns: seams.concat(), rows }
    }

    /// Those of some of the rows.
    pub(crate) fn of_rows(&self, rows: std::ops::Range<usize>) -> Gaps {
        let spare = self.spare as usize;
        let columns = self.columns[rows.start * spare..rows.end * spare].to_vec();
        let rows = self.rows.get(rows).unwrap_or_default();
        let consecutive = rows.windows(2).all(|pair| pair[0] + 1 == pair[1]);
        let rows = if consecutive { Vec::new() } else { rows.to_vec() };
        Gaps { spare: self.spare, columns, rows }
    }

    /// Whether the rectangle is one without gaps.
    pub(crate) fn is_empty(&self) -> bool {
        self.spare == 0 && self.rows.is_empty()
    }

    /// The tile in column `c`, row `r` of a rectangle whose window has its north-west corner at `origin`.
    pub(crate) fn tile(&self, origin: PeCoord, c: u32, r: u32) -> PeCoord {
        let mut x = origin.x + c;
        let first = (r * self.spare) as usize;
        for &gap in &self.columns[first..first + self.spare as usize] {
            x += u32::from(gap <= x);
        }
        PeCoord::new(x, self.rows.get(r as usize).copied().unwrap_or(origin.y + r))
    }

    /// Rows of the window of a rectangle of `h` rows.
    pub(crate) fn window_rows(&self, h: u32) -> u32 {
        match (self.rows.first(), self.rows.last()) {
            (Some(first), Some(last)) => last - first + 1,
            _ => h,
        }
    }
}

/// The seams of a row beside one with seams `before`: as many, with `dead` (no more than that) among
/// them, and moved by as few columns as possible. Both ascend, and so does the result.
fn moved(before: &[u32], dead: &[u32]) -> Vec<u32> {
    // cost[k][j]: of the first k seams, when the first j dead PEs lie on them.
    let infinite = u64::MAX / 2;
    let mut cost = vec![vec![infinite; dead.len() + 1]; before.len() + 1];
    cost[0][0] = 0;
    for (k, &seam) in before.iter().enumerate() {
        for j in 0..=dead.len() {
            let stay = cost[k][j];
            let go = match j.checked_sub(1) {
                Some(last) => cost[k][last] + u64::from(seam.abs_diff(dead[last])),
                None => infinite,
            };
            cost[k + 1][j] = stay.min(go);
        }
    }
    let mut seams = before.to_vec();
    let mut left = dead.len();
    for k in (0..before.len()).rev() {
        if left > 0 && cost[k + 1][left] != cost[k][left] {
            left -= 1;
            seams[k] = dead[left];
        }
    }
    seams
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn does_a_seam_move_only_where_a_dead_pe_forces_it() {
        assert_eq!(moved(&[5], &[]), [5]);
        assert_eq!(moved(&[5], &[9]), [9]);
        assert_eq!(moved(&[5, 9], &[4]), [4, 9]);
        assert_eq!(moved(&[5, 9], &[8]), [5, 8]);
        assert_eq!(moved(&[4, 5], &[5]), [4, 5]);
        assert_eq!(moved(&[4, 9, 20], &[9, 11]), [9, 11, 20]);
        assert_eq!(moved(&[4, 9, 20], &[9, 16]), [4, 9, 16]);
    }
}
