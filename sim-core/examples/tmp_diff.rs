use sim_core::testing::{lines};
use sim_core::{Engine, NoObserver};
fn main() {
    let a: Vec<u64> = std::env::args().skip(1).map(|a| a.parse().unwrap()).collect();
    let case = lines::case(a[0], a[1] as u32);
    let e = Engine::load(&case.image);
    let f = e.clone().try_flow(&case.script, &mut Vec::new(), case.limit);
    let g = e.outcome(&case.script, &mut Vec::new(), case.limit, &mut NoObserver);
    let Some(f) = f else { println!("irregular"); return };
    println!("{:?} {:?} / {:?} {:?} machine {:?}", f.stop, f.cycle, g.stop, g.cycle, (case.image.machine.width, case.image.machine.height, &case.image.machine.fabric, &case.image.machine.pe.input_queues, &case.image.machine.pe.output_queues));
    for at in 0..f.state.pes.len() {
        if f.state.pes[at] != g.state.pes[at] { println!("pe {at}\n {:?}\n {:?}", f.state.pes[at], g.state.pes[at]); }
        if f.state.links[at] != g.state.links[at] { println!("links {at} {:?} {:?}", f.state.links[at], g.state.links[at]); }
        if f.state.sram[at] != g.state.sram[at] { println!("sram {at}"); }
    }
    println!("{}", fabric::text::print(&case.image));
}
