//! What the benches in browsers are made of: the pages in `benches/browser`, the npm package as its users have it,
//! and the libraries it is compared with.
//!
//! Not here: what is measured.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result};
use wasm_bindgen_cli_support::Bindgen;

use crate::dist::{self, Package};
use crate::steps::Steps;
use crate::{hash, process, tools};

/// What is built and installed.
#[derive(Clone, Debug)]
pub(super) struct Prepared {
    /// What a server of the pages has to show.
    pub(super) roots: Vec<(String, PathBuf)>,
    /// A project that has the npm package, and nothing else.
    pub(super) project: PathBuf,
}

/// Builds and installs everything.
///
/// # Errors
///
/// If something does not build, or a tool is missing.
pub(super) fn prepare(steps: &mut Steps) -> Result<Prepared> {
    let package = dist::build(steps)?;
    let project = target().join("tidegate");
    steps.run("tidegate: install from its tarball", || install_tarball(&package, &project))?;
    let npm = steps.run("contenders: install from npm", install_npm)?;
    let crates = steps.run("contenders: compile and bind", bind_crates)?;
    let pages = tools::root().join("benches/browser/pages");
    let tidegate = project.join("node_modules/tidegate");
    let roots = [("/bench", pages), ("/pkg", tidegate), ("/npm", npm), ("/contenders", crates)]
        .map(|(path, directory)| (path.to_owned(), directory));
    Ok(Prepared { roots: roots.to_vec(), project })
}

/// The server that is fast enough not to be what is measured; returns its program.
///
/// # Errors
///
/// If it does not build.
pub(super) fn build_server() -> Result<PathBuf> {
    process::run(cargo().args(["--package", "tidegate-bench-server"]))?;
    Ok(target().join("release").join(format!("tidegate-bench-server{}", std::env::consts::EXE_SUFFIX)))
}

/// Where everything of these benches is built.
fn target() -> PathBuf {
    tools::target().join("bench-browser")
}

/// `cargo build` in the workspace of the benches.
fn cargo() -> Command {
    let mut cargo = tools::cargo();
    cargo.current_dir(tools::root().join("benches/browser"));
    cargo.args(["build", "--release", "--locked", "--target-dir"]).arg(target());
    cargo
}

fn bind_crates() -> Result<PathBuf> {
    tools::rust_target(tools::WASM_TARGET)?;
    process::run(cargo().args(["--package", "tidegate-bench-contenders", "--target", tools::WASM_TARGET]))?;
    let module = target().join(tools::WASM_TARGET).join("release/tidegate_bench_contenders.wasm");
    let directory = target().join("contenders");
    let mut bindgen = Bindgen::new();
    bindgen
        .input_path(&module)
        .out_name("contenders")
        .web(true)?
        .omit_default_module_path(false)
        .typescript(false);
    bindgen.generate(&directory).with_context(|| format!("binding {} to JavaScript", module.display()))?;
    Ok(directory)
}

/// The packages of others, installed anew when their lock file has changed; returns `node_modules`.
fn install_npm() -> Result<PathBuf> {
    let source = tools::root().join("benches/browser/npm");
    let hash = hash::of_files([source.join("package-lock.json")].iter())?;
    let directory = target().join(format!("npm-{}", hash.get(..16).unwrap_or(&hash)));
    if !directory.is_dir() {
        tools::npm::install(&source, &directory)?;
    }
    Ok(directory.join("node_modules"))
}

/// Makes `directory` a project with what npm makes of the tarball, anew.
///
/// # Errors
///
/// If npm rejects the tarball.
pub(super) fn install_tarball(package: &Package, directory: &Path) -> Result<()> {
    if directory.is_dir() {
        std::fs::remove_dir_all(directory).with_context(|| format!("removing {}", directory.display()))?;
    }
    make(directory)?;
    std::fs::write(directory.join("package.json"), "{ \"private\": true }\n")?;
    let mut install = Command::new(tools::npm()?);
    install.current_dir(directory).args(["install", "--offline", "--ignore-scripts", "--no-package-lock"]);
    process::stdout_of(install.arg("--loglevel=error").arg(&package.tarball))?;
    Ok(())
}

fn make(directory: &Path) -> Result<()> {
    std::fs::create_dir_all(directory).with_context(|| format!("making {}", directory.display()))
}
