//! The values of a model's tensors, read from mapped files tile by tile.

use std::collections::BTreeMap;
use std::ops::Range;
use std::path::Path;

use memmap2::Mmap;

use crate::elements::{append, first_non_finite, gather};
use crate::error::ModelError;
use crate::graph::{DecoderGraph, WeightFormat};
use crate::matching::{Found, check_shapes, extra_tensors, find_all, format_of};
use crate::shards::Shards;
use crate::tensors::{TensorRef, View};

/// The weights of one [`DecoderGraph`]. Every tensor that the graph names is known to be there with the graph's shape,
/// in an accepted format, and finite.
///
/// The files are memory-mapped, not copied: they must not be written to, truncated or replaced in place while this value
/// lives.
pub struct Weights {
    files: Vec<Mmap>,
    /// Tensors of the files that the graph uses, in the order of first use.
    stored: Vec<Data>,
    /// One for each tensor of the graph.
    tensors: Vec<Tensor>,
    notes: Vec<String>,
}

/// Where a tensor of the files lies, and what it is.
struct Data {
    /// The name that the graph knows it by.
    name: String,
    shape: Vec<usize>,
    file: usize,
    bytes: Range<usize>,
    format: WeightFormat,
}

/// Where the elements of one tensor of the graph lie.
struct Tensor {
    /// Index into the stored tensors.
    stored: usize,
    view: View,
    rows: usize,
    cols: usize,
    /// Of one dimension, which the view counts as rows and the user as columns.
    is_vector: bool,
}

impl Tensor {
    /// Index of an element of the stored tensor, flat.
    fn place(&self, row: usize, col: usize) -> usize {
        if self.is_vector { self.view.place(col, 0) } else { self.view.place(row, col) }
    }

    /// Whether the elements of a row follow one another.
    fn has_whole_rows(&self) -> bool {
        if self.is_vector {
            self.view.row_step == 1 && self.view.run == self.cols
        } else {
            self.view.column_step == 1
        }
    }
}

impl Weights {
    /// Maps the weights of `dir` and checks every tensor of `graph` against them, in one pass over their data; none where
    /// the directory holds no weights.
    ///
    /// # Errors
    /// Broken files; missing tensors and wrong shapes (all of them at once, before any data is read); formats other than
    /// F32, F16 and BF16; values that are NaN or infinite.
    pub(crate) fn open(dir: &Path, graph: &DecoderGraph) -> Result<Option<Weights>, ModelError> {
        let Some(shards) = Shards::open(dir)? else {
            return Ok(None);
        };
        let found = find_all(dir, graph, &shards)?;
        check_shapes(dir, &found)?;
        let mut places = BTreeMap::new();
        let mut used = Vec::new();
        let mut tensors = Vec::with_capacity(found.len());
        for (found, spec) in found.iter().zip(&graph.tensors) {
            let stored = *places.entry(found.name).or_insert_with(|| {
                used.push(found);
                used.len() - 1
            });
            let (rows, cols) = match spec.shape[..] {
                [rows, cols] => (rows, cols),
                _ => (1, spec.shape.iter().product()),
            };
            let is_vector = spec.shape.len() == 1;
            tensors.push(Tensor { stored, view: found.wanted.view, rows, cols, is_vector });
        }
        let mut stored = Vec::with_capacity(used.len());
        for &&Found { wanted, name, file, entry } in &used {
            let shard = &shards.files[file];
            let format = format_of(&shard.file, name, &entry.dtype)?;
            let bytes = entry.bytes.clone();
            let content = &shard.content[bytes.clone()];
            if let Some((flat, value)) = first_non_finite(content, format) {
                return Err(ModelError::NonFinite {
                    file: shard.file.clone(),
                    name: name.to_owned(),
                    index: index_of(flat, &entry.shape),
                    value,
                });
            }
            let (name, shape) = (wanted.name.clone(), wanted.shape.clone());
            stored.push(Data { name, shape, file, bytes, format });
        }
        let notes = extra_tensors(&used, &shards);
        let files = shards.files.into_iter().map(|shard| shard.content).collect();
        Ok(Some(Weights { files, stored, tensors, notes }))
    }

    /// Replaces `out` by the values of the rectangle `rows` × `cols` of `tensor`, row by row. A tensor of one dimension
    /// is a single row.
    ///
    /// # Panics
    /// Where the rectangle is not inside the tensor, or `tensor` belongs to another graph.
    pub fn tile(
        &self,
        tensor: TensorRef,
        rows: Range<usize>,
        cols: Range<usize>,
        out: &mut Vec<f32>,
    ) {
        let from = &self.tensors[tensor.0 as usize];
        assert!(
            rows.start <= rows.end
                && rows.end <= from.rows
                && cols.start <= cols.end
                && cols.end <= from.cols,
            "tile {rows:?} × {cols:?} is not inside a tensor of {} × {}",
            from.rows,
            from.cols
        );
        out.clear();
        let stored = &self.stored[from.stored];
        let (data, size) = (self.bytes(stored), stored.format.bytes());
        if from.has_whole_rows() {
            out.reserve(rows.len() * cols.len());
            for row in rows {
                let start = from.place(row, cols.start) * size;
                append(&data[start..start + cols.len() * size], stored.format, out);
            }
        } else {
            out.resize(rows.len() * cols.len(), 0.0);
            let place = |row, col| from.place(row, col);
            gather(data, stored.format, (rows, cols), place, out);
        }
    }

    /// All values of `tensor`, row by row.
    ///
    /// # Panics
    /// Where `tensor` belongs to another graph.
    pub fn vector(&self, tensor: TensorRef) -> Vec<f32> {
        let mut out = Vec::new();
        let Tensor { rows, cols, .. } = self.tensors[tensor.0 as usize];
        self.tile(tensor, 0..rows, 0..cols, &mut out);
        out
    }

    /// The number format in which `tensor` is stored.
    ///
    /// # Panics
    /// Where `tensor` belongs to another graph.
    pub fn format(&self, tensor: TensorRef) -> WeightFormat {
        self.stored[self.tensors[tensor.0 as usize].stored].format
    }

    /// Where an element of `tensor` lies in the checkpoint, for messages: the name of the stored tensor and the index of the
    /// element in it, outermost dimension first. The row of a vector is 0.
    ///
    /// # Panics
    /// Where `tensor` belongs to another graph.
    pub fn stored_place(&self, tensor: TensorRef, row: usize, col: usize) -> (&str, Vec<usize>) {
        let from = &self.tensors[tensor.0 as usize];
        let stored = &self.stored[from.stored];
        (&stored.name, index_of(from.place(row, col), &stored.shape))
    }

    /// Bytes of all tensors that the graph uses, as stored.
    pub fn stored_bytes(&self) -> u64 {
        self.stored.iter().map(|stored| stored.bytes.len() as u64).sum()
    }

    /// What a user may want to know although it is no error: tensors that the graph does not use.
    pub fn notes(&self) -> &[String] {
        &self.notes
    }

    /// Name, format and bytes (little-endian) of every stored tensor that the graph uses, in the order of first use.
    pub(crate) fn stored(&self) -> impl Iterator<Item = (&str, WeightFormat, &[u8])> {
        self.stored.iter().map(|stored| (stored.name.as_str(), stored.format, self.bytes(stored)))
    }

    fn bytes(&self, stored: &Data) -> &[u8] {
        &self.files[stored.file][stored.bytes.clone()]
    }
}

/// The index of element `flat` of a tensor of `shape`, outermost dimension first.
fn index_of(flat: usize, shape: &[usize]) -> Vec<usize> {
    let mut rest = flat;
    let mut index: Vec<usize> = shape
        .iter()
        .rev()
        .map(|&dimension| {
            let place = rest % dimension;
            rest /= dimension;
            place
        })
        .collect();
    index.reverse();
    index
}
