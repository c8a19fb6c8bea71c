//! Names by number, and what a mistyped name may have been meant to be.

/// Whether the name is that of a color or a register by number.
pub fn is_reserved(name: &str) -> bool {
    numbered(name, 'c').or(numbered(name, 'r')).is_some()
}

/// The number behind a letter, as in `r12`.
pub(super) fn numbered(name: &str, letter: char) -> Option<u8> {
    let digits = name.strip_prefix(letter)?;
    let plain = digits == "0" || !digits.starts_with(['0', '+']);
    plain.then(|| digits.parse().ok()).flatten()
}

/// Longest name that is compared, in bytes; comparing takes the product of the lengths.
const LONGEST: usize = 64;

/// The known name that is closest to a mistyped one, if any is within two letters of it.
pub fn nearest<'a>(name: &str, known: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    if name.len() > LONGEST {
        return None;
    }
    let known = known.filter(|k| k.len() <= LONGEST);
    let distances = known.map(|k| (strsim::damerau_levenshtein(name, k), k));
    distances.min().filter(|(distance, k)| *distance <= 2.min(k.len() / 2)).map(|(_, k)| k)
}
