//! The values of a model's tensors, read from mapped files tile by tile.

use std::collections::BTreeSet;
use std::ops::Range;
use std::path::{Path, PathBuf};

use half::{bf16, f16};
use memmap2::Mmap;

use crate::error::{MissingTensor, ModelError, ShapeMismatch, shown};
use crate::graph::{DecoderGraph, TensorRef, TensorSpec, WeightFormat};
use crate::header::StoredTensor;
use crate::shards::Shards;

/// Elements that are tested for NaN and infinity before the loop looks at the outcome.
const SCAN_BLOCK: usize = 1 << 14;
/// A name in the checkpoint is suggested for a missing one from this Jaro-Winkler similarity on.
const SIMILAR: f64 = 0.85;
/// For so many missing tensors a nearest name is looked for; it takes a pass over all names.
const SUGGESTED: usize = 8;

/// The weights of one [`DecoderGraph`]. Every tensor that the graph names is known to be there with the graph's shape,
/// in an accepted format, and finite.
///
/// The files are memory-mapped, not copied: they must not be written to, truncated or replaced in place while this value
/// lives.
pub struct Weights {
    files: Vec<Mmap>,
    tensors: Vec<Tensor>,
    notes: Vec<String>,
}

/// Where one tensor of the graph lies.
struct Tensor {
    file: usize,
    bytes: Range<usize>,
    format: WeightFormat,
    rows: usize,
    cols: usize,
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
        check_shapes(dir, graph, &found)?;
        let mut tensors = Vec::with_capacity(found.len());
        for (&Found { name, file, stored }, spec) in found.iter().zip(&graph.tensors) {
            let shard = &shards.files[file];
            let format = format_of(&shard.file, name, &stored.dtype)?;
            check_finite(&shard.file, name, spec, &shard.content[stored.bytes.clone()], format)?;
            let (rows, cols) = match spec.shape[..] {
                [rows, cols] => (rows, cols),
                _ => (1, spec.shape.iter().product()),
            };
            tensors.push(Tensor { file, bytes: stored.bytes.clone(), format, rows, cols });
        }
        let notes = extra_tensors(&found, &shards);
        Ok(Some(Weights {
            files: shards.files.into_iter().map(|shard| shard.content).collect(),
            tensors,
            notes,
        }))
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
        let stored = &self.tensors[tensor.0 as usize];
        assert!(
            rows.start <= rows.end
                && rows.end <= stored.rows
                && cols.start <= cols.end
                && cols.end <= stored.cols,
            "tile {rows:?} × {cols:?} is not inside a tensor of {} × {}",
            stored.rows,
            stored.cols
        );
        out.clear();
        out.reserve(rows.len() * cols.len());
        let size = stored.format.bytes();
        let data = self.bytes(tensor);
        for row in rows {
            let start = row * stored.cols;
            append(
                &data[(start + cols.start) * size..(start + cols.end) * size],
                stored.format,
                out,
            );
        }
    }

    /// All values of `tensor`, row by row.
    ///
    /// # Panics
    /// Where `tensor` belongs to another graph.
    pub fn vector(&self, tensor: TensorRef) -> Vec<f32> {
        let mut out = Vec::new();
        let stored = &self.tensors[tensor.0 as usize];
        self.tile(tensor, 0..stored.rows, 0..stored.cols, &mut out);
        out
    }

    /// The number format in which `tensor` is stored.
    ///
    /// # Panics
    /// Where `tensor` belongs to another graph.
    pub fn format(&self, tensor: TensorRef) -> WeightFormat {
        self.tensors[tensor.0 as usize].format
    }

    /// Bytes of all tensors of the graph, as stored.
    pub fn stored_bytes(&self) -> u64 {
        self.tensors.iter().map(|tensor| tensor.bytes.len() as u64).sum()
    }

    /// What a user may want to know although it is no error: tensors that the graph does not use.
    pub fn notes(&self) -> &[String] {
        &self.notes
    }

    /// The stored bytes of `tensor`, little-endian, row by row.
    pub(crate) fn bytes(&self, tensor: TensorRef) -> &[u8] {
        let stored = &self.tensors[tensor.0 as usize];
        &self.files[stored.file][stored.bytes.clone()]
    }
}

/// A tensor of the graph, found in the files.
struct Found<'a> {
    /// The name it has there.
    name: &'a str,
    file: usize,
    stored: &'a StoredTensor,
}

/// Finds every tensor of the graph, with or without the optional prefix of its name.
fn find_all<'a>(
    dir: &Path,
    graph: &DecoderGraph,
    shards: &'a Shards,
) -> Result<Vec<Found<'a>>, ModelError> {
    let mut found = Vec::with_capacity(graph.tensors.len());
    let mut missing = Vec::new();
    for spec in &graph.tensors {
        let bare = spec.name.strip_prefix(graph.optional_prefix);
        let entry = shards.tensors.get_key_value(&spec.name);
        match entry.or_else(|| shards.tensors.get_key_value(bare?)) {
            Some((name, (file, stored))) => found.push(Found { name, file: *file, stored }),
            None => missing.push(MissingTensor { name: spec.name.clone(), nearest: None }),
        }
    }
    if missing.is_empty() {
        return Ok(found);
    }
    let wanted: BTreeSet<&String> = graph.tensors.iter().map(|spec| &spec.name).collect();
    let spare: Vec<&String> = shards.tensors.keys().filter(|name| !wanted.contains(name)).collect();
    for tensor in missing.iter_mut().take(SUGGESTED) {
        tensor.nearest = nearest(&tensor.name, &spare);
    }
    Err(ModelError::TensorsMissing {
        dir: dir.to_path_buf(),
        architecture: graph.architecture,
        missing,
    })
}

/// The name most like `wanted`; the first in order among equals.
fn nearest(wanted: &str, names: &[&String]) -> Option<String> {
    let mut best: Option<(f64, &String)> = None;
    for &name in names {
        let likeness = strsim::jaro_winkler(wanted, name);
        if likeness >= SIMILAR && best.is_none_or(|(most, _)| likeness > most) {
            best = Some((likeness, name));
        }
    }
    best.map(|(_, name)| name.clone())
}

fn check_shapes(dir: &Path, graph: &DecoderGraph, found: &[Found<'_>]) -> Result<(), ModelError> {
    let mismatches: Vec<ShapeMismatch> = found
        .iter()
        .zip(&graph.tensors)
        .filter(|(found, spec)| found.stored.shape != spec.shape)
        .map(|(found, spec)| ShapeMismatch {
            name: found.name.to_owned(),
            found: found.stored.shape.clone(),
            wanted: spec.shape.clone(),
            keys: spec.keys,
        })
        .collect();
    if mismatches.is_empty() {
        Ok(())
    } else {
        Err(ModelError::TensorShapes { dir: dir.to_path_buf(), mismatches })
    }
}

fn format_of(file: &Path, name: &str, dtype: &str) -> Result<WeightFormat, ModelError> {
    match dtype {
        "F32" => Ok(WeightFormat::F32),
        "F16" => Ok(WeightFormat::F16),
        "BF16" => Ok(WeightFormat::Bf16),
        _ => Err(ModelError::TensorDtype {
            file: file.to_path_buf(),
            name: name.to_owned(),
            found: dtype.to_owned(),
        }),
    }
}

fn extra_tensors(found: &[Found<'_>], shards: &Shards) -> Vec<String> {
    let used: BTreeSet<&str> = found.iter().map(|found| found.name).collect();
    let extra: Vec<&String> =
        shards.tensors.keys().filter(|name| !used.contains(name.as_str())).collect();
    match extra.first() {
        Some(first) => vec![format!(
            "{} tensors of the checkpoint are not used by the architecture (the first is {})",
            extra.len(),
            shown(first)
        )],
        None => Vec::new(),
    }
}

/// Refuses NaN and infinity, which in all three formats are the values with all exponent bits set.
fn check_finite(
    file: &Path,
    name: &str,
    spec: &TensorSpec,
    data: &[u8],
    format: WeightFormat,
) -> Result<(), ModelError> {
    let first = match format {
        WeightFormat::F32 => first_with_all(data, 0x7f80_0000, u32::from_le_bytes),
        WeightFormat::F16 => {
            first_with_all(data, 0x7c00, |bytes| u32::from(u16::from_le_bytes(bytes)))
        }
        WeightFormat::Bf16 => {
            first_with_all(data, 0x7f80, |bytes| u32::from(u16::from_le_bytes(bytes)))
        }
    };
    let Some(flat) = first else { return Ok(()) };
    let size = format.bytes();
    let mut value = Vec::new();
    append(&data[flat * size..(flat + 1) * size], format, &mut value);
    let mut index = Vec::new();
    let mut rest = flat;
    for &dimension in spec.shape.iter().rev() {
        index.insert(0, rest % dimension);
        rest /= dimension;
    }
    Err(ModelError::NonFinite {
        file: PathBuf::from(file),
        name: name.to_owned(),
        index,
        value: value[0],
    })
}

/// Index of the first element whose bits contain all of `mask`. Blocks are tested without a branch per element.
fn first_with_all<const N: usize>(
    data: &[u8],
    mask: u32,
    bits: fn([u8; N]) -> u32,
) -> Option<usize> {
    let (elements, _) = data.as_chunks::<N>();
    let hit = |element: &[u8; N]| bits(*element) & mask == mask;
    let block = elements
        .chunks(SCAN_BLOCK)
        .position(|block| block.iter().fold(false, |any, e| any | hit(e)))?;
    let start = block * SCAN_BLOCK;
    elements[start..].iter().position(hit).map(|place| start + place)
}

/// Appends the values of little-endian `data` to `out`.
fn append(data: &[u8], format: WeightFormat, out: &mut Vec<f32>) {
    match format {
        WeightFormat::F32 => {
            out.extend(data.as_chunks().0.iter().map(|bytes| f32::from_le_bytes(*bytes)))
        }
        WeightFormat::F16 => {
            out.extend(data.as_chunks().0.iter().map(|bytes| f16::from_le_bytes(*bytes).to_f32()))
        }
        WeightFormat::Bf16 => {
            out.extend(data.as_chunks().0.iter().map(|bytes| bf16::from_le_bytes(*bytes).to_f32()))
        }
    }
}
