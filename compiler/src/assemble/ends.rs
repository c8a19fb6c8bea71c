//! Assembly of the stages at both ends: embedding and head.

use super::{Assembler, no_data};
use crate::emit::chunk::Chunk;
use crate::emit::embed::EmbedStage;
use crate::emit::head::HeadStage;
use crate::emit::{self, Formats, Place, regs};
use crate::fill::{self, Filler};
use crate::layout::HeadLayout;
use crate::split::Split;
use crate::stage::Stage;
use crate::stamp::Classes;
use fabric::Probe;
use pe_isa::DType;

impl Assembler<'_> {
    pub(super) fn embed(&mut self, at: usize, stage: &Stage, filler: Option<&mut Filler>) {
        let (w, h) = (stage.width, stage.height);
        let hidden = Split::new(self.estimate.dims.hidden, w);
        let vocab = Split::new(self.estimate.vocab, h);
        let positions = self.estimate.learned_positions.map(|rows| Split::new(rows, h));
        let layout = self.estimate.embed_layout(w, h);
        let fill = |filler| fill::embed(filler, (hidden, vocab, positions), (w, h), &layout);
        let data = filler.map_or_else(|| no_data(stage), fill);
        let bytes = layout.bytes as u32;
        let embedding = &self.graph.embedding;
        let emitter = EmbedStage {
            hidden,
            vocab,
            positions,
            layout,
            formats: self.formats(),
            scale: embedding.scale,
            transfers: self.transfers(at),
        };
        let params = |place: Place| {
            let mut params = vec![(regs::VOCAB, vocab.start(place.row))];
            params.extend(positions.map(|rows| (regs::POSITIONS, rows.start(place.row))));
            params
        };
        let classes = Classes::of_embed(&emitter, stage);
        let emit = |p| emit::embed::program(&emitter, p);
        self.stamp((at, None), &classes, emit, params, (bytes, data));
        self.name(stage, "embedding".to_string());
    }

    pub(super) fn head(&mut self, at: usize, stage: &Stage, filler: Option<&mut Filler>) {
        let lanes = self.placed.lanes;
        let (w, h) = (stage.width, stage.height);
        let hidden_size = self.estimate.dims.hidden;
        let (hidden, vocab) = (Split::new(hidden_size, w), Split::new(self.estimate.vocab, h));
        let has_bias = self.estimate.head_bias;
        let numerics = &self.estimate.numerics;
        let layout = HeadLayout::new(hidden.max(), vocab.max(), has_bias, numerics);
        let fill = |filler| fill::head(filler, (hidden, vocab), (w, h), &layout);
        let data = filler.map_or_else(|| no_data(stage), fill);
        let (bytes, logits) = (layout.bytes as u32, layout.logits);
        let emitter = HeadStage {
            hidden_size,
            hidden,
            vocab,
            layout,
            formats: Formats { chunk: Chunk::ONE, ..self.formats() },
            epsilon: self.graph.final_norm.epsilon,
            has_bias,
            soft_cap: self.graph.logit_soft_cap,
            to_host: lanes.answers.color,
            feedback: lanes.feedback.as_ref().map(|lane| lane.color),
        };
        let part =
            |row| (self.image.index(stage.tile(stage.roots.row, row)), logits, vocab.len(row));
        let parts = (0..h).map(part).collect();
        let params = |place: Place| {
            let mut params = vec![(regs::VOCAB, vocab.start(place.row))];
            if emitter.feedback.is_none() {
                params.push((regs::VOCAB_BEHIND, vocab.total() - vocab.end(place.row)));
            }
            params
        };
        let classes = Classes::of_head(&emitter, stage);
        let emit = |p| emit::head::program(&emitter, p);
        self.stamp((at, None), &classes, emit, params, (bytes, data));
        self.image.probes.push(Probe { name: "logits".to_string(), dtype: DType::F32, parts });
        self.name(stage, "head".to_string());
    }
}
