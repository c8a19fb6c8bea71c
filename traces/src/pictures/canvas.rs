//! A picture with a palette, and what is drawn on it: rectangles and text.

use super::font;
use super::png;

pub(super) const WHITE: u8 = 0;
pub(super) const INK: u8 = 1;
pub(super) const GREY: u8 = 2;
/// A tile that nothing uses.
pub(super) const UNUSED: u8 = 3;
/// A router between stages.
pub(super) const CORRIDOR: u8 = 4;
pub(super) const DEAD: u8 = 5;
/// A PE with a program outside of stages.
pub(super) const PORT: u8 = 6;

/// First of the colors that tell classes apart.
const CLASS: u8 = 16;
const CLASSES: [[u8; 3]; 12] = [
    [86, 180, 233],
    [230, 159, 0],
    [120, 200, 120],
    [204, 121, 167],
    [240, 228, 66],
    [150, 140, 220],
    [245, 150, 120],
    [100, 205, 195],
    [200, 200, 110],
    [170, 190, 230],
    [225, 170, 210],
    [190, 170, 140],
];

/// First color of the ramp, and how many steps it has; dark is little, light is much.
const RAMP: u8 = 56;
const RAMP_STEPS: u8 = u8::MAX - RAMP;
/// Between these the ramp goes straight (viridis).
const RAMP_POINTS: [[u8; 3]; 6] =
    [[68, 1, 84], [65, 68, 135], [42, 120, 142], [34, 168, 132], [122, 209, 81], [253, 231, 37]];

/// The color of class number `at`; they repeat.
pub(super) fn class(at: usize) -> u8 {
    CLASS + (at % CLASSES.len()) as u8
}

/// The color of a share, 0 to 1.
pub(super) fn ramp(share: f64) -> u8 {
    RAMP + (share.clamp(0.0, 1.0) * f64::from(RAMP_STEPS)).round() as u8
}

fn palette() -> Vec<[u8; 3]> {
    let mut colors = vec![[255; 3]; 256];
    let few = [
        (WHITE, [255, 255, 255]),
        (INK, [25, 25, 30]),
        (GREY, [120, 120, 125]),
        (UNUSED, [232, 232, 234]),
        (CORRIDOR, [175, 175, 180]),
        (DEAD, [200, 30, 30]),
        (PORT, [70, 70, 80]),
    ];
    few.iter().for_each(|&(at, color)| colors[usize::from(at)] = color);
    for (at, color) in CLASSES.iter().enumerate() {
        colors[usize::from(CLASS) + at] = *color;
    }
    let spans = RAMP_POINTS.len() - 1;
    for step in 0..=usize::from(RAMP_STEPS) {
        let along = step as f64 / f64::from(RAMP_STEPS) * spans as f64;
        let span = (along as usize).min(spans - 1);
        let part = along - span as f64;
        let mix = |i: usize| {
            let (from, to) = (f64::from(RAMP_POINTS[span][i]), f64::from(RAMP_POINTS[span + 1][i]));
            (from + part * (to - from)).round() as u8
        };
        colors[usize::from(RAMP) + step] = [mix(0), mix(1), mix(2)];
    }
    colors
}

/// Where a text stands in relation to its place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Align {
    Left,
    Middle,
    Right,
}

#[derive(Debug)]
pub(super) struct Canvas {
    pub(super) width: u32,
    pub(super) height: u32,
    pixels: Vec<u8>,
}

impl Canvas {
    /// All white.
    pub(super) fn new(width: u32, height: u32) -> Canvas {
        Canvas { width, height, pixels: vec![WHITE; width as usize * height as usize] }
    }

    /// The color of a pixel.
    pub(super) fn at(&self, (x, y): (u32, u32)) -> u8 {
        self.pixels[y as usize * self.width as usize + x as usize]
    }

    /// What lies outside is cut off.
    pub(super) fn fill(&mut self, (x, y): (u32, u32), (width, height): (u32, u32), color: u8) {
        let (from, to) = (x.min(self.width), (x + width).min(self.width));
        for row in y..(y + height).min(self.height) {
            let start = row as usize * self.width as usize;
            self.pixels[start + from as usize..start + to as usize].fill(color);
        }
    }

    /// The line around a rectangle, inside it.
    pub(super) fn frame(&mut self, (x, y): (u32, u32), (width, height): (u32, u32), color: u8) {
        self.fill((x, y), (width, 1), color);
        self.fill((x, y + height - 1), (width, 1), color);
        self.fill((x, y), (1, height), color);
        self.fill((x + width - 1, y), (1, height), color);
    }

    /// Text whose upper edge is at `y`; each dot of its letters is `size` pixels wide.
    pub(super) fn text(
        &mut self,
        (x, y): (u32, u32),
        text: &str,
        (size, color, align): (u32, u8, Align),
    ) {
        let width = font::text_width(text, size);
        let mut left = match align {
            Align::Left => x,
            Align::Middle => x.saturating_sub(width / 2),
            Align::Right => x.saturating_sub(width),
        };
        for letter in text.chars() {
            for (dy, row) in (0..).zip(font::rows(letter)) {
                for dx in (0..font::WIDTH).filter(|dx| row >> dx & 1 == 1) {
                    self.fill((left + dx * size, y + dy * size), (size, size), color);
                }
            }
            left += font::ADVANCE * size;
        }
    }

    pub(super) fn png(&self) -> Vec<u8> {
        png::encode(self.width, &self.pixels, &palette())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn does_drawing_stay_on_the_canvas() {
        let mut canvas = Canvas::new(20, 10);
        canvas.fill((15, 5), (100, 100), INK);
        canvas.text((12, 8), "wide text", (2, INK, Align::Left));
        canvas.text((1, 0), "M", (1, GREY, Align::Right));
        assert_eq!(canvas.pixels.len(), 200);
        assert_eq!(canvas.pixels[5 * 20 + 14..5 * 20 + 17], [WHITE, INK, INK]);
    }
}
