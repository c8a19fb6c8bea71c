//! Parameters of a text, and the values that were given for them.

use super::{Elaborator, Step};
use pe_isa::asm::cursor::Name;
use pe_isa::asm::spelling::nearest;
use pe_isa::asm::{Diagnostic, Expr, Span, Value};

/// A value given from outside for a parameter.
pub(super) struct Override {
    name: String,
    value: Value,
    /// Where the text declares the parameter, once it has been read.
    declared: Option<Span>,
}

impl Override {
    pub(super) fn new((name, value): &(String, Value)) -> Override {
        Override { name: name.clone(), value: *value, declared: None }
    }

    /// The option as it was given.
    fn option(&self) -> String {
        match self.value {
            Value::Int(value) => format!("--param {}={value}", self.name),
            Value::Float(value) => format!("--param {}={value:?}", self.name),
        }
    }
}

impl Elaborator {
    pub(super) fn param(&mut self, name: &Name, default: &Expr) -> Step<()> {
        let given = self.overrides.iter_mut().find(|o| o.name == name.text);
        let value = match given {
            Some(given) => {
                given.declared = Some(name.span.to(default.span));
                Ok(given.value)
            }
            None => self.scope.eval(default),
        };
        let value = self.define(name, value)?;
        self.params.push((name.text.clone(), value));
        Ok(())
    }

    /// Values given for parameters that the text does not have.
    pub(super) fn unknown_overrides(&self) -> Vec<String> {
        let unknown = self.overrides.iter().filter(|o| o.declared.is_none());
        let names: Vec<&str> = self.params.iter().map(|(name, _)| name.as_str()).collect();
        unknown
            .map(|given| {
                let cure = match nearest(&given.name, names.iter().copied()) {
                    Some(near) => format!("did you mean `{near}`?"),
                    None if names.is_empty() => "it has none at all".to_string(),
                    None => format!("its parameters: {}", names.join(", ")),
                };
                let (option, name) = (given.option(), &given.name);
                format!("{option}: the text has no parameter `{name}`; {cure}")
            })
            .collect()
    }

    /// For a text with mistakes, which may be right with its own values: what was given instead, and where
    /// the text declares it.
    pub(super) fn override_notes(&self) -> Vec<Diagnostic> {
        let note = |given: &Override| {
            let message = format!("{} stands in place of this", given.option());
            Some(Diagnostic::new(given.declared?, message))
        };
        self.overrides.iter().filter_map(note).collect()
    }
}
