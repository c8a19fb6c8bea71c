//! What all benchmarks measure with: CPU time through criterion, heap and resident memory, and one line that tells all
//! of it. The benchmarks of `cli` include this file by its path.

use cap::Cap;
use cpu_time::ProcessTime;
use criterion::measurement::{Measurement, ValueFormatter, WallTime};
use criterion::{Criterion, SamplingMode, Throughput};
use std::alloc::System;
use std::collections::BTreeSet;
use std::fs;
use std::process::Command;
use std::time::{Duration, Instant};

/// Unlimited; it counts. Zeroed and grown memory are left to the system, which need not touch it.
#[global_allocator]
static HEAP: Cap<System> = Cap::new(System, usize::MAX);

/// Time of all threads of this process on a core, which other work on the host hardly stretches.
pub(crate) struct CpuTime;

impl Measurement for CpuTime {
    type Intermediate = ProcessTime;
    type Value = Duration;

    fn start(&self) -> ProcessTime {
        ProcessTime::now()
    }

    fn end(&self, start: ProcessTime) -> Duration {
        start.elapsed()
    }

    fn add(&self, a: &Duration, b: &Duration) -> Duration {
        *a + *b
    }

    fn zero(&self) -> Duration {
        Duration::ZERO
    }

    fn to_f64(&self, value: &Duration) -> f64 {
        value.as_nanos() as f64
    }

    fn formatter(&self) -> &dyn ValueFormatter {
        WallTime.formatter()
    }
}

/// What one run took.
#[derive(Clone, Copy)]
pub(crate) struct Spent {
    pub(crate) cpu: Duration,
    pub(crate) wall: Duration,
}

impl Spent {
    /// Times `run`; what it returns is dropped afterwards.
    pub(crate) fn by<T>(run: impl FnOnce() -> T) -> Spent {
        let (cpu, wall) = (ProcessTime::now(), Instant::now());
        let result = run();
        let spent = Spent { cpu: cpu.elapsed(), wall: wall.elapsed() };
        drop(result);
        spent
    }
}

/// What all runs of one benchmark took.
pub(crate) struct Runs {
    count: usize,
    pub(crate) median: Spent,
    pub(crate) best: Spent,
}

impl Runs {
    fn of(mut runs: Vec<Spent>) -> Option<Runs> {
        runs.sort_by_key(|run| run.cpu);
        let median = *runs.get(runs.len() / 2)?;
        Some(Runs { count: runs.len(), median, best: runs[0] })
    }

    /// Such as `12.3 M hops/s (best 12.6)`, of a run that has `elements` of them.
    pub(crate) fn rate(&self, elements: u64, unit: &str) -> String {
        let rate = |run: Spent| elements as f64 / run.cpu.as_secs_f64();
        let (median, best) = (rate(self.median), rate(self.best));
        let (scale, letter) = if median < 1e4 { (1.0, "") } else { (1e6, "M ") };
        format!("{:.1} {letter}{unit}/s (best {:.1})", median / scale, best / scale)
    }

    /// Such as `0.123 s CPU, 0.125 s wall, median of 22`.
    pub(crate) fn times(&self) -> String {
        let (cpu, wall) = (self.median.cpu.as_secs_f64(), self.median.wall.as_secs_f64());
        format!("{cpu:.3} s CPU, {wall:.3} s wall, median of {}", self.count)
    }
}

/// Criterion, and which benchmarks are asked for.
pub(crate) struct Meter {
    criterion: Criterion<CpuTime>,
    group: &'static str,
    wanted: BTreeSet<String>,
}

impl Meter {
    /// Reads criterion's arguments. All benchmarks of this meter are called `group/name`.
    pub(crate) fn new(group: &'static str) -> Meter {
        let criterion = Criterion::default()
            .with_measurement(CpuTime)
            .sample_size(10)
            .warm_up_time(Duration::from_millis(500))
            .measurement_time(Duration::from_secs(3))
            .configure_from_args();
        Meter { criterion, group, wanted: wanted() }
    }

    /// Measures `once`, of which each run has `elements`. The set-up comes before, and is made only where the benchmark
    /// is asked for; with the runs, what it passed on to `told` comes back.
    pub(crate) fn bench<W: FnMut() -> Spent, T>(
        &mut self,
        name: &str,
        set_up: impl FnOnce() -> (u64, W, T),
    ) -> Option<(Runs, T)> {
        let mut group = self.criterion.benchmark_group(self.group);
        if !self.wanted.contains(&format!("{}/{name}", self.group)) {
            // Criterion leaves it out as well, but for listing it.
            group
                .bench_function(name, |_| unreachable!("a benchmark that criterion does not list"));
            return None;
        }
        let (elements, mut once, told) = set_up();
        let mut runs = Vec::new();
        group.sampling_mode(SamplingMode::Flat).throughput(Throughput::Elements(elements));
        group.bench_function(name, |bencher| {
            bencher.iter_custom(|count| {
                let spent: Vec<Spent> = (0..count).map(|_| once()).collect();
                runs.extend_from_slice(&spent);
                spent.iter().map(|run| run.cpu).sum()
            });
        });
        group.finish();
        Runs::of(runs).map(|runs| (runs, told))
    }

    /// Ends a benchmark's report with the line that tells all of it.
    pub(crate) fn tell(&self, name: &str, facts: &[String]) {
        println!("= {}/{name}: {}", self.group, facts.join("; "));
    }

    /// To be called after the last benchmark.
    pub(crate) fn end(self) {
        self.criterion.final_summary();
    }
}

/// The benchmarks that the command line asks for, as criterion itself lists them: its filter cannot be asked before a
/// benchmark is set up. None where they shall only be listed.
fn wanted() -> BTreeSet<String> {
    let mut args = std::env::args().skip(1);
    let mut same = Vec::new();
    while let Some(arg) = args.next() {
        match arg.as_str() {
            "--list" => return BTreeSet::new(),
            "--test" => {}
            "--profile-time" => drop(args.next()),
            _ => same.push(arg),
        }
    }
    let program = std::env::current_exe().expect("a program knows where it lies");
    let listed = Command::new(program).args(same).arg("--list").output().expect("it runs again");
    let listed = String::from_utf8(listed.stdout).expect("names of benchmarks are UTF-8");
    listed.lines().filter_map(|line| line.strip_suffix(": benchmark")).map(String::from).collect()
}

/// Memory that something takes.
#[derive(Clone, Copy)]
pub(crate) struct Memory {
    /// By which the heap has grown.
    pub(crate) heap: usize,
    /// Most that was resident of the whole process since, where the system says (Linux).
    peak: Option<u64>,
}

impl Memory {
    /// Makes something and tells by how much the heap has grown; then uses it, and tells what the process took at most.
    pub(crate) fn of<T, U>(make: impl FnOnce() -> T, using: impl FnOnce(T) -> U) -> (Memory, U) {
        // Sets the peak back to what is resident now; where that cannot be done, it stays that of the process.
        let _ = fs::write("/proc/self/clear_refs", "5");
        let before = HEAP.allocated();
        let made = make();
        let heap = HEAP.allocated() - before;
        let used = using(made);
        (Memory { heap, peak: peak_resident_bytes() }, used)
    }

    /// Such as `212 bytes a tile, peak 123 MiB`.
    pub(crate) fn per_tile(&self, tiles: usize) -> String {
        let peak = self.peak.map_or("?".to_string(), mib);
        format!("{:.0} bytes a tile, peak {peak} MiB", self.heap as f64 / tiles as f64)
    }
}

/// Bytes in MiB.
pub(crate) fn mib(bytes: u64) -> String {
    format!("{:.1}", bytes as f64 / f64::from(1 << 20))
}

fn peak_resident_bytes() -> Option<u64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kib * 1_024)
}
