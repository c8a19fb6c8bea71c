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

    /// Number of elements of all parts.
    pub(crate) fn total(self) -> u32 {
        self.n
    }

    /// The largest part.
    pub(crate) fn max(self) -> u32 {
        self.n.div_ceil(self.parts)
    }
}

#[cfg(test)]
mod tests {
    use super::Split;

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
