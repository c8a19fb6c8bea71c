//! What was seen in a run, and how it is told: metrics, resources and the run report.
//!
//! * [`explain`]: the document `wafersim.explain/1`, where cycles went and what would buy some back.
//! * [`metrics`]: latencies and throughput from the cycles at which tokens left (docs, "Metrics").
//! * [`resources`]: what of the wafer an image uses.
//! * [`defects`]: what dead PEs and links cost.
//! * [`attribution`]: where the cycles of the critical path went.
//! * [`exec`]: the document `wafersim.exec/1`, what a program left behind.
//! * [`page`]: the HTML page of a run.
//! * [`pictures`]: maps of the wafer, as PNG files.
//! * [`report`]: the document `wafersim.run/1`, field by field in the order in which it is printed.
//! * [`timeline`]: a run over time, for Perfetto.
//!
//! **Architecture Invariant:** nothing here reads files, clocks or the environment. What a report says
//! about the host is handed in by `cli`.

pub mod attribution;
pub mod defects;
pub mod exec;
pub mod explain;
pub mod metrics;
pub mod page;
pub mod pictures;
pub mod report;
pub mod resources;
pub mod timeline;

pub use attribution::{Attribution, Attributor};
pub use defects::{DefectsEntry, HealthyEntry};
pub use exec::{
    EXEC_SCHEMA, Element, ExecCounters, ExecReport, Executed, PeEntry, ReceivedEntry, RegionEntry,
};
pub use metrics::{Latency, throughput_tokens_per_s};
pub use report::{
    BoundEntry, Counters, ExpertsEntry, FoldingEntry, HostFacts, MachineEntry, ModelEntry, Output,
    PeCycleEntry, RequestEntry, RunReport, SCHEMA, Settings, Stop,
};
pub use resources::Resources;
