//! Any bytes as the choices of a random case, on oracle and engine.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    sim_core::testing::fuzz::runners_agree(data);
});
