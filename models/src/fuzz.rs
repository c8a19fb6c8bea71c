//! Fuzz entry points: any bytes in the place of one file of a healthy model directory.
//!
//! Each ends with an error or an answer. What they assert beyond that (no panic, no memory that a file merely
//! declares) is for the fuzzer to notice. `fuzz/` drives them with coverage, the tests with random damage.

use std::fs;
use std::path::{Path, PathBuf};

use tempfile::TempDir;

use crate::{Date, ModelDir, Reference};

/// A healthy directory to be damaged, removed with this value.
pub struct Scratch {
    dir: TempDir,
}

impl Scratch {
    /// A copy of the model of an oracle case under `examples/oracle`.
    ///
    /// # Panics
    /// When the files are not there or no temporary directory can be made.
    pub fn of(case: &str) -> Scratch {
        let cases = Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/oracle");
        Scratch::of_folder(&cases.join(case).join("model"))
    }

    /// A copy of the model in `from`.
    ///
    /// # Panics
    /// As [`Scratch::of`].
    pub fn of_folder(from: &Path) -> Scratch {
        let dir = tempfile::tempdir().expect("a temporary directory");
        for entry in fs::read_dir(from).expect("the example is there") {
            let file = entry.expect("entries can be read").path();
            let name = file.file_name().expect("files have names");
            fs::copy(&file, dir.path().join(name)).expect("files can be copied");
        }
        Scratch { dir }
    }

    /// Where a file of the directory lies.
    pub fn file(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn put(&self, name: &str, bytes: &[u8]) {
        fs::write(self.file(name), bytes).expect("files can be written");
    }

    /// Opens the directory and, where that works, runs a token through the model. Returns whether it opened.
    fn open(&self) -> bool {
        let Ok(model) = ModelDir::open(self.dir.path()) else {
            return false;
        };
        if let Ok(weights) = model.require_weights() {
            let _ = Reference::new(model.graph(), weights).generate(&[1, 2], 1);
        }
        true
    }

    /// `config.json` is `data`.
    pub fn config(&self, data: &[u8]) -> bool {
        self.put("config.json", data);
        self.open()
    }

    /// `model.safetensors` is `data`.
    pub fn weights(&self, data: &[u8]) -> bool {
        self.put("model.safetensors", data);
        self.open()
    }

    /// The header of `model.safetensors` is `data`, with its true length before it and `tensors` behind it.
    pub fn header(&self, data: &[u8], tensors: &[u8]) -> bool {
        let length = (data.len() as u64).to_le_bytes();
        self.weights(&[&length[..], data, tensors].concat())
    }

    /// `model.safetensors.index.json` is `data`.
    pub fn index(&self, data: &[u8]) -> bool {
        self.put("model.safetensors.index.json", data);
        ModelDir::open(self.dir.path()).is_ok()
    }

    /// `tokenizer.json` is `data`; a text is turned into ids and back.
    pub fn tokenizer(&self, data: &[u8]) -> bool {
        self.put("tokenizer.json", data);
        let Ok(model) = ModelDir::open_shape(self.dir.path()) else {
            return false;
        };
        let Ok(tokenizer) = model.tokenizer() else {
            return false;
        };
        let ids = tokenizer.encode("def main():\n  \u{e9}").unwrap_or_default();
        let _ = tokenizer.decode(&ids);
        let mut stream = tokenizer.stream();
        for id in ids {
            let _ = stream.push(id);
        }
        let _ = stream.flush();
        true
    }

    /// `chat_template.jinja` is `data`; a chat is written by it.
    pub fn chat(&self, data: &[u8]) -> bool {
        self.put("chat_template.jinja", data);
        let Ok(model) = ModelDir::open_shape(self.dir.path()) else {
            return false;
        };
        let Ok(template) = model.chat_template() else {
            return false;
        };
        template.render(Some("s"), "u", Date::of_unix_seconds(0)).is_ok()
    }
}
