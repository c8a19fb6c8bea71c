//! `wafersim run --report DIR`: a folder with a page, the report and the pictures.

use crate::process::command_line;
use crate::settings::Settings;
use anyhow::{Context as _, Result, bail};
use compiler::Compiled;
use serde_json::Value;
use sim_core::Outcome;
use std::fs;
use std::path::{Path, PathBuf};
use traces::page::Page;
use traces::{RunReport, pictures};

const PAGE: &str = "index.html";
const RESULT: &str = "result.json";

/// A folder that may be written: it is not there, is empty, or holds an earlier report and nothing else.
#[derive(Debug)]
pub(crate) struct ReportFolder {
    folder: PathBuf,
    earlier: bool,
}

impl ReportFolder {
    /// Looks at what is there, before anything is run.
    ///
    /// # Errors
    /// A folder that holds something else, which would be lost.
    pub(crate) fn claim(folder: &Path) -> Result<ReportFolder> {
        let name = folder.display();
        if folder.file_name().is_none() {
            bail!("--report {name}: give the name of a folder that may be replaced");
        }
        let earlier = folder.symlink_metadata().is_ok();
        if !earlier {
            return Ok(ReportFolder { folder: folder.to_path_buf(), earlier });
        }
        let folder = folder.canonicalize().with_context(|| format!("--report {name}"))?;
        let entries = fs::read_dir(&folder);
        let entries = entries.with_context(|| format!("--report {name} could not be read"))?;
        for entry in entries {
            let file = entry?.file_name();
            let file = file.to_string_lossy();
            let is_ours = [PAGE, RESULT].contains(&&*file) || pictures::FILES.contains(&&*file);
            if !is_ours {
                bail!(
                    "--report {name}: it holds {file}, which is no part of an earlier report and would be lost; \
                     name a new folder"
                );
            }
        }
        Ok(ReportFolder { folder, earlier })
    }

    /// Writes everything beside the folder, then gives it its name: nobody sees half a report.
    ///
    /// # Errors
    /// Whatever the system reports; then the folder is as it was.
    pub(crate) fn write(
        &self,
        report: &RunReport,
        (settings, compiled, outcome): (&Settings, &Compiled, &Outcome),
    ) -> Result<()> {
        let mut document = serde_json::to_value(report)?;
        document.as_object_mut().and_then(|document| document.remove("host"));
        let drawn = pictures::draw(&compiled.image, outcome);
        let page = Page {
            report: &document,
            pictures: &drawn,
            machine: &settings.machine.to_ron(),
            command: &command_line(),
        };
        let pictures = drawn.iter().map(|picture| (picture.file, picture.png.clone()));
        let text = [(PAGE, page.html().into_bytes()), (RESULT, json(&document)?)];
        self.replace(&text.into_iter().chain(pictures).collect::<Vec<_>>()).with_context(|| {
            format!("the report could not be written to {}", self.folder.display())
        })
    }

    fn replace(&self, files: &[(&str, Vec<u8>)]) -> Result<()> {
        let unfinished = self.beside("unfinished")?;
        let before = self.beside("before")?;
        if let Some(parent) = self.folder.parent() {
            fs::create_dir_all(parent)?;
        }
        let written = (|| {
            fs::create_dir(&unfinished)?;
            files.iter().try_for_each(|(name, bytes)| fs::write(unfinished.join(name), bytes))?;
            if self.earlier {
                fs::rename(&self.folder, &before)?;
            }
            fs::rename(&unfinished, &self.folder)
        })();
        if let Err(error) = written {
            // What went wrong is told; what cannot be cleared away is no news.
            let _ = fs::remove_dir_all(&unfinished);
            if before.exists() && !self.folder.exists() {
                let _ = fs::rename(&before, &self.folder);
            }
            return Err(error.into());
        }
        if self.earlier {
            fs::remove_dir_all(&before)?;
        }
        Ok(())
    }

    fn beside(&self, what: &str) -> Result<PathBuf> {
        let name = self.folder.file_name().context("it has no name")?.to_string_lossy();
        Ok(self.folder.with_file_name(format!(".{name}.{}.{what}", std::process::id())))
    }
}

fn json(document: &Value) -> Result<Vec<u8>> {
    let mut text = serde_json::to_vec_pretty(document)?;
    text.push(b'\n');
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn is_what_is_not_ours_kept() {
        let home = tempfile::tempdir().unwrap();
        let folder = home.path().join("r");
        let files = |text: &str| vec![(PAGE, text.as_bytes().to_vec())];
        ReportFolder::claim(&folder).unwrap().replace(&files("one")).unwrap();
        ReportFolder::claim(&folder).unwrap().replace(&files("two")).unwrap();
        assert_eq!(fs::read_to_string(folder.join(PAGE)).unwrap(), "two");
        assert_eq!(fs::read_dir(home.path()).unwrap().count(), 1, "nothing is left beside it");
        fs::write(folder.join("thesis.tex"), "mine").unwrap();
        let refused = ReportFolder::claim(&folder).unwrap_err().to_string();
        assert!(refused.contains("thesis.tex"), "{refused}");
        // A folder that came to be in the meantime is not replaced.
        let late = home.path().join("late");
        let claimed = ReportFolder::claim(&late).unwrap();
        fs::create_dir(&late).unwrap();
        fs::write(late.join("other"), "").unwrap();
        assert!(claimed.replace(&files("three")).is_err());
        assert_eq!(fs::read_dir(home.path()).unwrap().count(), 2);
    }
}
