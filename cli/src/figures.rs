//! Numbers as people read them.

pub(crate) use pe_isa::grouped;

/// A number of things, such as `1 link` or `1,234 links`.
pub(crate) fn counted(number: u64, thing: &str) -> String {
    format!("{} {thing}{}", grouped(number), if number == 1 { "" } else { "s" })
}

/// Seconds in the unit that leaves one to three digits before the point.
pub(crate) fn seconds(s: f64) -> String {
    let (factor, unit) = match s {
        _ if s >= 1.0 => (1.0, "s"),
        _ if s >= 1e-3 => (1e3, "ms"),
        _ if s >= 1e-6 => (1e6, "µs"),
        _ => (1e9, "ns"),
    };
    format!("{} {unit}", three_digits(s * factor))
}

/// A large number with its prefix: `12.3 M`.
pub(crate) fn prefixed(number: f64) -> String {
    let (divisor, prefix) = match number {
        _ if number >= 1e9 => (1e9, " G"),
        _ if number >= 1e6 => (1e6, " M"),
        _ if number >= 1e3 => (1e3, " k"),
        _ => (1.0, ""),
    };
    format!("{}{prefix}", three_digits(number / divisor))
}

/// Bytes in binary units: `1.50 MiB`.
pub(crate) fn bytes(count: u64) -> String {
    match count {
        0..1_024 => format!("{count} B"),
        1_024..1_048_576 => format!("{} KiB", three_digits(count as f64 / 1_024.0)),
        _ => format!("{} MiB", three_digits(count as f64 / 1_048_576.0)),
    }
}

fn three_digits(number: f64) -> String {
    let decimals = match number {
        _ if number >= 100.0 => 0,
        _ if number >= 10.0 => 1,
        _ => 2,
    };
    format!("{number:.decimals$}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_read_well() {
        assert_eq!(counted(1, "link"), "1 link");
        assert_eq!(counted(1234, "link"), "1,234 links");
        assert_eq!(seconds(2.5e-5), "25.0 µs");
        assert_eq!(seconds(0.1234), "123 ms");
        assert_eq!(seconds(61.0), "61.0 s");
        assert_eq!(prefixed(12_345_678.0), "12.3 M");
        assert_eq!(prefixed(12.0), "12.0");
        assert_eq!(bytes(1_572_864), "1.50 MiB");
        assert_eq!(bytes(100), "100 B");
    }
}
