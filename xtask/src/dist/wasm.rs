//! The wasm module of the package: compiled, bound to JavaScript, made small.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};
use serde_json::Value;
use wasm_bindgen_cli_support::Bindgen;

use crate::process;
use crate::tools::{self, npm::Tools};

/// One of the package's modules.
#[derive(Clone, Copy, Debug)]
pub(super) struct Module {
    /// The base name of module and types.
    name: &'static str,
    features: &'static str,
}

/// Each is loaded by who uses it only: plain mode's, and that of channels, which can do the same and more.
pub(super) const MODULES: [Module; 2] =
    [Module { name: "tidegate_core", features: "js" }, Module { name: "tidegate_v1", features: "js,v1" }];

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

/// Compiles the crate as a cdylib with a module's features and returns the path of what cargo made.
///
/// # Errors
///
/// If the build fails.
pub(super) fn compile(module: Module) -> Result<PathBuf> {
    let mut cargo = tools::cargo();
    cargo.args(["rustc", "--package", "tidegate", "--lib", "--crate-type", "cdylib", "--profile", "wasm"]);
    cargo.args(["--target", tools::WASM_TARGET, "--no-default-features", "--features", module.features]);
    cargo.args(["--message-format", "json-render-diagnostics"]);
    // Of nobody's machine, and the same on every one, whatever the user has set.
    cargo.env("CARGO_ENCODED_RUSTFLAGS", remapped()?.join("\u{1f}"));
    let messages = process::stdout_shown(&mut cargo)?;
    let artifacts = messages.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let files = artifacts.filter_map(|message| Some(message.get("filenames")?.as_array()?.clone())).flatten();
    let mut module = files
        .filter_map(|file| Some(PathBuf::from(file.as_str()?)))
        .filter(|file| file.extension().is_some_and(|extension| extension == "wasm"));
    module.next_back().context("cargo built no wasm module")
}

/// The flags by which no path of this machine gets into the module, where panics name their places. The
/// standard library's are as they are without its sources: with these it would be the path to them.
fn remapped() -> Result<Vec<String>> {
    let compiler = tools::compiler()?;
    let library = compiler.sysroot.join("lib/rustlib/src/rust");
    let mut flags = vec![format!("--remap-path-prefix={}=/rustc/{}", library.display(), compiler.commit)];
    for private in private_paths() {
        flags.push(format!("--remap-path-prefix={}=", private.display()));
    }
    Ok(flags)
}

/// Paths that say whose machine this is.
fn private_paths() -> Vec<PathBuf> {
    let home = |name: &str, default: &str| {
        let set = std::env::var_os(name).map(PathBuf::from);
        set.or_else(|| Some(PathBuf::from(std::env::var_os("HOME")?).join(default)))
    };
    [home("CARGO_HOME", ".cargo"), home("RUSTUP_HOME", ".rustup"), Some(tools::root())]
        .into_iter()
        .flatten()
        .collect()
}

/// Fails if the module names a path of this machine.
fn check_paths(module: &Path) -> Result<()> {
    let bytes = std::fs::read(module).with_context(|| format!("reading {}", module.display()))?;
    for private in private_paths() {
        let needle = private.as_os_str().as_encoded_bytes();
        if bytes.windows(needle.len()).any(|window| window == needle) {
            bail!("the module names {}", private.display());
        }
    }
    Ok(())
}

/// Writes glue, types and the optimised module into `directory`.
///
/// # Errors
///
/// If wasm-bindgen or wasm-opt rejects the module.
pub(super) fn bind(of: Module, module: &Path, directory: &Path, npm: &Tools) -> Result<()> {
    let name = of.name;
    let mut bindgen = Bindgen::new();
    bindgen.input_path(module).out_name(name).bundler(true)?.typescript(true);
    bindgen.remove_name_section(true).remove_producers_section(true);
    bindgen.generate(directory).context("binding the module to JavaScript")?;
    let bound = directory.join(format!("{name}_bg.wasm"));
    clean_up(&bound)?;
    // The facade calls the exports itself (border.ts): of the glue it needs nothing but their types, to be checked
    // against its own.
    let types = directory.join(format!("{name}_bg.d.ts"));
    std::fs::rename(directory.join(format!("{name}_bg.wasm.d.ts")), types)
        .context("keeping the types of the exports")?;
    for unused in ["_bg.js", ".js", ".d.ts"] {
        std::fs::remove_file(directory.join(format!("{name}{unused}"))).context("removing the glue")?;
    }
    optimise(&bound, npm)?;
    check_paths(&bound)
}

/// Replaces a module by a smaller one that does the same.
///
/// # Errors
///
/// If wasm-opt rejects it, or makes it larger.
pub(crate) fn optimise(bound: &Path, npm: &Tools) -> Result<()> {
    let small = bound.with_file_name("small.wasm");
    let mut optimise = npm.command("binaryen", "wasm-opt")?;
    optimise
        // Low memory: the first kilobyte is the far end of the stack, which has 1 MiB. Traps are not to be ignored: a load
        // or division behind a check could be moved before it.
        .args(["-Oz", "--low-memory-unused", "--flatten", "--rereloop", "-Oz", "-Oz"])
        .args(["--strip-debug", "--strip-producers", "--strip-target-features"])
        .args(FEATURES);
    process::run(optimise.arg(bound).arg("-o").arg(&small))?;
    if small.metadata()?.len() > bound.metadata()?.len() {
        bail!("wasm-opt made the module larger");
    }
    std::fs::rename(&small, bound).context("replacing the module by its smaller one")
}

/// What wasm-bindgen would throw for a misuse of the class, had it a way to: nobody reads it, and zeros are not part of
/// a module (100 B of brotli).
const UNSAID: [&str; 3] = [
    "attempted to take ownership of Rust value while it was borrowed",
    "recursive use of an object detected which would lead to unsafe aliasing in rust",
    "null pointer passed to rust",
];

/// Overwrites `text` with zeros where `data` has it.
fn blank(data: &mut [u8], text: &[u8]) {
    let at = data.windows(text.len()).position(|window| window == text);
    if let Some(text) = at.and_then(|at| data.get_mut(at..at + text.len())) {
        text.fill(0);
    }
}

/// Makes the module independent of wasm-bindgen's glue: what is exported for that only is not, and of what it would
/// provide one function is left, by which a misuse of the class throws, such as a call of a freed one. That traps, as
/// a panic does.
///
/// # Errors
///
/// If the module imports more than that and what `host.ts` provides.
fn clean_up(bound: &Path) -> Result<()> {
    let mut module = walrus::Module::from_file(bound).context("reading the bound module")?;
    let is_unused = |export: &&walrus::Export| {
        !export.name.starts_with("core_") && !["memory", "__wbg_core_free"].contains(&export.name.as_str())
    };
    let unused: Vec<_> = module.exports.iter().filter(is_unused).map(walrus::Export::id).collect();
    for id in unused {
        module.exports.delete(id);
    }
    walrus::passes::gc::run(&mut module);
    let foreign: Vec<_> = module.imports.iter().filter(|import| import.module != "host").collect();
    let [throw] = foreign[..] else { bail!("not only one function is left of the glue: {foreign:?}") };
    let walrus::ImportKind::Function(throw) = throw.kind else { bail!("{throw:?} is no function") };
    module.replace_imported_func(throw, |(body, _)| {
        body.unreachable();
    })?;
    let data: Vec<_> = module.data.iter().map(walrus::Data::id).collect();
    for (id, message) in data.iter().flat_map(|id| UNSAID.map(|message| (*id, message))) {
        blank(&mut module.data.get_mut(id).value, message.as_bytes());
    }
    module.emit_wasm_file(bound).context("writing the module without what is not used")
}
