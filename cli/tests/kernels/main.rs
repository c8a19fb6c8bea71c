//! Do generated kernels compute what they say, at the cycles that they promise? Published figures are compared with
//! them by `wafersim validate` (`tests/validate.rs`).

mod collectives;
mod harness;
mod machines;
mod matrices;
mod sizes;
