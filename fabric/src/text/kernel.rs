//! What a text says: an image, what the host does, and what is expected.

use crate::geometry::PeIdx;
use crate::host::HostPlan;
use crate::image::WaferImage;
use pe_isa::DType;
use pe_isa::asm::{Span, Value};

/// A named piece of a PE's SRAM.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// The PE.
    pub tile: PeIdx,
    /// Name of the region.
    pub name: String,
    /// Byte address, a multiple of the element's size.
    pub address: u32,
    /// Type of the elements.
    pub dtype: DType,
    /// Extents, outermost first.
    pub extents: Vec<u32>,
}

impl Place {
    /// The bits of its elements in an SRAM of 32-bit words; shorter where the SRAM ends before.
    pub fn read(&self, sram: &[u32]) -> Vec<u32> {
        let count: u32 = self.extents.iter().product();
        let size = self.dtype.bytes();
        let element = |k: u32| {
            let at = self.address + k * size;
            let word = sram.get(at as usize / 4)?;
            Some(if size == 2 { word >> (8 * (at % 4)) & 0xffff } else { *word })
        };
        (0..count).map_while(element).collect()
    }
}

/// How a run ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    /// Nothing is left to do.
    Finished,
    /// Something waits for what can never come.
    Deadlock,
    /// An instruction faulted.
    Trap,
    /// The host ended it.
    Stopped,
    /// The cycle limit ended it.
    Limit,
}

impl Ending {
    /// Every ending with its name in texts.
    pub const ALL: [(Ending, &str); 5] = [
        (Ending::Finished, "finished"),
        (Ending::Deadlock, "deadlock"),
        (Ending::Trap, "trap"),
        (Ending::Stopped, "stopped"),
        (Ending::Limit, "limit"),
    ];

    /// How a run is to end of which nothing is said: by its host, if that ends runs.
    pub fn unsaid(host: &HostPlan) -> Ending {
        if host.stops.is_empty() { Ending::Finished } else { Ending::Stopped }
    }

    /// Its name in texts.
    pub fn name(self) -> &'static str {
        Ending::ALL.iter().find(|(e, _)| *e == self).map_or("", |(_, name)| name)
    }
}

/// What a text expects of a run.
#[derive(Debug, Clone, PartialEq)]
pub enum Expect {
    /// The first elements of a region.
    Memory {
        /// The region.
        place: Place,
        /// Bits of the elements.
        values: Vec<u32>,
        /// Largest difference; 0 for equal values. A NaN equals its own bits alone.
        within: f64,
    },
    /// The payloads that reach the host at a port, all of them, in order.
    Host {
        /// Index into [`WaferImage::host_out`].
        port: usize,
        /// Type of the payloads.
        dtype: DType,
        /// The payloads.
        values: Vec<u32>,
        /// Largest difference; 0 for equal values. A NaN equals its own bits alone.
        within: f64,
    },
    /// The cycle at which the run stops.
    Cycles {
        /// The cycle.
        value: u64,
        /// Largest difference.
        within: u64,
    },
}

/// Everything that a text says.
#[derive(Debug, Clone, PartialEq)]
pub struct Kernel {
    /// The image. It has not been through the linter.
    pub image: WaferImage,
    /// Whether the text states the machine of the image.
    pub states_machine: bool,
    /// The parameters of the text with the values that were used.
    pub params: Vec<(String, Value)>,
    /// Names of [`WaferImage::host_in`].
    pub host_in: Vec<String>,
    /// Names of [`WaferImage::host_out`].
    pub host_out: Vec<String>,
    /// What the host sends, for each of [`WaferImage::host_in`], and when it ends the run.
    pub host: HostPlan,
    /// For each of [`WaferImage::programs`], where each of its instructions stands; empty for images
    /// that were not read from a text. Programs that came out equal share the place of the first.
    pub code: Vec<Vec<Span>>,
    /// What is to be shown after a run.
    pub results: Vec<Place>,
    /// How the run is to end; [`Ending::unsaid`] where the text says nothing.
    pub ending: Ending,
    /// The statement that says so.
    pub ending_span: Option<Span>,
    /// What else is expected, with the statement that says so if there is a text.
    pub expects: Vec<(Expect, Option<Span>)>,
}

impl Kernel {
    /// An image of which nothing is expected but that it ends as its host lets it. Host ports are
    /// named `h0`, `h1`, … as in printed images.
    pub fn of_image(image: WaferImage, host: HostPlan) -> Kernel {
        let names = |count: usize| (0..count).map(|k| format!("h{k}")).collect();
        Kernel {
            states_machine: true,
            params: Vec::new(),
            host_in: names(image.host_in.len()),
            host_out: names(image.host_out.len()),
            code: Vec::new(),
            results: Vec::new(),
            ending: Ending::unsaid(&host),
            ending_span: None,
            expects: Vec::new(),
            image,
            host,
        }
    }
}
