//! Messages to the text that a model was trained on, as its chat template writes it.

mod dialect;
mod strftime;

use std::path::{Path, PathBuf};
use std::thread;

use minijinja::{Error, Value};
use serde_json::{Map, Value as Json};

use crate::error::{ModelError, shown};
use crate::files::{CONFIG_LIMIT, parse_object, read_bounded};

pub use strftime::Date;

/// Work that a template may do: instructions, and 64 bytes of data each. The longest known templates take a few thousand.
const FUEL: u64 = 1_000_000;

/// Depth of macros and loops in one another, after which a template is given up.
const DEPTH: usize = 200;

/// Longest template that is rendered, in bytes; the longest known ones have half of it. Beside [`STACK`] it bounds the depth of expressions,
/// which the template library follows by recursion.
const LONGEST: usize = 64 << 10;

/// Stack in bytes for parsing and rendering: thousands for each two bytes of a template.
const STACK: usize = 256 << 20;

/// Most `~` in a template, which join texts: the library computes a chain of constants while it parses, without a budget, in time that
/// grows with the square of its length or more. A fifth of a second for these; known templates have a few dozen.
const JOINS: usize = 2_000;

/// Special tokens that templates know by name.
const TOKENS: [&str; 7] =
    ["bos_token", "eos_token", "unk_token", "pad_token", "sep_token", "cls_token", "mask_token"];

/// A model's chat template, with the special tokens that it may write.
#[derive(Debug, Clone)]
pub struct ChatTemplate {
    /// Where it was found.
    file: PathBuf,
    source: String,
    /// Names and spellings.
    tokens: Vec<(&'static str, String)>,
}

impl ChatTemplate {
    /// Reads `dir/chat_template.jinja` or else `chat_template` of `dir/tokenizer_config.json`, of several there the one
    /// called `default`.
    ///
    /// # Errors
    /// There is none, or a file cannot be read.
    pub(crate) fn open(dir: &Path) -> Result<ChatTemplate, ModelError> {
        let config_file = dir.join("tokenizer_config.json");
        let config = read_object(&config_file)?;
        let special = read_object(&dir.join("special_tokens_map.json"))?;
        let spelled = |key: &str| {
            let entry = [&config, &special].into_iter().find_map(|o| o.get(key))?;
            entry.as_str().or_else(|| entry["content"].as_str())
        };
        let tokens = TOKENS.iter().filter_map(|&key| Some((key, spelled(key)?.to_owned())));
        let tokens: Vec<_> = tokens.collect();
        let file = dir.join("chat_template.jinja");
        if let Some(bytes) = read_bounded(&file, CONFIG_LIMIT)? {
            let source = String::from_utf8(bytes).map_err(|_| problem(&file, "is not UTF-8"))?;
            return ChatTemplate { file, source, tokens }.checked();
        }
        let named = |list: &Vec<Json>| {
            let default = list.iter().find(|entry| entry["name"] == "default");
            default.and_then(|entry| entry["template"].as_str()).map(str::to_owned)
        };
        let source = match config.get("chat_template") {
            None | Some(Json::Null) => {
                return Err(ModelError::NoChatTemplate { file: config_file });
            }
            Some(Json::String(source)) => Some(source.clone()),
            Some(other) => other.as_array().and_then(named),
        };
        let want = "is no string, and no list with one called `default`";
        let source = source.ok_or_else(|| problem(&config_file, want))?;
        ChatTemplate { file: config_file, source, tokens }.checked()
    }

    fn checked(self) -> Result<ChatTemplate, ModelError> {
        let bytes = self.source.len();
        if bytes > LONGEST {
            let told = format!("has {bytes} bytes; at most {LONGEST} are rendered");
            return Err(problem(&self.file, &told));
        }
        let joins = self.source.bytes().filter(|byte| *byte == b'~').count();
        if joins > JOINS {
            let told = format!("has {joins} times `~`; at most {JOINS} are rendered");
            return Err(problem(&self.file, &told));
        }
        Ok(self)
    }

    /// The text of a chat that a system message, if any, and a user's message open, up to where the model's answer begins.
    /// `today` is what the template is told of the time, at midnight.
    ///
    /// # Errors
    /// A template that is broken, refuses the messages, or takes too much work.
    pub fn render(
        &self,
        system: Option<&str>,
        user: &str,
        today: Date,
    ) -> Result<String, ModelError> {
        let done = thread::scope(|scope| {
            let stack = thread::Builder::new().stack_size(STACK);
            let work = stack.spawn_scoped(scope, || self.render_here(system, user, today));
            let broken = |_| Err("cannot be rendered: the template engine failed".to_owned());
            work.map(|work| work.join().unwrap_or_else(broken))
        });
        let done = done.map_err(|source| ModelError::Io { file: self.file.clone(), source })?;
        done.map_err(|told| problem(&self.file, &told))
    }

    /// As [`render`](Self::render), on this thread's stack; errors in words.
    fn render_here(&self, system: Option<&str>, user: &str, today: Date) -> Result<String, String> {
        let message =
            |role: &str, content: &str| Value::from_pairs([("role", role), ("content", content)]);
        let system = system.map(|content| message("system", content));
        let messages: Value = system.into_iter().chain([message("user", user)]).collect();
        let mut environment = dialect::environment(today);
        environment.set_fuel(Some(FUEL));
        environment.set_recursion_limit(DEPTH);
        let source = dialect::plain(&self.source);
        let template = environment.template_from_str(&source).map_err(|error| told(&error))?;
        let tokens = self.tokens.iter().map(|(key, token)| (*key, Value::from(token.as_str())));
        let rest = [
            ("messages", messages),
            ("add_generation_prompt", Value::from(true)),
            ("tools", Value::from(())),
            ("documents", Value::from(())),
        ];
        let context = Value::from_pairs(tokens.chain(rest));
        template.render(context).map_err(|error| told(&error))
    }
}

fn read_object(file: &Path) -> Result<Map<String, Json>, ModelError> {
    let bytes = read_bounded(file, CONFIG_LIMIT)?;
    bytes.map_or_else(|| Ok(Map::new()), |bytes| parse_object(file, &bytes))
}

fn problem(file: &Path, problem: &str) -> ModelError {
    ModelError::ChatTemplate { file: file.to_path_buf(), problem: problem.to_owned() }
}

/// What a template's failure means to the user.
fn told(error: &Error) -> String {
    let detail = shown(error.detail().unwrap_or_default());
    let line = error.line().map_or(String::new(), |line| format!(" (line {line})"));
    if let Some(reason) = dialect::refusal(error) {
        return format!("refuses the messages: {}{line}", shown(reason));
    }
    match error.kind() {
        minijinja::ErrorKind::OutOfFuel => format!("takes too much work to render{line}"),
        kind if detail.is_empty() => format!("cannot be rendered: {kind}{line}"),
        kind => format!("cannot be rendered: {kind}: {detail}{line}"),
    }
}
