use fabric::{Machine, presets};
use pe_isa::Cycle;
use sim_core::testing::traffic::{Traffic, broadcast_reduce, all_to_one};
use sim_core::{Engine, HostScript, NoObserver};
use std::time::Instant;
fn main() {
    let a: Vec<u32> = std::env::args().skip(1).map(|a| a.parse().unwrap()).collect();
    let m = Machine { width: a[0], height: a[0], ..presets::preset("wse2").unwrap() };
    let t = Traffic { width: a[0], height: a[0], words: a[1], rounds: a[2] };
    let image = if a.len() > 4 { all_to_one(&m, t) } else { broadcast_reduce(&m, t) };
    let e = Engine::load(&image);
    for _ in 0..a[3] {
        let f = e.clone();
        let t = Instant::now();
        let o = f.try_flow(&HostScript::default(), &mut Vec::new(), Cycle::NEVER);
        let s = t.elapsed().as_secs_f64();
        match &o { None => println!("irregular after {s}"), Some(o) => println!("flow: {:.3} s, {:.2} M hops/s {} cycles {:?}", s, o.state.wavelet_hops() as f64 / s / 1e6, o.cycle.0, o.stop) }
        let mut f = e.clone();
        let t = Instant::now();
        let (stop, cycle) = f.run(&HostScript::default(), &mut Vec::new(), Cycle::NEVER, &mut NoObserver);
        let s = t.elapsed().as_secs_f64();
        println!("events: {:.3} s, {:.2} M hops/s", s, f.wavelet_hops() as f64 / s / 1e6);
        let w = sim_core::Outcome { stop, cycle, state: f.final_state() };
        println!("equal {:?}", o.map(|o| o == w));
    }
}
