//! What `--check-reference` observes of a run.

use crate::logits::LogitsTap;
use crate::requests::Request;
use crate::residual::ResidualTap;
use compiler::Compiled;
use fabric::PeIdx;
use pe_isa::Cycle;
use sim_core::Observer;

/// Logits and the residual stream behind each layer.
#[derive(Debug)]
pub(crate) struct Taps {
    /// None where the image shows no logits.
    pub(crate) logits: Option<LogitsTap>,
    pub(crate) residual: ResidualTap,
}

impl Taps {
    /// Taps on what is compiled for `requests`, whose prompts enter in this order.
    pub(crate) fn new(compiled: &Compiled, requests: &[Request]) -> Taps {
        let sizes = |request: &Request| compiled.protocol.item_sizes(request.prompt.len());
        let sizes = requests.iter().flat_map(sizes).collect();
        Taps {
            logits: LogitsTap::new(&compiled.image),
            residual: ResidualTap::new(&compiled.residuals, sizes),
        }
    }
}

impl Observer for Taps {
    fn mark(&mut self, cycle: Cycle, pe: PeIdx, mark: u16, sram: &[u32]) {
        if let Some(logits) = &mut self.logits {
            logits.mark(cycle, pe, mark, sram);
        }
        self.residual.mark(cycle, pe, mark, sram);
    }
}
