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
    bindgen.input_path(module).out_name(NAME).bundler(true)?.typescript(true);
    bindgen.remove_name_section(true).remove_producers_section(true);
    bindgen.generate(directory).context("binding the module to JavaScript")?;
    let bound = directory.join(format!("{NAME}_bg.wasm"));
    shorten_imports(&bound, &directory.join(format!("{NAME}_bg.js")))?;
    // The facade has its own loader (wasm.ts), which joins module and glue: only their types are kept.
    let types = directory.join(format!("{NAME}.d.ts"));
    let mut declared = std::fs::read_to_string(&types).context("reading the types of the glue")?;
    declared.push_str("\n/** Joins the glue with the module's exports. */\n");
    declared.push_str("export function __wbg_set_wasm(exports: WebAssembly.Exports): void;\n");
    std::fs::write(directory.join(format!("{NAME}_bg.d.ts")), declared)
        .context("writing the types of the glue")?;
    std::fs::remove_file(types)?;
    std::fs::remove_file(directory.join(format!("{NAME}.js")))?;
    let small = directory.join("small.wasm");
    let mut optimise = npm.command("binaryen", "wasm-opt")?;
    optimise
        .args([
            "-O4",
            "--flatten",
            "--rereloop",
            "-Oz",
            "-Oz",
            "--strip-debug",
            "--strip-producers",
            "--strip-target-features",
        ])
        .args(FEATURES);
    process::run(optimise.arg(&bound).arg("-o").arg(&small))?;
    if small.metadata()?.len() > bound.metadata()?.len() {
        bail!("wasm-opt made the module larger");
    }
    std::fs::rename(&small, &bound).context("replacing the module by its smaller one")
}

/// By which the glue makes its class disposable. The class is the facade's alone, which calls `free`.
const DISPOSE: &str = "if (Symbol.dispose) Core.prototype[Symbol.dispose] = Core.prototype.free;\n";

/// Gives the functions that the glue provides short names, in module and glue: the hashes in
/// wasm-bindgen's own do not compress, and stand in both (300 B of brotli).
fn shorten_imports(module: &Path, glue: &Path) -> Result<()> {
    let mut wasm = walrus::Module::from_file(module).context("reading the bound module")?;
    let mut script = std::fs::read_to_string(glue).context("reading the glue")?;
    for (number, import) in wasm.imports.iter_mut().enumerate() {
        let short = format!("i{number}");
        if script.contains(&format!(" {short}(")) || !script.contains(&format!(" {}(", import.name)) {
            bail!("the glue does not provide {} in the way that was expected", import.name);
        }
        script = script.replace(&format!(" {}(", import.name), &format!(" {short}("));
        import.name = short;
    }
    if !script.contains(DISPOSE) {
        bail!("the glue does not make its class disposable in the way that was expected");
    }
    std::fs::write(glue, script.replace(DISPOSE, "")).context("writing the glue")?;
    wasm.emit_wasm_file(module).context("writing the module with its new names")
}
