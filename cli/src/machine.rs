//! `wafersim machine`: the machines that are built in, and every constant of one.

use crate::args::MachineCommand;
use crate::failure::Failure;
use crate::output::print;
use crate::settings::read_machine;
use comfy_table::{CellAlignment, Table, presets as styles};
use fabric::presets::{self, PRESETS};

/// Lists or shows machines.
pub(crate) fn machine(command: &MachineCommand) -> Result<(), Failure> {
    match command {
        MachineCommand::List => list(),
        MachineCommand::Show { name } => show(name),
    }
}

fn list() -> Result<(), Failure> {
    let mut table = Table::new();
    table.load_style(styles::NOTHING);
    table.set_header(["NAME", "TILES", "CLOCK", "WHAT"]);
    for (name, what, _) in PRESETS {
        let machine = presets::preset(name)?;
        table.add_row([
            name.to_string(),
            format!("{} x {}", machine.width, machine.height),
            format!("{} MHz", machine.clock_hz / 1_000_000),
            what.to_string(),
        ]);
    }
    for column in [1, 2] {
        let column = table.column_mut(column).expect("the header has four columns");
        column.set_cell_alignment(CellAlignment::Right);
    }
    print(&format!("{}\n", table.trim_fmt()))
}

/// A preset is shown as written, with the source of each constant; a file as it was understood.
fn show(name: &str) -> Result<(), Failure> {
    match PRESETS.iter().find(|(preset, _, _)| *preset == name) {
        Some((_, _, text)) => print(text),
        None => print(&read_machine(name)?.to_ron()),
    }
}
