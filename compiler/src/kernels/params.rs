//! Parameters of kernels: what they may be, and what they are.

use super::Entry;
use super::error::KernelError;
use fabric::Machine;
use fabric::text::Value;
use pe_isa::asm::spelling::nearest;

/// The largest legal value of a parameter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Most {
    /// A number.
    Is(u32),
    /// As many as the machine has columns.
    Columns,
    /// As many as the machine has columns, less one: hops along a row.
    Hops,
    /// As many as the machine has rows.
    Rows,
    /// As many as the machine has columns or rows, whichever is less.
    Square,
}

/// A parameter of a kernel, an integer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Param {
    /// Its name, such as `P`.
    pub name: &'static str,
    /// What it counts.
    pub about: &'static str,
    /// The value where none is given.
    pub default: u32,
    /// Smallest legal value.
    pub least: u32,
    /// Largest legal value.
    pub most: Most,
    /// Whether the SRAM that a PE needs grows with it.
    pub sized: bool,
}

/// PEs in a row.
pub(super) const P: Param = Param::places("P", "PEs in the row", 8, 2, Most::Columns);

/// Elements of each PE's vector.
pub(super) const B: Param =
    Param::elements("B", "f32 elements of a vector, one wavelet each", 64, 4096);

impl Param {
    /// A number of PEs or hops.
    pub(super) const fn places(
        name: &'static str,
        about: &'static str,
        default: u32,
        least: u32,
        most: Most,
    ) -> Param {
        Param { name, about, default, least, most, sized: false }
    }

    /// A number of elements in the SRAM of a PE, from 1.
    pub(super) const fn elements(
        name: &'static str,
        about: &'static str,
        default: u32,
        most: u32,
    ) -> Param {
        Param { name, about, default, least: 1, most: Most::Is(most), sized: true }
    }

    /// The largest legal value on a machine, and what sets it.
    pub fn limit(&self, machine: &Machine) -> (u32, String) {
        let Machine { width, height, name, .. } = machine;
        match self.most {
            Most::Is(n) => (n, String::new()),
            Most::Columns => (*width, format!(" (machine {name} has {width} columns)")),
            Most::Hops => (width - 1, format!(" (machine {name} has {width} columns)")),
            Most::Rows => (*height, format!(" (machine {name} has {height} rows)")),
            Most::Square => {
                ((*width).min(*height), format!(" (machine {name} is {width} x {height})"))
            }
        }
    }
}

/// Values of all parameters of a kernel.
#[derive(Debug, Clone)]
pub(super) struct Args(Vec<(&'static str, u32)>);

impl Args {
    /// Takes what is given, the defaults for the rest (cut to what the machine allows), and checks the ranges.
    pub(super) fn read(
        entry: &Entry,
        machine: &Machine,
        given: &[(String, Value)],
    ) -> Result<Args, KernelError> {
        let wrong = |message| KernelError::Param { kernel: entry.name, message };
        for (name, value) in given {
            if !entry.params.iter().any(|p| p.name == name) {
                let names: Vec<&str> = entry.params.iter().map(|p| p.name).collect();
                let hint = match nearest(name, names.iter().copied()) {
                    Some(near) => format!("; did you mean `{near}`?"),
                    None => String::new(),
                };
                let names = names.join(", ");
                return Err(wrong(format!("no parameter `{name}`{hint} (it has {names})")));
            }
            if !matches!(value, Value::Int(_)) {
                return Err(wrong(format!("{name} is an integer")));
            }
        }
        let mut args = Vec::new();
        for param in entry.params {
            let (most, because) = param.limit(machine);
            let found = given.iter().find(|(name, _)| name == param.name);
            let value = match found {
                Some((_, Value::Int(value))) => *value,
                _ => i64::from(param.default.min(most)),
            };
            if value < i64::from(param.least) || value > i64::from(most) {
                let (param, least) = (param.name, param.least);
                return Err(KernelError::Range { param, value, least, most, because });
            }
            args.push((param.name, value as u32));
        }
        Ok(Args(args))
    }

    /// The value of a parameter of the kernel.
    pub(super) fn get(&self, name: &str) -> u32 {
        let found = self.0.iter().find(|(n, _)| *n == name);
        found.expect("kernels ask for parameters that they have").1
    }

    /// The same with another value of one parameter.
    pub(super) fn with(&self, name: &str, value: u32) -> Args {
        let mut args = self.clone();
        args.0.iter_mut().filter(|(n, _)| *n == name).for_each(|(_, v)| *v = value);
        args
    }

    /// As a text's parameters are kept.
    pub(super) fn values(&self) -> Vec<(String, Value)> {
        self.0.iter().map(|(n, v)| (n.to_string(), Value::Int(i64::from(*v)))).collect()
    }
}
