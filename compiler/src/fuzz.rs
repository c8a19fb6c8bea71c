//! Fuzz entry point: any bytes as a grid, its defects and a cut of a model.

use crate::{Mapping, Options, compile};
use fabric::{Defects, Machine, Port, lint, presets};
use models::{DecoderGraph, Weights};

/// Bytes that say where one more dead PE or link is.
const PLACE_BYTES: usize = 3;

/// Compiles a model for the grid, defects and cut that `data` stands for. Returns whether it went.
///
/// # Panics
/// When a pass breaks a promise, the linter finds an error in an image, or a refusal gives no reason.
pub fn detours(graph: &DecoderGraph, weights: &Weights, data: &[u8]) -> bool {
    let Some((&[w, h, cut_w, cut_h, layers, rate, link_rate, seed], places)) =
        data.split_first_chunk()
    else {
        return false;
    };
    let (width, height) = (1 + u32::from(w) % 48, 1 + u32::from(h) % 48);
    let mut defects = Defects {
        rate: f64::from(rate) / 1024.0,
        link_rate: f64::from(link_rate) / 2048.0,
        seed: seed.into(),
        ..Defects::default()
    };
    for place in places.chunks_exact(PLACE_BYTES) {
        let (x, y) = (u32::from(place[0]) % width, u32::from(place[1]) % height);
        match place[2] {
            0..128 => defects.pes.push((x, y)),
            128..192 if x + 1 < width => defects.links.push((x, y, Port::East)),
            192.. if y + 1 < height => defects.links.push((x, y, Port::South)),
            _ => {}
        }
    }
    let preset = presets::preset(presets::DEFAULT).expect("the default is a preset");
    let machine = Machine { width, height, defects, ..preset };
    machine.validate().expect("it is drawn within its ranges");
    let mapping = Mapping {
        layers_per_stage: u32::from(layers) % 4,
        stage_width: u32::from(cut_w) % 16,
        stage_height: u32::from(cut_h) % 16,
        ..Mapping::default()
    };
    let options = Options { mapping, contexts: vec![8], ..Options::default() };
    match compile(graph, weights, &machine, &options) {
        Ok(compiled) => {
            assert!(lint(&compiled.image).iter().all(|finding| !finding.error));
            true
        }
        Err(refused) => {
            assert!(refused.diagnostics.iter().any(|reason| !reason.is_empty()));
            false
        }
    }
}
