use sim_core::oracle;
use sim_core::testing::{engine, flow, lines, FLOWED};
fn main() {
    let a: Vec<u64> = std::env::args().skip(1).map(|a| a.parse().unwrap()).collect();
    for seed in a[0]..a[0] + a[1] {
        if std::env::var("V").is_ok() { println!("seed {seed}"); }
        let case = lines::case(seed, a[2] as u32);
        let want = if a.len() > 3 { case.run(engine) } else { case.run(oracle::run) };
        if std::env::var("V").is_ok() { println!("{:?} at {:?} limit {:?} stop {:?}", want.outcome.stop, want.outcome.cycle, case.limit, case.stop_after); }
        let got = case.run(flow);
        if let Some(d) = want.difference(&got) {
            println!("seed {seed}: {}", &d[..d.len().min(600)]);
            return;
        }
    }
    println!("{:?} of {}", FLOWED, a[1]);
}
