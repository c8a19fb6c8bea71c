use fabric::*;
use pe_isa::*;
use sim_core::*;
struct H {
    p: compiler::Protocol,
    got: usize,
    want: usize,
}
impl Host for H {
    fn receive(&mut self, _c: Cycle, _port: usize, x: u32, _a: &mut Answers) -> Verdict {
        if self.p.output(x).is_some() {
            self.got += 1;
            if self.got == self.want {
                return Verdict::Stop;
            }
        }
        Verdict::Continue
    }
}
struct O {
    pe: PeIdx,
    last: u64,
    items: usize,
    show: usize,
}
impl Observer for O {
    fn mark(&mut self, c: Cycle, pe: PeIdx, mark: u16, _s: &[u32]) {
        if pe == self.pe {
            if mark == 16 {
                self.items += 1;
            }
            if self.items == self.show {
                println!("{} mark {} +{}", c.0, mark, c.0 - self.last);
            }
            self.last = c.0;
        }
    }
}
fn main() {
    let a: Vec<String> = std::env::args().collect();
    let m = models::ModelDir::open("examples/models/stdlib-1m").unwrap();
    let prompt = vec![7u32; 200];
    let machine = fabric::presets::preset("wse3-64").unwrap();
    let n = |i: usize| a[i].parse::<u32>().unwrap();
    let opt = compiler::Options {
        contexts: vec![prompt.len() as u32 + 1],
        mapping: compiler::Mapping {
            stage_width: n(1),
            stage_height: n(2),
            layers_per_stage: n(3),
            prefill_chunk: n(4),
            ..Default::default()
        },
        longest_prompt: 200,
        ..Default::default()
    };
    let c = compiler::compile(m.graph(), None, &machine, &opt).unwrap();
    let words = c.protocol.inputs(&[prompt], &[1]);
    let script = HostScript {
        ports: words
            .into_iter()
            .map(|w| {
                w.into_iter()
                    .enumerate()
                    .map(|(i, p)| HostWavelet {
                        cycle: Cycle(machine.host_arrival_cycle(i as u64)),
                        payload: p,
                        control: false,
                    })
                    .collect()
            })
            .collect(),
    };
    let st = &c.image.stages[1];
    let pe = c.image.index(PeCoord::new(st.origin.x + st.width / 2, st.origin.y + st.height / 2));
    let mut h = H { p: c.protocol.clone(), got: 0, want: 1 };
    let show = (150 / n(4)) as usize;
    engine::run_for(
        &c.image,
        (Data::None { seed: 0 }, std::num::NonZeroUsize::new(1).unwrap()),
        &script,
        &mut h,
        Cycle(9_000_000),
        &mut O { pe, last: 0, items: 0, show },
    );
}
