//! Letters of five by nine pixels, the last two below the line, so that pictures need no font of the system.

use std::sync::OnceLock;

/// Columns and rows of a letter; a column of nothing stands behind it.
pub(super) const WIDTH: u32 = 5;
pub(super) const HEIGHT: u32 = 9;
/// From one letter to the next.
pub(super) const ADVANCE: u32 = WIDTH + 1;

/// Printable ASCII from the space on, in bands of sixteen, as people draw them.
const GLYPHS: &str = include_str!("glyphs.txt");
const PER_BAND: usize = 16;
const FIRST: u32 = ' ' as u32;

/// The rows of a letter; bit *x* stands for column *x*. What there is no letter for is a question mark.
pub(super) fn rows(letter: char) -> [u8; HEIGHT as usize] {
    static ALL: OnceLock<Vec<[u8; HEIGHT as usize]>> = OnceLock::new();
    let all = ALL.get_or_init(read);
    let at = (letter as u32).checked_sub(FIRST).map(|at| at as usize);
    let unknown = ('?' as u32 - FIRST) as usize;
    *at.and_then(|at| all.get(at)).unwrap_or(&all[unknown])
}

fn read() -> Vec<[u8; HEIGHT as usize]> {
    let mut all = Vec::new();
    let lines: Vec<&str> = GLYPHS.lines().collect();
    for band in lines.chunks(HEIGHT as usize + 1) {
        let letters = band[0].split(' ').count();
        assert!(letters <= PER_BAND, "a band holds sixteen letters");
        let first = all.len();
        all.resize(first + letters, [0; HEIGHT as usize]);
        for (y, line) in band.iter().take(HEIGHT as usize).enumerate() {
            for (letter, dots) in line.split(' ').enumerate() {
                let bits = dots.bytes().enumerate().filter(|(_, dot)| *dot == b'#');
                all[first + letter][y] = bits.fold(0, |row, (x, _)| row | 1 << x);
            }
        }
    }
    all
}

/// Pixels that a text takes at a size.
pub(super) fn text_width(text: &str, size: u32) -> u32 {
    (text.chars().count() as u32 * ADVANCE).saturating_sub(1) * size
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn does_every_printable_letter_have_a_form_of_its_own() {
        let mut forms: Vec<_> = (' '..='~').map(rows).collect();
        assert_eq!(rows('1')[6], 0b01110);
        forms.sort_unstable();
        forms.dedup();
        assert_eq!(forms.len(), 95);
        assert_eq!(rows('µ'), rows('?'));
    }
}
