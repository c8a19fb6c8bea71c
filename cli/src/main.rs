//! wafersim
fn main() {}
