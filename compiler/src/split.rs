//! Dealing `n` elements over `parts` parts as evenly as possible.

/// A balanced division: the first `n % parts` parts have one element more than the rest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Split {
    n: u32,
    parts: u32,
}

impl Split {
    /// `n` elements over `parts` parts, of which there is at least one.
    pub(crate) fn new(n: u32, parts: u32) -> Split {
        assert!(parts > 0, "nothing can be dealt over no parts");
        Split { n, parts }
    }

    /// Index of the first element of a part.
    pub(crate) fn start(self, part: u32) -> u32 {
        part * (self.n / self.parts) + part.min(self.n % self.parts)
    }

    /// Number of elements of a part.
    pub(crate) fn len(self, part: u32) -> u32 {
        self.n / self.parts + u32::from(part < self.n % self.parts)
    }

    /// Index after the last element of a part.
    pub(crate) fn end(self, part: u32) -> u32 {
        self.start(part) + self.len(part)
    }

    /// The part that has an element.
    fn part_of(self, element: u32) -> u32 {
        let (least, longer) = (self.n / self.parts, self.n % self.parts);
        let in_longer = longer * (least + 1);
        match element.checked_sub(in_longer) {
            None => element / (least + 1),
            Some(behind) => longer + behind / least,
        }
    }

    /// Number of elements of all parts.
    pub(crate) fn total(self) -> u32 {
        self.n
    }

    /// The largest part.
    pub(crate) fn max(self) -> u32 {
        self.n.div_ceil(self.parts)
    }
}

/// What a row has of things that are dealt over rows whole as far as possible: with at least as many rows as things, each has a
/// block of rows that share it; with fewer, a row has several.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Dealt {
    /// First thing of the row.
    pub(crate) first: u32,
    /// Number of its things, at least one.
    pub(crate) count: u32,
    /// The row's place among those that share its thing.
    pub(crate) part: u32,
    /// Number of those rows.
    pub(crate) parts: u32,
}

/// What row `row` of `rows` has of `things` things; there is at least one of both.
pub(crate) fn deal(things: u32, rows: u32, row: u32) -> Dealt {
    if rows < things {
        let over_rows = Split::new(things, rows);
        let (first, count) = (over_rows.start(row), over_rows.len(row));
        return Dealt { first, count, part: 0, parts: 1 };
    }
    let blocks = Split::new(rows, things);
    let first = blocks.part_of(row);
    Dealt { first, count: 1, part: row - blocks.start(first), parts: blocks.len(first) }
}

#[cfg(test)]
mod tests {
    use super::{Split, deal};

    #[test]
    fn does_every_thing_have_a_row_or_a_block_of_rows() {
        for things in 1..12 {
            for rows in 1..30 {
                let (mut whole, mut shared) = (Vec::new(), Vec::new());
                for row in (0..rows).map(|row| deal(things, rows, row)) {
                    assert!(row.count == 1 || row.parts == 1);
                    shared.extend((row.parts > 1).then_some((row.first, row.part)));
                    whole.extend((row.first..row.first + row.count).filter(|_| row.part == 0));
                    if row.part + 1 < row.parts {
                        continue;
                    }
                    // The last row of a block: all of its parts came, in order.
                    let block: Vec<u32> = std::mem::take(&mut shared).iter().map(|s| s.1).collect();
                    assert!(row.parts == 1 || block.into_iter().eq(0..row.parts));
                }
                assert!(shared.is_empty() && whole.into_iter().eq(0..things));
            }
        }
    }

    #[test]
    fn parts_cover_everything_once_and_differ_by_one_at_most() {
        for n in 0..40 {
            for parts in 1..15 {
                let split = Split::new(n, parts);
                let mut next = 0;
                for p in 0..parts {
                    assert_eq!(split.start(p), next);
                    next = split.end(p);
                    assert!(split.len(p) <= split.max() && split.len(p) + 1 >= split.max());
                }
                assert_eq!(next, n);
            }
        }
    }
}
