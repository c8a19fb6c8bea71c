//! Typed, bounded access to the keys of a Hugging Face configuration file.

use std::ops::RangeInclusive;
use std::path::Path;

use serde_json::{Map, Value};

use crate::error::{ModelError, shown};

/// Key of the end-of-sequence ids.
const EOS_KEY: &str = "eos_token_id";

/// One JSON object of a configuration file. A key that is null counts as absent, as in Transformers, unless a method says
/// otherwise; keys that nobody asks for are ignored.
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
    fn has(&self, key: &str) -> bool {
        self.keys.contains_key(key)
    }

    /// Whether the object has no keys.
    pub(crate) fn is_empty(&self) -> bool {
        self.keys.is_empty()
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

    /// A whole number whose absence means `default`, while an explicit null means that there is none.
    pub(crate) fn nullable_size(
        &self,
        key: &str,
        range: RangeInclusive<usize>,
        default: Option<usize>,
    ) -> Result<Option<usize>, ModelError> {
        if self.has(key) { self.optional_size(key, range) } else { Ok(default) }
    }

    /// A number above zero whose absence means `default`, while an explicit null means that there is none.
    pub(crate) fn nullable_positive(
        &self,
        key: &str,
        default: Option<f64>,
    ) -> Result<Option<f64>, ModelError> {
        if self.has(key) { self.positive(key) } else { Ok(default) }
    }

    /// The first of `keys` that the file states, else the first: for keys that are spelled in several ways.
    pub(crate) fn spelling<'k>(&self, keys: [&'k str; 2]) -> &'k str {
        keys.into_iter().find(|key| self.value(key).is_some()).unwrap_or(keys[0])
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

    /// A list of strings, where there is one.
    pub(crate) fn texts(&self, key: &str) -> Result<Option<Vec<&'a str>>, ModelError> {
        self.list(key, "a list of strings", Value::as_str)
    }

    /// Strings, written as one or as a list; none is empty, and absent means none.
    pub(crate) fn text_or_texts(&self, key: &str) -> Result<Vec<String>, ModelError> {
        let Some(value) = self.value(key) else {
            return Ok(Vec::new());
        };
        let items = value.as_array().map_or(std::slice::from_ref(value), Vec::as_slice);
        let text = |item: &Value| item.as_str().filter(|t| !t.is_empty()).map(str::to_owned);
        let want = "a string, or a list of strings, none of them empty";
        let texts = items.iter().map(text).collect::<Option<Vec<String>>>();
        texts.ok_or_else(|| self.wrong(key, value, want.to_owned()))
    }

    /// A list of whole numbers, where there is one.
    pub(crate) fn sizes(&self, key: &str) -> Result<Option<Vec<usize>>, ModelError> {
        let size = |value: &Value| value.as_u64().and_then(|number| usize::try_from(number).ok());
        self.list(key, "a list of whole numbers", size)
    }

    fn list<T>(
        &self,
        key: &str,
        want: &str,
        item: impl Fn(&'a Value) -> Option<T>,
    ) -> Result<Option<Vec<T>>, ModelError> {
        let Some(value) = self.value(key) else {
            return Ok(None);
        };
        let items = value.as_array().and_then(|list| list.iter().map(item).collect());
        items.map(Some).ok_or_else(|| self.wrong(key, value, want.to_owned()))
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

    /// The end-of-sequence ids, ascending: those of `eos_token_id`, written as one number, as a list, or as null for
    /// none; `default` where the key is absent.
    pub(crate) fn eos_ids(&self, default: Option<u32>) -> Result<Vec<u32>, ModelError> {
        if !self.has(EOS_KEY) {
            return Ok(default.into_iter().collect());
        }
        let Some(value) = self.value(EOS_KEY) else {
            return Ok(Vec::new());
        };
        let id = |value: &Value| value.as_u64().and_then(|id| u32::try_from(id).ok());
        let ids = match value {
            Value::Array(list) => list.iter().map(id).collect::<Option<Vec<u32>>>(),
            single => id(single).map(|id| vec![id]),
        };
        let want = "a token id, a list of token ids, or null";
        let mut ids = ids.ok_or_else(|| self.wrong(EOS_KEY, value, want.to_owned()))?;
        ids.sort_unstable();
        ids.dedup();
        Ok(ids)
    }

    /// Whether the file says which tokens end a sequence, be it none.
    pub(crate) fn states_eos_ids(&self) -> bool {
        self.has(EOS_KEY)
    }

    /// Refuses an object that states one of `keys`, for `supported` is all that is.
    pub(crate) fn refuse_keys(&self, keys: &[&str], supported: &str) -> Result<(), ModelError> {
        match keys.iter().find(|key| self.has(key)) {
            Some(key) => Err(self.unsupported(key, "{…}", supported)),
            None => Ok(()),
        }
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
