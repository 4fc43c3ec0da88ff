//! tidegate's own build, demo and test commands: `cargo xtask --help`.
fn main() {}
