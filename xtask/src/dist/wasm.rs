//! The wasm module of the package: compiled, bound to JavaScript, made small.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};
use serde_json::Value;
use wasm_bindgen_cli_support::Bindgen;

use crate::process;
use crate::tools::{self, npm::Tools};

/// The base name of module, glue and types in the package.
const NAME: &str = "tidegate_core";

/// What rustc's default wasm target uses and every browser of the last years has. One by one: with all
/// features on, wasm-opt writes modules that no browser loads.
const FEATURES: [&str; 7] = [
    "--enable-bulk-memory",
    "--enable-bulk-memory-opt",
    "--enable-multivalue",
    "--enable-mutable-globals",
    "--enable-nontrapping-float-to-int",
    "--enable-reference-types",
    "--enable-sign-ext",
];

/// Compiles the crate with the feature `js` as a cdylib and returns the module's path.
///
/// # Errors
///
/// If the build fails.
pub(super) fn compile() -> Result<PathBuf> {
    let mut cargo = tools::cargo();
    cargo.args(["rustc", "--package", "tidegate", "--lib", "--crate-type", "cdylib", "--profile", "wasm"]);
    cargo.args(["--target", tools::WASM_TARGET, "--no-default-features", "--features", "js"]);
    cargo.args(["--message-format", "json-render-diagnostics"]);
    let messages = process::stdout_shown(&mut cargo)?;
    let artifacts = messages.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let files = artifacts.filter_map(|message| Some(message.get("filenames")?.as_array()?.clone())).flatten();
    let mut module = files
        .filter_map(|file| Some(PathBuf::from(file.as_str()?)))
        .filter(|file| file.extension().is_some_and(|extension| extension == "wasm"));
    module.next_back().context("cargo built no wasm module")
}

/// Writes glue, types and the optimised module into `directory`.
///
/// # Errors
///
/// If wasm-bindgen or wasm-opt rejects the module.
pub(super) fn bind(module: &Path, directory: &Path, npm: &Tools) -> Result<()> {
    let mut bindgen = Bindgen::new();
    bindgen.input_path(module).out_name(NAME).web(true)?.typescript(true);
    // Off by default here, unlike in the command line tool: `init()` would not find the module.
    bindgen.omit_default_module_path(false);
    bindgen.remove_name_section(true).remove_producers_section(true);
    bindgen.generate(directory).context("binding the module to JavaScript")?;
    let bound = directory.join(format!("{NAME}_bg.wasm"));
    let small = directory.join("small.wasm");
    let mut optimise = npm.command("binaryen", "wasm-opt")?;
    optimise.args(["-Oz", "--strip-debug", "--strip-producers"]).args(FEATURES);
    process::run(optimise.arg(&bound).arg("-o").arg(&small))?;
    if small.metadata()?.len() > bound.metadata()?.len() {
        bail!("wasm-opt made the module larger");
    }
    std::fs::rename(&small, &bound).context("replacing the module by its smaller one")
}
