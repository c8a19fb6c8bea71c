//! The binary form of images and of the host's part in their runs.
//!
//! Layout, integers little-endian: the eight bytes `wafersim`, the version (u32), the length of what
//! follows the header (u64), the first 16 bytes of its BLAKE3 hash; then the sections of [`SECTIONS`],
//! each with its length in bytes (u64) before it. The machine is RON text. SRAM contents are plain
//! words, which neither grow nor need decoding; everything else is in `postcard`'s encoding.
//!
//! Nothing is allocated for a length that the file does not hold.

use crate::geometry::PeIdx;
use crate::host::HostPlan;
use crate::image::{HostIn, HostOut, Probe, ProgramId, RouteSetId, Segment, StageInfo, Tile};
use crate::{Machine, WaferImage};
use pe_isa::{Reg, check};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

const MAGIC: &[u8; 8] = b"wafersim";

/// Version of the layout. Instructions, descriptors and routes are part of it.
pub const VERSION: u32 = 2;

const HASH_BYTES: usize = 16;
const HEADER_BYTES: usize = MAGIC.len() + 4 + 8 + HASH_BYTES;

/// The sections, in the order of the file.
pub const SECTIONS: [&str; 7] = ["machine", "programs", "routes", "tiles", "data", "ends", "host"];

/// Why bytes are no image.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BinaryError {
    /// The first bytes are those of something else.
    #[error("this is no image: it does not begin with `wafersim`")]
    NotAnImage,
    /// The image has another layout.
    #[error("the image has version {found}, this program reads version {VERSION}; make it again")]
    Version {
        /// The version that it has.
        found: u32,
    },
    /// The file has too few or too many bytes.
    #[error("the image says it has {stated} bytes, the file has {found}; it was cut or added to")]
    Length {
        /// What the header says.
        stated: u64,
        /// What is there.
        found: u64,
    },
    /// The contents are not those that were written.
    #[error("the image's checksum does not fit its contents; the file is damaged")]
    Checksum,
    /// A section does not hold what it should.
    #[error("section `{section}` of the image is malformed: {message}")]
    Section {
        /// Which of [`SECTIONS`].
        section: &'static str,
        /// What is wrong.
        message: String,
    },
}

/// A tile without its SRAM contents.
#[derive(Debug, Serialize, Deserialize)]
struct TileRow {
    program: Option<ProgramId>,
    routes: Option<RouteSetId>,
    params: Vec<(Reg, u32)>,
    sram_bytes: u32,
}

/// What is at the ends of the fabric, and names.
#[derive(Debug, Serialize, Deserialize)]
struct Ends {
    host_in: Vec<HostIn>,
    host_out: Vec<HostOut>,
    stages: Vec<StageInfo>,
    probes: Vec<Probe>,
}

/// Whether bytes begin like an image in binary form; else they may be text.
pub fn is_image(bytes: &[u8]) -> bool {
    bytes.starts_with(MAGIC)
}

/// An image and the host's part as bytes that [`read`] reads back equal.
pub fn write(image: &WaferImage, host: &HostPlan) -> Vec<u8> {
    let row = |t: &Tile| TileRow {
        program: t.program,
        routes: t.routes,
        params: t.params.clone(),
        sram_bytes: t.sram_bytes,
    };
    let ends = Ends {
        host_in: image.host_in.clone(),
        host_out: image.host_out.clone(),
        stages: image.stages.clone(),
        probes: image.probes.clone(),
    };
    let sections = [
        image.machine.to_ron().into_bytes(),
        encode(&image.programs),
        encode(&image.route_sets),
        encode(&image.tiles.iter().map(row).collect::<Vec<_>>()),
        write_data(&image.tiles),
        encode(&ends),
        encode(host),
    ];
    let mut body = Vec::new();
    for section in sections {
        body.extend_from_slice(&(section.len() as u64).to_le_bytes());
        body.extend_from_slice(&section);
    }
    let mut bytes = Vec::with_capacity(HEADER_BYTES + body.len());
    bytes.extend_from_slice(MAGIC);
    bytes.extend_from_slice(&VERSION.to_le_bytes());
    bytes.extend_from_slice(&(body.len() as u64).to_le_bytes());
    bytes.extend_from_slice(&blake3::hash(&body).as_bytes()[..HASH_BYTES]);
    bytes.extend_from_slice(&body);
    bytes
}

fn encode<T: Serialize>(value: &T) -> Vec<u8> {
    postcard::to_allocvec(value).expect("images are plain data")
}

/// Tile, address, number of words, words; for each piece of SRAM, in the order of the tiles.
fn write_data(tiles: &[Tile]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for (at, tile) in tiles.iter().enumerate() {
        for segment in &tile.data {
            for field in [at as u32, segment.address, segment.words.len() as u32] {
                bytes.extend_from_slice(&field.to_le_bytes());
            }
            segment.words.iter().for_each(|w| bytes.extend_from_slice(&w.to_le_bytes()));
        }
    }
    bytes
}

/// Reads an image and the host's part. They have sound programs and no reference to what is not
/// there; whether the image makes sense as a whole is for [`crate::lint()`] to find.
///
/// # Errors
/// When the bytes are no image of this version, are damaged, or do not fit together.
pub fn read(bytes: &[u8]) -> Result<(WaferImage, HostPlan), BinaryError> {
    let mut rest = body(bytes)?;
    let mut parts = [&[][..]; SECTIONS.len()];
    for (part, section) in parts.iter_mut().zip(SECTIONS) {
        let message = || "it is cut short".to_string();
        let cut = || BinaryError::Section { section, message: message() };
        let (length, behind) = rest.split_first_chunk::<8>().ok_or_else(cut)?;
        let length = usize::try_from(u64::from_le_bytes(*length)).map_err(|_| cut())?;
        (*part, rest) = behind.split_at_checked(length).ok_or_else(cut)?;
    }
    if !rest.is_empty() {
        let message = format!("{} bytes follow it", rest.len());
        return Err(BinaryError::Section { section: "host", message });
    }
    let text = std::str::from_utf8(parts[0]).map_err(|e| wrong("machine", &e))?;
    let machine = Machine::from_ron(text, "machine").map_err(|e| wrong("machine", &e))?;
    let rows: Vec<TileRow> = decode("tiles", parts[3])?;
    if rows.len() != machine.tiles() {
        let message = format!("{} tiles, the machine has {}", rows.len(), machine.tiles());
        return Err(wrong("tiles", &message));
    }
    let tile = |r: TileRow| Tile {
        program: r.program,
        routes: r.routes,
        params: r.params,
        sram_bytes: r.sram_bytes,
        data: Vec::new(),
    };
    let mut tiles: Vec<Tile> = rows.into_iter().map(tile).collect();
    read_data(parts[4], &mut tiles)?;
    let ends: Ends = decode("ends", parts[5])?;
    let image = WaferImage {
        machine,
        programs: decode("programs", parts[1])?,
        route_sets: decode("routes", parts[2])?,
        tiles,
        host_in: ends.host_in,
        host_out: ends.host_out,
        stages: ends.stages,
        probes: ends.probes,
    };
    fits_together(&image)?;
    let host: HostPlan = decode("host", parts[6])?;
    host.check(&image).map_err(|e| wrong("host", &e))?;
    Ok((image, host))
}

/// What follows the header, if header and checksum are right.
fn body(bytes: &[u8]) -> Result<&[u8], BinaryError> {
    if !is_image(bytes) {
        return Err(BinaryError::NotAnImage);
    }
    let found = bytes.len() as u64;
    let rest = &bytes[MAGIC.len()..];
    let cut = BinaryError::Length { stated: HEADER_BYTES as u64, found };
    let (version, rest) = rest.split_first_chunk::<4>().ok_or(cut.clone())?;
    let version = u32::from_le_bytes(*version);
    if version != VERSION {
        return Err(BinaryError::Version { found: version });
    }
    let (length, rest) = rest.split_first_chunk::<8>().ok_or(cut.clone())?;
    let (hash, body) = rest.split_first_chunk::<HASH_BYTES>().ok_or(cut)?;
    let length = u64::from_le_bytes(*length);
    if length != body.len() as u64 {
        let stated = length.saturating_add(HEADER_BYTES as u64);
        return Err(BinaryError::Length { stated, found });
    }
    if blake3::hash(body).as_bytes()[..HASH_BYTES] != hash[..] {
        return Err(BinaryError::Checksum);
    }
    Ok(body)
}

fn wrong(section: &'static str, message: &dyn std::fmt::Display) -> BinaryError {
    BinaryError::Section { section, message: message.to_string() }
}

fn decode<T: DeserializeOwned>(section: &'static str, bytes: &[u8]) -> Result<T, BinaryError> {
    let (value, rest) = postcard::take_from_bytes(bytes).map_err(|e| wrong(section, &e))?;
    if rest.is_empty() {
        return Ok(value);
    }
    Err(wrong(section, &format!("{} bytes are left over", rest.len())))
}

fn read_data(bytes: &[u8], tiles: &mut [Tile]) -> Result<(), BinaryError> {
    let mut rest = bytes;
    while !rest.is_empty() {
        let cut = || wrong("data", &"it is cut short");
        let (head, behind) = rest.split_first_chunk::<12>().ok_or_else(cut)?;
        let field = |k: usize| u32::from_le_bytes([head[k], head[k + 1], head[k + 2], head[k + 3]]);
        let (tile, address, count) = (field(0), field(4), field(8) as usize);
        let length = count.checked_mul(4).ok_or_else(cut)?;
        let (words, behind) = behind.split_at_checked(length).ok_or_else(cut)?;
        let tile = tiles.get_mut(tile as usize);
        let tile = tile.ok_or_else(|| wrong("data", &"a tile that does not exist"))?;
        let word = |c: &[u8]| u32::from_le_bytes([c[0], c[1], c[2], c[3]]);
        tile.data.push(Segment { address, words: words.chunks_exact(4).map(word).collect() });
        rest = behind;
    }
    Ok(())
}

/// Whether all that is referred to is there, and all programs and sets of ports are sound.
fn fits_together(image: &WaferImage) -> Result<(), BinaryError> {
    if let Some(broken) = image.broken_references().into_iter().next() {
        return Err(wrong("tiles", &broken));
    }
    let known = |tile: &PeIdx| (tile.0 as usize) < image.tiles.len();
    let probed = image.probes.iter().flat_map(|p| &p.parts).all(|(tile, _, _)| known(tile));
    if !probed {
        return Err(wrong("ends", &"a probe of a tile that does not exist"));
    }
    let mut positions = image.route_sets.iter().flat_map(|s| &s.routes).flat_map(|r| &r.positions);
    if !positions.all(|p| p.tx.is_sound()) {
        return Err(wrong("routes", &"a port that does not exist"));
    }
    let limits = image.machine.program_limits();
    for (at, program) in image.programs.iter().enumerate() {
        if let Some(error) = check::check(program, &limits).first() {
            return Err(wrong("programs", &format!("program {at}: {error}")));
        }
    }
    Ok(())
}
