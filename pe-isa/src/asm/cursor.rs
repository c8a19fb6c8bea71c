//! The walk over tokens that every parser of the language shares.

use super::diagnostic::{Diagnostic, Span};
use super::expr::Expr;
use super::lexer::{self, Kind, Token};
use super::quote::unescape;
use super::{DEEPEST_BLOCK, MOST_ERRORS};

const UNCLOSED: &str = "this `{` is never closed";

/// What a parsing step gives.
pub type Parsed<T> = Result<T, Diagnostic>;

/// A name in the source.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Name {
    /// The name.
    pub text: String,
    /// Where it stands.
    pub span: Span,
}

/// A position among the tokens of a source.
#[derive(Debug)]
pub struct Cursor<'a> {
    source: &'a str,
    tokens: Vec<Token<'a>>,
    at: usize,
    blocks: u16,
    /// Mistakes found so far.
    pub errors: Vec<Diagnostic>,
}

impl<'a> Cursor<'a> {
    /// At the beginning of a source.
    pub fn new(source: &'a str) -> Cursor<'a> {
        let mut errors = Vec::new();
        let tokens = lexer::tokens(source, &mut errors);
        Cursor { source, tokens, at: 0, blocks: 0, errors }
    }

    /// The token here.
    pub fn peek(&self) -> &Kind<'a> {
        self.ahead(0)
    }

    /// The token `n` further on.
    pub fn ahead(&self, n: usize) -> &Kind<'a> {
        &self.tokens[(self.at + n).min(self.tokens.len() - 1)].kind
    }

    /// Where the token here stands.
    pub fn span(&self) -> Span {
        self.tokens[self.at].span
    }

    /// Where the token before this one stands.
    pub fn last_span(&self) -> Span {
        self.tokens[self.at.saturating_sub(1)].span
    }

    /// Moves past the token here; stays at the end.
    pub fn bump(&mut self) {
        self.at = (self.at + 1).min(self.tokens.len() - 1);
    }

    /// Whether all has been read.
    pub fn at_end(&self) -> bool {
        *self.peek() == Kind::End
    }

    /// Moves past `mark` if it is here.
    pub fn eat(&mut self, mark: &str) -> bool {
        let here = matches!(self.peek(), Kind::Mark(m) if *m == mark);
        if here {
            self.bump();
        }
        here
    }

    /// Whether `mark` is here.
    pub fn sees(&self, mark: &str) -> bool {
        matches!(self.peek(), Kind::Mark(m) if *m == mark)
    }

    /// Moves past the word `word` if it is here.
    pub fn eat_word(&mut self, word: &str) -> bool {
        let here = self.sees_word(word);
        if here {
            self.bump();
        }
        here
    }

    /// Whether the word `word` is here.
    pub fn sees_word(&self, word: &str) -> bool {
        matches!(self.peek(), Kind::Word(w) if *w == word)
    }

    /// Moves past `mark`.
    ///
    /// # Errors
    /// When something else is here.
    pub fn expect(&mut self, mark: &str) -> Parsed<Span> {
        if self.eat(mark) {
            return Ok(self.last_span());
        }
        // A bracket that is not closed shows on the next line, but is missing on this one.
        let end = self.last_span().end;
        let between = self.source.get(end..self.span().start).unwrap_or("");
        if self.at > 0 && between.contains('\n') {
            let message = format!("expected `{mark}` before the end of the line");
            return Err(Diagnostic::new(Span { start: end, end }, message));
        }
        Err(self.wanted(&format!("`{mark}`")))
    }

    /// Moves past the word `word`.
    ///
    /// # Errors
    /// When something else is here.
    pub fn expect_word(&mut self, word: &str) -> Parsed<()> {
        if self.eat_word(word) { Ok(()) } else { Err(self.wanted(&format!("`{word}`"))) }
    }

    /// Takes a name; `what` says what it would name.
    ///
    /// # Errors
    /// When something else is here.
    pub fn name(&mut self, what: &str) -> Parsed<Name> {
        match *self.peek() {
            Kind::Word(word) => {
                let span = self.span();
                self.bump();
                Ok(Name { text: word.to_string(), span })
            }
            _ => Err(self.wanted(what)),
        }
    }

    /// Takes a text in quotes and resolves its escapes.
    ///
    /// # Errors
    /// When something else is here.
    pub fn text(&mut self, what: &str) -> Parsed<Name> {
        match *self.peek() {
            Kind::Text(text) => {
                let span = self.span();
                self.bump();
                Ok(Name { text: unescape(text), span })
            }
            _ => Err(self.wanted(&format!("{what} in quotes"))),
        }
    }

    /// The mistake that `what` is not here.
    pub fn wanted(&self, what: &str) -> Diagnostic {
        let found = match self.peek() {
            Kind::Word(word) => format!("`{word}`"),
            Kind::Int(value) => format!("`{value}`"),
            Kind::Float(value) => format!("`{value}`"),
            Kind::Text(_) => "a text".to_string(),
            Kind::Mark(mark) => format!("`{mark}`"),
            Kind::Newline => "the end of the line".to_string(),
            Kind::End => "the end of the file".to_string(),
        };
        Diagnostic::new(self.span(), format!("expected {what}, found {found}"))
    }

    /// Moves past empty lines.
    pub fn skip_newlines(&mut self) {
        while *self.peek() == Kind::Newline {
            self.bump();
        }
    }

    /// Moves past the end of a statement; a closing brace ends one too, and stays.
    ///
    /// # Errors
    /// When the statement goes on.
    pub fn end_statement(&mut self) -> Parsed<()> {
        match self.peek() {
            Kind::Newline => self.bump(),
            Kind::End | Kind::Mark("}") => {}
            _ => return Err(self.wanted("the end of the statement")),
        }
        Ok(())
    }

    /// Writes down a mistake and moves to the next line, past blocks that begin on this one.
    pub fn recover(&mut self, error: Diagnostic) {
        self.report(error);
        let mut depth = 0;
        loop {
            match self.peek() {
                Kind::End => return,
                Kind::Newline if depth == 0 => return self.bump(),
                Kind::Mark("{") => depth += 1,
                Kind::Mark("}") if depth == 0 => return,
                Kind::Mark("}") => depth -= 1,
                _ => {}
            }
            self.bump();
        }
    }

    /// Writes down a mistake, unless there are too many already.
    pub fn report(&mut self, error: Diagnostic) {
        if self.errors.len() < MOST_ERRORS {
            self.errors.push(error);
        }
    }

    /// Reads `{ statement … }`; mistakes in a statement are written down and the next one is read.
    ///
    /// # Errors
    /// When there is no block here, or blocks are nested too deeply.
    pub fn block<T>(
        &mut self,
        mut statement: impl FnMut(&mut Cursor<'a>, &mut Vec<T>) -> Parsed<()>,
    ) -> Parsed<Vec<T>> {
        let open = self.expect("{")?;
        if self.blocks >= DEEPEST_BLOCK {
            let message = format!("blocks are nested more than {DEEPEST_BLOCK} deep");
            return Err(Diagnostic::new(open, message));
        }
        self.blocks += 1;
        let mut body = Vec::new();
        loop {
            self.skip_newlines();
            if self.eat("}") {
                break;
            }
            if self.at_end() {
                // All behind it was read as what it is not.
                self.errors.retain(|e| e.span < open || e.message == UNCLOSED);
                self.report(Diagnostic::new(open, UNCLOSED).cure("add a `}`"));
                break;
            }
            if let Err(error) = statement(self, &mut body) {
                self.recover(error);
            }
        }
        self.blocks -= 1;
        Ok(body)
    }

    /// Reads `condition { … } else { … }`, behind the word `if`. `nested` reads an `if` that follows
    /// `else` at once.
    ///
    /// # Errors
    /// When the condition or a block is malformed.
    pub fn conditional<T>(
        &mut self,
        mut statement: impl FnMut(&mut Cursor<'a>, &mut Vec<T>) -> Parsed<()>,
        nested: impl FnOnce(&mut Cursor<'a>) -> Parsed<T>,
    ) -> Parsed<(Expr, Vec<T>, Vec<T>)> {
        let test = Expr::parse(self)?;
        let yes = self.block(&mut statement)?;
        let mut lines = 0;
        while *self.ahead(lines) == Kind::Newline {
            lines += 1;
        }
        if !matches!(self.ahead(lines), Kind::Word("else")) {
            return Ok((test, yes, Vec::new()));
        }
        self.skip_newlines();
        self.bump();
        if !self.sees_word("if") {
            return Ok((test, yes, self.block(&mut statement)?));
        }
        if self.blocks >= DEEPEST_BLOCK {
            let message = format!("more than {DEEPEST_BLOCK} blocks hang on one another");
            return Err(Diagnostic::new(self.span(), message));
        }
        self.blocks += 1;
        let no = nested(self);
        self.blocks -= 1;
        Ok((test, yes, vec![no?]))
    }

    /// Reads `item, item, …` with at least one item.
    ///
    /// # Errors
    /// Those of `item`.
    pub fn list<T>(
        &mut self,
        mut item: impl FnMut(&mut Cursor<'a>) -> Parsed<T>,
    ) -> Parsed<Vec<T>> {
        let mut all = vec![item(self)?];
        while self.eat(",") {
            all.push(item(self)?);
        }
        Ok(all)
    }
}
