//! The tensors of a graph: what its users see of each, and where a checkpoint keeps the elements.
//!
//! A graph knows vectors and matrices `[out, in]`, nothing else. Checkpoints also keep matrices transposed, several of
//! them side by side in one tensor, or one for each expert stacked in a third dimension. All of that is a [`View`]: four
//! steps that lead from row and column to an element of the stored tensor. Only the reader of the weights follows it.

/// Names a tensor of one graph: an index into its `tensors`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TensorRef(pub u32);

/// A tensor as the graph sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TensorSpec {
    /// Outermost dimension first; one or two dimensions. Matrices of linear layers are `[out, in]`.
    pub shape: Vec<usize>,
    /// Where its elements may be stored, the usual way first; the first one that a checkpoint holds counts. Never empty.
    pub stored: Vec<Stored>,
}

impl TensorSpec {
    /// The name under which checkpoints usually store the elements; tensors that are stored together share it.
    pub fn name(&self) -> &str {
        &self.stored[0].name
    }
}

/// A tensor of a checkpoint, and which of its elements are meant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stored {
    /// Name in the checkpoint.
    pub name: String,
    /// Shape in the checkpoint, outermost dimension first.
    pub shape: Vec<usize>,
    /// The configuration keys that the dimensions come from, for messages.
    pub keys: &'static str,
    /// The elements.
    pub view: View,
}

impl Stored {
    /// All of a tensor of one or two dimensions, as it is.
    pub(crate) fn whole(name: String, shape: &[usize], keys: &'static str) -> Stored {
        let columns = shape.get(1).copied().unwrap_or(1);
        Stored { name, shape: shape.to_vec(), keys, view: View::rows(0, shape[0], columns) }
    }
}

/// Which elements of a stored tensor make up a tensor of the graph. Steps count elements of the stored tensor, whose last
/// dimension is contiguous. Rows come in runs of `run`, which lie `run_step` apart. A vector is a matrix of one column.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct View {
    /// Where element `[0, 0]` lies.
    pub start: usize,
    /// Rows in a run; at least 1.
    pub run: usize,
    /// From the first row of a run to that of the next.
    pub run_step: usize,
    /// From a row to the next of its run.
    pub row_step: usize,
    /// From a column to the next.
    pub column_step: usize,
}

impl View {
    /// `rows` whole rows of a matrix with `columns` columns, from element `start` on.
    pub(crate) fn rows(start: usize, rows: usize, columns: usize) -> View {
        View { start, run: rows, run_step: 0, row_step: columns, column_step: 1 }
    }

    /// `rows` columns of a matrix with `columns` columns, from element `start` on, `apart` elements from one to the next.
    pub(crate) fn transposed(start: usize, rows: usize, apart: usize, columns: usize) -> View {
        View { start, run: rows, run_step: 0, row_step: apart, column_step: columns }
    }

    /// Where element `[row, column]` lies.
    pub(crate) fn place(self, row: usize, column: usize) -> usize {
        let (run, within) = (row / self.run, row % self.run);
        self.start + run * self.run_step + within * self.row_step + column * self.column_step
    }
}

/// `y = W x + b`, with `W` of shape `[out, in]` (row-major) and `b` of shape `[out]`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LinearRef {
    /// Shape `[out_features, in_features]`.
    pub weight: TensorRef,
    /// Shape `[out_features]`.
    pub bias: Option<TensorRef>,
    /// Length of `y`.
    pub out_features: usize,
    /// Length of `x`.
    pub in_features: usize,
}

/// The tensors of a graph under construction.
#[derive(Default)]
pub(crate) struct TensorList(pub(crate) Vec<TensorSpec>);

impl TensorList {
    /// Adds a tensor that is stored as it is; `keys` names the configuration keys behind its dimensions.
    pub(crate) fn add(&mut self, name: String, shape: &[usize], keys: &'static str) -> TensorRef {
        self.add_stored(shape, vec![Stored::whole(name, shape, keys)])
    }

    /// Adds a tensor with the ways in which it may be stored.
    pub(crate) fn add_stored(&mut self, shape: &[usize], stored: Vec<Stored>) -> TensorRef {
        let index = u32::try_from(self.0.len())
            .expect("layers and experts are bounded far below 2^32 tensors");
        self.0.push(TensorSpec { shape: shape.to_vec(), stored });
        TensorRef(index)
    }

    /// Adds the weight `{name}.weight` of shape `[out, in]` and, where there is one, the bias `{name}.bias`.
    pub(crate) fn add_linear(
        &mut self,
        name: &str,
        (out_features, in_features): (usize, usize),
        has_bias: bool,
        keys: &'static str,
    ) -> LinearRef {
        let weight = self.add(format!("{name}.weight"), &[out_features, in_features], keys);
        let bias = has_bias.then(|| self.add(format!("{name}.bias"), &[out_features], keys));
        LinearRef { weight, bias, out_features, in_features }
    }

    /// Adds a linear layer whose weight and bias are stored in the ways given.
    pub(crate) fn add_linear_stored(
        &mut self,
        (out_features, in_features): (usize, usize),
        weight: Vec<Stored>,
        bias: Option<Vec<Stored>>,
    ) -> LinearRef {
        let weight = self.add_stored(&[out_features, in_features], weight);
        let bias = bias.map(|stored| self.add_stored(&[out_features], stored));
        LinearRef { weight, bias, out_features, in_features }
    }
}

#[cfg(test)]
mod tests {
    use super::View;

    /// The stored indices of a view with `rows` × `columns`, row by row.
    fn places(view: View, rows: usize, columns: usize) -> Vec<usize> {
        (0..rows).flat_map(|r| (0..columns).map(move |c| view.place(r, c))).collect()
    }

    #[test]
    fn does_a_view_follow_rows_columns_and_runs() {
        assert_eq!(places(View::rows(6, 2, 3), 2, 3), [6, 7, 8, 9, 10, 11]);
        assert_eq!(places(View::transposed(1, 2, 1, 4), 2, 3), [1, 5, 9, 2, 6, 10]);
        assert_eq!(places(View::transposed(1, 2, 2, 4), 2, 2), [1, 5, 3, 7]);
        // Runs of two rows out of each six, as in a fused projection that is stored head by head.
        let runs = View { start: 4, run: 2, run_step: 12, row_step: 2, column_step: 1 };
        assert_eq!(places(runs, 4, 2), [4, 5, 6, 7, 16, 17, 18, 19]);
        let bias = View { start: 2, run: 2, run_step: 6, row_step: 1, column_step: 1 };
        assert_eq!(places(bias, 4, 1), [2, 3, 8, 9]);
    }
}
