//! PNG files of pictures with a palette (PNG specification, third edition: 8 bits, color type 3).

use miniz_oxide::deflate::compress_to_vec_zlib;

const SIGNATURE: [u8; 8] = [0x89, b'P', b'N', b'G', 0x0d, 0x0a, 0x1a, 0x0a];
/// Of zlib's ten, one that takes no time worth telling.
const LEVEL: u8 = 5;

/// A file of `width` columns; `pixels` are indices of the palette, row by row.
pub(super) fn encode(width: u32, pixels: &[u8], palette: &[[u8; 3]]) -> Vec<u8> {
    let height = (pixels.len() / width as usize) as u32;
    let mut header = Vec::new();
    header.extend(width.to_be_bytes());
    header.extend(height.to_be_bytes());
    header.extend([8, 3, 0, 0, 0]);
    let mut rows = Vec::with_capacity(pixels.len() + height as usize);
    for row in pixels.chunks(width as usize) {
        rows.push(0); // No filter: indices of a palette are not near each other.
        rows.extend_from_slice(row);
    }
    let mut file = SIGNATURE.to_vec();
    chunk(&mut file, b"IHDR", &header);
    chunk(&mut file, b"PLTE", palette.as_flattened());
    chunk(&mut file, b"IDAT", &compress_to_vec_zlib(&rows, LEVEL));
    chunk(&mut file, b"IEND", &[]);
    file
}

fn chunk(file: &mut Vec<u8>, kind: &[u8; 4], data: &[u8]) {
    file.extend((data.len() as u32).to_be_bytes());
    let from = file.len();
    file.extend(kind);
    file.extend(data);
    let sum = crc(&file[from..]);
    file.extend(sum.to_be_bytes());
}

/// CRC-32 as PNG has it.
fn crc(bytes: &[u8]) -> u32 {
    let mut table = [0u32; 256];
    for (at, entry) in (0u32..).zip(&mut table) {
        *entry = (0..8).fold(at, |c, _| if c & 1 == 1 { 0xedb8_8320 ^ (c >> 1) } else { c >> 1 });
    }
    let step = |c: u32, byte: &u8| table[((c ^ u32::from(*byte)) & 0xff) as usize] ^ (c >> 8);
    !bytes.iter().fold(u32::MAX, step)
}

#[cfg(test)]
mod tests {
    use super::*;
    use miniz_oxide::inflate::decompress_to_vec_zlib;

    #[test]
    fn does_a_file_hold_its_pixels() {
        assert_eq!(crc(b"123456789"), 0xcbf4_3926);
        let file = encode(2, &[0, 1, 1, 0, 1, 1], &[[0; 3], [255; 3]]);
        assert_eq!(&file[16..24], [0, 0, 0, 2, 0, 0, 0, 3]);
        let at = file.windows(4).position(|w| w == b"IDAT").unwrap();
        let length = u32::from_be_bytes(file[at - 4..at].try_into().unwrap()) as usize;
        let rows = decompress_to_vec_zlib(&file[at + 4..at + 4 + length]).unwrap();
        assert_eq!(rows, [0, 0, 1, 0, 1, 0, 0, 1, 1]);
    }
}
