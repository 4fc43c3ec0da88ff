//! Tests of the npm package: built, then used as its users do.

use anyhow::{Result, bail};

use super::{Session, Tally, output};
use crate::dist::{self, Package};
use crate::place::Place;
use crate::process::{self, End, Wait};
use crate::steps::Steps;
use crate::{hash, tools};

/// Builds the package and runs all of them.
pub(super) fn run(session: &mut Session) {
    let Some(package) = session.step("package: build", |_| dist::build(&mut Steps::default())) else {
        return;
    };
    session.step("package tests: facade in node", |tally| facade(&package, tally));
}

/// `tests/package/**/*.test.mjs`, by Node's own test runner.
fn facade(package: &Package, tally: &mut Tally) -> Result<()> {
    let all = hash::files_below(&tools::root().join("tests/package"))?;
    let files: Vec<_> = all.iter().filter(|file| file.to_string_lossy().ends_with(".test.mjs")).collect();
    if files.is_empty() {
        bail!("there are no tests below tests/package");
    }
    let mut node = tools::npm::tools()?.node();
    node.current_dir(tools::root()).env("TIDEGATE_PACKAGE", &package.directory).arg("--test");
    node.arg("--test-reporter").arg(tools::root().join("xtask/npm/reporter.mjs")).args(files);
    let end = process::tee(&mut node, Wait::Forever, |line| {
        output::note(line, Place::Node, "package", &mut tally.records);
        Wait::Forever
    })?;
    match end {
        End::Exited(status) if status.success() => Ok(()),
        _ => bail!("the tests failed"),
    }
}
