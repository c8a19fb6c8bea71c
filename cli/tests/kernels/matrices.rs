//! Kernels on rectangles of PEs.

use crate::harness::{machine, run};
use compiler::kernels::formula;

#[test]
fn do_matrix_kernels_multiply_tiles_of_any_shape() {
    for (p, m, k, n) in [(2, 1, 1, 1), (3, 2, 5, 3), (4, 8, 8, 8), (5, 1, 7, 2), (16, 4, 4, 4)] {
        let machine = machine("wse2", p, p);
        let params = [("P", p), ("M", m), ("K", k), ("N", n)];
        for name in ["gemm-cannon", "gemm-summa"] {
            let (cycle, _) = run(name, &machine, &params, p < 5);
            // The floor: every PE does all its multiply-adds, row by row.
            let multiply = formula::multiply_adds(&machine, m * k, n);
            assert!(cycle > u64::from(p) * multiply);
        }
    }
    for (w, h, m, n) in [(2, 2, 1, 1), (3, 5, 4, 9), (16, 2, 33, 7), (64, 64, 16, 16)] {
        let machine = machine("wse2", w, h);
        let params = [("W", w), ("H", h), ("M", m), ("N", n)];
        let (_, promised) = run("gemv", &machine, &params, w * h < 40);
        assert!(promised);
    }
}

#[test]
fn do_halos_hold_the_neighbours_edges() {
    for (w, h, n) in [(1, 1, 3), (2, 1, 1), (3, 4, 8), (8, 8, 64), (33, 17, 5)] {
        let machine = machine("wse2", w, h);
        let (cycle, _) = run("halo", &machine, &[("W", w), ("H", h), ("N", n)], w * h < 20);
        // Four edges out and four in, a step a word.
        assert!(w < 3 || h < 3 || cycle >= u64::from(8 * n));
    }
}
