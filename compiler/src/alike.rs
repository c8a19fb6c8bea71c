//! Which stages of layers have the same programs: those that differ in nothing but where they lie and which tensors they hold.

use crate::emit::layers::LayersStage;
use crate::layout::LayersLayout;
use crate::roots::Roots;
use crate::stage::Stage;
use indexmap::IndexSet;
use models::{Block, FeedForward, LinearRef, MlpKind, Norm, TensorRef};

/// What the programs of a stage of layers depend on, besides places and lanes.
#[derive(Debug, PartialEq)]
pub(crate) struct Look {
    blocks: Vec<Block>,
    layout: LayersLayout,
    only_wanted: bool,
    size: (u32, u32),
    roots: Roots,
}

impl Look {
    pub(crate) fn new(emitter: &LayersStage<'_>, stage: &Stage) -> Look {
        let mut blocks = emitter.graph.blocks[emitter.layers.clone()].to_vec();
        let mut names = IndexSet::new();
        blocks.iter_mut().for_each(|block| {
            rename(block, &mut |name| *name = TensorRef(names.insert_full(*name).0 as u32));
        });
        Look {
            blocks,
            layout: emitter.layout.clone(),
            only_wanted: emitter.only_wanted,
            size: (stage.width, stage.height),
            roots: stage.roots,
        }
    }
}

/// Renames the tensors of a block. One that is forgotten here makes stages differ that are alike, which costs time alone.
fn rename(block: &mut Block, name: &mut impl FnMut(&mut TensorRef)) {
    let (a, m) = (&mut block.attention, &mut block.mlp);
    let norms = [&mut a.query_norm, &mut a.key_norm, &mut a.post_norm, &mut m.post_norm];
    let norms = norms.into_iter().flatten().chain([&mut a.norm, &mut m.norm]);
    for Norm { weight, bias, .. } in norms {
        [weight].into_iter().chain(bias).for_each(&mut *name);
    }
    let linears = [&mut a.query, &mut a.key, &mut a.value, &mut a.output];
    linears.into_iter().for_each(|linear| rename_linear(linear, name));
    a.sinks.iter_mut().for_each(&mut *name);
    match &mut m.kind {
        MlpKind::Dense(layers) => rename_layers(layers, name),
        MlpKind::Experts(mixture) => {
            rename_linear(&mut mixture.router, name);
            mixture.experts.iter_mut().for_each(|layers| rename_layers(layers, name));
        }
    }
}

fn rename_layers(layers: &mut FeedForward, name: &mut impl FnMut(&mut TensorRef)) {
    let gate = layers.gate.as_mut().map(|gate| &mut gate.linear);
    let linears = [&mut layers.up, &mut layers.down].into_iter().chain(gate);
    linears.for_each(|linear| rename_linear(linear, name));
}

fn rename_linear(linear: &mut LinearRef, name: &mut impl FnMut(&mut TensorRef)) {
    [&mut linear.weight].into_iter().chain(&mut linear.bias).for_each(name);
}

#[cfg(test)]
mod tests {
    use super::*;
    use models::ModelDir;
    use std::path::Path;

    #[test]
    fn do_only_names_of_tensors_not_tell_layers_apart() {
        let data = Path::new(env!("CARGO_MANIFEST_DIR")).join("../models/tests/data/oracle");
        for model in ["qwen2", "gpt-neox", "gemma2", "qwen3-moe"] {
            let model = ModelDir::open(data.join(model).join("model")).expect("the model opens");
            let renamed = |block: &Block| {
                let (mut block, mut names) = (block.clone(), IndexSet::new());
                rename(&mut block, &mut |name| {
                    *name = TensorRef(names.insert_full(*name).0 as u32)
                });
                block
            };
            let blocks = &model.graph().blocks;
            let (first, mut last) = (blocks[0].clone(), blocks[blocks.len() - 1].clone());
            (last.attention.window, last.attention.rope) =
                (first.attention.window, first.attention.rope);
            assert_ne!(first, last, "their tensors have different names");
            assert_eq!(renamed(&first), renamed(&last));
            last.attention.norm.epsilon *= 2.0;
            assert_ne!(renamed(&first), renamed(&last));
        }
    }
}
