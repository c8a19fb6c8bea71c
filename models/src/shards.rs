//! The weights files of a directory: one `model.safetensors`, or shards listed by an index.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::path::{Path, PathBuf};

use memmap2::Mmap;
use serde_json::Value;

use crate::error::ModelError;
use crate::files::{exists, kind, parse_object, read_bounded, regular_file_size};
use crate::header::{StoredTensor, read_header};

const SINGLE: &str = "model.safetensors";
const INDEX: &str = "model.safetensors.index.json";
/// Largest index that is read, in bytes: a hundred thousand tensors need about 10 MB.
const INDEX_LIMIT: u64 = 16 << 20;

/// One mapped weights file.
pub(crate) struct Shard {
    /// Its path.
    pub(crate) file: PathBuf,
    /// Its content.
    pub(crate) content: Mmap,
}

/// The weights files of a directory and what they hold.
pub(crate) struct Shards {
    /// The files, in the order of their names.
    pub(crate) files: Vec<Shard>,
    /// Every tensor, with the index of its file.
    pub(crate) tensors: BTreeMap<String, (usize, StoredTensor)>,
}

impl Shards {
    /// Maps the weights of `dir` and reads their headers; none where the directory holds no weights.
    ///
    /// # Errors
    /// An index that is broken or names files that are missing or outside of `dir`, and files that are not safetensors.
    pub(crate) fn open(dir: &Path) -> Result<Option<Shards>, ModelError> {
        let single = dir.join(SINGLE);
        let placement = if exists(&single) {
            Placement { files: BTreeSet::from([SINGLE.to_owned()]), file_of: BTreeMap::new() }
        } else {
            match Placement::read(dir)? {
                Some(placement) => placement,
                None => return Ok(None),
            }
        };
        let mut shards = Shards { files: Vec::new(), tensors: BTreeMap::new() };
        for name in &placement.files {
            let file = dir.join(name);
            let content =
                map(&file).map_err(|source| ModelError::Io { file: file.clone(), source })?;
            for (tensor, stored) in read_header(&file, &content)? {
                let preferred = placement.file_of.get(&tensor).is_none_or(|file| file == name);
                if preferred || !shards.tensors.contains_key(&tensor) {
                    shards.tensors.insert(tensor, (shards.files.len(), stored));
                }
            }
            shards.files.push(Shard { file, content });
        }
        Ok(Some(shards))
    }
}

/// What an index says: the files, and which tensor it expects in which.
struct Placement {
    files: BTreeSet<String>,
    file_of: BTreeMap<String, String>,
}

impl Placement {
    fn read(dir: &Path) -> Result<Option<Placement>, ModelError> {
        let index = dir.join(INDEX);
        let Some(bytes) = read_bounded(&index, INDEX_LIMIT)? else {
            return Ok(None);
        };
        let keys = parse_object(&index, &bytes)?;
        let problem = |problem: String| ModelError::Json { file: index.clone(), problem };
        let map = match keys.get("weight_map") {
            Some(Value::Object(map)) if !map.is_empty() => map,
            Some(Value::Object(_)) => {
                return Err(problem("weight_map is empty, so it names no shards".to_owned()));
            }
            Some(other) => {
                return Err(problem(format!("weight_map is {} instead of an object", kind(other))));
            }
            None => return Err(problem("weight_map is missing".to_owned())),
        };
        let mut placement = Placement { files: BTreeSet::new(), file_of: BTreeMap::new() };
        for (tensor, shard) in map {
            let Some(shard) = shard.as_str() else {
                return Err(problem(format!("weight_map gives {} for a file name", kind(shard))));
            };
            placement.files.insert(shard.to_owned());
            placement.file_of.insert(tensor.clone(), shard.to_owned());
        }
        for shard in &placement.files {
            if !is_plain_file_name(shard) {
                return Err(ModelError::ShardPath { index, shard: shard.clone() });
            }
            if !exists(&dir.join(shard)) {
                return Err(ModelError::ShardMissing { index, shard: shard.clone() });
            }
        }
        Ok(Some(placement))
    }
}

/// Whether `name` can only mean an entry of the directory it is looked up in, on any system.
fn is_plain_file_name(name: &str) -> bool {
    !matches!(name, "" | "." | "..")
        && !name.contains(|c: char| matches!(c, '/' | '\\' | ':') || c.is_control())
}

/// Maps `file` for reading.
#[allow(unsafe_code)]
fn map(file: &Path) -> std::io::Result<Mmap> {
    regular_file_size(file)?;
    let file = File::open(file)?;
    // SAFETY: the mapping is private and read-only, and Rust code gets shared byte slices of it only. What cannot be
    // ruled out from here is another process that writes to the file, or truncates it, during the run: then bytes change
    // under a shared slice, or a read past the new end kills the process with a bus error. The documentation of
    // `Weights` tells users not to replace a model's files while it runs; every program that maps weights asks the same.
    unsafe { Mmap::map(&file) }
}

#[cfg(test)]
mod tests {
    use super::is_plain_file_name;

    #[test]
    fn can_an_index_name_anything_outside_its_directory() {
        for outside in ["", ".", "..", "../x", "/etc/passwd", "a/b", "a\\b", "C:x", "a\0b"] {
            assert!(!is_plain_file_name(outside), "{outside:?}");
        }
        assert!(is_plain_file_name("model-00001-of-00002.safetensors"));
        assert!(is_plain_file_name("..weights"));
    }
}
