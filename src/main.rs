//! The `gabor` program.

fn main() {}
