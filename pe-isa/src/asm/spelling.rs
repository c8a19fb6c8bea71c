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

/// The known name that is closest to a mistyped one, if any is: within two letters, in long names a third
/// of them. Upper and lower case are the same.
pub fn nearest<'a>(name: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    if name.len() > LONGEST {
        return None;
    }
    let name = name.to_lowercase();
    let known = known.into_iter().filter(|k| k.len() <= LONGEST);
    let distances = known.map(|k| (strsim::damerau_levenshtein(&name, &k.to_lowercase()), k));
    let near = |(distance, k): &(usize, &str)| *distance <= 2.min(k.len() / 2).max(k.len() / 3);
    distances.min().filter(near).map(|(_, k)| k)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn is_the_nearest_name_found_and_a_far_one_not() {
        let near = |name| nearest(name, ["P", "color", "gemv", "microthreads"]);
        assert_eq!(near("p"), Some("P"));
        assert_eq!(near("colour"), Some("color"));
        assert_eq!(near("vmeg"), None);
        assert_eq!(near("threads"), None);
        assert_eq!(near("mikrothreds"), Some("microthreads"));
        assert_eq!(near(&"x".repeat(65)), None);
    }
}
