//! Tests on the host: unit, integration and documentation tests of the whole workspace, the examples, and the
//! Autobahn test suite.

use std::process::Command;

use anyhow::{Result, bail};

use super::cargo::{self, Program};
use super::checks::NATIVE;
use super::{Session, Tally, examples, output};
use crate::autobahn::{self, Selection};
use crate::behaviours::Record;
use crate::place::Place;
use crate::process::{self, End, Wait};
use crate::tools;

/// Targets of which with full counts every second of a build is won a hundred times.
const EXHAUSTIVE: [&str; 2] = ["sim", "v1"];

/// Builds and runs all of them.
///
/// # Errors
///
/// [`tools::Missing`] without Python, in which one of the foreign peers is.
pub(super) fn run(session: &mut Session) -> Result<()> {
    let python = tools::python::find()?;
    let mut build = session.cargo();
    build.args(["test", "--workspace", "--features", NATIVE]);
    let mut programs = session.step("native tests: build", |_| cargo::build(&mut build)).unwrap_or_default();
    if session.full {
        let is_exhaustive = |program: &Program| EXHAUSTIVE.contains(&program.name.as_str());
        programs.retain(|program| !is_exhaustive(program));
        let mut build = session.cargo();
        build.args(["test", "--package", "tidegate", "--features", NATIVE, "--profile", "exhaustive"]);
        build.args(EXHAUSTIVE.iter().flat_map(|name| ["--test", name]));
        let optimised = session.step("native tests: build simulations", |_| cargo::build(&mut build));
        programs.extend(optimised.unwrap_or_default());
    }
    for program in programs {
        let mut command = Command::new(&program.path);
        session.environment(&mut command);
        command.current_dir(&program.package).env("CARGO_MANIFEST_DIR", &program.package);
        command.env("PYTHON3", &python);
        session.step(&format!("native tests: {}", title(&program)), |tally| {
            test(&mut command, &program.name, tally)
        });
    }
    let mut documentation = session.cargo();
    documentation.args(["test", "--doc", "--package", "tidegate", "--features", NATIVE]);
    session.step("native tests: documentation", |tally| test(&mut documentation, "doc", tally));
    session.step("native tests: examples", |_| examples::run());
    let (name, cases) = if session.full {
        ("native tests: Autobahn", Selection::Full)
    } else {
        ("native tests: Autobahn, quick", Selection::Quick)
    };
    session.step(name, |tally| {
        autobahn::check(&cases, |name, passed| {
            tally.records.push(Record { place: Place::Native.name().to_owned(), name, passed });
        })
    });
    Ok(())
}

fn title(program: &Program) -> &str {
    // The library's own tests have the name of the package.
    if program.name == "tidegate" { "units" } else { &program.name }
}

fn test(command: &mut Command, suite: &str, tally: &mut Tally) -> Result<()> {
    let end = process::tee(command, Wait::Forever, |line| {
        output::note(line, Place::Native, suite, &mut tally.records);
        Wait::Forever
    })?;
    match end {
        End::Exited(status) if status.success() => Ok(()),
        End::Exited(status) => bail!("the tests failed ({status})"),
        End::Overdue => bail!("the tests took too long"),
        End::Outgrown(outgrown) => Err(outgrown.into()),
    }
}
