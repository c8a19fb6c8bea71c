//! What every picture has around its map: title, axes in tiles, legend.

use super::canvas::{self, Align, Canvas, GREY, INK, UNUSED};
use super::font;
use fabric::{PeCoord, Port, WaferImage};

/// Pixels that a map is made to fill, in its longer direction.
const MAP_PIXELS: u32 = 900;
/// More than this no tile gets.
const MAX_SCALE: u32 = 48;
/// A side of fewer pixels than this is stretched, by this factor at most.
const LEAST_SIDE: u32 = 250;
const MAX_STRETCH: u32 = 8;
/// From this size on the four sides of a tile are told apart, and tiles have gaps between them.
pub(super) const LARGE: u32 = 6;
const LEFT: u32 = 64;
const TOP: u32 = 76;
const BELOW: u32 = 48;
const LEGEND: u32 = 300;
/// Least height, so that a legend has room.
const LEAST_HEIGHT: u32 = 420;
/// Size of most text.
const TEXT: u32 = 2;

/// A rectangle of tiles.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Window {
    pub(super) x: u32,
    pub(super) y: u32,
    pub(super) width: u32,
    pub(super) height: u32,
}

impl Window {
    /// The tiles in use and those around them; the whole wafer if that is not much more.
    pub(super) fn of(image: &WaferImage) -> Window {
        let (width, height) = (image.machine.width, image.machine.height);
        let whole = Window { x: 0, y: 0, width, height };
        let (mut low, mut high) = (PeCoord::new(width, height), PeCoord::new(0, 0));
        for (at, tile) in (0..).zip(&image.tiles) {
            if tile.program.is_some() || tile.routes.is_some() {
                let at = image.coord(fabric::PeIdx(at));
                low = PeCoord::new(low.x.min(at.x), low.y.min(at.y));
                high = PeCoord::new(high.x.max(at.x), high.y.max(at.y));
            }
        }
        if low.x > high.x {
            return whole;
        }
        let (x, y) = (low.x.saturating_sub(1), low.y.saturating_sub(1));
        let (right, below) = ((high.x + 2).min(width), (high.y + 2).min(height));
        let used = Window { x, y, width: right - x, height: below - y };
        let tiles = |w: Window| u64::from(w.width) * u64::from(w.height);
        if 2 * tiles(used) < tiles(whole) { used } else { whole }
    }
}

/// What colors mean.
#[derive(Debug)]
pub(super) enum Legend {
    /// A ramp from 0 to `top`, which `unit` belongs to.
    Ramp { top: f64, unit: &'static str },
    /// Classes, each with its color.
    Classes(Vec<(u8, String)>),
}

/// A map, before it is drawn.
pub(super) struct Map<'a> {
    pub(super) title: String,
    pub(super) subtitle: String,
    pub(super) legend: Legend,
    /// The colors of a tile, towards each of [`Port::MESH`].
    pub(super) color: &'a dyn Fn(usize) -> [u8; 4],
}

/// A map on its way to a picture: where tiles are.
pub(super) struct Drawing {
    pub(super) canvas: Canvas,
    window: Window,
    /// Pixels per tile in x and y, or per `step` tiles.
    scale: (u32, u32),
    /// Tiles per pixel.
    step: u32,
}

impl Drawing {
    /// Draws a map with all that is around it.
    pub(super) fn new(image: &WaferImage, window: Window, map: &Map<'_>) -> Drawing {
        let longer = window.width.max(window.height).max(1);
        let step = longer.div_ceil(2 * MAP_PIXELS);
        let scale = if step > 1 { 1 } else { (MAP_PIXELS / longer).clamp(1, MAX_SCALE) };
        let scale = (stretched(scale, window.width / step), stretched(scale, window.height / step));
        let size = |tiles: u32, scale: u32| tiles.div_ceil(step) * scale;
        let (width, height) = (size(window.width, scale.0), size(window.height, scale.1));
        let text = [font::text_width(&map.title, TEXT + 1), font::text_width(&map.subtitle, TEXT)];
        let wide = (LEFT + width + LEGEND).max(LEFT + text[0].max(text[1]) + 16);
        let canvas = Canvas::new(wide, TOP + height.max(LEAST_HEIGHT) + BELOW);
        let mut drawing = Drawing { canvas, window, scale, step };
        drawing.canvas.text((LEFT, 14), &map.title, (TEXT + 1, INK, Align::Left));
        drawing.canvas.text((LEFT, 46), &map.subtitle, (TEXT, GREY, Align::Left));
        drawing.tiles(image, map.color);
        drawing.canvas.frame((LEFT - 1, TOP - 1), (width + 2, height + 2), GREY);
        drawing.axes(height);
        drawing.legend(LEFT + width + 28, &map.legend);
        drawing
    }

    /// Pixel of a tile's north-west corner.
    pub(super) fn corner(&self, at: PeCoord) -> (u32, u32) {
        let (dx, dy) = (at.x.saturating_sub(self.window.x), at.y.saturating_sub(self.window.y));
        (LEFT + dx / self.step * self.scale.0, TOP + dy / self.step * self.scale.1)
    }

    /// Pixels that so many columns and rows take.
    pub(super) fn pixels(&self, (columns, rows): (u32, u32)) -> (u32, u32) {
        (columns.div_ceil(self.step) * self.scale.0, rows.div_ceil(self.step) * self.scale.1)
    }

    fn tiles(&mut self, image: &WaferImage, color: &dyn Fn(usize) -> [u8; 4]) {
        let Window { x, y, width, height } = self.window;
        for (dx, dy) in (0..height).flat_map(|dy| (0..width).map(move |dx| (dx, dy))) {
            let at = PeCoord::new(x + dx, y + dy);
            let colors = color(image.index(at).0 as usize);
            let corner = self.corner(at);
            if self.scale.0.min(self.scale.1) < LARGE {
                let most = colors.into_iter().max().unwrap_or(UNUSED);
                let most = if self.step > 1 { most.max(self.canvas.at(corner)) } else { most };
                self.canvas.fill(corner, self.scale, most);
            } else {
                self.sides(corner, colors);
            }
        }
    }

    /// A tile with a triangle towards each side, and a line of white behind it.
    fn sides(&mut self, (x, y): (u32, u32), colors: [u8; 4]) {
        let (width, height) = (self.scale.0 - 1, self.scale.1 - 1);
        if colors.iter().all(|color| *color == colors[0]) {
            return self.canvas.fill((x, y), (width, height), colors[0]);
        }
        for (px, py) in (0..height).flat_map(|py| (0..width).map(move |px| (px, py))) {
            let (along, down) = (px * height, py * width);
            let (east, south) = (along > down, along + down >= width * height);
            let side = match (east, south) {
                (true, false) => Port::North,
                (true, true) => Port::East,
                (false, true) => Port::South,
                (false, false) => Port::West,
            };
            self.canvas.fill((x + px, y + py), (1, 1), colors[side.index()]);
        }
    }

    /// Numbers of columns below the map, of rows to its left.
    fn axes(&mut self, height: u32) {
        let Window { x, y, .. } = self.window;
        let marks = |first: u32, count: u32, scale: u32| {
            let every = round_step(f64::from(48 * self.step) / f64::from(scale));
            (first..first + count).filter(move |tile| tile.is_multiple_of(every))
        };
        let columns = marks(x, self.window.width, self.scale.0);
        let rows = marks(y, self.window.height, self.scale.1);
        let half = self.scale.0 / 2;
        for tile in columns {
            let (at, _) = self.corner(PeCoord::new(tile, y));
            self.canvas.fill((at + half, TOP + height + 1), (1, 5), GREY);
            let place = (at + half, TOP + height + 9);
            self.canvas.text(place, &tile.to_string(), (TEXT, INK, Align::Middle));
        }
        let half = self.scale.1 / 2;
        for tile in rows {
            let (_, at) = self.corner(PeCoord::new(x, tile));
            self.canvas.fill((LEFT - 6, at + half), (5, 1), GREY);
            let place = (LEFT - 10, (at + half).saturating_sub(7));
            self.canvas.text(place, &tile.to_string(), (TEXT, INK, Align::Right));
        }
        let below = TOP + height + 28;
        let name = "column of tiles (rows at the left)";
        self.canvas.text((LEFT, below), name, (TEXT, GREY, Align::Left));
    }

    fn legend(&mut self, x: u32, legend: &Legend) {
        match legend {
            Legend::Ramp { top, unit } => self.ramp(x, *top, unit),
            Legend::Classes(classes) => {
                for (at, (color, name)) in (0..).zip(classes) {
                    self.class((x, TOP + at * 24), *color, name);
                }
            }
        }
    }

    fn class(&mut self, (x, y): (u32, u32), color: u8, name: &str) {
        self.canvas.fill((x, y), (18, 18), color);
        self.canvas.frame((x, y), (18, 18), GREY);
        self.canvas.text((x + 26, y + 2), name, (TEXT, INK, Align::Left));
    }

    fn ramp(&mut self, x: u32, top: f64, unit: &str) {
        const HEIGHT: u32 = 240;
        let y = TOP + 28;
        self.canvas.text((x, TOP), unit, (TEXT, INK, Align::Left));
        for dy in 0..HEIGHT {
            let share = 1.0 - f64::from(dy) / f64::from(HEIGHT - 1);
            self.canvas.fill((x, y + dy), (24, 1), canvas::ramp(share));
        }
        self.canvas.frame((x, y), (24, HEIGHT), GREY);
        for quarter in 0..=4 {
            let at = y + (HEIGHT - 1) * (4 - quarter) / 4;
            self.canvas.fill((x + 24, at), (5, 1), GREY);
            let label = number(top * f64::from(quarter) / 4.0);
            let at = at.saturating_sub(7);
            self.canvas.text((x + 34, at), &label, (TEXT, INK, Align::Left));
        }
        self.class((x, y + HEIGHT + 20), UNUSED, "not in use");
    }
}

/// Pixels per tile in the direction of so many tiles: more than `scale` where these would make a strip that is too narrow to see.
fn stretched(scale: u32, tiles: u32) -> u32 {
    scale.max((LEAST_SIDE / tiles.max(1)).min(scale.max(2) * MAX_STRETCH))
}

/// The least of 1, 2, 5, 10, 20, … that is not less.
fn round_step(least: f64) -> u32 {
    let mut ten = 1;
    loop {
        for factor in [1, 2, 5] {
            if f64::from(factor * ten) >= least {
                return factor * ten;
            }
        }
        ten *= 10;
    }
}

/// The least round number that is not less than `most`, for the upper end of a ramp; 1 for nothing.
pub(super) fn round_top(most: f64) -> f64 {
    if most <= 0.0 {
        return 1.0;
    }
    let ten = 10f64.powf(most.log10().floor());
    let steps = [1.0, 1.5, 2.0, 3.0, 4.0, 6.0, 8.0, 10.0];
    steps.into_iter().map(|step| step * ten).find(|top| *top >= most).unwrap_or(10.0 * ten)
}

/// A number as legends and captions write it: three digits.
pub(super) fn number(value: f64) -> String {
    let digits = match value.abs() {
        v if v >= 100.0 || v == 0.0 => 0,
        v if v >= 10.0 => 1,
        v if v >= 1.0 => 2,
        v => (1 - v.log10().floor() as i32).clamp(3, 9) as usize,
    };
    let text = format!("{value:.digits$}");
    if text.contains('.') {
        text.trim_end_matches('0').trim_end_matches('.').to_string()
    } else {
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn are_the_ends_of_ramps_round() {
        let tops = [0.0, 0.9, 1.0, 15.5, 38.0, 100.0, 4_100.0].map(round_top);
        assert_eq!(tops, [1.0, 1.0, 1.0, 20.0, 40.0, 100.0, 6_000.0]);
        assert_eq!([1.0, 3.0, 11.0].map(round_step), [1, 5, 20]);
        let numbers = [0.0, 0.25, 1.5, 12.25, 48_000.0, 0.000_12].map(number);
        assert_eq!(numbers, ["0", "0.25", "1.5", "12.2", "48000", "0.00012"]);
    }
}
