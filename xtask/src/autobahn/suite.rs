//! The suite itself: Python 2.7, and what is installed for it below `target/autobahn`.

use std::env;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, bail};

use crate::tools::{self, Missing};
use crate::{hash, process};

/// Runs the suite's program with the packages of one directory: its first argument is that directory. Files
/// `*.pth` in it are honoured, which a search path alone would not do.
const LAUNCHER: &str = "\
import site, sys
sys.path.insert(0, sys.argv[1])
site.addsitedir(sys.argv.pop(1))
from autobahntestsuite.wstest import run
run()
";

/// Ends with 0 in a Python that serves.
const PROBE: &str = "import sys, pip, setuptools; sys.exit(sys.version_info[:2] != (2, 7))";

/// The version that pyenv may have.
const PYENV_VERSION: &str = "2.7.18";

/// A Python 2.7 that can install packages.
pub(super) struct Python(PathBuf);

/// The installed suite.
pub(super) struct Suite {
    python: Python,
    /// Holds its packages.
    directory: PathBuf,
}

impl Python {
    /// Looks for it: `PYTHON2`, else `python2.7` on the search path, else pyenv's.
    ///
    /// # Errors
    ///
    /// [`Missing`] if there is none, or if `PYTHON2` names something else.
    pub(super) fn find() -> Result<Self> {
        if let Some(named) = env::var_os("PYTHON2").filter(|name| !name.is_empty()) {
            let path = PathBuf::from(named);
            if serves(&path) {
                return Ok(Self(path));
            }
            bail!(Missing(format!(
                "PYTHON2 names {}, which is no Python 2.7 with pip and setuptools.",
                path.display()
            )));
        }
        let found =
            [tools::on_path(&["python2.7"]), of_pyenv()].into_iter().flatten().find(|path| serves(path));
        let Some(path) = found else {
            bail!(Missing(format!(
                "Autobahn's test suite needs Python 2.7 with pip and setuptools: no release of it runs on\n\
                 Python 3. With pyenv (https://github.com/pyenv/pyenv) type\n\
                 pyenv install {PYENV_VERSION}\n\
                 or name another Python 2.7 in PYTHON2."
            )));
        };
        Ok(Self(path))
    }

    /// Runs without what the user's environment or home directory adds.
    fn command(&self) -> Command {
        let mut command = Command::new(&self.0);
        command.args(["-E", "-s", "-u", "-W", "ignore"]);
        command
    }

    /// Installs what a file of requirements names into `directory`.
    fn install(&self, directory: &Path, requirements: &Path) -> Result<()> {
        let mut pip = self.command();
        pip.args(["-m", "pip", "install", "--quiet", "--no-deps", "--target"]).arg(directory);
        pip.arg("--requirement").arg(requirements).env("PIP_DISABLE_PIP_VERSION_CHECK", "1");
        process::run(&mut pip)
    }
}

fn serves(python: &Path) -> bool {
    let probed = process::capture(Command::new(python).args(["-c", PROBE]));
    probed.is_ok_and(|probed| probed.status.success())
}

/// pyenv has a `python2.7` on the search path too, which serves only where the user has chosen that version.
fn of_pyenv() -> Option<PathBuf> {
    let pyenv = tools::on_path(&["pyenv"])?;
    let prefix = process::stdout_of(Command::new(pyenv).args(["prefix", PYENV_VERSION])).ok()?;
    Some(Path::new(prefix.trim()).join("bin/python2.7"))
}

impl Suite {
    /// The suite for `python`, installed if it is not there or its pinned versions have changed.
    ///
    /// # Errors
    ///
    /// If it cannot be installed.
    pub(super) fn install(python: Python) -> Result<Self> {
        let pinned = tools::root().join("xtask/data/autobahn");
        let (requirements, accelerator) = (pinned.join("requirements.txt"), pinned.join("accelerator.txt"));
        let hash = hash::of_files([&requirements, &accelerator].into_iter())?;
        let directory = tools::target().join("autobahn").join(hash.get(..16).unwrap_or(&hash));
        if directory.is_dir() {
            return Ok(Self { python, directory });
        }
        println!("installing Autobahn's test suite once, into {}", directory.display());
        // Beside the final place, so that a broken installation is never taken for one.
        let fresh = directory.with_extension("new");
        if fresh.is_dir() {
            std::fs::remove_dir_all(&fresh).with_context(|| format!("removing {}", fresh.display()))?;
        }
        std::fs::create_dir_all(&fresh).with_context(|| format!("making {}", fresh.display()))?;
        python.install(&fresh, &requirements)?;
        if let Err(error) = python.install(&fresh, &accelerator) {
            println!("without wsaccel everything takes far longer; is there a C compiler? {error:#}");
        }
        let suite = Self { python, directory: fresh };
        process::stdout_of(suite.program().arg("--autobahnversion")).context("trying the suite")?;
        std::fs::rename(&suite.directory, &directory)
            .with_context(|| format!("renaming to {}", directory.display()))?;
        Ok(Self { directory, ..suite })
    }

    /// Its program `wstest` in this mode, with a specification.
    pub(super) fn wstest(&self, mode: &str, specification: &Path) -> Command {
        let mut command = self.program();
        // 0: no web server beside it.
        command.args(["--mode", mode, "--webport", "0", "--spec"]).arg(specification);
        command
    }

    fn program(&self) -> Command {
        let mut command = self.python.command();
        command.args(["-c", LAUNCHER]).arg(&self.directory);
        command
    }
}
