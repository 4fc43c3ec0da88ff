//! TypeScript, wasm-opt and Vite: npm packages pinned by `xtask/npm/package-lock.json`, installed once for
//! each state of that file, in the cache; and likewise, by `xtask/npm/nodes`, releases of Node.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result};

use super::{cache, node, npm, root};
use crate::process;

/// The installed tools.
#[derive(Clone, Debug)]
pub(crate) struct Tools {
    /// Node's program.
    node: PathBuf,
    /// The directory that holds `node_modules`.
    directory: PathBuf,
}

/// Finds the tools, installing them by `npm ci` if the lock file has changed since the last time.
///
/// # Errors
///
/// [`super::Missing`] without Node or npm; else if npm fails.
pub(crate) fn tools() -> Result<Tools> {
    let node = node()?;
    let directory = installed("xtask/npm", "TypeScript, Binaryen and Vite")?;
    Ok(Tools { node, directory })
}

/// The releases of Node that the package is tested under, oldest first: name and program. Those of npm are for Linux.
///
/// # Errors
///
/// [`super::Missing`] without npm; else if it fails.
pub(crate) fn releases_of_node() -> Result<Vec<(String, PathBuf)>> {
    let modules = installed("xtask/npm/nodes", "three releases of Node")?.join("node_modules");
    let found = std::fs::read_dir(&modules).into_iter().flatten().filter_map(|entry| {
        let directory = entry.ok()?.path();
        // node-22-x64
        let (name, _) = directory.file_name()?.to_str()?.rsplit_once('-')?;
        let program = directory.join("bin/node");
        program.is_file().then(|| (name.replace('-', " "), program))
    });
    let mut found: Vec<_> = found.collect();
    found.sort();
    Ok(found)
}

/// Where what the lock file in `source` names is installed, below the cache. Announces `what` if it has to be.
fn installed(source: &str, what: &str) -> Result<PathBuf> {
    let source = root().join(source);
    let lock = source.join("package-lock.json");
    let hash = crate::hash::of_files([&lock].into_iter())?;
    let directory = cache()?.join("npm").join(hash.get(..16).unwrap_or(&hash));
    if !directory.is_dir() {
        println!("installing {what} once, into {}", directory.display());
        install(&source, &directory)?;
    }
    Ok(directory)
}

/// Installs what the lock file in `source` names as `directory`: beside that place, and then renames, so
/// that a broken installation is never taken for one.
///
/// # Errors
///
/// [`super::Missing`] without npm; else if it fails.
pub(crate) fn install(source: &Path, directory: &Path) -> Result<()> {
    let fresh = directory.with_extension(format!("new-{}", std::process::id()));
    std::fs::create_dir_all(&fresh).with_context(|| format!("making {}", fresh.display()))?;
    for name in ["package.json", "package-lock.json", ".npmrc"] {
        std::fs::copy(source.join(name), fresh.join(name))
            .with_context(|| format!("copying {name} of {}", source.display()))?;
    }
    let mut install = Command::new(npm()?);
    let installed =
        process::run(install.current_dir(&fresh).args(["ci", "--ignore-scripts", "--loglevel=error"]));
    if installed.is_err() {
        // What is left of it is of no use; why it failed is what matters.
        let _ = std::fs::remove_dir_all(&fresh);
    }
    installed?;
    // Another run may have been faster; its result is the same.
    if std::fs::rename(&fresh, directory).is_err() {
        std::fs::remove_dir_all(&fresh).with_context(|| format!("removing {}", fresh.display()))?;
    }
    Ok(())
}

/// Shows an installed package in the `node_modules` of another project as well, where nothing is to be downloaded.
///
/// # Errors
///
/// If it cannot be linked, or copied where links are for few.
#[cfg(unix)]
pub(crate) fn link(from: &Path, to: &Path) -> Result<()> {
    std::fs::create_dir_all(to.parent().unwrap_or(to))?;
    std::os::unix::fs::symlink(from, to).with_context(|| format!("linking {}", to.display()))
}

/// See above.
#[cfg(not(unix))]
pub(crate) fn link(from: &Path, to: &Path) -> Result<()> {
    for file in crate::hash::files_below(from)? {
        let target = to.join(file.strip_prefix(from).unwrap_or(&file));
        std::fs::create_dir_all(target.parent().unwrap_or(to))?;
        std::fs::copy(&file, &target).with_context(|| format!("copying {}", file.display()))?;
    }
    Ok(())
}

impl Tools {
    /// Node with the program `name` of the package `package` as its script.
    ///
    /// # Errors
    ///
    /// If the package has no such program.
    pub(crate) fn command(&self, package: &str, name: &str) -> Result<Command> {
        let directory = self.modules().join(package);
        let manifest = directory.join("package.json");
        let text =
            std::fs::read_to_string(&manifest).with_context(|| format!("reading {}", manifest.display()))?;
        let manifest: serde_json::Value = serde_json::from_str(&text)?;
        let bin = manifest.get("bin").with_context(|| format!("{package} has no programs"))?;
        let script = bin
            .get(name)
            .unwrap_or(bin)
            .as_str()
            .with_context(|| format!("{package} has no program {name}"))?;
        let mut command = Command::new(&self.node);
        command.arg(directory.join(script));
        Ok(command)
    }

    /// Node itself.
    pub(crate) fn node(&self) -> Command {
        Command::new(&self.node)
    }

    /// The `node_modules` directory.
    pub(crate) fn modules(&self) -> PathBuf {
        self.directory.join("node_modules")
    }
}
