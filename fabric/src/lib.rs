//! The wires of the wafer, as data: geometry, routes, the machine file, and the image that a
//! compiler makes and a simulator runs.
//!
//! **Architecture Invariant:** nothing here steps. Routers and PEs are executed in `sim-core` alone.

pub mod binary;
pub mod defects;
#[cfg(feature = "testing")]
pub mod fuzz;
pub mod geometry;
pub mod guesses;
pub mod host;
pub mod image;
pub mod lint;
pub mod machine;
pub mod overrides;
pub mod presets;
pub mod route;
pub mod text;

pub use defects::{DefectMap, Defects};
pub use geometry::{PeCoord, PeIdx, Port, Ports};
pub use host::{HostPlan, HostStop, HostWord, WordTest};
pub use image::{
    HostIn, HostOut, Probe, ProgramId, RouteSetId, Segment, StageInfo, Tile, WaferImage,
};
pub use lint::{Finding, lint};
pub use machine::{Machine, MachineError};
pub use route::{Position, Route, RouteSet};

/// Version of the timing contract (docs, "Timing contract"); reports and baselines carry it.
pub const CONTRACT_VERSION: &str = "2";
