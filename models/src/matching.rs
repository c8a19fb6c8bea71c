//! Which tensors of the files are those of the graph, and whether they are what it takes them for.

use std::collections::BTreeSet;
use std::path::Path;

use crate::error::{MissingTensor, ModelError, ShapeMismatch, shown};
use crate::graph::{DecoderGraph, WeightFormat};
use crate::header::StoredTensor;
use crate::shards::Shards;
use crate::tensors::Stored;

/// A name in the checkpoint is suggested for a missing one from this Jaro-Winkler similarity on.
const SIMILAR: f64 = 0.85;
/// For so many missing tensors a nearest name is looked for; it takes a pass over all names.
const SUGGESTED: usize = 24;

/// A tensor of the graph, found in the files.
pub(crate) struct Found<'a> {
    /// The way of storing it that was found.
    pub(crate) wanted: &'a Stored,
    /// The name it has there.
    pub(crate) name: &'a str,
    /// Index of its file.
    pub(crate) file: usize,
    /// What the file's header says of it.
    pub(crate) entry: &'a StoredTensor,
}

/// Finds every tensor of the graph, in one of the ways in which it may be stored, with or without the optional prefix of
/// its name.
pub(crate) fn find_all<'a>(
    dir: &Path,
    graph: &'a DecoderGraph,
    shards: &'a Shards,
) -> Result<Vec<Found<'a>>, ModelError> {
    let look = |wanted: &'a Stored| {
        let bare = wanted.name.strip_prefix(graph.optional_prefix);
        let entry = shards.tensors.get_key_value(&wanted.name);
        let (name, (file, entry)) = entry.or_else(|| shards.tensors.get_key_value(bare?))?;
        Some(Found { wanted, name, file: *file, entry })
    };
    let mut found = Vec::with_capacity(graph.tensors.len());
    let (mut missing, mut missing_names) = (Vec::new(), BTreeSet::new());
    for spec in &graph.tensors {
        match spec.stored.iter().find_map(look) {
            Some(tensor) => found.push(tensor),
            None if missing_names.insert(spec.name()) => {
                missing.push(MissingTensor { name: spec.name().to_owned(), nearest: None });
            }
            None => {}
        }
    }
    if missing.is_empty() {
        return Ok(found);
    }
    let wanted: BTreeSet<&str> = graph.tensors.iter().map(|spec| spec.name()).collect();
    let is_spare = |name: &&String| !wanted.contains(name.as_str());
    let spare: Vec<&String> = shards.tensors.keys().filter(is_spare).collect();
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

/// Refuses tensors whose shape is not the graph's, all at once.
pub(crate) fn check_shapes(dir: &Path, found: &[Found<'_>]) -> Result<(), ModelError> {
    let mut named = BTreeSet::new();
    let mismatches: Vec<ShapeMismatch> = found
        .iter()
        .filter(|found| found.entry.shape != found.wanted.shape && named.insert(found.name))
        .map(|found| ShapeMismatch {
            name: found.name.to_owned(),
            found: found.entry.shape.clone(),
            wanted: found.wanted.shape.clone(),
            keys: found.wanted.keys,
        })
        .collect();
    if mismatches.is_empty() {
        Ok(())
    } else {
        Err(ModelError::TensorShapes { dir: dir.to_path_buf(), mismatches })
    }
}

/// The number format that a header calls `dtype`.
pub(crate) fn format_of(file: &Path, name: &str, dtype: &str) -> Result<WeightFormat, ModelError> {
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

/// A note on the tensors that are in the files and not `used`, where there are any.
pub(crate) fn extra_tensors(used: &[&Found<'_>], shards: &Shards) -> Vec<String> {
    let used: BTreeSet<&str> = used.iter().map(|found| found.name).collect();
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
