//! Pass 10, assembly: stages, ports, lanes and SRAM contents become one image.

use crate::Residual;
use crate::detour::Laid;
use crate::emit::chunk::Chunk;
use crate::emit::embed::EmbedStage;
use crate::emit::head::HeadStage;
use crate::emit::layers::LayersStage;
use crate::emit::port::{self, Sources, TransferColors};
use crate::emit::{self, Formats, Place, mlp, regs};
use crate::error::CompileError;
use crate::estimate::Estimate;
use crate::fill::{self, Filler};
use crate::lanes::{Lanes, add_routes};
use crate::layout::HeadLayout;
use crate::lines::TileRoutes;
use crate::split::Split;
use crate::stage::{Stage, Work};
use crate::tiling::LayerTiling;
use crate::verify;
use crate::wires::{Node, in_port_row, port_node, tile_of};
use fabric::{
    HostIn, HostOut, PeCoord, PeIdx, Port, Probe, ProgramId, RouteSetId, Segment, StageInfo,
    WaferImage,
};
use indexmap::IndexSet;
use models::DecoderGraph;
use pe_isa::{DType, Program, Reg};

/// Where everything lies and what it is wired to.
pub(crate) struct Placed<'a> {
    pub(crate) stages: &'a [Stage],
    /// The stages' wires on tiles.
    pub(crate) laid: &'a [Laid],
    pub(crate) lanes: &'a Lanes,
}

/// What assembly works on.
struct Assembler<'a> {
    graph: &'a DecoderGraph,
    estimate: &'a Estimate<'a>,
    placed: &'a Placed<'a>,
    image: WaferImage,
    /// The programs so far, each once.
    programs: IndexSet<Program>,
    residuals: Vec<Residual>,
}

/// Makes the image, and tells where the residual stream lies in its stages of layers.
///
/// # Errors
/// Weights beyond the range of their storage type.
pub(crate) fn assemble(
    graph: &DecoderGraph,
    weights: Option<&models::Weights>,
    estimate: &Estimate,
    placed: &Placed<'_>,
) -> Result<(WaferImage, Vec<Residual>), CompileError> {
    let image = WaferImage::empty(estimate.machine.clone());
    let (programs, residuals) = (IndexSet::new(), Vec::new());
    let mut assembler = Assembler { graph, estimate, placed, image, programs, residuals };
    assembler.routes();
    assembler.ports();
    let mut filler = weights.map(|weights| Filler::new(graph, weights, estimate.numerics));
    for (at, stage) in placed.stages.iter().enumerate() {
        match &stage.work {
            Work::Embed => assembler.embed(at, stage, filler.as_mut()),
            Work::Layers(layers) => assembler.layers(at, stage, layers.clone(), filler.as_mut()),
            Work::Head => assembler.head(at, stage, filler.as_mut()),
        }
    }
    filler.map_or(Ok(()), Filler::finish)?;
    let Assembler { mut image, programs, residuals, .. } = assembler;
    image.programs = programs.into_iter().collect();
    Ok((image, residuals))
}

impl Assembler<'_> {
    fn routes(&mut self) {
        let machine = self.estimate.machine;
        let mut routes = vec![TileRoutes::default(); machine.tiles()];
        for laid in self.placed.laid {
            for (tile, route) in &laid.routes {
                routes[self.index(*tile)].add(route.clone());
            }
        }
        let lanes = self.placed.lanes;
        lanes.all().for_each(|lane| add_routes(lane, machine, &mut routes));
        let mut sets = IndexSet::new();
        for (tile, routes) in routes.into_iter().enumerate() {
            let set = routes.finish();
            if !set.routes.is_empty() {
                let id = sets.insert_full(set).0;
                self.image.tiles[tile].routes = Some(RouteSetId(id as u32));
            }
        }
        self.image.route_sets = sets.into_iter().collect();
        let (tile, port) = (PeIdx(0), Port::West);
        let (prompts, answers) = (lanes.prompts.color, lanes.answers.color);
        self.image.host_in.push(HostIn { tile, port, color: prompts });
        self.image.host_out.push(HostOut { tile, port, color: answers });
    }

    fn ports(&mut self) {
        let Placed { stages, lanes, .. } = *self.placed;
        let hidden = Split::new(self.estimate.dims.hidden, stages[0].width);
        let feedback = lanes.feedback.as_ref().map(|lane| lane.color);
        let sources = Sources { prompts: lanes.prompts.color, feedback };
        for (at, stage) in stages.iter().enumerate() {
            for column in 0..stage.width {
                let ports = in_port_row(column, stage.width);
                let chunk = match stage.work {
                    Work::Head => Chunk::ONE,
                    Work::Embed | Work::Layers(_) => self.estimate.chunk,
                };
                let ids = if chunk.is_one() { 0 } else { 4 * chunk.most };
                let (program, bytes) = match at.checked_sub(1) {
                    Some(before) => {
                        let len = hidden.len(column);
                        let lanes = self.transfers(before)[column as usize];
                        (port::stage_port(lanes, len, chunk), port::buffer_bytes(chunk, len))
                    }
                    None if ports.is_root() => {
                        (port::first_port(sources, &ports, stage.width, chunk), ids)
                    }
                    None => (port::next_port(&ports, chunk), ids),
                };
                let node = port_node(stage, column);
                self.set((at, node), program, Vec::new(), bytes, Vec::new());
            }
        }
    }

    /// The colors of the lanes from stage number `at` to the next, by column.
    fn transfers(&self, at: usize) -> Vec<TransferColors> {
        let columns = self.placed.lanes.transfers[at].iter();
        columns.map(|t| TransferColors { item: t.item.color, grant: t.grant.color }).collect()
    }

    fn index(&self, at: PeCoord) -> usize {
        self.image.index(at).0 as usize
    }

    /// Puts a program on the PE of a node of stage number `at`.
    fn set(
        &mut self,
        (at, node): (usize, Node),
        mut program: Program,
        params: Vec<(Reg, u32)>,
        bytes: u32,
        data: Vec<Segment>,
    ) {
        let tile = self.index(tile_of(&self.placed.stages[at], node));
        self.placed.laid[at].rename(node, &mut program);
        let id = ProgramId(self.programs.insert_full(program).0 as u32);
        verify::segments(self.image.coord(PeIdx(tile as u32)), bytes.next_multiple_of(4), &data);
        let tile = &mut self.image.tiles[tile];
        tile.program = Some(id);
        tile.params = params;
        tile.sram_bytes = bytes.next_multiple_of(4);
        tile.data = data;
    }

    fn embed(&mut self, at: usize, stage: &Stage, filler: Option<&mut Filler>) {
        let (w, h) = (stage.width, stage.height);
        let hidden = Split::new(self.estimate.dims.hidden, w);
        let vocab = Split::new(self.estimate.vocab, h);
        let positions = self.estimate.learned_positions.map(|rows| Split::new(rows, h));
        let layout = self.estimate.embed_layout(w, h);
        let fill = |filler| fill::embed(filler, (hidden, vocab, positions), (w, h), &layout);
        let mut data = filler.map_or_else(|| no_data(stage), fill);
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
        for (place, node) in places(stage) {
            let mut params = vec![(regs::VOCAB, vocab.start(place.row))];
            if let Some(positions) = positions {
                params.push((regs::POSITIONS, positions.start(place.row)));
            }
            let data = std::mem::take(&mut data[node]);
            self.set((at, node), emit::embed::program(&emitter, place), params, bytes, data);
        }
        self.name(stage, "embedding".to_string());
    }

    fn layers(
        &mut self,
        at: usize,
        stage: &Stage,
        layers: std::ops::Range<usize>,
        filler: Option<&mut Filler>,
    ) {
        let only_wanted = at + 2 == self.placed.stages.len();
        let (w, h) = (stage.width, stage.height);
        let tiling = LayerTiling::new(self.estimate.dims, w, h);
        let layout = self.estimate.layers_layout(&tiling, layers.clone());
        let graph = self.graph;
        let blocks = &graph.blocks[layers.clone()];
        let fill = |filler| fill::layers(filler, blocks, &tiling, &layout);
        let mut data = filler.map_or_else(|| no_data(stage), fill);
        let bytes = layout.bytes as u32;
        self.name(stage, format!("layers {}-{}", layers.start, layers.end - 1));
        let first_row = places(stage).filter(|(place, _)| place.row == 0);
        let slice = |(place, node): (Place, Node)| {
            let pe = self.image.index(tile_of(stage, node));
            (pe, layout.x, tiling.hidden.len(place.column))
        };
        let parts = first_row.map(slice).collect();
        self.residuals.push(Residual { layers: layers.clone(), parts });
        let formats = self.formats();
        let transfers = self.transfers(at);
        let emitter =
            LayersStage { graph, layers, tiling, layout, formats, transfers, only_wanted };
        let act = self.estimate.numerics.activations;
        for (place, node) in places(stage) {
            let mut params = vec![(regs::COLUMN, place.column)];
            let inner = emitter.layout.layers[0].mlp.tiling.row(place.row).inner_len();
            let words = mlp::shares(inner, act, w);
            let (start, end) = (words.start(place.column), words.end(place.column));
            params.push((regs::GATHER_BEFORE, start));
            params.push((regs::GATHER_BEHIND, words.end(w - 1) - end));
            params.push((regs::GATHER_OFFSET, 4 * start));
            let data = std::mem::take(&mut data[node]);
            self.set((at, node), emit::layers::program(&emitter, place), params, bytes, data);
        }
    }

    fn head(&mut self, at: usize, stage: &Stage, filler: Option<&mut Filler>) {
        let lanes = self.placed.lanes;
        let (w, h) = (stage.width, stage.height);
        let hidden_size = self.estimate.dims.hidden;
        let (hidden, vocab) = (Split::new(hidden_size, w), Split::new(self.estimate.vocab, h));
        let has_bias = self.estimate.head_bias;
        let numerics = &self.estimate.numerics;
        let layout = HeadLayout::new(hidden.max(), vocab.max(), has_bias, numerics);
        let fill = |filler| fill::head(filler, (hidden, vocab), (w, h), &layout);
        let mut data = filler.map_or_else(|| no_data(stage), fill);
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
        let mut parts = Vec::new();
        for (place, node) in places(stage) {
            if place.in_row.is_root() {
                let pe = self.image.index(tile_of(stage, node));
                parts.push((pe, logits, vocab.len(place.row)));
            }
            let mut params = vec![(regs::VOCAB, vocab.start(place.row))];
            if emitter.feedback.is_none() {
                params.push((regs::VOCAB_BEHIND, vocab.total() - vocab.end(place.row)));
            }
            let data = std::mem::take(&mut data[node]);
            self.set((at, node), emit::head::program(&emitter, place), params, bytes, data);
        }
        self.image.probes.push(Probe { name: "logits".to_string(), dtype: DType::F32, parts });
        self.name(stage, "head".to_string());
    }

    fn formats(&self) -> Formats {
        Formats { numerics: self.estimate.numerics, chunk: self.estimate.chunk }
    }

    fn name(&mut self, stage: &Stage, name: String) {
        let (origin, width, height) = stage.area();
        self.image.stages.push(StageInfo { name, origin, width, height });
    }
}

/// The segments of a rectangle's PEs where there are no weights.
fn no_data(stage: &Stage) -> Vec<Vec<Segment>> {
    vec![Vec::new(); (stage.width * stage.height) as usize]
}

/// Places and nodes of a rectangle, row by row.
fn places(stage: &Stage) -> impl Iterator<Item = (Place, Node)> {
    let (width, height) = (stage.width, stage.height);
    let places = (0..height).flat_map(move |row| (0..width).map(move |column| (column, row)));
    let place = move |(column, row)| {
        let (in_row, in_column) = (stage.in_row(column), stage.in_column(row));
        Place { column, row, width, height, in_row, in_column }
    };
    places.map(place).enumerate().map(|(node, place)| (place, node))
}
