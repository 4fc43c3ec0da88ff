//! The package around the wasm module: facade, types, manifest, licences, tarball.

use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, Result, bail};

use super::Package;
use crate::tools::{self, npm::Tools};
use crate::{hash, process};

/// Copies `pkg-template` to `build`, where wasm-bindgen's output joins the facade's sources.
///
/// # Errors
///
/// If a file cannot be copied.
pub(super) fn copy_template(build: &Path) -> Result<()> {
    let template = tools::root().join("pkg-template");
    for file in hash::files_below(&template)? {
        let name = file.strip_prefix(&template).unwrap_or(&file);
        // What an editor's own `npm install` may have left there.
        if !name.starts_with("node_modules") {
            copy(&file, &build.join(name))?;
        }
    }
    Ok(())
}

/// Compiles the facade in `build` and puts the whole package together in `directory`.
///
/// # Errors
///
/// If the facade does not compile, or the template lacks a file.
pub(super) fn assemble(build: &Path, directory: &Path, version: &str, npm: &Tools) -> Result<()> {
    let mut tsc = npm.command("typescript", "tsc")?;
    tsc.current_dir(build).args(["--project", ".", "--outDir"]).arg(directory);
    process::run(&mut tsc)?;
    let source = build.join("src");
    for file in hash::files_below(&source)? {
        let name = file.strip_prefix(&source).unwrap_or(&file);
        // TypeScript's own output is there already; the module is passed on as it is.
        if !has_extension(name, "ts") {
            copy(&file, &directory.join(name))?;
        }
    }
    for name in ["LICENSE-APACHE", "LICENSE-MIT"] {
        copy(&tools::root().join(name), &directory.join(name))?;
    }
    copy(&build.join("README.md"), &directory.join("README.md"))?;
    let manifest =
        std::fs::read_to_string(build.join("package.json")).context("reading pkg-template/package.json")?;
    // As text: the order of the conditions in `exports` matters, and would be lost in a map.
    let placeholder = "\"version\": \"0.0.0\"";
    if manifest.matches(placeholder).count() != 1 {
        bail!(
            "pkg-template/package.json must hold {placeholder} once, to be replaced by the crate's version"
        );
    }
    let manifest = manifest.replace(placeholder, &format!("\"version\": \"{version}\""));
    std::fs::write(directory.join("package.json"), manifest).context("writing package.json")
}

/// Makes the tarball.
///
/// # Errors
///
/// If npm fails.
pub(super) fn pack(package: &Package) -> Result<()> {
    let directory = package.tarball.parent().context("the tarball has no directory")?;
    let mut pack = Command::new(tools::npm()?);
    pack.current_dir(&package.directory).args(["pack", "--silent", "--pack-destination"]).arg(directory);
    process::stdout_of(&mut pack)?;
    package
        .tarball
        .metadata()
        .with_context(|| format!("npm pack did not make {}", package.tarball.display()))?;
    Ok(())
}

fn has_extension(path: &Path, extension: &str) -> bool {
    path.extension().is_some_and(|found| found == extension)
}

fn copy(from: &Path, to: &Path) -> Result<()> {
    if let Some(parent) = to.parent() {
        std::fs::create_dir_all(parent).with_context(|| format!("making {}", parent.display()))?;
    }
    std::fs::copy(from, to).with_context(|| format!("copying {}", from.display()))?;
    Ok(())
}
