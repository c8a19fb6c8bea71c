//! Does everything that decides what a model's programs do next, and where, derive from integers: from headers, parameters and the
//! indices of searches, never from float data or from what SRAM holds? Words that arrive are taken for integers: what is
//! sent is looked at on the PE that made it.

mod request;

use compiler::{Compiled, Mapping};
use pe_isa::{DType, Instr, Operand, Program, Reg, Size, Src, VecOp, Vector};
use request::{Request, family_model, machine};

/// A bit for each register whose value derives from floats or SRAM.
type Data = u32;

fn bit(reg: Reg) -> Data {
    1 << reg.0
}

fn is_data(data: Data, src: Src) -> bool {
    matches!(src, Src::Reg(reg) if data & bit(reg) != 0)
}

/// The registers that an instruction needs to be integers.
fn deciding(program: &Program, instr: &Instr) -> Vec<Reg> {
    let named = |src: Src| match src {
        Src::Reg(reg) => Some(reg),
        Src::Imm(_) => None,
    };
    match *instr {
        Instr::Branch { ra, b, .. } => [Some(ra), named(b)].into_iter().flatten().collect(),
        Instr::SendCtrl { payload, .. } => named(payload).into_iter().collect(),
        Instr::Vector(Vector { shape, dst, a, b, .. }) => {
            let extents = program.shapes[usize::from(shape.0)].extents.iter();
            let extents = extents.filter_map(|&size| match size {
                Size::Reg(reg) => Some(reg),
                Size::Imm(_) => None,
            });
            let offsets = [dst, a, b].into_iter().filter_map(|operand| match operand {
                Operand::Mem(id) => program.dsds[usize::from(id.0)].offset,
                _ => None,
            });
            extents.chain(offsets).collect()
        }
        _ => Vec::new(),
    }
}

/// What `data` is behind an instruction.
fn behind(instr: &Instr, data: Data) -> Data {
    let set = |reg: Reg, is: bool| if is { data | bit(reg) } else { data & !bit(reg) };
    match *instr {
        Instr::Li { rd, .. } => set(rd, false),
        Instr::Alu { rd, ra, b, .. } => set(rd, is_data(data, Src::Reg(ra)) || is_data(data, b)),
        Instr::SelGt { rd, .. } => set(rd, true),
        Instr::Vector(Vector { op: VecOp::ArgMax, dst: Operand::Reg(rd, _), b, .. }) => {
            let base = matches!(b, Operand::Reg(reg, _) if data & bit(reg) != 0);
            let index = Reg(rd.0 + 1);
            let data = set(rd, true);
            if base { data | bit(index) } else { data & !bit(index) }
        }
        Instr::Vector(Vector { op, dst: Operand::Reg(rd, to), a, .. }) => {
            let is_word = op == VecOp::Mov && to == DType::U32;
            let word = match a {
                Operand::FabIn(_, DType::U32) | Operand::Imm(_, DType::U32) => true,
                Operand::Reg(reg, DType::U32) => data & bit(reg) == 0,
                _ => false,
            };
            set(rd, !(is_word && word))
        }
        _ => data,
    }
}

/// Instructions at which data decides, by index.
fn decided_by_data(program: &Program) -> Vec<usize> {
    let mut before: Vec<Option<Data>> = vec![None; program.instrs.len()];
    let mut open: Vec<(usize, Data)> =
        program.tasks.iter().map(|task| (usize::from(task.entry), 0)).collect();
    while let Some((at, data)) = open.pop() {
        let known = before[at];
        let all = known.unwrap_or(0) | data;
        if known == Some(all) {
            continue;
        }
        before[at] = Some(all);
        let instr = &program.instrs[at];
        let data = behind(instr, all);
        match *instr {
            Instr::End => {}
            Instr::Jump { target } => open.push((usize::from(target), data)),
            Instr::Branch { target, .. } => {
                open.extend([(usize::from(target), data), (at + 1, data)]);
            }
            _ => open.push((at + 1, data)),
        }
    }
    let decides = |at: &usize| {
        let data = before[*at].unwrap_or(0);
        deciding(program, &program.instrs[*at]).into_iter().any(|reg| data & bit(reg) != 0)
    };
    (0..program.instrs.len()).filter(decides).collect()
}

fn compiled(name: &str, (stage_width, stage_height): (u32, u32), prefill_chunk: u32) -> Compiled {
    let request = Request { prompt: vec![3, 5, 8], new: 2, eos: Vec::new() };
    let mapping = Mapping {
        stage_width,
        stage_height,
        layers_per_stage: 1,
        prefill_chunk,
        ..Mapping::default()
    };
    request.compile(&family_model(name), &machine(64, 64), mapping)
}

#[test]
fn does_no_float_and_no_sram_decide_what_a_program_does() {
    let families = ["gpt-oss", "qwen3-moe", "gemma2", "gpt-neox", "gpt2", "phi", "qwen2", "qwen3"];
    for name in families {
        for (cut, chunk) in
            [(5, 8), (7, 2), (24, 1), (1, 30)].map(|cut| (cut, 1)).into_iter().chain([((5, 8), 3)])
        {
            for (at, program) in compiled(name, cut, chunk).image.programs.iter().enumerate() {
                let found = decided_by_data(program);
                assert!(
                    found.is_empty(),
                    "{name} on {cut:?}: program {at}, instructions {found:?}"
                );
            }
        }
    }
}

#[test]
fn is_a_branch_on_a_float_found() {
    let mut image = compiled("gpt-oss", (5, 8), 1).image;
    let searches = |program: &&mut Program| {
        let is_search = |i: &Instr| matches!(i, Instr::Vector(v) if v.op == VecOp::ArgMax);
        program.instrs.iter().any(is_search)
    };
    let program = image.programs.iter_mut().find(searches).expect("some program searches");
    for instr in &mut program.instrs {
        if let Instr::Branch { ra, .. } = instr {
            // The values of searches.
            *ra = Reg(10);
        }
    }
    assert!(!decided_by_data(program).is_empty());
}
