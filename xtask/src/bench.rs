//! `cargo xtask bench`: what is measured against what others do.

mod browser;

pub(crate) use browser::{Options, measure, print, run};
