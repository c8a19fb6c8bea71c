//! Pass 10, assembly: stages, ports, lanes and SRAM contents become one image.

mod ends;

use crate::Residual;
use crate::alike::Look;
use crate::detour::Laid;
use crate::emit::chunk::Chunk;
use crate::emit::layers::LayersStage;
use crate::emit::port::{self, Sources, TransferColors};
use crate::emit::{self, Formats, Place, mlp, regs};
use crate::error::CompileError;
use crate::estimate::Estimate;
use crate::fill::{self, Filler};
use crate::lanes::Lanes;
use crate::routing;
use crate::split::Split;
use crate::stage::{Stage, Work};
use crate::stamp::{Class, Classes};
use crate::tiling::LayerTiling;
use crate::verify;
use crate::wires::{Node, in_port_row, port_node, tile_of};
use fabric::{HostIn, HostOut, PeIdx, Port, ProgramId, Segment, StageInfo, Tile, WaferImage};
use indexmap::{IndexMap, IndexSet};
use models::DecoderGraph;
use pe_isa::{Program, Reg};

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
    /// The stages of layers that are not alike.
    looks: Vec<Look>,
    /// The programs of the classes of each look, with their numbers once they have one.
    stamps: IndexMap<(Option<usize>, Class), Stamp>,
    residuals: Vec<Residual>,
}

/// A program as it is where nothing leads around defects, and its number once a PE has it.
type Stamp = (Program, Option<ProgramId>);

/// Parameters of a PE, bytes of its data, and what these begin with.
type Memory = (Vec<(Reg, u32)>, u32, Vec<Segment>);

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
    let mut assembler = Assembler {
        graph,
        estimate,
        placed,
        image,
        programs: IndexSet::new(),
        looks: Vec::new(),
        stamps: IndexMap::new(),
        residuals: Vec::new(),
    };
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
        let Placed { laid, lanes, .. } = *self.placed;
        routing::route(&mut self.image, laid, lanes);
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
                let program = self.intern(at, node, program);
                self.set((at, node), program, (Vec::new(), bytes, Vec::new()));
            }
        }
    }

    /// The colors of the lanes from stage number `at` to the next, by column.
    fn transfers(&self, at: usize) -> Vec<TransferColors> {
        let columns = self.placed.lanes.transfers[at].iter();
        columns.map(|t| TransferColors { item: t.item.color, grant: t.grant.color }).collect()
    }

    /// Adds the program of a node of stage number `at`, or finds the equal one that is there.
    fn intern(&mut self, at: usize, node: Node, mut program: Program) -> ProgramId {
        self.placed.laid[at].rename(node, &mut program);
        ProgramId(self.programs.insert_full(program).0 as u32)
    }

    /// Puts a program with its parameters, bytes of data and what these begin with on the PE of a node of stage number `at`.
    fn set(&mut self, (at, node): (usize, Node), program: ProgramId, memory: Memory) {
        let (params, bytes, data) = memory;
        let at = tile_of(&self.placed.stages[at], node);
        let sram_bytes = bytes.next_multiple_of(4);
        verify::segments(at, sram_bytes, &data);
        let tile = self.image.index(at).0 as usize;
        let tile = &mut self.image.tiles[tile];
        *tile = Tile { program: Some(program), routes: tile.routes, params, sram_bytes, data };
    }

    /// Puts programs on the PEs of the rectangle of stage number `at`, each class's emitted once for all stages of layers of
    /// one look; `bytes` of data each, and what they begin with.
    fn stamp(
        &mut self,
        (at, look): (usize, Option<usize>),
        classes: &Classes,
        emit: impl Fn(Place) -> Program,
        params: impl Fn(Place) -> Vec<(Reg, u32)>,
        (bytes, mut data): (u32, Vec<Vec<Segment>>),
    ) {
        let Placed { stages, laid, .. } = *self.placed;
        if look.is_none() {
            self.stamps.clear();
        }
        for (place, node) in places(&stages[at]) {
            let class = (look, classes.of(place));
            let stamp = self.stamps.entry(class).or_insert_with(|| (emit(place), None));
            if cfg!(test) {
                assert!(stamp.0 == emit(place), "{place:?} is not of its class");
            }
            let is_renamed = laid[at].is_renamed(node);
            let id = match stamp {
                (_, Some(id)) if !is_renamed => *id,
                (program, _) => {
                    let program = program.clone();
                    self.intern(at, node, program)
                }
            };
            if !is_renamed {
                self.stamps[&class].1 = Some(id);
            }
            let data = std::mem::take(&mut data[node]);
            self.set((at, node), id, (params(place), bytes, data));
        }
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
        let data = filler.map_or_else(|| no_data(stage), fill);
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
        let mlp = &emitter.layout.layers[0].mlp.tiling;
        let row_words = |row| mlp::shares(mlp.row(row).inner_len(), act, w);
        let row_words: Vec<Split> = (0..h).map(row_words).collect();
        let params = |place: Place| {
            let words = row_words[place.row as usize];
            let (start, end) = (words.start(place.column), words.end(place.column));
            vec![
                (regs::COLUMN, place.column),
                (regs::GATHER_BEFORE, start),
                (regs::GATHER_BEHIND, words.end(w - 1) - end),
                (regs::GATHER_OFFSET, 4 * start),
            ]
        };
        let classes = Classes::of_layers(&emitter, stage);
        let look = self.look(&emitter, stage);
        let emit = |p| emit::layers::program(&emitter, p);
        self.stamp((at, Some(look)), &classes, emit, params, (bytes, data));
    }

    /// The number of the look of a stage of layers.
    fn look(&mut self, emitter: &LayersStage<'_>, stage: &Stage) -> usize {
        let look = Look::new(emitter, stage);
        let known = self.looks.iter().position(|known| *known == look);
        known.unwrap_or_else(|| {
            self.looks.push(look);
            self.looks.len() - 1
        })
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
