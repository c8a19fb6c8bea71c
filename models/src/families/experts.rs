//! What mixtures of experts share: their sizes, and the two ways in which plain gated experts are stored.

use crate::config::Config;
use crate::error::ModelError;
use crate::families::limits;
use crate::families::parts::Parts;
use crate::graph::{Activation, FeedForward, Gate};
use crate::tensors::{LinearRef, Stored, View};

/// Sizes of the mixtures of a model; all of its mixtures are alike.
#[derive(Debug, Clone, Copy)]
pub(super) struct ExpertSizes {
    /// Experts of a layer.
    pub(super) count: usize,
    /// How many work on a token.
    pub(super) chosen: usize,
    /// Inner width of each.
    pub(super) intermediate: usize,
}

impl ExpertSizes {
    /// Reads the number of experts under either of the names that Transformers takes, how many are chosen, and their inner
    /// width under `width_key`.
    pub(super) fn read(
        config: &Config<'_>,
        names: [&str; 2],
        default_chosen: usize,
        width_key: &str,
    ) -> Result<ExpertSizes, ModelError> {
        const CHOSEN: &str = "num_experts_per_tok";
        let layers = config.size("num_hidden_layers", limits::LAYERS)?;
        let key = config.spelling(names);
        let count = config.size(key, limits::EXPERTS)?;
        let chosen = config.optional_size(CHOSEN, limits::EXPERTS)?.unwrap_or(default_chosen);
        if chosen > count {
            return Err(config.disagree(format!(
                "{CHOSEN} {chosen} is more than {key} {count}; correct either"
            )));
        }
        if layers * count > limits::ALL_EXPERTS {
            return Err(config.disagree(format!(
                "num_hidden_layers {layers} with {key} {count} makes {} experts; at most {} are supported",
                layers * count,
                limits::ALL_EXPERTS
            )));
        }
        let intermediate = config.size(width_key, limits::WIDTH)?;
        Ok(ExpertSizes { count, chosen, intermediate })
    }
}

/// Names of gated experts.
pub(super) struct ExpertNames<'a> {
    /// What the tensors of single experts begin with, without the number.
    pub(super) single: &'a str,
    /// Gate, up and down of a single expert.
    pub(super) linears: [&'a str; 3],
    /// What the tensors that hold all experts begin with, in checkpoints that are stored so.
    pub(super) packed: &'a str,
}

/// Gated experts without biases, each in tensors of its own, or all in `gate_up_proj` (`[experts, 2 · intermediate,
/// hidden]`, all gates of an expert first) and `down_proj` (`[experts, hidden, intermediate]`).
pub(super) fn gated(
    parts: &mut Parts,
    sizes: ExpertSizes,
    names: &ExpertNames<'_>,
    (activation, keys): (Activation, [&'static str; 2]),
) -> Vec<FeedForward> {
    let ExpertSizes { count, intermediate, .. } = sizes;
    let hidden = parts.sizes.hidden;
    let [inward, outward] = keys;
    let mut linear =
        |expert: usize, which: usize, size: (usize, usize), stored: Stored| -> LinearRef {
            let name = format!("{}.{expert}.{}.weight", names.single, names.linears[which]);
            let single = Stored::whole(name, &[size.0, size.1], stored.keys);
            parts.tensors.add_linear_stored(size, vec![single, stored], None)
        };
    let packed = |name: &str, shape: [usize; 3], view: View, keys: &'static str| Stored {
        name: format!("{}.{name}", names.packed),
        shape: shape.to_vec(),
        keys,
        view,
    };
    let gate_up = |expert: usize, half: usize| {
        let start = (2 * expert + half) * intermediate * hidden;
        let view = View::rows(start, intermediate, hidden);
        packed("gate_up_proj", [count, 2 * intermediate, hidden], view, inward)
    };
    let down = |expert: usize| {
        let view = View::rows(expert * hidden * intermediate, hidden, intermediate);
        packed("down_proj", [count, hidden, intermediate], view, outward)
    };
    (0..count)
        .map(|expert| {
            let gate = linear(expert, 0, (intermediate, hidden), gate_up(expert, 0));
            let up = linear(expert, 1, (intermediate, hidden), gate_up(expert, 1));
            let down = linear(expert, 2, (hidden, intermediate), down(expert));
            let gate = Some(Gate { linear: gate, limit: None, up_offset: 0.0 });
            FeedForward { gate, up, down, activation }
        })
        .collect()
}
