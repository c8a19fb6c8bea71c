//! Why a kernel cannot be made.

/// What is wrong with what was asked for.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum KernelError {
    /// No kernel is called that.
    #[error("no kernel is called `{name}`{hint} (kernels: {known})")]
    Unknown {
        /// What was asked for.
        name: String,
        /// The nearest name, as a question.
        hint: String,
        /// All names.
        known: String,
    },
    /// The kernel has no such parameter, or it was given no integer.
    #[error("kernel {kernel}: {message}")]
    Param {
        /// The kernel.
        kernel: &'static str,
        /// What is wrong, and what there is.
        message: String,
    },
    /// A value outside its legal range.
    #[error("{param} = {value} is outside its legal range, {least} to {most}{because}")]
    Range {
        /// The parameter.
        param: &'static str,
        /// What was asked for.
        value: i64,
        /// Smallest legal value.
        least: u32,
        /// Largest legal value.
        most: u32,
        /// What sets the limit, in brackets; may be empty.
        because: String,
    },
    /// More data and code than the SRAM of a PE holds.
    #[error("{param} = {value} needs more than the {usable} usable bytes of a PE's SRAM; {}", largest_text(param, *largest))]
    Memory {
        /// The parameter.
        param: &'static str,
        /// What was asked for.
        value: u32,
        /// The largest value that fits; none if none does.
        largest: Option<u32>,
        /// Bytes of SRAM that code and data may use.
        usable: u32,
    },
    /// The machine lacks queues, microthreads, colors or switch positions.
    #[error("kernel {kernel} cannot be made for machine {machine}: {message}")]
    Machine {
        /// The kernel.
        kernel: &'static str,
        /// The machine.
        machine: String,
        /// What it lacks.
        message: String,
    },
}

fn largest_text(param: &str, largest: Option<u32>) -> String {
    match largest {
        Some(n) => format!("the largest legal value is {n}"),
        None => format!("no value of {param} fits with the other parameters"),
    }
}
