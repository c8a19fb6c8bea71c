//! Pass 9, assembly: stages, ports, lanes and SRAM contents become one image.

use crate::emit::embed::EmbedStage;
use crate::emit::head::HeadStage;
use crate::emit::layers::LayersStage;
use crate::emit::port::{self, PortLanes};
use crate::emit::{self, FEEDBACK_WORDS, Formats, HEADER_WORDS, Place, mlp, regs};
use crate::error::CompileError;
use crate::estimate::Estimate;
use crate::fill::{self, Filler};
use crate::lanes::{End, Lane, LaneRouter, add_routes};
use crate::layout::{EmbedLayout, HeadLayout};
use crate::lines::{self, BLOCK, COLUMN, INGRESS, LinePos, ROW, TileRoutes};
use crate::place::{Stage, Work};
use crate::split::Split;
use crate::tiling::LayerTiling;
use crate::verify;
use fabric::{
    HostIn, HostOut, PeCoord, PeIdx, Port, Ports, Probe, Route, Segment, StageInfo, WaferImage,
};
use models::DecoderGraph;
use pe_isa::{Color, DType, Program, Reg};

/// The lanes of an image.
struct Lanes {
    /// Prompt ids, host to first port.
    prompts: Lane,
    /// New tokens, head to host.
    answers: Lane,
    /// New tokens, head to first port.
    feedback: Lane,
    /// From each stage to the port of the next.
    items: Vec<Lane>,
    /// From each port but the first to the one before.
    grants: Vec<Lane>,
}

/// What assembly works on.
pub(crate) struct Assembler<'a> {
    pub(crate) graph: &'a DecoderGraph,
    pub(crate) estimate: &'a Estimate<'a>,
    pub(crate) stages: &'a [Stage],
    image: WaferImage,
    routes: Vec<TileRoutes>,
}

/// Makes the image.
///
/// # Errors
/// No color left for a lane; weights beyond the range of their storage type.
pub(crate) fn assemble(
    graph: &DecoderGraph,
    weights: &models::Weights,
    estimate: &Estimate,
    stages: &[Stage],
) -> Result<WaferImage, CompileError> {
    let machine = estimate.machine;
    let mut assembler = Assembler {
        graph,
        estimate,
        stages,
        image: WaferImage::empty(machine.clone()),
        routes: vec![TileRoutes::default(); machine.tiles()],
    };
    let lanes = assembler.lanes()?;
    assembler.ports(&lanes);
    let mut filler = Filler::new(graph, weights, estimate.numerics);
    for (at, stage) in stages.iter().enumerate() {
        match &stage.work {
            Work::Embed => assembler.embed(stage, lanes.items[at].color, &mut filler),
            Work::Layers(layers) => {
                let last = at + 2 == stages.len();
                assembler.layers(stage, layers.clone(), lanes.items[at].color, last, &mut filler);
            }
            Work::Head => assembler.head(stage, &lanes, &mut filler),
        }
    }
    filler.finish()?;
    Ok(assembler.finish())
}

impl Assembler<'_> {
    fn lanes(&mut self) -> Result<Lanes, CompileError> {
        let machine = self.estimate.machine;
        let stages = self.stages;
        let mut router = LaneRouter::new(machine, stages);
        let host = End::Host(PeCoord::new(0, 0));
        let first = End::Pe(stages[0].port);
        let head = stages.last().expect("there are at least three stages");
        let root = End::Pe(head.tile(head.width / 2, head.height / 2));
        let mut items = Vec::new();
        let mut grants = Vec::new();
        for pair in stages.windows(2) {
            let exit = End::Pe(pair[0].tile(pair[0].width - 1, 0));
            items.push(router.lane(exit, End::Pe(pair[1].port))?);
            grants.push(router.lane(End::Pe(pair[1].port), End::Pe(pair[0].port))?);
        }
        let lanes = Lanes {
            prompts: router.lane(host, first)?,
            answers: router.lane(root, host)?,
            feedback: router.lane(root, first)?,
            items,
            grants,
        };
        self.check_feedback(&lanes.feedback)?;
        let single = [&lanes.prompts, &lanes.answers, &lanes.feedback];
        let all: Vec<&Lane> = single.into_iter().chain(&lanes.items).chain(&lanes.grants).collect();
        verify::lanes(machine, stages, &all);
        all.into_iter().for_each(|lane| add_routes(lane, machine, &mut self.routes));
        let edge = PeIdx(0);
        let (port, prompts, answers) = (Port::West, lanes.prompts.color, lanes.answers.color);
        self.image.host_in.push(HostIn { tile: edge, port, color: prompts });
        self.image.host_out.push(HostOut { tile: edge, port, color: answers });
        Ok(lanes)
    }

    /// The first port takes all prompt items before any token that is fed back, so the lane must be able to hold one
    /// such item of every request; else the head would wait for the port and the port for the head.
    fn check_feedback(&self, lane: &Lane) -> Result<(), CompileError> {
        let words =
            (lane.path.len() as u64 - 1) * u64::from(self.estimate.machine.fabric.queue_depth);
        let most = words / u64::from(FEEDBACK_WORDS);
        let slots = u64::from(self.estimate.slots);
        if slots > 1 && slots > most {
            return Err(CompileError::one(format!(
                "{slots} requests at a time: the lane back to the embedding holds {most} of them on this placement; ask \
                 for fewer at a time (or --set machine.fabric.queue_depth)"
            )));
        }
        Ok(())
    }

    fn ports(&mut self, lanes: &Lanes) {
        let last = self.stages.len() - 1;
        let hidden = self.estimate.dims.hidden;
        for (at, stage) in self.stages.iter().enumerate() {
            let connected = PortLanes {
                items: if at == 0 { lanes.prompts.color } else { lanes.items[at - 1].color },
                feedback: (at == 0).then_some(lanes.feedback.color),
                grant_out: (at > 0).then(|| lanes.grants[at - 1].color),
                grant_in: (at < last).then(|| lanes.grants[at].color),
                only_wanted: at + 1 == last,
            };
            let (program, bytes) = if at == 0 {
                (port::first_port(&connected), 0)
            } else {
                (port::stage_port(&connected, hidden, stage.width), 4 * hidden)
            };
            let tile = self.index(stage.port);
            let into = Ports::one(stage.entry.opposite());
            self.routes[tile].add(Route::fixed(INGRESS, Port::Ramp, into));
            self.set(tile, program, Vec::new(), bytes, Vec::new());
        }
    }

    fn index(&self, at: PeCoord) -> usize {
        self.image.index(at).0 as usize
    }

    fn set(
        &mut self,
        tile: usize,
        program: Program,
        params: Vec<(Reg, u32)>,
        bytes: u32,
        data: Vec<Segment>,
    ) {
        let id = self.image.intern_program(program);
        verify::segments(self.image.coord(PeIdx(tile as u32)), bytes.next_multiple_of(4), &data);
        let tile = &mut self.image.tiles[tile];
        tile.program = Some(id);
        tile.params = params;
        tile.sram_bytes = bytes.next_multiple_of(4);
        tile.data = data;
    }

    fn embed(&mut self, stage: &Stage, lane: Color, filler: &mut Filler) {
        let (w, h) = (stage.width, stage.height);
        let hidden = Split::new(self.estimate.dims.hidden, w);
        let vocab = Split::new(self.estimate.vocab, h);
        let layout = EmbedLayout::new(hidden.max(), vocab.max(), &self.estimate.numerics);
        let mut data = fill::embed(filler, (hidden, vocab), (w, h), &layout);
        let bytes = layout.bytes as u32;
        let scale = self.graph.embedding.scale;
        let emitter = EmbedStage { hidden, vocab, layout, formats: self.formats(), scale, lane };
        for (place, tile) in self.tiles(stage) {
            let column = LinePos::centred(place.row, h, COLUMN);
            column.route(&mut self.routes[tile], Port::North, Port::South);
            self.edges(stage, place, tile, true);
            let mut params = residual_params(hidden, place.column);
            params.push((regs::VOCAB, vocab.start(place.row)));
            let data = std::mem::take(&mut data[(place.row * w + place.column) as usize]);
            self.set(tile, emit::embed::program(&emitter, place), params, bytes, data);
        }
        self.name(stage, "embedding".to_string());
    }

    fn layers(
        &mut self,
        stage: &Stage,
        layers: std::ops::Range<usize>,
        lane: Color,
        only_wanted: bool,
        filler: &mut Filler,
    ) {
        let (w, h) = (stage.width, stage.height);
        let tiling = LayerTiling::new(self.estimate.dims, w, h);
        let layout = self.estimate.layers_layout(&tiling, layers.len() as u32);
        let graph = self.graph;
        let mut data = fill::layers(filler, &graph.blocks[layers.clone()], &tiling, &layout);
        let bytes = layout.bytes as u32;
        self.name(stage, format!("layers {}-{}", layers.start, layers.end - 1));
        let formats = self.formats();
        let emitter = LayersStage { graph, layers, tiling, layout, formats, lane, only_wanted };
        let act = self.estimate.numerics.activations;
        for (place, tile) in self.tiles(stage) {
            self.layer_routes(stage, &tiling, place, tile);
            let mut params = residual_params(tiling.hidden, place.column);
            params.push((regs::COLUMN, place.column));
            let words = mlp::shares(tiling.inner.len(place.row), act, w);
            let (start, end) = (words.start(place.column), words.end(place.column));
            params.push((regs::GATHER_BEFORE, start));
            params.push((regs::GATHER_BEHIND, words.end(w - 1) - end));
            params.push((regs::GATHER_OFFSET, 4 * start));
            let data = std::mem::take(&mut data[(place.row * w + place.column) as usize]);
            self.set(tile, emit::layers::program(&emitter, place), params, bytes, data);
        }
    }

    fn layer_routes(&mut self, stage: &Stage, tiling: &LayerTiling, place: Place, tile: usize) {
        let heads = tiling.row_heads(place.row);
        let within = place.row - heads.block_start;
        let routes = &mut self.routes[tile];
        LinePos::centred(place.column, stage.width, ROW).route(routes, Port::West, Port::East);
        LinePos::centred(place.row, stage.height, COLUMN).route(routes, Port::North, Port::South);
        LinePos::centred(within, heads.block_len, BLOCK).route(routes, Port::North, Port::South);
        self.edges(stage, place, tile, true);
    }

    fn head(&mut self, stage: &Stage, lanes: &Lanes, filler: &mut Filler) {
        let (w, h) = (stage.width, stage.height);
        let hidden_size = self.estimate.dims.hidden;
        let (hidden, vocab) = (Split::new(hidden_size, w), Split::new(self.estimate.vocab, h));
        let has_bias = self.estimate.head_bias;
        let numerics = &self.estimate.numerics;
        let layout = HeadLayout::new(hidden.max(), vocab.max(), has_bias, numerics);
        let mut data = fill::head(filler, (hidden, vocab), (w, h), &layout);
        let (bytes, logits) = (layout.bytes as u32, layout.logits);
        let emitter = HeadStage {
            hidden_size,
            hidden,
            vocab,
            layout,
            formats: self.formats(),
            epsilon: self.graph.final_norm.epsilon,
            has_bias,
            to_host: lanes.answers.color,
            feedback: lanes.feedback.color,
        };
        let mut parts = Vec::new();
        for (place, tile) in self.tiles(stage) {
            let row = LinePos::centred(place.column, w, ROW);
            row.route_chain(&mut self.routes[tile], Port::West, Port::East);
            if row.is_root() {
                let column = LinePos::centred(place.row, h, COLUMN);
                column.route_chain(&mut self.routes[tile], Port::North, Port::South);
                self.route_end(place, tile);
                parts.push((PeIdx(tile as u32), logits, vocab.len(place.row)));
            }
            self.edges(stage, place, tile, false);
            let mut params = residual_params(hidden, place.column);
            params.push((regs::VOCAB, vocab.start(place.row)));
            let data = std::mem::take(&mut data[(place.row * w + place.column) as usize]);
            self.set(tile, emit::head::program(&emitter, place), params, bytes, data);
        }
        self.image.probes.push(Probe { name: "logits".to_string(), dtype: DType::F32, parts });
        self.name(stage, "head".to_string());
    }

    /// The way of the item's end from the first row of the head's root column to its root.
    fn route_end(&mut self, place: Place, tile: usize) {
        let root = place.height / 2;
        if root == 0 || place.row > root {
            return;
        }
        let rx = if place.row == 0 { Port::Ramp } else { Port::North };
        let tx = if place.row == root { Port::Ramp } else { Port::South };
        self.routes[tile].add(Route::fixed(COLUMN.broadcast, rx, Ports::one(tx)));
    }

    fn edges(&mut self, stage: &Stage, place: Place, tile: usize, sends_on: bool) {
        let (at, size) = ((place.column, place.row), (stage.width, stage.height));
        lines::route_edges(&mut self.routes[tile], at, size, stage.entry, sends_on);
    }

    fn formats(&self) -> Formats {
        Formats { numerics: self.estimate.numerics }
    }

    /// Places and tile indices of a rectangle, row by row.
    fn tiles(&self, stage: &Stage) -> Vec<(Place, usize)> {
        let (width, height) = (stage.width, stage.height);
        let places = (0..height).flat_map(|row| (0..width).map(move |column| (column, row)));
        let place = |(column, row)| {
            (Place { column, row, width, height }, self.index(stage.tile(column, row)))
        };
        places.map(place).collect()
    }

    fn name(&mut self, stage: &Stage, name: String) {
        let (origin, width, height) = (stage.origin, stage.width, stage.height);
        self.image.stages.push(StageInfo { name, origin, width, height });
    }

    fn finish(self) -> WaferImage {
        let mut image = self.image;
        for (tile, routes) in self.routes.into_iter().enumerate() {
            let set = routes.finish();
            if !set.routes.is_empty() {
                image.tiles[tile].routes = Some(image.intern_routes(set));
            }
        }
        image
    }
}

/// Parameters that say where a column's slice of the residual stream lies.
fn residual_params(hidden: Split, column: u32) -> Vec<(Reg, u32)> {
    let all = hidden.start(column) + hidden.len(column);
    let whole = hidden.total();
    vec![
        (regs::BEFORE, hidden.start(column)),
        (regs::BEHIND, whole - all),
        (regs::FORWARD, HEADER_WORDS + hidden.start(column)),
    ]
}
