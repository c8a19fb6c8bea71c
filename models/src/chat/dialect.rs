//! What Transformers' templates may use beyond the template language itself.

use std::io;

use minijinja::syntax::SyntaxConfig;
use minijinja::value::Kwargs;
use minijinja::{Environment, Error, ErrorKind, Value};
use serde::Serialize as _;
use serde_json::ser::{Formatter, PrettyFormatter, Serializer};

use super::strftime::{Date, strftime};

/// What begins the detail of an error by which a template refuses its messages.
const REFUSAL: &str = "raise_exception: ";

/// Functions, filters, methods and treatment of white space as Transformers sets them up.
pub(super) fn environment(today: Date) -> Environment<'static> {
    let mut environment = Environment::new();
    let syntax = SyntaxConfig::builder().trim_blocks(true).lstrip_blocks(true).build();
    environment.set_syntax(syntax.expect("the delimiters are the usual ones"));
    environment.set_unknown_method_callback(minijinja_contrib::pycompat::unknown_method_callback);
    environment.add_function("raise_exception", |message: String| -> Result<Value, Error> {
        Err(Error::new(ErrorKind::InvalidOperation, format!("{REFUSAL}{message}")))
    });
    environment.add_function("strftime_now", move |format: String| strftime(today, &format));
    environment.add_filter("tojson", tojson);
    environment
}

/// Why a template does not take the messages, where it said so by `raise_exception`.
pub(super) fn refusal(error: &Error) -> Option<&str> {
    error.detail()?.strip_prefix(REFUSAL)
}

/// The template without `{% generation %}` and `{% endgeneration %}`, by which Transformers tells answers from the rest when
/// it trains; what stands between them stays. They are looked for in the text, so also where it quotes them.
pub(super) fn plain(source: &str) -> String {
    let mut plain = String::with_capacity(source.len());
    let mut rest = source;
    while let Some(at) = rest.find("{%") {
        let (before, tag) = rest.split_at(at);
        plain.push_str(before);
        let Some(end) = tag.find("%}") else {
            rest = tag;
            break;
        };
        let (tag, behind) = tag.split_at(end + 2);
        let is_mark = |c: char| c.is_whitespace() || matches!(c, '-' | '+');
        plain.push_str(&match tag[2..end].trim_matches(is_mark) {
            "generation" => tag.replacen("generation", "if true", 1),
            "endgeneration" => tag.replacen("endgeneration", "endif", 1),
            _ => tag.to_owned(),
        });
        rest = behind;
    }
    plain + rest
}

/// JSON as Python's `json.dumps` writes it, nothing escaped for HTML. Of what Transformers' filter can be told beside `indent`,
/// only what changes nothing there is taken.
fn tojson(value: Value, options: Kwargs) -> Result<Value, Error> {
    let indent: Option<usize> = options.get("indent")?;
    for other in ["ensure_ascii", "separators", "sort_keys"] {
        if options.get::<Option<Value>>(other)?.is_some_and(|value| value.is_true()) {
            let problem = format!("tojson: the option {other} is not understood");
            return Err(Error::new(ErrorKind::InvalidOperation, problem));
        }
    }
    options.assert_all_used()?;
    let mut bytes = Vec::new();
    let wrong = |error| Error::new(ErrorKind::BadSerialization, format!("tojson: {error}"));
    match indent {
        None => value.serialize(&mut Serializer::with_formatter(&mut bytes, Spaced)),
        Some(width) => {
            let indent = " ".repeat(width.min(64));
            let formatter = PrettyFormatter::with_indent(indent.as_bytes());
            value.serialize(&mut Serializer::with_formatter(&mut bytes, formatter))
        }
    }
    .map_err(wrong)?;
    let text = String::from_utf8(bytes).expect("JSON is UTF-8");
    Ok(Value::from_safe_string(text))
}

/// A space behind each comma and colon.
struct Spaced;

impl Formatter for Spaced {
    fn begin_array_value<W: ?Sized + io::Write>(
        &mut self,
        w: &mut W,
        first: bool,
    ) -> io::Result<()> {
        if first { Ok(()) } else { w.write_all(b", ") }
    }

    fn begin_object_key<W: ?Sized + io::Write>(
        &mut self,
        w: &mut W,
        first: bool,
    ) -> io::Result<()> {
        if first { Ok(()) } else { w.write_all(b", ") }
    }

    fn begin_object_value<W: ?Sized + io::Write>(&mut self, w: &mut W) -> io::Result<()> {
        w.write_all(b": ")
    }
}
