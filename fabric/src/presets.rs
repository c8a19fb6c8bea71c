//! Machines that are built in.

use crate::machine::{Machine, MachineError};
use pe_isa::asm::spelling::nearest;

/// Name of the machine that runs use unless told otherwise.
pub const DEFAULT: &str = "wse3-64";

/// Every preset: name, one line for people, the RON text with the source of each constant.
pub const PRESETS: [(&str, &str, &str); 4] = [
    ("wse3-64", "64 x 64 tiles of wse3; the default", include_str!("../presets/wse3-64.ron")),
    ("wse2", "750 x 994, measured and documented constants", include_str!("../presets/wse2.ron")),
    ("wse3", "755 x 1170, CS-3 measurements where public", include_str!("../presets/wse3.ron")),
    (
        "wse3-sdk",
        "755 x 1170, the vendor simulator's constants",
        include_str!("../presets/wse3-sdk.ron"),
    ),
];

/// The preset called `name`.
///
/// # Errors
/// Names the presets, and the nearest one, when there is none of that name.
pub fn preset(name: &str) -> Result<Machine, MachineError> {
    match PRESETS.iter().find(|(n, _, _)| *n == name) {
        Some((_, _, text)) => Machine::from_ron(text, name),
        None => {
            let names: Vec<&str> = PRESETS.iter().map(|(n, _, _)| *n).collect();
            let near = nearest(name, names.iter().copied())
                .map_or(String::new(), |n| format!("; did you mean `{n}`?"));
            Err(MachineError::Unknown(format!(
                "no machine is called `{name}`{near} (presets: {}; or give the path of a .ron file)",
                names.join(", ")
            )))
        }
    }
}
