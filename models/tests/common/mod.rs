//! Reading oracle cases: the folders under `examples` that hold a model, a request and the answer of Transformers.
#![allow(dead_code, reason = "each test file uses its share")]

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use safetensors::SafeTensors;
use safetensors::tensor::TensorView;
use serde_json::Value;

/// A folder under `examples`.
pub(crate) fn examples(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples").join(path)
}

/// A folder of a family's case among the tests' own data: a model, a request and the answer of Transformers.
pub(crate) fn family(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/oracle").join(name)
}

/// The subfolders of `dir` that hold a case.json, in the order of their names.
pub(crate) fn case_folders(dir: &Path) -> Vec<PathBuf> {
    let mut folders: Vec<PathBuf> = fs::read_dir(dir)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|folder| folder.join("case.json").is_file())
        .collect();
    folders.sort();
    folders
}

pub(crate) fn json(file: &Path) -> Value {
    serde_json::from_slice(&fs::read(file).unwrap()).unwrap()
}

/// A list of token ids.
pub(crate) fn ids(value: &Value) -> Vec<u32> {
    value.as_array().unwrap().iter().map(|id| id.as_u64().unwrap() as u32).collect()
}

/// The rows of a two-dimensional little-endian float32 .npy file in C order.
pub(crate) fn npy_rows(file: &Path) -> Vec<Vec<f32>> {
    let bytes = fs::read(file).unwrap();
    assert!(
        bytes.starts_with(b"\x93NUMPY\x01\x00"),
        "{} is not a version 1.0 .npy",
        file.display()
    );
    let data_start = 10 + usize::from(u16::from_le_bytes([bytes[8], bytes[9]]));
    let header = std::str::from_utf8(&bytes[10..data_start]).unwrap();
    assert!(header.contains("'<f4'") && header.contains("'fortran_order': False"), "{header}");
    let shape = header.split_once("'shape': (").unwrap().1.split_once(')').unwrap().0;
    let shape: Vec<usize> = shape.split(',').map(|size| size.trim().parse().unwrap()).collect();
    let values: Vec<f32> = bytes[data_start..]
        .chunks_exact(4)
        .map(|value| f32::from_le_bytes(value.try_into().unwrap()))
        .collect();
    assert_eq!(values.len(), shape[0] * shape[1]);
    values.chunks_exact(shape[1]).map(<[f32]>::to_vec).collect()
}

/// Copies the files of `from` into a fresh temporary directory.
pub(crate) fn copy_of(from: &Path) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let file = entry.unwrap().path();
        fs::copy(&file, dir.path().join(file.file_name().unwrap())).unwrap();
    }
    dir
}

/// Changes keys of `dir/config.json`; null removes one.
pub(crate) fn edit_config(dir: &Path, changes: &Value) {
    let file = dir.join("config.json");
    let mut config = json(&file);
    for (key, value) in changes.as_object().unwrap() {
        match value {
            Value::Null => drop(config.as_object_mut().unwrap().remove(key)),
            value => config[key] = value.clone(),
        }
    }
    fs::write(file, config.to_string()).unwrap();
}

/// Writes `dir/model.safetensors` anew with the tensors that `rename` keeps, under the names it gives.
pub(crate) fn rename_tensors(dir: &Path, rename: impl Fn(&str) -> Option<String>) {
    let file = dir.join("model.safetensors");
    let bytes = fs::read(&file).unwrap();
    let tensors: BTreeMap<String, TensorView<'_>> = SafeTensors::deserialize(&bytes)
        .unwrap()
        .tensors()
        .into_iter()
        .filter_map(|(name, view)| Some((rename(&name)?, view)))
        .collect();
    fs::write(file, safetensors::serialize(tensors, None).unwrap()).unwrap();
}
