//! `wafersim run --report` and `--trace`: what they write, what they refuse, and that they change nothing.

mod call;
mod request;

use call::wafersim;
use request::examples;
use serde_json::Value;
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// A report of a small model, with more options.
fn run(more: &[&str]) -> Value {
    let model = examples("oracle/llama/model").display().to_string();
    let args =
        ["run", &model, "--prompt-ids", "5,6,7", "--max-new-tokens", "3", "--json", "--quiet"];
    let call = wafersim(&[&args[..], more].concat());
    assert_eq!(call.code, Some(0), "{}", call.err);
    let mut report: Value = serde_json::from_str(&call.out).expect("one document");
    report.as_object_mut().expect("an object").remove("host");
    report
}

fn in_folder(folder: &Path, name: &str) -> String {
    folder.join(name).display().to_string()
}

/// Says that a test was not made, where people see it.
fn skipped(what: &str) {
    eprintln!("SKIPPED: {what}");
}

#[test]
fn does_a_report_hold_the_numbers_and_change_none() {
    let home = tempfile::tempdir().expect("a folder");
    let folder = in_folder(home.path(), "report");
    let plain = run(&[]);
    assert_eq!(run(&["--report", &folder]), plain);
    let read = |name: &str| fs::read(Path::new(&folder).join(name)).expect(name);
    let result: Value = serde_json::from_slice(&read("result.json")).expect("JSON");
    assert_eq!(result, plain);
    for file in traces::pictures::FILES {
        assert_eq!(&read(file)[..8], b"\x89PNG\r\n\x1a\n", "{file}");
    }
    let page = String::from_utf8(read("index.html")).expect("UTF-8");
    assert_eq!(page.matches("data:image/png;base64,").count(), traces::pictures::FILES.len());
    let ttft = plain["requests"][0]["latency"]["ttft_cycles"].as_u64().expect("a number");
    let grouped = format!("{},{:03}", ttft / 1_000, ttft % 1_000);
    for wanted in [&grouped, "--max-new-tokens 3", plain["digest"].as_str().expect("text")] {
        assert!(page.contains(wanted), "{wanted}");
    }
    assert!(!page.contains("<script") && !page.contains("src=\"http"));
    browse(Path::new(&folder), &grouped);
    // Once more into the same folder; but not into one that holds something else.
    run(&["--report", &folder]);
    fs::write(in_folder(Path::new(&folder), "mine.txt"), "mine").expect("written");
    let model = examples("oracle/llama/model").display().to_string();
    let call = wafersim(&["run", &model, "--prompt-ids", "5", "--report", &folder]);
    assert_eq!((call.code, call.out.as_str()), (Some(1), ""));
    assert!(call.err.contains("mine.txt"), "{}", call.err);
}

/// Loads a report's page in a browser, if there is one.
fn browse(folder: &Path, wanted: &str) {
    let names = ["chromium-headless-shell", "chromium", "chromium-browser", "google-chrome"];
    let page = format!("file://{}", folder.join("index.html").display());
    for name in names {
        let mut command = Command::new(name);
        command.args(["--headless", "--no-sandbox", "--disable-gpu", "--enable-logging=stderr"]);
        command.arg(format!("--user-data-dir={}", folder.with_extension("browser").display()));
        let Ok(done) = command.args(["--v=0", "--dump-dom", &page]).output() else { continue };
        let (shown, told) =
            (String::from_utf8_lossy(&done.stdout), String::from_utf8_lossy(&done.stderr));
        assert!(shown.contains(wanted), "{name} shows {} bytes; {told}", shown.len());
        assert!(!told.contains("CONSOLE"), "{told}");
        return;
    }
    skipped("no Chromium, so the page has not been loaded by a browser");
}

/// A message as its fields: numbers as they are, bytes as they are.
#[derive(Debug, Clone, Default)]
struct Message {
    numbers: BTreeMap<u32, Vec<u64>>,
    bytes: BTreeMap<u32, Vec<Vec<u8>>>,
}

impl Message {
    /// Reads a message of the wire format of protocol buffers.
    fn read(mut from: &[u8]) -> Message {
        fn varint(from: &mut &[u8]) -> u64 {
            let mut value = 0;
            for shift in (0..64).step_by(7) {
                let (byte, rest) = from.split_first().expect("a byte");
                *from = rest;
                value |= u64::from(byte & 0x7f) << shift;
                if byte & 0x80 == 0 {
                    break;
                }
            }
            value
        }
        fn taken<'a>(from: &mut &'a [u8], count: usize) -> &'a [u8] {
            let (taken, rest) = from.split_at(count);
            *from = rest;
            taken
        }
        let mut message = Message::default();
        while !from.is_empty() {
            let tag = varint(&mut from);
            let field = (tag >> 3) as u32;
            match tag & 7 {
                0 => message.numbers.entry(field).or_default().push(varint(&mut from)),
                1 => {
                    let value = taken(&mut from, 8).try_into().expect("eight bytes");
                    message.numbers.entry(field).or_default().push(u64::from_le_bytes(value));
                }
                2 => {
                    let length = varint(&mut from) as usize;
                    let bytes = taken(&mut from, length).to_vec();
                    message.bytes.entry(field).or_default().push(bytes);
                }
                other => panic!("wire type {other}"),
            }
        }
        message
    }

    fn number(&self, field: u32) -> Option<u64> {
        self.numbers.get(&field).map(|all| all[0])
    }

    fn message(&self, field: u32) -> Option<Message> {
        self.bytes.get(&field).map(|all| Message::read(&all[0]))
    }

    fn text(&self, field: u32) -> String {
        let bytes = self.bytes.get(&field).map_or(&[][..], |all| &all[0]);
        String::from_utf8(bytes.to_vec()).expect("UTF-8")
    }
}

/// What a trace holds.
#[derive(Debug, Default)]
struct Trace {
    tracks: BTreeMap<u64, (String, Option<u64>)>,
    /// Track, name, begin, end.
    slices: Vec<(u64, String, u64, u64)>,
    /// Flows: when they begin, and when they end.
    flows: BTreeMap<u64, (Option<u64>, Option<u64>)>,
    counters: usize,
}

impl Trace {
    fn read(file: &Path) -> Trace {
        let bytes = fs::read(file).expect("the file is there");
        let mut trace = Trace::default();
        let mut names = BTreeMap::new();
        let mut open: BTreeMap<u64, (String, u64)> = BTreeMap::new();
        for packet in &Message::read(&bytes).bytes[&1] {
            let packet = Message::read(packet);
            if let Some(track) = packet.message(60) {
                let number = track.number(1).expect("a number");
                let before = trace.tracks.insert(number, (track.text(2), track.number(5)));
                assert!(before.is_none(), "a track is described once");
            }
            if let Some(name) = packet.message(12).and_then(|interned| interned.message(2)) {
                names.insert(name.number(1).expect("a number"), name.text(2));
            }
            let Some(event) = packet.message(11) else { continue };
            let (at, track) =
                (packet.number(8).expect("a time"), event.number(11).expect("a track"));
            assert!(trace.tracks.contains_key(&track), "track {track} is described first");
            match event.number(9) {
                Some(1) => {
                    let name: &String = &names[&event.number(10).expect("a name")];
                    assert!(open.insert(track, (name.clone(), at)).is_none(), "slices do not nest");
                }
                Some(2) => {
                    let (name, from) = open.remove(&track).expect("it was open");
                    trace.slices.push((track, name, from, at));
                }
                Some(3) => {
                    let flow = |field: u32| event.number(field);
                    if let Some(flow) = flow(47) {
                        trace.flows.entry(flow).or_default().0 = Some(at);
                    }
                    if let Some(flow) = flow(48) {
                        trace.flows.entry(flow).or_default().1 = Some(at);
                    }
                }
                Some(4) => trace.counters += 1,
                other => panic!("type {other:?}"),
            }
        }
        assert!(open.is_empty(), "every slice ends");
        trace
    }

    /// Slices of the tracks of this name, which must not overlap.
    fn of(&self, name: &str) -> Vec<(u64, String, u64, u64)> {
        let is_named = |track: &u64| self.tracks[track].0 == name;
        let found = self.slices.iter().filter(|slice| is_named(&slice.0)).cloned();
        let mut found: Vec<_> = found.collect();
        found.sort_by_key(|slice| (slice.0, slice.2));
        for pair in found.windows(2).filter(|pair| pair[0].0 == pair[1].0) {
            assert!(pair[0].3 <= pair[1].2, "{pair:?}");
        }
        found
    }
}

fn traced(home: &Path, more: &[&str]) -> (Trace, Value, PathBuf) {
    let file = home.join("run.pftrace");
    let name = file.display().to_string();
    let report = run(&[&["--trace", &name], more].concat());
    (Trace::read(&file), report, file)
}

#[test]
fn does_a_timeline_hold_what_the_counters_count() {
    let home = tempfile::tempdir().expect("a folder");
    let (trace, report, file) = traced(home.path(), &["--trace-level", "wavelets"]);
    assert_eq!(report, run(&[]), "recording changes nothing");
    let steps = trace.of("steps and waits");
    let is_wait = |name: &str| name.starts_with("waits") || ["idle", "launching"].contains(&name);
    let worked: u64 = steps.iter().filter(|s| !is_wait(&s.1)).map(|s| s.3 - s.2).sum();
    let cycles = &report["counters"]["pe_cycles"];
    let last = report["requests"][0]["latency"]["token_cycles"][2].as_u64().expect("a cycle");
    let cut: u64 = steps.iter().filter(|s| !is_wait(&s.1)).map(|s| s.3.saturating_sub(last)).sum();
    assert_eq!(worked - cut, cycles["working"].as_u64().expect("a number"));
    let waits = |what: &str| -> u64 {
        steps.iter().filter(|s| s.1.starts_with(what)).map(|s| s.3 - s.2).sum()
    };
    // Those behind a PE's last step are not seen, and reasons are simpler than rule X-3.
    let counted = cycles["waiting_input"].as_u64().expect("a number") as f64;
    let share = waits("waits for input") as f64 / counted;
    assert!((0.5..1.1).contains(&share), "{share} of {counted}");
    assert!(trace.flows.len() > 1_000, "{} flows", trace.flows.len());
    for (flow, (from, to)) in &trace.flows {
        assert!(from.is_some() && from < to, "flow {flow}: {from:?} to {to:?}");
    }
    assert!(trace.counters > 10 && trace.of("operations").len() > 100);
    official_parser(&file, trace.slices.len() + 2 * trace.flows.len());
}

#[test]
fn do_region_window_and_level_choose() {
    let home = tempfile::tempdir().expect("a folder");
    let (whole, report, _) = traced(home.path(), &["--trace-level", "instructions"]);
    let first = report["requests"][0]["latency"]["ttft_cycles"].as_u64().expect("a number");
    let (from, to) = (first - 9_000, first - 7_000);
    let pe_of = |trace: &Trace, track: u64| {
        let parent = trace.tracks[&track].1.expect("a track of a PE stands under it");
        trace.tracks[&parent].0.clone()
    };
    let near: Vec<_> = whole.of("steps and waits");
    let near = near.iter().find(|s| s.2 > from && s.3 < to).expect("something happens");
    let pe = pe_of(&whole, near.0);
    let place = pe.trim_start_matches("PE (").trim_end_matches(')');
    let (region, window) = (format!("{place},1x1"), format!("{from}..{to}"));
    let args = ["--trace-region", &region, "--trace-window", &window];
    let (trace, ..) =
        traced(home.path(), &[&args[..], &["--trace-level", "instructions"]].concat());
    let steps = trace.of("steps and waits");
    assert!(steps.iter().any(|s| (&s.1, s.2, s.3) == (&near.1, near.2, near.3)), "{near:?}");
    assert!(steps.iter().all(|s| pe_of(&trace, s.0) == pe && s.3 > from && s.2 < to));
    assert!(trace.flows.is_empty());
    let (trace, ..) = traced(home.path(), &["--trace-level", "stages"]);
    assert!(trace.of("operations").is_empty() && !trace.slices.is_empty() && trace.counters > 0);
    let model = examples("oracle/llama/model").display().to_string();
    let file = in_folder(home.path(), "never");
    let wrong =
        ["run", &model, "--prompt-ids", "5", "--trace", &file, "--trace-region", "9999,0,1x1"];
    let call = wafersim(&wrong);
    assert_eq!(call.code, Some(1));
    assert!(call.err.contains("--trace-region"), "{}", call.err);
}

/// Reads a timeline with what the makers of Perfetto give away, if there is a Python that has it: set
/// `WAFERSIM_PERFETTO_PYTHON`, or have `python3` import `perfetto`.
fn official_parser(file: &Path, events: usize) {
    let python = std::env::var("WAFERSIM_PERFETTO_PYTHON").unwrap_or_else(|_| "python3".into());
    let script = "import sys\n\
        from perfetto.protos.perfetto.trace.perfetto_trace_pb2 import Trace\n\
        trace = Trace(); trace.ParseFromString(open(sys.argv[1], 'rb').read())\n\
        kinds = [p.track_event.type for p in trace.packet if p.HasField('track_event')]\n\
        print(sum(kind in (1, 3) for kind in kinds))\n";
    match Command::new(&python).args(["-c", script]).arg(file).output() {
        Ok(done) if done.status.success() => {
            let told = String::from_utf8_lossy(&done.stdout);
            assert_eq!(told.trim().parse(), Ok(events), "slices and instants");
        }
        _ => skipped("no Python package perfetto, so its parser has not read the timeline"),
    }
}

#[test]
fn is_a_wafer_of_900_000_pes_drawn_in_two_seconds_a_picture() {
    let mut machine = fabric::presets::preset(fabric::presets::DEFAULT).expect("it is built in");
    (machine.width, machine.height) = (750, 1_200);
    let mut image = fabric::WaferImage::empty(machine);
    let program = image.intern_program(pe_isa::Program::default());
    let routes = image.intern_routes(fabric::RouteSet::default());
    for (at, tile) in (0u32..).zip(&mut image.tiles) {
        (tile.program, tile.routes, tile.sram_bytes) = (Some(program), Some(routes), at % 40_000);
    }
    let pe = |at: u64| sim_core::PeCounters {
        cycles: sim_core::PeCycles { working: at * 7 % 101, idle: 100, ..Default::default() },
        ..Default::default()
    };
    let state = sim_core::FinalState {
        pes: (0..900_000).map(pe).collect(),
        links: (0..900_000).map(|at| [at % 9, at % 8, at % 7, at % 6, 0]).collect(),
        ..Default::default()
    };
    let (stop, cycle) = (sim_core::StopReason::Finished, pe_isa::Cycle(1_000));
    let outcome = sim_core::Outcome { stop, cycle, state };
    let started = cpu_time::ThreadTime::now();
    let pictures = traces::pictures::draw(&image, &outcome);
    let seconds = started.elapsed().as_secs_f64();
    assert_eq!(pictures.len(), traces::pictures::FILES.len());
    assert!(seconds < 2.0 * pictures.len() as f64, "{seconds} s");
    eprintln!("{seconds:.2} s for {} pictures", pictures.len());
    if let Ok(folder) = std::env::var("WAFERSIM_KEEP_PICTURES") {
        for picture in pictures {
            fs::write(Path::new(&folder).join(picture.file), picture.png).expect("written");
        }
    }
}
