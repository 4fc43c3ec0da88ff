//! The pages of `examples/web`: built, bound to JavaScript, and where a server shows them.
//!
//! Not here: what they do, and whether it is right (`test::web_examples`).

use std::path::PathBuf;

use anyhow::{Context as _, Result};
use wasm_bindgen_cli_support::Bindgen;

use crate::{process, tools};

/// The crates, each with a page at `/examples/NAME/`.
pub(crate) const NAMES: [&str; 2] = ["component", "frame_loop"];

/// Builds them; returns what a server has to show for their pages.
///
/// # Errors
///
/// If one of them does not build.
pub(crate) fn build() -> Result<Vec<(String, PathBuf)>> {
    let sources = tools::root().join("examples/web");
    let mut cargo = tools::cargo();
    // In the target directory of the main workspace: what both have in the same version is compiled once.
    cargo.current_dir(&sources).args(["build", "--locked", "--target", tools::WASM_TARGET, "--target-dir"]);
    process::run(cargo.arg(tools::target()))?;
    let built = tools::target().join("web-examples");
    for name in NAMES {
        let module = tools::target().join(tools::WASM_TARGET).join("debug").join(format!("{name}.wasm"));
        let mut bindgen = Bindgen::new();
        bindgen.input_path(&module).out_name(name).web(true)?;
        bindgen.omit_default_module_path(false).typescript(false);
        bindgen.generate(&built).with_context(|| format!("binding {} to JavaScript", module.display()))?;
    }
    Ok([("/examples", sources), ("/built", built)]
        .map(|(path, directory)| (path.to_owned(), directory))
        .to_vec())
}
