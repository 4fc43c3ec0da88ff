//! A fresh project that has the npm package installed from its tarball: what a user has.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result};

use crate::dist::Package;
use crate::tools::{self, npm::Tools};
use crate::{hash, process};

/// What the project needs besides the package, from tidegate's own tools.
const TOOLS: [&str; 4] = ["vite", "ws", "@types/node", "@types/ws"];

/// The project.
#[derive(Clone, Debug)]
pub(super) struct Project {
    /// A copy of `tests/package`, with `node_modules`, and below `examples` one of `examples/typescript`.
    pub(super) directory: PathBuf,
    /// The tools that are run in it.
    pub(super) npm: Tools,
}

impl Project {
    /// Makes it anew under `target/package-test`.
    ///
    /// # Errors
    ///
    /// If npm rejects the tarball, or a file cannot be copied.
    pub(super) fn make(package: &Package) -> Result<Self> {
        let directory = tools::target().join("package-test");
        if directory.is_dir() {
            std::fs::remove_dir_all(&directory)
                .with_context(|| format!("removing {}", directory.display()))?;
        }
        let modules = directory.join("node_modules");
        std::fs::create_dir_all(&modules).with_context(|| format!("making {}", modules.display()))?;
        // Its tools are pinned elsewhere, and nothing is to be downloaded.
        std::fs::write(directory.join("package.json"), "{ \"private\": true, \"type\": \"module\" }\n")?;
        let mut install = Command::new(tools::npm()?);
        install.current_dir(&directory).args([
            "install",
            "--offline",
            "--ignore-scripts",
            "--no-package-lock",
        ]);
        process::stdout_of(install.arg("--loglevel=error").arg(&package.tarball))?;
        let npm = tools::npm::tools()?;
        for name in TOOLS {
            tools::npm::link(&npm.modules().join(name), &modules.join(name))?;
        }
        copy(&tools::root().join("tests/package"), &directory)?;
        copy(&tools::root().join("examples/typescript"), &directory.join("examples"))?;
        Ok(Self { directory, npm })
    }
}

/// Copies what is below `from`, without what somebody may have installed there.
fn copy(from: &Path, to: &Path) -> Result<()> {
    for file in hash::files_below(from)? {
        let name = file.strip_prefix(from).unwrap_or(&file);
        if !name.starts_with("node_modules") {
            let to = to.join(name);
            std::fs::create_dir_all(to.parent().unwrap_or(&to))?;
            std::fs::copy(&file, &to).with_context(|| format!("copying {}", file.display()))?;
        }
    }
    Ok(())
}
