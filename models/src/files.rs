//! Reading text files of bounded size.

use std::fs;
use std::io::ErrorKind;
use std::path::Path;

use serde_json::{Map, Value};

use crate::error::ModelError;

/// Largest `config.json`, `generation_config.json` and shard index that is read, in bytes.
pub(crate) const JSON_LIMIT: u64 = 64 << 20;

/// Whether `file` is there and is a regular file (through symbolic links, as in the Hugging Face cache).
pub(crate) fn is_file(file: &Path) -> bool {
    fs::metadata(file).is_ok_and(|meta| meta.is_file())
}

/// The bytes of `file`, or `None` where there is no such file.
///
/// # Errors
/// Anything but a regular file (a directory, a pipe), more than `limit` bytes, or a failing read.
pub(crate) fn read_bounded(file: &Path, limit: u64) -> Result<Option<Vec<u8>>, ModelError> {
    let io = |source| ModelError::Io {
        file: file.to_path_buf(),
        source,
    };
    let meta = match fs::metadata(file) {
        Ok(meta) => meta,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(io(error)),
    };
    if !meta.is_file() {
        return Err(io(ErrorKind::InvalidInput.into()));
    }
    if meta.len() > limit {
        return Err(ModelError::FileTooLarge {
            file: file.to_path_buf(),
            bytes: meta.len(),
            limit,
        });
    }
    fs::read(file).map(Some).map_err(io)
}

/// Parses `bytes`, read from `file`, as one JSON object. Keys keep the order of the file.
pub(crate) fn parse_object(file: &Path, bytes: &[u8]) -> Result<Map<String, Value>, ModelError> {
    let problem = |problem: String| ModelError::Json {
        file: file.to_path_buf(),
        problem,
    };
    match serde_json::from_slice(bytes) {
        Ok(Value::Object(keys)) => Ok(keys),
        Ok(other) => Err(problem(format!(
            "it holds {} where an object belongs",
            kind(&other)
        ))),
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
