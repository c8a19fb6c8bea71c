//! Reading text files of bounded size.

use std::fs;
use std::io::{self, ErrorKind};
use std::path::Path;

use serde_json::{Map, Value};

use crate::error::ModelError;

/// Largest `config.json` and `generation_config.json` that is read, in bytes. Parsed JSON can take sixteen times the room
/// of its text, so the limits on text also bound memory.
pub(crate) const CONFIG_LIMIT: u64 = 4 << 20;

/// Whether there is an entry at `file`, be it only a symbolic link that leads nowhere.
pub(crate) fn exists(file: &Path) -> bool {
    fs::symlink_metadata(file).is_ok()
}

/// The size in bytes of `file`, through symbolic links, as in the Hugging Face cache.
///
/// # Errors
/// There is no such file, or it is not a regular one; opening a pipe, for one, would wait for a writer.
pub(crate) fn regular_file_size(file: &Path) -> io::Result<u64> {
    let meta = fs::metadata(file)?;
    if meta.is_file() {
        Ok(meta.len())
    } else {
        Err(io::Error::new(ErrorKind::InvalidInput, "it is not a regular file"))
    }
}

/// The bytes of `file`, or `None` where there is no such file.
///
/// # Errors
/// Anything but a regular file (a directory, a pipe), more than `limit` bytes, or a failing read.
pub(crate) fn read_bounded(file: &Path, limit: u64) -> Result<Option<Vec<u8>>, ModelError> {
    let io = |source| ModelError::Io { file: file.to_path_buf(), source };
    if !exists(file) {
        return Ok(None);
    }
    let bytes = regular_file_size(file).map_err(io)?;
    if bytes > limit {
        return Err(ModelError::FileTooLarge { file: file.to_path_buf(), bytes, limit });
    }
    fs::read(file).map(Some).map_err(io)
}

/// Parses `bytes`, read from `file`, as one JSON object. Keys keep the order of the file.
pub(crate) fn parse_object(file: &Path, bytes: &[u8]) -> Result<Map<String, Value>, ModelError> {
    let problem = |problem: String| ModelError::Json { file: file.to_path_buf(), problem };
    match serde_json::from_slice(bytes) {
        Ok(Value::Object(keys)) => Ok(keys),
        Ok(other) => Err(problem(format!("it holds {} where an object belongs", kind(&other)))),
        Err(error) => Err(problem(error.to_string())),
    }
}

/// What a JSON value is, in words.
pub(crate) fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "true or false",
        Value::Number(_) => "a number",
        Value::String(_) => "a string",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    }
}
