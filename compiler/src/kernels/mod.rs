//! Kernels that are made for a machine and some numbers: point-to-point messages, collectives, small linear algebra.
//!
//! One file per family; [`REGISTRY`] lists them all. What a kernel has in common with the model compiler (chains and
//! broadcasts on a line) is routed by `lines` and programmed by `emit::collective` for both.
//!
//! A generated [`Kernel`] says what every element must be after the run, and the exact cycle at which the run stops
//! where the timing contract makes that a formula.

mod broadcast;
mod butterfly;
mod draft;
mod error;
pub mod formula;
mod gemm;
mod gemv;
mod halo;
mod matrix;
mod message;
mod params;
mod reduce;
mod ring;
mod tree;

pub use error::KernelError;
pub use params::{Most, Param};

use draft::Draft;
use fabric::Machine;
use fabric::text::{Kernel, Value};
use params::Args;
use pe_isa::asm::spelling::nearest;

/// A kernel that can be asked for by name.
#[derive(Debug, Clone, Copy)]
pub struct Entry {
    /// Its name, such as `chain-reduce`.
    pub name: &'static str,
    /// What it does, in one line.
    pub about: &'static str,
    /// Its parameters, of which at least one is [`Param::sized`].
    pub params: &'static [Param],
    make: fn(&Machine, &Args) -> Result<Draft, KernelError>,
}

/// All kernels.
pub const REGISTRY: [Entry; 17] = [
    message::MESSAGE,
    message::MULTICAST,
    message::RELAY,
    broadcast::BROADCAST,
    broadcast::BROADCAST_2D,
    reduce::STAR,
    reduce::CHAIN,
    tree::TREE,
    reduce::TWO_PHASE,
    ring::REDUCE_SCATTER,
    ring::ALL_GATHER,
    ring::ALL_REDUCE,
    butterfly::BUTTERFLY,
    gemv::GEMV,
    gemm::CANNON,
    gemm::SUMMA,
    halo::HALO,
];

/// Makes a kernel for a machine. `params` are names and integers; those not given take their defaults.
///
/// # Errors
/// An unknown kernel or parameter, a value outside its range, more data than the SRAM of a PE holds (with the largest
/// value that fits), or too few colors or queues.
pub fn generate(
    name: &str,
    machine: &Machine,
    params: &[(String, Value)],
) -> Result<Kernel, KernelError> {
    let entry = REGISTRY.iter().find(|e| e.name == name).ok_or_else(|| {
        let names: Vec<&str> = REGISTRY.iter().map(|e| e.name).collect();
        let near = nearest(name, names.iter().copied());
        let hint = near.map_or(String::new(), |n| format!("; did you mean `{n}`?"));
        KernelError::Unknown { name: name.to_string(), hint, known: names.join(", ") }
    })?;
    let args = Args::read(entry, machine, params)?;
    let draft = (entry.make)(machine, &args)?;
    if !draft.fits() {
        return Err(too_large(entry, machine, &args));
    }
    let kernel = draft.finish(&args);
    match fabric::lint(&kernel.image).into_iter().find(|f| f.error) {
        None => Ok(kernel),
        Some(finding) => Err(KernelError::Machine {
            kernel: entry.name,
            machine: machine.name.clone(),
            message: finding.message,
        }),
    }
}

/// The error for a kernel that needs more SRAM than there is: the largest value of a sized parameter with which it
/// would fit, the others kept; the first of those parameters that can help.
fn too_large(entry: &Entry, machine: &Machine, args: &Args) -> KernelError {
    let sized: Vec<&Param> = entry.params.iter().filter(|p| p.sized).collect();
    let helps = |p: &&Param| Some((**p, largest(entry, machine, args, p)?));
    let found = sized.iter().find_map(helps);
    let (param, largest) = match found {
        Some((param, largest)) => (param.name, Some(largest)),
        None => (sized[0].name, None),
    };
    let (value, usable) = (args.get(param), machine.usable_bytes());
    KernelError::Memory { param, value, largest, usable }
}

/// The largest value of a parameter with which a kernel fits, below the one with which it does not; none if none does.
fn largest(entry: &Entry, machine: &Machine, args: &Args, param: &Param) -> Option<u32> {
    let fits = |value: u32| {
        let draft = (entry.make)(machine, &args.with(param.name, value));
        draft.is_ok_and(|d| d.fits())
    };
    // What needs SRAM grows with the parameter, so the values that fit are the ones up to the answer.
    let (mut good, mut bad) = (param.least - 1, args.get(param.name));
    while bad - good > 1 {
        let middle = good + (bad - good) / 2;
        if fits(middle) { good = middle } else { bad = middle }
    }
    (good >= param.least).then_some(good)
}
