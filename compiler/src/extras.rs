//! What blocks have beyond the plainest decoder, as far as memory, time and bounds on code depend on it.

use models::{Activation, Block, LinearRef, Norm, NormKind, Residual};

/// What at least one of a graph's blocks has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Extras {
    /// Which sums are followed by a bias: query-key-value, output, gate-up, down.
    pub(crate) biases: [bool; 4],
    /// Norms of queries and keys.
    pub(crate) head_norms: bool,
    /// Such norms that subtract a mean or add a bias.
    pub(crate) head_layer_norms: bool,
    /// Norms behind attention, behind the MLP.
    pub(crate) post_norms: [bool; 2],
    /// Halves that read the same residual stream.
    pub(crate) parallel: bool,
    /// Activations that need a third work vector.
    pub(crate) exact_gelu: bool,
    /// Mixtures of experts.
    pub(crate) experts: bool,
}

impl Extras {
    /// The union over `blocks`.
    pub(crate) fn of(blocks: &[Block]) -> Extras {
        blocks.iter().fold(Extras::default(), |all, block| all.or(Extras::of_block(block)))
    }

    fn of_block(block: &Block) -> Extras {
        let (a, m) = (&block.attention, &block.mlp);
        let mut extras = Extras {
            post_norms: [a.post_norm.is_some(), m.post_norm.is_some()],
            parallel: block.residual == Residual::Parallel,
            ..Extras::default()
        };
        extras.biases[0] = is_biased(&a.norm, &[a.query, a.key, a.value]);
        extras.biases[1] = a.output.bias.is_some();
        for norm in [&a.query_norm, &a.key_norm].into_iter().flatten() {
            extras.head_norms = true;
            extras.head_layer_norms |= norm.kind == NormKind::Layer || norm.bias.is_some();
        }
        extras.experts = m.dense().is_none();
        for layers in m.feed_forwards() {
            extras.biases[2] |= is_biased(&m.norm, &layers.inputs());
            extras.biases[3] |= layers.down.bias.is_some();
            extras.exact_gelu |= layers.activation == Activation::Gelu;
        }
        extras
    }

    /// Bytes of code that a layer takes at most for them.
    pub(crate) fn code_bytes(&self) -> u64 {
        let parts = [
            (self.biases.contains(&true), 100),
            (self.head_norms, 300),
            (self.head_layer_norms, 200),
            (self.post_norms.contains(&true), 300),
            (self.parallel, 50),
            (self.exact_gelu, 300),
            (self.experts, 400),
        ];
        parts.into_iter().filter(|(has, _)| *has).map(|(_, bytes)| bytes).sum()
    }

    fn or(self, other: Extras) -> Extras {
        let either = |a: bool, b: bool| a || b;
        Extras {
            biases: std::array::from_fn(|at| either(self.biases[at], other.biases[at])),
            head_norms: either(self.head_norms, other.head_norms),
            head_layer_norms: either(self.head_layer_norms, other.head_layer_norms),
            post_norms: std::array::from_fn(|at| either(self.post_norms[at], other.post_norms[at])),
            parallel: either(self.parallel, other.parallel),
            exact_gelu: either(self.exact_gelu, other.exact_gelu),
            experts: either(self.experts, other.experts),
        }
    }
}

/// Whether something is added to the sums of `linears` behind `norm`: a bias of one of them, or the norm's bias times their
/// weights.
pub(crate) fn is_biased(norm: &Norm, linears: &[LinearRef]) -> bool {
    norm.bias.is_some() || linears.iter().any(|linear| linear.bias.is_some())
}
