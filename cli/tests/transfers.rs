//! Do items go from stage to stage as the mapping says: through ports that hold them until the stage is done with the item before,
//! whatever room the queues have?

mod request;

use compiler::{Compiled, Mapping, Options, marks};
use fabric::{Machine, PeIdx, Port};
use models::ModelDir;
use pe_isa::{Color, Cycle};
use request::{LIMIT, Listener, examples, machine, script};
use sim_core::{Event, Observer, StopReason, What, engine};
use std::collections::BTreeMap;

/// What one PE of a stage of layers was seen to do.
#[derive(Default)]
struct Seen {
    /// Words that its router gave it.
    arrivals: Vec<(Cycle, Color)>,
    /// When it had an item, and when it was done with a layer.
    items: Vec<Cycle>,
    layers: Vec<Cycle>,
}

#[derive(Default)]
struct Watch(BTreeMap<PeIdx, Seen>);

impl Observer for Watch {
    fn mark(&mut self, cycle: Cycle, pe: PeIdx, mark: u16, _sram: &[u32]) {
        let seen = self.0.entry(pe).or_default();
        match mark {
            marks::ITEM => seen.items.push(cycle),
            marks::LAYER => seen.layers.push(cycle),
            _ => {}
        }
    }

    fn sees_events(&self) -> bool {
        true
    }

    fn event(&mut self, event: &Event) {
        if let What::Fire { to, wavelet, .. } = event.what
            && to.contains(Port::Ramp)
        {
            let seen = self.0.entry(event.tile).or_default();
            seen.arrivals.push((event.cycle, wavelet.color));
        }
    }
}

impl Seen {
    /// The color of items, which brings the last word before a PE has its first one.
    fn items_color(&self) -> Color {
        let before = self.arrivals.iter().filter(|(cycle, _)| *cycle < self.items[0]);
        before.map(|(_, color)| *color).next_back().expect("an item has words")
    }

    /// Words of an item that came while the PE worked on another.
    fn early(&self, layers_per_stage: usize) -> usize {
        let color = self.items_color();
        let ends = self.layers.chunks_exact(layers_per_stage).map(|all| all[all.len() - 1]);
        let work: Vec<(Cycle, Cycle)> = self.items.iter().copied().zip(ends).collect();
        let at_work = |at: Cycle| work.iter().any(|&(start, end)| start < at && at < end);
        self.arrivals.iter().filter(|(at, of)| *of == color && at_work(*at)).count()
    }
}

const PROMPTS: [&[u32]; 3] = [&[143, 410, 382, 7, 12], &[5, 9], &[77, 31, 204, 8]];
const NEW: [u32; 3] = [3, 4, 1];

fn compiled(model: &ModelDir, machine: &Machine, mapping: Mapping) -> Compiled {
    let contexts = PROMPTS.iter().zip(NEW).map(|(prompt, new)| prompt.len() as u32 + new - 1);
    let options = Options { contexts: contexts.collect(), mapping, ..Options::default() };
    let weights = model.weights().expect("weights are there");
    compiler::compile(model.graph(), weights, machine, &options).expect("it compiles")
}

#[test]
fn do_items_wait_until_a_stage_is_done_with_the_one_before() {
    let model = ModelDir::open(examples("oracle/llama-odd/model")).expect("the model opens");
    let mut first: Option<Vec<(usize, u32)>> = None;
    // One band, several that turn, one along a row; several queues.
    for (grid, layers_per_stage, (stage_width, stage_height), queue_depth) in [
        ((20, 40), 1, (4, 3), 4),
        ((40, 9), 1, (7, 3), 1),
        ((40, 7), 2, (3, 4), 2),
        ((120, 1), 1, (1, 12), 3),
    ] {
        let mut machine = machine(grid.0, grid.1);
        machine.fabric.queue_depth = queue_depth;
        let mapping = Mapping { layers_per_stage, stage_width, stage_height, ..Mapping::default() };
        let compiled = compiled(&model, &machine, mapping);
        let mut listener = Listener::new(&compiled, NEW.iter().sum(), &[]);
        let script = script(&compiled, &PROMPTS.map(<[u32]>::to_vec), &NEW);
        let mut watch = Watch::default();
        let outcome = engine::run(&compiled.image, &script, &mut listener, LIMIT, &mut watch);
        assert_eq!(outcome.stop, StopReason::Host, "{grid:?}");
        let mut tokens: Vec<(usize, u32)> =
            listener.tokens.iter().map(|token| (token.request, token.id)).collect();
        tokens.sort_by_key(|token| token.0);
        assert_eq!(*first.get_or_insert(tokens.clone()), tokens, "{grid:?}");
        let stages = watch.0.values().filter(|seen| seen.items.len() > 1);
        let early: Vec<usize> = stages.map(|seen| seen.early(layers_per_stage as usize)).collect();
        assert!(early.len() >= (stage_width * stage_height) as usize, "{grid:?}");
        assert!(early.iter().all(|&early| early == 0), "{grid:?}: {early:?}");
    }
}
