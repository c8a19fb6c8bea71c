//! The header of a safetensors file: which tensor lies where.
//!
//! Layout of a file: 8 bytes little-endian header length, the header as JSON, then the tensors' bytes without a gap, in
//! any order. The crate `safetensors` reads the same, but its errors do not say which tensor they are about, and it adds
//! hostile offsets without an overflow check; so the checks are made here, and a test compares the verdicts of the two.

use std::collections::BTreeMap;
use std::ops::Range;
use std::path::Path;

use serde_json::Value;

use crate::error::{ModelError, shown};
use crate::files::kind;

/// Bytes of the length field.
const LENGTH_FIELD: usize = 8;
/// Longest header accepted: a hundred thousand tensors need about 15 MB.
const HEADER_LIMIT: u64 = 24 << 20;

/// Where and how a tensor is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct StoredTensor {
    /// Number format as the header spells it.
    pub(crate) dtype: String,
    /// Outermost dimension first.
    pub(crate) shape: Vec<usize>,
    /// Place of the data in the file; inside it.
    pub(crate) bytes: Range<usize>,
}

/// Reads the header of `file`, whose whole content is `content`. On success the tensors' byte ranges cover the data
/// exactly once, and each has the length that its shape and (known) dtype call for.
///
/// # Errors
/// [`ModelError::Safetensors`] or [`ModelError::Truncated`], naming the tensor where there is one to blame.
pub(crate) fn read_header(
    file: &Path,
    content: &[u8],
) -> Result<BTreeMap<String, StoredTensor>, ModelError> {
    let problem = |problem: String| ModelError::Safetensors { file: file.to_path_buf(), problem };
    let (header, data_start) = header_bytes(content).map_err(problem)?;
    let entries = match serde_json::from_slice(header) {
        Ok(Value::Object(entries)) => entries,
        Ok(other) => {
            return Err(problem(format!("its header is {} instead of an object", kind(&other))));
        }
        Err(error) => return Err(problem(format!("its header is not valid JSON: {error}"))),
    };
    let mut tensors = BTreeMap::new();
    let mut promised = 0;
    for (name, entry) in entries.into_iter().filter(|(name, _)| name != "__metadata__") {
        let (tensor, end) = read_entry(&entry, data_start).map_err(|what| {
            problem(format!("its header entry for tensor {} {what}", shown(&name)))
        })?;
        promised = promised.max(end);
        tensors.insert(name, tensor);
    }
    let held = content.len() as u64 - data_start;
    if promised > held {
        return Err(ModelError::Truncated { file: file.to_path_buf(), promised, held });
    }
    check_cover(&tensors, data_start as usize, content.len()).map_err(problem)?;
    Ok(tensors)
}

/// The JSON bytes of the header and the offset at which the data begins.
fn header_bytes(content: &[u8]) -> Result<(&[u8], u64), String> {
    let Some((length, rest)) = content.split_first_chunk::<LENGTH_FIELD>() else {
        return Err(format!(
            "it has {} bytes, too few for the header length; the file is incomplete",
            content.len()
        ));
    };
    let length = u64::from_le_bytes(*length);
    if length > rest.len() as u64 {
        return Err(format!(
            "its header length says {length} bytes, but only {} follow in the file",
            rest.len()
        ));
    }
    if length > HEADER_LIMIT {
        return Err(format!("its header has {length} bytes; at most {HEADER_LIMIT} are read"));
    }
    Ok((&rest[..length as usize], LENGTH_FIELD as u64 + length))
}

/// The tensor of one entry, and the end of its data relative to the first data byte. The absolute byte range saturates;
/// it is only used once the end is known to lie within the file.
fn read_entry(entry: &Value, data_start: u64) -> Result<(StoredTensor, u64), String> {
    let numbers = |key: &str| -> Option<Vec<u64>> {
        entry.get(key)?.as_array()?.iter().map(Value::as_u64).collect()
    };
    let dtype = entry.get("dtype").and_then(Value::as_str).ok_or("has no dtype")?;
    let shape = numbers("shape").ok_or("has no shape that is a list of whole numbers")?;
    let offsets = numbers("data_offsets").ok_or("has no data_offsets that are whole numbers")?;
    let &[begin, end] = offsets.as_slice() else {
        return Err(format!("has data_offsets {offsets:?} instead of two"));
    };
    let length = end
        .checked_sub(begin)
        .ok_or_else(|| format!("has data_offsets [{begin}, {end}] that run backwards"))?;
    if let Some(bits) = element_bits(dtype) {
        let wanted = shape.iter().try_fold(bits, |size, &dimension| size.checked_mul(dimension));
        if wanted != length.checked_mul(8) || wanted.is_none() {
            return Err(format!(
                "does not agree with itself: dtype {dtype} and shape {} do not take the {length} bytes of its data_offsets",
                shown(&format!("{shape:?}"))
            ));
        }
    }
    let absolute =
        |offset: u64| usize::try_from(offset.saturating_add(data_start)).unwrap_or(usize::MAX);
    let shape = shape.into_iter().map(|size| usize::try_from(size).unwrap_or(usize::MAX)).collect();
    Ok((StoredTensor { dtype: shown(dtype), shape, bytes: absolute(begin)..absolute(end) }, end))
}

/// Bits per element of the dtypes that the format defines; none for a dtype that is not known.
fn element_bits(dtype: &str) -> Option<u64> {
    Some(match dtype {
        "F4" => 4,
        "F6_E2M3" | "F6_E3M2" => 6,
        "BOOL" | "U8" | "I8" | "F8_E4M3" | "F8_E5M2" | "F8_E8M0" | "F8_E4M3FNUZ"
        | "F8_E5M2FNUZ" => 8,
        "U16" | "I16" | "F16" | "BF16" => 16,
        "U32" | "I32" | "F32" => 32,
        "U64" | "I64" | "F64" | "C64" => 64,
        _ => return None,
    })
}

/// Checks that the tensors follow each other from `start` to `end` with no gap and no overlap.
fn check_cover(
    tensors: &BTreeMap<String, StoredTensor>,
    start: usize,
    end: usize,
) -> Result<(), String> {
    let mut order: Vec<(&String, &Range<usize>)> =
        tensors.iter().map(|(name, tensor)| (name, &tensor.bytes)).collect();
    order.sort_by_key(|(_, bytes)| (bytes.start, bytes.end));
    let mut covered = start;
    for (name, bytes) in order {
        if bytes.start != covered {
            let how = if bytes.start < covered {
                "overlaps another one"
            } else {
                "leaves a gap before it"
            };
            return Err(format!(
                "the data_offsets in its header are inconsistent: tensor {} {how}",
                shown(name)
            ));
        }
        covered = bytes.end;
    }
    if covered != end {
        return Err(format!(
            "{} bytes after the last tensor of its header belong to nothing",
            end - covered
        ));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(header: &str, data: usize) -> Vec<u8> {
        let mut bytes = (header.len() as u64).to_le_bytes().to_vec();
        bytes.extend_from_slice(header.as_bytes());
        bytes.resize(bytes.len() + data, 0);
        bytes
    }

    fn message(header: &str, data: usize) -> String {
        read_header(Path::new("m.safetensors"), &file(header, data)).unwrap_err().to_string()
    }

    #[test]
    fn are_inconsistent_headers_refused_with_the_tensor_named() {
        let one = |dtype: &str, shape: &str, offsets: &str| {
            format!(
                r#"{{"t": {{"dtype": "{dtype}", "shape": {shape}, "data_offsets": {offsets}}}}}"#
            )
        };
        for (header, data, words) in [
            (one("F32", "[2]", "[0, 4]"), 4, ["tensor t", "F32"]),
            (one("F32", "[1]", "[4, 0]"), 4, ["tensor t", "backwards"]),
            (one("F32", "[1]", "[4, 8]"), 8, ["tensor t", "gap"]),
            (one("F32", "[1]", "[0, 4]"), 8, ["4 bytes", "belong to nothing"]),
            (one("F32", "[1]", "[0, 4]"), 3, ["truncated", "holds 3"]),
            (one("F32", "[-1]", "[0, 4]"), 4, ["tensor t", "shape"]),
            (one("F32", "[1]", "[0]"), 4, ["tensor t", "data_offsets"]),
            (
                one("U8", "[18446744073709551615]", "[0, 18446744073709551615]"),
                4,
                ["tensor t", "18446744073709551615"],
            ),
            (
                one("X9", "[1]", "[0, 18446744073709551615]"),
                4,
                ["truncated", "18446744073709551615"],
            ),
            (one("U8", "[4294967296, 4294967296, 4294967296]", "[0, 0]"), 0, ["tensor t", "shape"]),
            (r#"{"t": 3}"#.to_owned(), 0, ["tensor t", "dtype"]),
            ("[]".to_owned(), 0, ["header", "a list"]),
            ("{".to_owned(), 0, ["header", "JSON"]),
        ] {
            let message = message(&header, data);
            assert!(words.iter().all(|word| message.contains(word)), "{header}: {message}");
        }
    }

    #[test]
    fn are_two_tensors_on_the_same_bytes_refused() {
        let both = r#"{"a": {"dtype": "U8", "shape": [4], "data_offsets": [0, 4]},
            "b": {"dtype": "U8", "shape": [4], "data_offsets": [2, 6]}}"#;
        assert!(message(both, 6).contains("tensor b overlaps"), "{}", message(both, 6));
    }

    #[test]
    fn is_a_file_shorter_than_its_length_field_refused() {
        let refused =
            |bytes: &[u8]| read_header(Path::new("m.safetensors"), bytes).unwrap_err().to_string();
        assert!(refused(&[]).contains("incomplete"));
        assert!(refused(&[0; 7]).contains("7 bytes"));
        assert!(refused(&u64::MAX.to_le_bytes()).contains("header length"));
    }
}
