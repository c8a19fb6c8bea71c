//! Pictures of a wafer and of a run on it (docs, "Pictures"): one map of tiles each, as PNG files.
//!
//! * `maps`: which picture shows what; `frame`: title, axes, legend; `canvas`, `font`, `png`: pixels.
//!
//! A map has at most 1,800 pixels a side, so that a picture of a million PEs takes no longer than its pixels.

mod canvas;
mod font;
mod frame;
mod maps;
mod png;

pub use maps::{draw, placement};

/// Names of the files of all pictures.
pub const FILES: [&str; 6] = [
    "placement.png",
    "sram.png",
    "utilisation.png",
    "waiting-input.png",
    "waiting-output.png",
    "links.png",
];

/// A picture, and how it is told of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Picture {
    /// Name of its file.
    pub file: &'static str,
    /// Its title.
    pub title: &'static str,
    /// What can be seen on it.
    pub about: String,
    /// A PNG file.
    pub png: Vec<u8>,
}
