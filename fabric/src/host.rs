//! What the host does in a run: what it sends, and when it has received enough.

use crate::image::WaferImage;
use pe_isa::Cycle;
use serde::{Deserialize, Serialize};

/// A wavelet that the host sends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct HostWord {
    /// Cycle from which it stands at the wafer's edge (contract rule H-1).
    pub cycle: Cycle,
    /// Payload.
    pub payload: u32,
    /// Whether it is a control wavelet.
    pub control: bool,
}

/// A condition on one word of a message.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WordTest {
    /// Which word, from 0.
    pub word: u32,
    /// The bits that are looked at.
    pub mask: u32,
    /// What these bits may be.
    pub values: Vec<u32>,
}

impl WordTest {
    /// Whether it holds for a message.
    pub fn holds(&self, message: &[u32]) -> bool {
        let word = message.get(self.word as usize);
        word.is_some_and(|word| self.values.contains(&(word & self.mask)))
    }
}

/// When the host has enough of what a port brings. The payloads that reach it there are taken as
/// messages of equal length.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HostStop {
    /// Index into [`WaferImage::host_out`].
    pub port: u32,
    /// Words of a message, at least 1.
    pub words: u32,
    /// Which messages count; all if not given.
    pub only: Option<WordTest>,
    /// Messages that are enough, at least 1.
    pub after: u64,
    /// A message after which no other is waited for.
    pub last: Option<WordTest>,
}

/// The host's part in a run.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct HostPlan {
    /// What it sends, for each of [`WaferImage::host_in`], by cycle; missing lists are empty.
    pub sends: Vec<Vec<HostWord>>,
    /// It ends the run at the wavelet with which all of these are met (rule H-3); without any, never.
    pub stops: Vec<HostStop>,
}

impl HostPlan {
    /// Whether it can be carried out on an image.
    ///
    /// # Errors
    /// The first thing that does not fit, in words.
    pub fn check(&self, image: &WaferImage) -> Result<(), String> {
        let (sending, ports) = (self.sends.len(), image.host_in.len());
        if sending > ports {
            return Err(format!("the host sends to {sending} ports, the image has {ports}"));
        }
        if !self.sends.iter().all(|words| words.is_sorted_by_key(|w| w.cycle)) {
            return Err("the host's wavelets are not in the order of their cycles".to_string());
        }
        for stop in &self.stops {
            if stop.port as usize >= image.host_out.len() {
                return Err(format!("the host waits at port {}, which does not exist", stop.port));
            }
            let tests = [&stop.only, &stop.last];
            let beyond = tests.into_iter().flatten().any(|test| test.word >= stop.words);
            if stop.words == 0 || stop.after == 0 || beyond {
                return Err("the host waits for what no message can be".to_string());
            }
        }
        Ok(())
    }
}
