//! Putting another value into a RON text, with everything around it, comments included, as it was.

/// The text of a RON struct with `value` for its field `name`, which is added if it is not there. None where the text
/// is no struct.
pub(super) fn field(text: &str, name: &str, value: &str) -> Option<String> {
    let significant = significant(text);
    let mut depth = 0;
    let mut begin = None;
    // The last thing in the struct, behind which a new field would stand.
    let mut last = None;
    for (n, &(at, c)) in significant.iter().enumerate() {
        match c {
            '(' | '[' | '{' => depth += 1,
            ')' | ']' | '}' => depth -= 1,
            _ => {}
        }
        let ends = (depth == 1 && c == ',') || depth == 0;
        if let (Some(begin), true) = (begin, ends) {
            return Some(format!("{} {value}{}", &text[..begin], &text[at..]));
        }
        if depth == 0 {
            let (end, c) = last?;
            let comma = if matches!(c, ',' | '(') { "" } else { "," };
            let (before, behind) = (&text[..end], &text[end..at]);
            let line = if behind.ends_with('\n') { "" } else { "\n" };
            let tail = &text[at..];
            return Some(format!("{before}{comma}{behind}{line}    {name}: {value},\n{tail}"));
        }
        if depth == 1 && c == ':' && is_named(&significant[..n], name) {
            begin = Some(at + 1);
        }
        last = Some((at + c.len_utf8(), c));
    }
    None
}

/// Whether what was read ends with this name, alone.
fn is_named(read: &[(usize, char)], name: &str) -> bool {
    let is_word = |c: char| c.is_alphanumeric() || c == '_';
    let word: Vec<char> = read.iter().rev().map(|(_, c)| *c).take_while(|c| is_word(*c)).collect();
    word.into_iter().rev().eq(name.chars())
}

/// Characters outside comments and blanks, with their places; of a text in quotes, the quotes.
fn significant(text: &str) -> Vec<(usize, char)> {
    let mut found = Vec::new();
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        let at = text.len() - rest.len();
        let skipped = match c {
            _ if rest.starts_with("//") => rest.find('\n').unwrap_or(rest.len()),
            _ if rest.starts_with("/*") => comment(rest),
            '"' => {
                found.push((at, c));
                let length = quoted(rest);
                found.push((at + length - 1, c));
                length
            }
            _ => {
                if !c.is_whitespace() {
                    found.push((at, c));
                }
                c.len_utf8()
            }
        };
        rest = &rest[skipped..];
    }
    found
}

/// Length of a comment, which may hold others.
fn comment(rest: &str) -> usize {
    let (mut depth, mut at) = (0, 0);
    while at < rest.len() {
        let step = match &rest.as_bytes()[at..] {
            [b'/', b'*', ..] => {
                depth += 1;
                2
            }
            [b'*', b'/', ..] => {
                depth -= 1;
                2
            }
            _ => 1,
        };
        at += step;
        if depth == 0 {
            break;
        }
    }
    at
}

/// Length of a text in quotes, both of them included.
fn quoted(rest: &str) -> usize {
    let mut is_escaped = false;
    for (at, byte) in rest.bytes().enumerate().skip(1) {
        match byte {
            _ if is_escaped => is_escaped = false,
            b'\\' => is_escaped = true,
            b'"' => return at + 1,
            _ => {}
        }
    }
    rest.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn is_a_field_replaced_and_all_else_kept() {
        let text = "// expected: no\n(a: \"expected: (\", /* expected: */ b: [1, (2)],\n    expected: (x: [1], // gone\n y: 2), // kept\n)\n";
        let wanted = "// expected: no\n(a: \"expected: (\", /* expected: */ b: [1, (2)],\n    expected: NEW, // kept\n)\n";
        assert_eq!(field(text, "expected", "NEW").unwrap(), wanted);
        assert_eq!(field("(expected: 1)", "expected", "2").unwrap(), "(expected: 2)");
        let other = field("(unexpected: 1)", "expected", "2").unwrap();
        assert_eq!(other, "(unexpected: 1,\n    expected: 2,\n)");
    }

    #[test]
    fn is_a_field_added_where_there_is_none() {
        let added = |text| field(text, "e", "1").unwrap();
        assert_eq!(added("(\n    a: 2, // why\n)\n"), "(\n    a: 2, // why\n    e: 1,\n)\n");
        assert_eq!(added("(\n    a: 2 // why\n)\n"), "(\n    a: 2, // why\n    e: 1,\n)\n");
        assert_eq!(added("(a: \"\\\")\")"), "(a: \"\\\")\",\n    e: 1,\n)");
        assert_eq!(field("", "e", "1"), None);
    }
}
