//! The gate of instruction counts: `.ci/run counts`, or `cargo run --release --example counts [-- renew]`.
//!
//! Valgrind counts the instructions of two runs, without their set-up. A count 2 % above the committed one
//! (`baseline.json`) fails; `renew` writes new ones.

mod gate;
#[path = "../../benches/model/mod.rs"]
mod model;

use anyhow::{Context as _, Result, bail};
use fabric::{Machine, WaferImage, presets};
use gate::{Counts, MadeBy, Verdict};
use pe_isa::Cycle;
use sim_core::testing::traffic::{Traffic, broadcast_reduce};
use sim_core::{Answers, Engine, Host, HostScript, NoObserver, StopReason, Verdict as Goes};
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

/// The runs that are counted.
const RUNS: [&str; 2] = ["broadcast-reduce/32x32/64", "decode/stdlib-1m"];

const RENEW: &str = "cargo run --release -p wafersim --example counts -- renew";

fn main() -> Result<ExitCode> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    match args[..] {
        [] => check(),
        ["renew"] => renew(),
        ["run", name] => run(name),
        _ => bail!("usage: counts [renew]"),
    }
}

fn baseline() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/counts/baseline.json")
}

fn check() -> Result<ExitCode> {
    let path = baseline();
    let text = fs::read_to_string(&path).with_context(|| path.display().to_string())?;
    let before: Counts = serde_json::from_str(&text).with_context(|| path.display().to_string())?;
    let here = made_here()?;
    if here != before.made_by {
        println!("note: instruction counts are NOT CHECKED: these are of {here},");
        println!("      the baseline's of {}; renew it there with `{RENEW}`", before.made_by);
        return Ok(ExitCode::SUCCESS);
    }
    let now = count_all()?;
    let verdicts = gate::compare(&before.instructions, &now);
    for (name, verdict) in &verdicts {
        println!("{name}: {verdict}");
    }
    if verdicts.iter().any(|(_, verdict)| verdict.fails()) {
        println!(
            "error: the gate of instruction counts has failed; make the engine cheaper again, or, where"
        );
        println!(
            "       the cost is worth it, renew the baseline and say why in the commit: `{RENEW}`"
        );
        return Ok(ExitCode::FAILURE);
    }
    if verdicts.iter().any(|(_, verdict)| matches!(verdict, Verdict::Better { .. })) {
        println!("note: what was won is guarded only once the baseline is renewed: `{RENEW}`");
    }
    Ok(ExitCode::SUCCESS)
}

fn renew() -> Result<ExitCode> {
    let counts = Counts { made_by: made_here()?, instructions: count_all()? };
    fs::write(baseline(), serde_json::to_string_pretty(&counts)? + "\n")?;
    println!("{} holds:", baseline().display());
    for (name, count) in &counts.instructions {
        println!("{name}: {count} instructions");
    }
    Ok(ExitCode::SUCCESS)
}

/// Compiler, target and vector instructions of this program.
fn made_here() -> Result<MadeBy> {
    if cfg!(debug_assertions) {
        bail!("counts are those of release builds; use --release");
    }
    let rustc = std::env::var("RUSTC").unwrap_or("rustc".to_string());
    let told = Command::new(&rustc).arg("-vV").output().with_context(|| rustc.clone())?;
    MadeBy::of(&String::from_utf8(told.stdout)?).context("`rustc -vV` does not tell what it is")
}

fn count_all() -> Result<BTreeMap<String, u64>> {
    RUNS.iter().map(|name| Ok((name.to_string(), count(name)?))).collect()
}

/// The instructions of [`counted`] in a run of its own under valgrind.
fn count(name: &str) -> Result<u64> {
    let told = Command::new("valgrind")
        .args(["--tool=callgrind", "--callgrind-out-file=/dev/null", "--toggle-collect=*counted*"])
        .arg(std::env::current_exe()?)
        .args(["run", name])
        .output()
        .context("valgrind, which counts the instructions, could not be started")?;
    let told_text = String::from_utf8_lossy(&told.stderr);
    if !told.status.success() {
        bail!("{name} under valgrind: {}\n{told_text}", told.status);
    }
    gate::collected(&told_text)
        .with_context(|| format!("{name}: no count from valgrind\n{told_text}"))
}

/// What is run under valgrind.
fn run(name: &str) -> Result<ExitCode> {
    let (image, script, words) = match name {
        "broadcast-reduce/32x32/64" => (traffic(), HostScript::default(), usize::MAX),
        "decode/stdlib-1m" => {
            let machine = presets::preset(presets::DEFAULT)?;
            let (image, script) = model::request(&model::stdlib_1m(), &machine, &[1], 1);
            (image, script, model::TOKEN_WORDS)
        }
        _ => bail!("nothing is called {name}"),
    };
    let stop = counted(Engine::load(&image), &script, &mut Listener { words });
    if matches!(stop, StopReason::Finished | StopReason::Host) {
        Ok(ExitCode::SUCCESS)
    } else {
        bail!("the run must end well: {stop:?}")
    }
}

fn traffic() -> WaferImage {
    let preset = presets::preset("wse2").expect("a preset");
    let machine = Machine { width: 32, height: 32, ..preset };
    broadcast_reduce(&machine, Traffic { width: 32, height: 32, words: 64, rounds: 1 })
}

/// Takes everything, and ends the run with the last word that it waits for.
struct Listener {
    words: usize,
}

impl Host for Listener {
    fn receive(
        &mut self,
        _cycle: Cycle,
        _port: usize,
        _payload: u32,
        _answers: &mut Answers,
    ) -> Goes {
        self.words -= 1;
        if self.words == 0 { Goes::Stop } else { Goes::Continue }
    }
}

/// Valgrind counts while this function runs, and finds it by its name.
#[inline(never)]
fn counted(mut engine: Engine, script: &HostScript, host: &mut Listener) -> StopReason {
    let (stop, _) = engine.run(script, host, Cycle::NEVER, &mut NoObserver);
    // Freeing the engine is not counted.
    std::mem::forget(engine);
    stop
}
