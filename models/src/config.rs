//! Typed, bounded access to the keys of a Hugging Face configuration file.

use std::ops::RangeInclusive;
use std::path::Path;

use serde_json::{Map, Value};

use crate::error::{ModelError, shown};

/// One JSON object of a configuration file. A key that is null counts as absent, as in Transformers; keys that nobody
/// asks for are ignored.
pub(crate) struct Config<'a> {
    file: &'a Path,
    /// Where the object stands in the file: empty, or `rope_parameters.` and the like.
    path: String,
    keys: &'a Map<String, Value>,
}

impl<'a> Config<'a> {
    /// The whole of `file`, whose parsed content is `keys`.
    pub(crate) fn new(file: &'a Path, keys: &'a Map<String, Value>) -> Self {
        Config { file, path: String::new(), keys }
    }

    /// The file that messages name.
    pub(crate) fn file(&self) -> &'a Path {
        self.file
    }

    /// Whether `key` is written in the file at all, even as null.
    pub(crate) fn has(&self, key: &str) -> bool {
        self.keys.contains_key(key)
    }

    /// The value of `key`, null and absent being the same.
    pub(crate) fn value(&self, key: &str) -> Option<&'a Value> {
        self.keys.get(key).filter(|value| !value.is_null())
    }

    /// A whole number that must be there.
    pub(crate) fn size(
        &self,
        key: &str,
        range: RangeInclusive<usize>,
    ) -> Result<usize, ModelError> {
        let want = whole_number(&range);
        self.optional_size(key, range)?.ok_or_else(|| ModelError::KeyMissing {
            file: self.file.to_path_buf(),
            key: self.name(key),
            want,
        })
    }

    /// A whole number, where there is one.
    pub(crate) fn optional_size(
        &self,
        key: &str,
        range: RangeInclusive<usize>,
    ) -> Result<Option<usize>, ModelError> {
        let Some(value) = self.value(key) else {
            return Ok(None);
        };
        let number = value.as_u64().and_then(|number| usize::try_from(number).ok());
        match number.filter(|number| range.contains(number)) {
            Some(number) => Ok(Some(number)),
            None => Err(self.wrong(key, value, whole_number(&range))),
        }
    }

    /// A finite number, where there is one, for which `accept` holds; `want` says in words what that is.
    pub(crate) fn number(
        &self,
        key: &str,
        want: &str,
        accept: fn(f64) -> bool,
    ) -> Result<Option<f64>, ModelError> {
        let Some(value) = self.value(key) else {
            return Ok(None);
        };
        match value.as_f64().filter(|number| number.is_finite() && accept(*number)) {
            Some(number) => Ok(Some(number)),
            None => Err(self.wrong(key, value, want.to_owned())),
        }
    }

    /// A number above zero, where there is one.
    pub(crate) fn positive(&self, key: &str) -> Result<Option<f64>, ModelError> {
        self.number(key, "a number above 0", |number| number > 0.0)
    }

    /// True or false; `default` where absent.
    pub(crate) fn flag(&self, key: &str, default: bool) -> Result<bool, ModelError> {
        let Some(value) = self.value(key) else {
            return Ok(default);
        };
        value.as_bool().ok_or_else(|| self.wrong(key, value, "true or false".to_owned()))
    }

    /// A string, where there is one.
    pub(crate) fn text(&self, key: &str) -> Result<Option<&'a str>, ModelError> {
        let Some(value) = self.value(key) else {
            return Ok(None);
        };
        value.as_str().map(Some).ok_or_else(|| self.wrong(key, value, "a string".to_owned()))
    }

    /// An object, where there is one.
    pub(crate) fn table(&self, key: &str) -> Result<Option<Config<'a>>, ModelError> {
        let Some(value) = self.value(key) else {
            return Ok(None);
        };
        let Some(keys) = value.as_object() else {
            return Err(self.wrong(key, value, "an object".to_owned()));
        };
        Ok(Some(Config { file: self.file, path: format!("{}.", self.name(key)), keys }))
    }

    /// Token ids written as one number, as a list, or not at all.
    pub(crate) fn token_ids(&self, key: &str) -> Result<Vec<u32>, ModelError> {
        let Some(value) = self.value(key) else {
            return Ok(Vec::new());
        };
        let id = |value: &Value| value.as_u64().and_then(|id| u32::try_from(id).ok());
        let ids = match value {
            Value::Array(list) => list.iter().map(id).collect::<Option<Vec<u32>>>(),
            single => id(single).map(|id| vec![id]),
        };
        ids.ok_or_else(|| {
            self.wrong(key, value, "a token id, a list of token ids, or null".to_owned())
        })
    }

    /// The error for a value that is understood but not supported.
    pub(crate) fn unsupported(&self, key: &str, found: &str, supported: &str) -> ModelError {
        ModelError::UnsupportedValue {
            file: self.file.to_path_buf(),
            key: self.name(key),
            found: shown(found),
            supported: supported.to_owned(),
        }
    }

    /// The error for keys that contradict each other.
    pub(crate) fn disagree(&self, problem: String) -> ModelError {
        ModelError::KeysDisagree { file: self.file.to_path_buf(), problem }
    }

    /// `key` with the object that it stands in.
    pub(crate) fn name(&self, key: &str) -> String {
        format!("{}{key}", self.path)
    }

    fn wrong(&self, key: &str, value: &Value, want: String) -> ModelError {
        ModelError::KeyValue {
            file: self.file.to_path_buf(),
            key: self.name(key),
            found: shown_value(value),
            want,
        }
    }
}

fn shown_value(value: &Value) -> String {
    match value {
        Value::String(text) => format!("\"{}\"", shown(text)),
        Value::Array(list) if list.len() > 8 => format!("a list of {} items", list.len()),
        other => shown(&other.to_string()),
    }
}

fn whole_number(range: &RangeInclusive<usize>) -> String {
    format!("a whole number from {} to {}", range.start(), range.end())
}
