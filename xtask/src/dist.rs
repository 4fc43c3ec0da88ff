//! `cargo xtask dist`: the npm package, from Rust and TypeScript to a tarball under `target/npm`.
//!
//! `target/npm/build` is where the parts meet; `target/npm/tidegate` is the package; beside it lies
//! `tidegate-<version>.tgz`. Nothing is done when no input has changed since the last time.

mod package;
mod wasm;

pub(crate) use self::wasm::optimise;

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use serde::{Deserialize, Serialize};

use crate::steps::{Steps, write_json};
use crate::{hash, tools};

/// A finished package.
#[derive(Clone, Debug)]
pub(crate) struct Package {
    /// The unpacked package.
    pub(crate) directory: PathBuf,
    /// The tarball that `npm pack` made of it.
    pub(crate) tarball: PathBuf,
}

/// One file of the package, as the table shows it.
#[derive(Serialize)]
struct Row {
    file: String,
    bytes: u64,
}

/// Builds the package and lists what is in it.
///
/// # Errors
///
/// If a step fails, or a tool is missing.
pub(crate) fn run(json: Option<&Path>) -> Result<()> {
    let mut steps = Steps::default();
    let package = build(&mut steps)?;
    let mut rows = Vec::new();
    for path in hash::files_below(&package.directory)?.iter().chain([&package.tarball]) {
        let file = path.strip_prefix(out()).unwrap_or(path).to_string_lossy().into_owned();
        rows.push(Row { file, bytes: path.metadata()?.len() });
    }
    let cells: Vec<_> = rows.iter().map(|row| [row.file.clone(), row.bytes.to_string()]).collect();
    crate::steps::print_table([&*out().to_string_lossy(), "bytes"], &cells);
    write_json(json, &rows)?;
    // The last line, to be pasted behind `npm install`.
    println!("{}", package.tarball.display());
    Ok(())
}

/// Builds the package, if anything it is made of has changed.
///
/// # Errors
///
/// If a step fails, or a tool is missing.
pub(crate) fn build(steps: &mut Steps) -> Result<Package> {
    let version = version()?;
    let out = out();
    let package =
        Package { directory: out.join("tidegate"), tarball: out.join(format!("tidegate-{version}.tgz")) };
    let stamp = out.join("stamp");
    let inputs = inputs()?;
    let is_current = std::fs::read_to_string(&stamp).is_ok_and(|found| found == inputs)
        && package.tarball.is_file()
        && package.directory.is_dir();
    if is_current {
        println!("── npm package: nothing changed");
        return Ok(package);
    }
    tools::check_wasm_bindgen()?;
    tools::rust_target(tools::WASM_TARGET)?;
    let npm = steps.run("npm tools", tools::npm::tools)?;
    if out.is_dir() {
        std::fs::remove_dir_all(&out).with_context(|| format!("removing {}", out.display()))?;
    }
    let build = out.join("build");
    package::copy_template(&build)?;
    for of in wasm::MODULES {
        // The next one is compiled to the same place.
        let module = steps.run("wasm: compile", || wasm::compile(of))?;
        steps.run("wasm: bind and optimise", || wasm::bind(of, &module, &build.join("src"), &npm))?;
    }
    steps.run("facade: compile", || package::assemble(&build, &package.directory, &version, &npm))?;
    steps.run("package: pack", || package::pack(&package))?;
    std::fs::write(&stamp, inputs).with_context(|| format!("writing {}", stamp.display()))?;
    Ok(package)
}

/// Where everything of the npm package lies.
fn out() -> PathBuf {
    tools::target().join("npm")
}

/// A digest of everything the package is made of, the way it is made included.
fn inputs() -> Result<String> {
    let root = tools::root();
    let tops = [
        "src",
        "pkg-template",
        "xtask/npm",
        "xtask/src/dist",
        "xtask/src/dist.rs",
        "Cargo.toml",
        "Cargo.lock",
        "LICENSE-APACHE",
        "LICENSE-MIT",
    ];
    let mut files = Vec::new();
    for top in tops {
        files.extend(hash::files_below(&root.join(top))?);
    }
    Ok(format!("{} {}", tools::compiler()?.commit, hash::of_files(files.iter())?))
}

/// The version of the crate, which is the package's too.
fn version() -> Result<String> {
    #[derive(Deserialize)]
    struct Manifest {
        package: Package,
    }
    #[derive(Deserialize)]
    struct Package {
        version: String,
    }
    let text = std::fs::read_to_string(tools::root().join("Cargo.toml")).context("reading Cargo.toml")?;
    let manifest: Manifest = toml::from_str(&text).context("reading Cargo.toml")?;
    Ok(manifest.package.version)
}
