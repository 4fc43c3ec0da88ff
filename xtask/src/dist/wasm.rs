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
pub(super) fn bind(module: &Path, directory: &Path, npm: &Tools) -> Result<()> {
    let mut bindgen = Bindgen::new();
    bindgen.input_path(module).out_name(NAME).bundler(true)?.typescript(true);
    bindgen.remove_name_section(true).remove_producers_section(true);
    bindgen.generate(directory).context("binding the module to JavaScript")?;
    let bound = directory.join(format!("{NAME}_bg.wasm"));
    shorten_names(&bound, &directory.join(format!("{NAME}_bg.js")))?;
    // The facade has its own loader (wasm.ts), which joins module and glue: only their types are kept.
    let types = directory.join(format!("{NAME}.d.ts"));
    let mut declared = std::fs::read_to_string(&types).context("reading the types of the glue")?;
    declared.push_str("\n/** Joins the glue with the module's exports. */\n");
    declared.push_str("export function __wbg_set_wasm(exports: WebAssembly.Exports): void;\n");
    std::fs::write(directory.join(format!("{NAME}_bg.d.ts")), declared)
        .context("writing the types of the glue")?;
    std::fs::remove_file(types)?;
    // The names in it are not the module's any more.
    std::fs::remove_file(directory.join(format!("{NAME}_bg.wasm.d.ts")))?;
    std::fs::remove_file(directory.join(format!("{NAME}.js")))?;
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
        // Low memory: the first kilobyte is the far end of the stack, which has 1 MiB.
        .args(["-Oz", "--low-memory-unused", "--flatten", "--rereloop", "-Oz", "-Oz"])
        .args(["--strip-debug", "--strip-producers", "--strip-target-features"])
        .args(FEATURES);
    process::run(optimise.arg(bound).arg("-o").arg(&small))?;
    if small.metadata()?.len() > bound.metadata()?.len() {
        bail!("wasm-opt made the module larger");
    }
    std::fs::rename(&small, bound).context("replacing the module by its smaller one")
}

/// By which the glue makes its class disposable, frees what the garbage collector finds, and nothing twice;
/// and what stands there instead. The class is the facade's alone, which holds it to the end of its connection,
/// calls `free`, and has it no more.
const UNUSED: [(&str, &str); 6] = [
    ("if (Symbol.dispose) Core.prototype[Symbol.dispose] = Core.prototype.free;\n", ""),
    ("        CoreFinalization.unregister(this);\n", ""),
    ("        CoreFinalization.register(this, this.__wbg_ptr, this);\n", ""),
    (
        "const CoreFinalization = (typeof FinalizationRegistry === 'undefined')
    ? { register: () => {}, unregister: () => {} }
    : new FinalizationRegistry(ptr => wasm.__wbg_core_free(ptr, 1));\n",
        "",
    ),
    (
        "        const ptr = this.__destroy_into_raw();
        wasm.__wbg_core_free(ptr, 0);\n",
        "        wasm.__wbg_core_free(this.__wbg_ptr, 0);\n",
    ),
    (
        "    __destroy_into_raw() {
        const ptr = this.__wbg_ptr;
        this.__wbg_ptr = 0;
        return ptr;
    }\n",
        "",
    ),
];

/// Where the class keeps its place in the wasm's memory, and a name for it that is shorter.
const PLACE: (&str, &str) = ("this.__wbg_ptr", "this.at");

/// Reads text out of the wasm's memory.
const READ_TEXT: &str = "function getStringFromWasm0(ptr, len) {
    return new TextDecoder().decode(new Uint8Array(wasm.memory.buffer, ptr >>> 0, len));
}
";

/// Takes out of module and glue what does not compress: the hashes in wasm-bindgen's names of the
/// functions that the glue provides, which stand in both (300 B of brotli), and the names of those that it calls
/// (100 B). The module they come from is called `glue`, as wasm.ts has it.
fn shorten_names(module: &Path, glue: &Path) -> Result<()> {
    let mut wasm = walrus::Module::from_file(module).context("reading the bound module")?;
    let mut script = std::fs::read_to_string(glue).context("reading the glue")?;
    for (number, import) in wasm.imports.iter_mut().enumerate() {
        let short = format!("i{number}");
        if script.contains(&format!(" {short}(")) || !script.contains(&format!(" {}(", import.name)) {
            bail!("the glue does not provide {} in the way that was expected", import.name);
        }
        script = script.replace(&format!(" {}(", import.name), &format!(" {short}("));
        import.name = short;
        "glue".clone_into(&mut import.module);
    }
    for (unused, instead) in UNUSED {
        if script.matches(unused).count() != 1 {
            bail!("the glue does not have this once, as was expected:\n{unused}");
        }
        script = script.replace(unused, instead);
    }
    script = script.replace(PLACE.0, PLACE.1);
    let mut calls = 0;
    for export in wasm.exports.iter_mut() {
        let call = format!("wasm.{}(", export.name);
        match script.matches(&call).count() {
            // What is no function, and the start, which wasm.ts calls.
            0 => continue,
            1 => {}
            _ => bail!("the glue does not call {} once, as was expected", export.name),
        }
        export.name = format!("e{calls}");
        script = script.replace(&call, &format!("wasm.{}(", export.name));
        calls += 1;
    }
    // Only the text of a panic is ever read, once: nothing is cached for it.
    let Some((before, rest)) = script.split_once("function getStringFromWasm0(") else {
        bail!("the glue does not read text in the way that was expected");
    };
    let Some((_, after)) = rest.split_once("\n\nlet wasm;") else {
        bail!("the glue does not end in the way that was expected");
    };
    let script = format!("{before}{READ_TEXT}\nlet wasm;{after}");
    std::fs::write(glue, script).context("writing the glue")?;
    wasm.emit_wasm_file(module).context("writing the module with its new names")
}
