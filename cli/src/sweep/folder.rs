//! Where the results of a sweep lie: `points/<digest>/`, each file there whole or not at all.

use super::plan::Point;
use crate::failure::Failure;
use crate::output::write_file;
use anyhow::{Context as _, Result};
use serde_json::{Value, json};
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use traces::RunReport;

/// The folder of a sweep.
#[derive(Debug)]
pub(super) struct Folder {
    root: PathBuf,
}

impl Folder {
    /// Makes the folder, unless it is there.
    ///
    /// # Errors
    /// Whatever the system reports.
    pub(super) fn make(root: &Path) -> Result<Folder> {
        let points = root.join("points");
        let made = fs::create_dir_all(&points);
        made.with_context(|| format!("{} could not be made", points.display()))?;
        Ok(Folder { root: root.to_path_buf() })
    }

    fn file(&self, digest: &str, name: &str) -> PathBuf {
        self.root.join("points").join(digest).join(name)
    }

    /// Whether the point has its result.
    pub(super) fn is_done(&self, digest: &str) -> bool {
        self.file(digest, "result.json").is_file()
    }

    /// # Errors
    /// A result that is there and cannot be read.
    pub(super) fn result(&self, digest: &str) -> Result<Option<Value>> {
        read(&self.file(digest, "result.json"))
    }

    /// Why the point failed, if it did.
    ///
    /// # Errors
    /// A file that is there and cannot be read.
    pub(super) fn error(&self, digest: &str) -> Result<Option<String>> {
        let error = read(&self.file(digest, "error.json"))?;
        Ok(error.map(|error| error["error"].as_str().unwrap_or_default().to_string()))
    }

    /// Keeps the report: what is known of the host for itself, so that results are a function of the inputs. A result
    /// is written last: with it, the point is done.
    ///
    /// # Errors
    /// Whatever the system reports.
    pub(super) fn keep(&self, point: &Point, report: &RunReport) -> Result<()> {
        let mut tree = serde_json::to_value(report)?;
        let host = tree.as_object_mut().and_then(|map| map.shift_remove("host"));
        self.write(&point.digest, "host.json", &host.unwrap_or_default())?;
        self.write(&point.digest, "result.json", &tree)?;
        match fs::remove_file(self.file(&point.digest, "error.json")) {
            Err(error) if error.kind() != ErrorKind::NotFound => Err(error)?,
            _ => Ok(()),
        }
    }

    /// Keeps why the point failed.
    ///
    /// # Errors
    /// Whatever the system reports.
    pub(super) fn keep_failure(&self, point: &Point, failure: &Failure) -> Result<()> {
        let kind = match failure {
            Failure::Program(_) => "program",
            _ => "input",
        };
        let settings: serde_json::Map<String, Value> = point
            .settings
            .iter()
            .map(|(key, value)| Ok((key.clone(), serde_json::to_value(value)?)))
            .collect::<Result<_>>()?;
        let error = json!({ "kind": kind, "error": failure.to_string(), "settings": settings });
        self.write(&point.digest, "error.json", &error)
    }

    fn write(&self, digest: &str, name: &str, document: &Value) -> Result<()> {
        let path = self.file(digest, name);
        if let Some(folder) = path.parent() {
            let made = fs::create_dir_all(folder);
            made.with_context(|| format!("{} could not be made", folder.display()))?;
        }
        write_file(&path, (document.to_string() + "\n").as_bytes())
    }

    /// Writes the table.
    ///
    /// # Errors
    /// Whatever the system reports.
    pub(super) fn write_table(&self, csv: &str) -> Result<PathBuf> {
        let path = self.root.join("results.csv");
        write_file(&path, csv.as_bytes())?;
        Ok(path)
    }
}

fn read(path: &Path) -> Result<Option<Value>> {
    let name = path.display();
    match fs::read(path) {
        Ok(bytes) => {
            let told = || format!("{name} is broken; remove it to have the point run again");
            Ok(Some(serde_json::from_slice(&bytes).with_context(told)?))
        }
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error).with_context(|| format!("{name} could not be read")),
    }
}
