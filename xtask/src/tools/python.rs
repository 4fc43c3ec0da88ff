//! Python 3 with the packages that the tests need of it.

use std::env;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, bail};

use super::{Missing, debian, on_path};
use crate::{hash, process};

/// Ends with 0 in a Python that serves: that of Debian 12 or newer, with what an environment of its own needs.
const PROBE: &str = "import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))";

/// The interpreter that is looked for when the search path has none that serves.
const DEBIANS: &str = "/usr/bin/python3";

/// Makes sure of Python 3: `PYTHON3`, else the one on the search path, else Debian's.
///
/// # Errors
///
/// [`Missing`] if it has to be installed by the user, or if `PYTHON3` names something else.
pub(crate) fn find() -> Result<PathBuf> {
    if let Some(named) = env::var_os("PYTHON3").filter(|name| !name.is_empty()) {
        let path = PathBuf::from(named);
        if serves(&path) {
            return Ok(path);
        }
        bail!(Missing(format!("PYTHON3 names {}, which is no Python 3.11 with venv.", path.display())));
    }
    let installed = || on_path(&["python3"]).into_iter().chain([DEBIANS.into()]).find(|path| serves(path));
    if let Some(path) = installed() {
        return Ok(path);
    }
    debian::install(debian::Wanted {
        what: "Python 3.11 with venv",
        packages: &["python3", "python3-venv"],
        starts: false,
        elsewhere: "Install Python 3.11 or newer from https://www.python.org,\n\
                    and put it on the search path, or name it in PYTHON3.",
    })?;
    installed().context("Python 3.11 with venv is missing after its installation")
}

fn serves(python: &Path) -> bool {
    let probed = process::capture(Command::new(python).args(["-c", PROBE]));
    probed.is_ok_and(|probed| probed.status.success())
}

/// The interpreter of an environment below `directory` that has what the file `requirements` names; made once for
/// each content of that file.
///
/// # Errors
///
/// [`Missing`] without Python; else if the packages cannot be installed.
pub(crate) fn environment(requirements: &Path, directory: &Path) -> Result<PathBuf> {
    let python = find()?;
    let hash = hash::of_files([&requirements.to_path_buf(), &python].into_iter())?;
    let place = directory.join(format!("python-{}", hash.get(..16).unwrap_or(&hash)));
    let interpreter = |place: &Path| place.join("bin/python3");
    if interpreter(&place).is_file() {
        return Ok(interpreter(&place));
    }
    println!("installing {} once, into {}", requirements.display(), place.display());
    std::fs::create_dir_all(directory).with_context(|| format!("making {}", directory.display()))?;
    // Beside the final place, so that a broken installation is never taken for one.
    let fresh = directory.join(format!("python-new-{}", std::process::id()));
    process::run(Command::new(&python).args(["-m", "venv", "--clear"]).arg(&fresh))?;
    let mut pip = Command::new(interpreter(&fresh));
    pip.args([
        "-m",
        "pip",
        "install",
        "--quiet",
        "--no-deps",
        "--disable-pip-version-check",
        "--requirement",
    ]);
    process::run(pip.arg(requirements))?;
    // Another run may have been faster; its result is the same.
    if std::fs::rename(&fresh, &place).is_err() {
        std::fs::remove_dir_all(&fresh).with_context(|| format!("removing {}", fresh.display()))?;
    }
    Ok(interpreter(&place))
}
