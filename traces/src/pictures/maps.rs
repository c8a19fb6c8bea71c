//! Which picture shows what.

use super::Picture;
use super::canvas::{self, Align, CORRIDOR, DEAD, INK, PORT, UNUSED};
use super::font;
use super::frame::{Drawing, LARGE, Legend, Map, Window, number, round_top};
use fabric::{DefectMap, PeIdx, Port, ProgramId, WaferImage};
use pe_isa::Program;
use sim_core::{Outcome, PeCounters};

/// Stages that a legend names.
const NAMED_STAGES: usize = 14;

/// All pictures of a run: placement, memory, and what PEs and links did until it stopped.
pub fn draw(image: &WaferImage, outcome: &Outcome) -> Vec<Picture> {
    let drawn = Pictures { image, window: Window::of(image) };
    let state = &outcome.state;
    let pe = |at: usize| image.tiles[at].program.map(|_| &state.pes[at]);
    let share = |part: fn(&PeCounters) -> u64| {
        move |at: usize| {
            let pe = pe(at)?;
            Some([100.0 * part(pe) as f64 / pe.cycles.total().max(1) as f64; 4])
        }
    };
    let cycles = outcome.cycle.0.max(1) as f64;
    let load = |at: usize| {
        image.tiles[at].routes?;
        Some(Port::MESH.map(|port| state.links[at][port.index()] as f64 / cycles))
    };
    vec![
        placement(image),
        drawn.sram(),
        drawn.ramp(
            ("utilisation.png", "PE utilisation", "% of cycles"),
            "Share of a PE's cycles in which a step held its datapath",
            (&share(|pe| pe.cycles.working), None),
        ),
        drawn.ramp(
            ("waiting-input.png", "Waiting for input", "% of cycles"),
            "Share of a PE's cycles in which nothing worked and a thread stood on an empty input queue",
            (&share(|pe| pe.cycles.waiting_input), None),
        ),
        drawn.ramp(
            ("waiting-output.png", "Waiting for output", "% of cycles"),
            "Share of a PE's cycles in which nothing worked and a thread lacked room in an output queue",
            (&share(|pe| pe.cycles.waiting_output), None),
        ),
        drawn.ramp(
            ("links.png", "Link load", "wavelets a cycle"),
            "Wavelets sent over a link, over the run's cycles; a tile's busiest link, or all four where there is room",
            (&load, None),
        ),
    ]
}

/// The picture of what goes where.
pub fn placement(image: &WaferImage) -> Picture {
    let window = Window::of(image);
    let mut stage_of = vec![u16::MAX; image.tiles.len()];
    for (number, stage) in image.stages.iter().enumerate() {
        for y in stage.origin.y..stage.origin.y + stage.height {
            let first = (y * image.machine.width + stage.origin.x) as usize;
            stage_of[first..first + stage.width as usize].fill(number as u16);
        }
    }
    let defects = DefectMap::of(&image.machine);
    let color = |at: usize| {
        let tile = &image.tiles[at];
        let stage = stage_of[at];
        let color = if defects.is_dead(image.coord(PeIdx(at as u32))) {
            DEAD
        } else if tile.program.is_some() && stage != u16::MAX {
            canvas::class(usize::from(stage))
        } else if tile.program.is_some() {
            PORT
        } else if tile.routes.is_some() {
            CORRIDOR
        } else {
            UNUSED
        };
        [color; 4]
    };
    let used = image.tiles.iter().filter(|tile| tile.program.is_some()).count();
    let subtitle = format!("{} stages on {used} PEs; {}", image.stages.len(), place(image, window));
    let map = Map {
        title: "Placement".into(),
        subtitle,
        legend: stages(image, !defects.is_empty()),
        color: &color,
    };
    let mut drawing = Drawing::new(image, window, &map);
    name_stages(image, &mut drawing);
    Picture {
        file: "placement.png",
        title: "Placement",
        about: format!("Which PEs hold which stage: {}", map.subtitle),
        png: drawing.canvas.png(),
    }
}

/// Frames around stages, with names where these have room.
fn name_stages(image: &WaferImage, drawing: &mut Drawing) {
    for stage in &image.stages {
        let (x, y) = drawing.corner(stage.origin);
        let (width, height) = drawing.pixels((stage.width, stage.height));
        if width < LARGE || height < LARGE {
            continue;
        }
        drawing.canvas.frame((x, y), (width, height), INK);
        let size = (1..=2).rev().find(|size| {
            font::text_width(&stage.name, *size) + 4 <= width && font::HEIGHT * size + 4 <= height
        });
        if let Some(size) = size {
            let at = (x + width / 2, y + height / 2 - font::HEIGHT * size / 2);
            let box_width = font::text_width(&stage.name, size) + 4;
            let corner = (at.0 - (box_width / 2).min(at.0), at.1 - 2);
            drawing.canvas.fill(corner, (box_width, font::HEIGHT * size + 4), canvas::WHITE);
            drawing.canvas.text(at, &stage.name, (size, INK, Align::Middle));
        }
    }
}

fn stages(image: &WaferImage, has_defects: bool) -> Legend {
    let stages = image.stages.iter().enumerate();
    let mut classes: Vec<(u8, String)> = stages
        .take(NAMED_STAGES)
        .map(|(at, stage)| {
            (canvas::class(at), format!("{} {}x{}", stage.name, stage.width, stage.height))
        })
        .collect();
    if image.stages.len() > NAMED_STAGES {
        let more = image.stages.len() - NAMED_STAGES;
        classes.push((canvas::WHITE, format!("and {more} more")));
    }
    classes.push((PORT, "port".into()));
    classes.push((CORRIDOR, "router only".into()));
    classes.push((UNUSED, "not in use".into()));
    if has_defects {
        classes.push((DEAD, "dead PE".into()));
    }
    Legend::Classes(classes)
}

/// Which part of which wafer a picture shows.
fn place(image: &WaferImage, window: Window) -> String {
    let machine = &image.machine;
    let wafer = format!("{}, {} x {}", machine.name, machine.width, machine.height);
    if window.width == machine.width && window.height == machine.height {
        return wafer;
    }
    let Window { x, y, width, height } = window;
    format!("columns {x}-{} rows {y}-{} of {wafer}", x + width - 1, y + height - 1)
}

struct Pictures<'a> {
    image: &'a WaferImage,
    window: Window,
}

impl Pictures<'_> {
    fn sram(&self) -> Picture {
        let code: Vec<u32> = self.image.programs.iter().map(Program::code_bytes).collect();
        let reserve = self.image.machine.pe.reserve_bytes;
        let bytes = |at: usize| {
            let tile = &self.image.tiles[at];
            let ProgramId(program) = tile.program?;
            let used = reserve + code[program as usize] + tile.sram_bytes;
            Some([f64::from(used) / 1_024.0; 4])
        };
        let full = self.image.machine.pe.sram_bytes;
        self.ramp(
            ("sram.png", "SRAM in use", "KiB"),
            &format!(
                "Code, data and the runtime's reserve of each PE, which has {} KiB",
                number(f64::from(full) / 1_024.0)
            ),
            (&bytes, Some(f64::from(full) / 1_024.0)),
        )
    }

    /// A map of one value a tile, or one for each of its sides; the ramp ends at `top`, or where the largest value asks for.
    fn ramp(
        &self,
        (file, title, unit): (&'static str, &'static str, &'static str),
        about: &str,
        (value, top): (&dyn Fn(usize) -> Option<[f64; 4]>, Option<f64>),
    ) -> Picture {
        let (mut most, mut most_at, mut sum, mut count) = (0.0, 0, 0.0, 0u32);
        for at in 0..self.image.tiles.len() {
            let Some(values) = value(at) else { continue };
            let own = values.into_iter().fold(0.0, f64::max);
            (sum, count) = (sum + own, count + 1);
            if own > most {
                (most, most_at) = (own, at);
            }
        }
        let top = top.unwrap_or_else(|| round_top(most));
        let color = |at: usize| {
            value(at).map_or([UNUSED; 4], |values| values.map(|v| canvas::ramp(v / top)))
        };
        let at = self.image.coord(PeIdx(most_at as u32));
        let mean = number(sum / f64::from(count.max(1)));
        let figures = format!("mean {mean}, most {} at {at}", number(most));
        let map = Map {
            title: format!("{title} ({unit})"),
            subtitle: format!("{figures}; {}", place(self.image, self.window)),
            legend: Legend::Ramp { top, unit },
            color: &color,
        };
        let drawing = Drawing::new(self.image, self.window, &map);
        Picture {
            file,
            title,
            about: format!("{about}: {figures}, in {unit}."),
            png: drawing.canvas.png(),
        }
    }
}
