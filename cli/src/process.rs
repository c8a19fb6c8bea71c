//! What the system knows of this process.

/// The most memory that the process has had, where the system says (Linux).
pub(crate) fn peak_rss_bytes() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kib * 1_024)
}

/// The command as a shell would take it again. What is not UTF-8 is shown as nearly as text can.
pub(crate) fn command_line() -> String {
    let words = std::env::args_os().enumerate().map(|(at, word)| {
        let word = word.to_string_lossy();
        match std::path::Path::new(&*word).file_name().filter(|_| at == 0) {
            Some(name) => quoted(&name.to_string_lossy()),
            None => quoted(&word),
        }
    });
    words.collect::<Vec<_>>().join(" ")
}

/// A word, in quotes if a shell would make something else of it.
fn quoted(word: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "-_=./,:+@%".contains(c);
    if !word.is_empty() && word.chars().all(is_plain) {
        return word.to_string();
    }
    format!("'{}'", word.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use super::quoted;

    #[test]
    fn does_a_shell_take_back_what_was_quoted() {
        assert_eq!(quoted("mapping.stage_width=16"), "mapping.stage_width=16");
        assert_eq!(quoted("def add("), "'def add('");
        assert_eq!(quoted("it's"), r"'it'\''s'");
        assert_eq!(quoted(""), "''");
    }
}
