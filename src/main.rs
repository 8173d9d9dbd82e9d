//! The `imcast` program.

fn main() {}
