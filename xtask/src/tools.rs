//! The programs that xtask needs besides cargo: found, installed where that is harmless, or asked for.
//!
//! Nothing is installed that a user would not expect: the wasm target and components by rustup,
//! geckodriver, cargo-fuzz and npm tools into a cache directory of tidegate's own, browsers, proxies and Python only
//! as root on Debian. Everything else ends with the exact command to type and exit code 2 ([`Missing`]).

pub(crate) mod browsers;
pub(crate) mod daemons;
pub(crate) mod debian;
pub(crate) mod npm;
pub(crate) mod python;
pub(crate) mod screen;

use std::env;
use std::ffi::OsString;
use std::fmt;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, anyhow, bail};
use serde::Deserialize;

use crate::process;

/// A target with the other vectors that masking knows. It is compiled for, and run nowhere here.
pub(crate) const NEON_TARGET: &str = "aarch64-unknown-linux-gnu";

/// The target of everything that runs in browsers.
pub(crate) const WASM_TARGET: &str = "wasm32-unknown-unknown";

/// The driver of the fuzz targets, which is on crates.io only.
const CARGO_FUZZ_VERSION: &str = "0.13.2";

/// Something the user has to install; `main` turns it into exit code 2.
#[derive(Debug)]
pub(crate) struct Missing(pub(crate) String);

impl fmt::Display for Missing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Missing {}

/// The top directory of the workspace.
pub(crate) fn root() -> PathBuf {
    // Set by `cargo run`; the compiled-in value serves a program that is called directly.
    let manifest =
        env::var_os("CARGO_MANIFEST_DIR").map_or_else(|| env!("CARGO_MANIFEST_DIR").into(), PathBuf::from);
    manifest.parent().map_or(manifest.clone(), Path::to_path_buf)
}

/// Cargo's target directory.
pub(crate) fn target() -> PathBuf {
    env::var_os("CARGO_TARGET_DIR").map_or_else(|| root().join("target"), |path| root().join(path))
}

/// `cargo`, run at the top of the workspace.
pub(crate) fn cargo() -> Command {
    let mut command = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.current_dir(root());
    // What `cargo run` sets for xtask itself is nobody else's business, and some of it rebuilds crates.
    for (name, _) in env::vars_os() {
        let text = name.to_string_lossy();
        if text.starts_with("CARGO_PKG_") || text.starts_with("CARGO_MANIFEST_") || text == "CARGO_BIN_NAME" {
            command.env_remove(name);
        }
    }
    command
}

/// Where tools are kept between clean builds: `$TIDEGATE_CACHE`, else `$XDG_CACHE_HOME/tidegate`, else
/// `~/.cache/tidegate`.
///
/// # Errors
///
/// If none of the three can be told.
pub(crate) fn cache() -> Result<PathBuf> {
    let set = |name: &str| env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let path = set("TIDEGATE_CACHE")
        .or_else(|| Some(set("XDG_CACHE_HOME")?.join("tidegate")))
        .or_else(|| Some(set("HOME").or_else(|| set("USERPROFILE"))?.join(".cache/tidegate")))
        .context("neither TIDEGATE_CACHE nor XDG_CACHE_HOME nor HOME is set")?;
    std::fs::create_dir_all(&path).with_context(|| format!("making {}", path.display()))?;
    Ok(path)
}

/// The first of `names` that is a program on the search path.
pub(crate) fn on_path(names: &[&str]) -> Option<PathBuf> {
    let paths = env::var_os("PATH")?;
    names.iter().find_map(|name| {
        let file = format!("{name}{}", env::consts::EXE_SUFFIX);
        env::split_paths(&paths).map(|directory| directory.join(&file)).find(|path| is_program(path))
    })
}

#[cfg(unix)]
fn is_program(path: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt as _;
    path.metadata().is_ok_and(|data| data.is_file() && data.permissions().mode() & 0o111 != 0)
}

#[cfg(not(unix))]
fn is_program(path: &Path) -> bool {
    path.is_file()
}

/// The search path, with the programs that were compiled into [`cache`] before all others.
///
/// # Errors
///
/// As [`cache`].
pub(crate) fn with_own_tools() -> Result<OsString> {
    let own = cache()?.join("tools/bin");
    let paths = env::var_os("PATH").unwrap_or_default();
    Ok(env::join_paths([own].into_iter().chain(env::split_paths(&paths)))?)
}

/// Makes sure that cargo-fuzz is there, by compiling it into the cache if it is not.
///
/// # Errors
///
/// If it cannot be compiled.
pub(crate) fn cargo_fuzz() -> Result<()> {
    let root = cache()?.join("tools");
    let program = format!("cargo-fuzz{}", env::consts::EXE_SUFFIX);
    if root.join("bin").join(program).is_file() || on_path(&["cargo-fuzz"]).is_some() {
        return Ok(());
    }
    println!("building cargo-fuzz {CARGO_FUZZ_VERSION} once, into {} (a minute or more)", root.display());
    let mut install = cargo();
    install.args(["install", "--quiet", "cargo-fuzz", "--version", CARGO_FUZZ_VERSION, "--locked", "--root"]);
    // A target directory of its own: cargo makes a temporary one and removes it.
    process::run(install.arg(&root).env_remove("CARGO_TARGET_DIR").env_remove("CARGO_BUILD_TARGET"))
}

/// Makes sure that a target of the Rust compiler is there, by rustup if it is not.
///
/// # Errors
///
/// If it is missing and there is no rustup, or rustup fails.
pub(crate) fn rust_target(name: &str) -> Result<()> {
    let libraries =
        process::stdout_of(Command::new(rustc()).args(["--print", "target-libdir", "--target", name]))?;
    if Path::new(libraries.trim()).is_dir() {
        return Ok(());
    }
    let Some(rustup) = on_path(&["rustup"]) else {
        bail!(Missing(format!(
            "The Rust target {name} is missing, and there is no rustup to add it. Install the target's\n\
             standard library with what your Rust came from, or rustup from https://rustup.rs and then type\n\
             rustup target add {name}"
        )));
    };
    println!("adding the Rust target {name} by rustup");
    process::run(Command::new(rustup).args(["target", "add", name]))
}

/// What is asked of the Rust compiler.
#[derive(Clone, Debug)]
pub(crate) struct Compiler {
    /// Where its parts lie.
    pub(crate) sysroot: PathBuf,
    /// The commit that it was built from, by which its standard library names its sources.
    pub(crate) commit: String,
}

/// The Rust compiler that cargo uses.
///
/// # Errors
///
/// If it does not answer.
pub(crate) fn compiler() -> Result<Compiler> {
    let sysroot = process::stdout_of(Command::new(rustc()).args(["--print", "sysroot"]))?;
    let version = process::stdout_of(Command::new(rustc()).arg("-vV"))?;
    let commit = version.lines().find_map(|line| line.strip_prefix("commit-hash: "));
    Ok(Compiler { sysroot: sysroot.trim().into(), commit: commit.unwrap_or("unknown").to_owned() })
}

fn rustc() -> OsString {
    env::var_os("RUSTC").unwrap_or_else(|| "rustc".into())
}

/// Makes sure that a component of the Rust toolchain is there, by rustup if it is not; `command` is what
/// it brings to cargo.
///
/// # Errors
///
/// [`Missing`] if it is not there and there is no rustup, or rustup fails.
pub(crate) fn component(name: &str, command: &str) -> Result<()> {
    // rustup has a program of that name in any case; it fails when there is nothing behind it.
    if process::capture(cargo().args([command, "--version"]))?.status.success() {
        return Ok(());
    }
    add_component(name)
}

/// Makes sure that the sources of the standard library are there, to build it with other target features.
///
/// # Errors
///
/// As [`component`].
pub(crate) fn standard_library_sources() -> Result<()> {
    if compiler()?.sysroot.join("lib/rustlib/src/rust/library").is_dir() {
        return Ok(());
    }
    add_component("rust-src")
}

fn add_component(name: &str) -> Result<()> {
    let Some(rustup) = on_path(&["rustup"]) else {
        bail!(Missing(format!(
            "{name} is missing, and there is no rustup to add it. Install it with what your Rust came from."
        )));
    };
    println!("adding {name} to the Rust toolchain by rustup");
    process::run(Command::new(rustup).args(["component", "add", name]))
}

/// Checks that the wasm-bindgen which the library is built with is the one that xtask is linked with:
/// the two exchange a format that may change with every release.
///
/// # Errors
///
/// If `Cargo.lock` names two versions, or cannot be read.
pub(crate) fn check_wasm_bindgen() -> Result<()> {
    let text = std::fs::read_to_string(root().join("Cargo.lock")).context("reading Cargo.lock")?;
    let library = locked_version(&text, "wasm-bindgen")?;
    let linked = locked_version(&text, "wasm-bindgen-cli-support")?;
    // A build without the feature `client` has no wasm-bindgen at all.
    if library != linked {
        bail!(
            "Cargo.lock has wasm-bindgen {library}, but xtask is linked with {linked}. Either type\n\
             cargo update -p wasm-bindgen --precise {linked}\n\
             or raise wasm-bindgen-cli and wasm-bindgen-cli-support in xtask/Cargo.toml to ={library}."
        );
    }
    Ok(())
}

/// The version of `package` in the text of a `Cargo.lock`.
fn locked_version(lock: &str, package: &str) -> Result<String> {
    #[derive(Deserialize)]
    struct Lock {
        package: Vec<Package>,
    }
    #[derive(Deserialize)]
    struct Package {
        name: String,
        version: String,
    }
    let lock: Lock = toml::from_str(lock).context("reading Cargo.lock")?;
    let found = lock.package.into_iter().find(|entry| entry.name == package);
    found.map(|entry| entry.version).ok_or_else(|| anyhow!("Cargo.lock has no {package}"))
}

/// Node, at least version 20.
///
/// # Errors
///
/// [`Missing`] if it is not there or too old.
pub(crate) fn node() -> Result<PathBuf> {
    let path = on_path(&["node", "nodejs"]).ok_or_else(no_node)?;
    let version = process::stdout_of(Command::new(&path).arg("--version"))?;
    let major =
        version.trim().trim_start_matches('v').split('.').next().and_then(|major| major.parse::<u32>().ok());
    if major.is_none_or(|major| major < 20) {
        bail!(Missing(format!(
            "Node {} is too old: the npm package and its tools need 20 or newer.\n\
             Install one from https://nodejs.org/en/download",
            version.trim()
        )));
    }
    Ok(path)
}

/// npm, which comes with Node.
///
/// # Errors
///
/// [`Missing`] if it is not there.
pub(crate) fn npm() -> Result<PathBuf> {
    on_path(&["npm"]).ok_or_else(no_node)
}

fn no_node() -> anyhow::Error {
    anyhow!(Missing(
        "Node with npm is missing; TypeScript, wasm-opt and Vite run in it. Install version 20 or newer\n\
         from https://nodejs.org/en/download (on Debian: apt-get install -y nodejs npm)"
            .to_owned()
    ))
}

#[cfg(test)]
mod tests {
    use super::locked_version;

    const LOCK: &str = "version = 4\n[[package]]\nname = \"a\"\nversion = \"1.2.3\"\n\n[[package]]\nname = \"b\"\nversion = \"4.5.6\"\n";

    #[test]
    fn the_lock_file_is_asked_by_name() {
        assert_eq!(locked_version(LOCK, "b").unwrap(), "4.5.6");
        assert!(locked_version(LOCK, "c").is_err());
    }
}
