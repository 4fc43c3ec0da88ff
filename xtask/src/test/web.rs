//! wasm tests: built once, run in Node, Chromium and Firefox.
//!
//! The codec's conformance tests run in Node, where `usize` has 32 bits too; each test target whose name
//! begins with `web` runs in a page and in a dedicated worker of both browsers, unless it chooses one of
//! them itself by `wasm_bindgen_test_configure!`.

use std::ffi::OsString;

use anyhow::{Context as _, Result, bail};

use super::cargo::{self, Program};
use super::checks::WEB;
use super::{Session, output, server};
use crate::place::{Browser, Place};
use crate::runner::{self, Setup};
use crate::tools::WASM_TARGET;

/// Where wasm tests run, in this order.
const PLACES: [Place; 5] = [
    Place::Node,
    Place::Page(Browser::Chromium),
    Place::Worker(Browser::Chromium),
    Place::Page(Browser::Firefox),
    Place::Worker(Browser::Firefox),
];

/// Builds and runs all of them.
///
/// # Errors
///
/// If the workspace cannot be read, or a place's tools are missing. Failed tests are counted.
pub(super) fn run(session: &mut Session) -> Result<()> {
    let Some(server) = session.step("web tests: start the server", |_| server::start(&[])) else {
        return Ok(());
    };
    let (variable, address) = server::variable(server.address());
    let mut build = session.cargo();
    build.env(variable, address).args([
        "test",
        "--package",
        "tidegate",
        "--target",
        WASM_TARGET,
        "--features",
        WEB,
        "--test",
        "conformance",
    ]);
    for target in cargo::web_targets()? {
        build.args(["--test", &target]);
    }
    let programs = session.step("web tests: build", |_| cargo::build(&mut build)).unwrap_or_default();
    let modes = programs.iter().map(|program| Ok((program, mode(&std::fs::read(&program.path)?))));
    let modes: Vec<(&Program, Mode)> = modes.collect::<Result<_>>().context("reading the test modules")?;
    for place in PLACES {
        let here: Vec<&Program> = modes
            .iter()
            .filter(|(program, mode)| match mode {
                Mode::Open => (place == Place::Node) != program.name.starts_with("web"),
                Mode::Node => place == Place::Node,
                Mode::Page => matches!(place, Place::Page(_)),
                Mode::Worker => matches!(place, Place::Worker(_)),
                Mode::Other => false,
            })
            .map(|(program, _)| *program)
            .collect();
        if here.is_empty() {
            continue;
        }
        let setup = Setup::new(place, session.full)?;
        for program in here {
            session.step(&format!("web tests: {} in {place}", program.name), |tally| {
                let arguments = [OsString::from(&program.path)];
                let passed = runner::run_file(&setup, &arguments, &program.package, |line| {
                    output::note(line, place, &program.name, &mut tally.records);
                })?;
                if !passed {
                    bail!("the tests failed");
                }
                Ok(())
            });
        }
    }
    Ok(())
}

/// Where a module says its tests run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mode {
    /// It does not say.
    Open,
    Page,
    Worker,
    Node,
    /// Somewhere that xtask does not go: shared and service workers.
    Other,
}

/// Reads the custom section which `wasm_bindgen_test_configure!` leaves in the module.
fn mode(module: &[u8]) -> Mode {
    const SECTION: &[u8] = b"__wasm_bindgen_test_unstable";
    // Magic number and version; then sections of one byte id, length and content.
    let mut rest = module.get(8..).unwrap_or_default();
    while let [id, after @ ..] = rest {
        let Some((length, after)) = number(after) else { break };
        let Some((content, after)) = after.split_at_checked(length) else { break };
        rest = after;
        if *id != 0 {
            continue;
        }
        let named = number(content).and_then(|(length, content)| content.split_at_checked(length));
        if let Some((SECTION, modes)) = named {
            return match modes {
                [] => Mode::Open,
                modes if modes.contains(&1) => Mode::Page,
                modes if modes.contains(&2) => Mode::Worker,
                modes if modes.contains(&5) => Mode::Node,
                _ => Mode::Other,
            };
        }
    }
    Mode::Open
}

/// An unsigned LEB128 number of at most 32 bits, and what follows it.
fn number(bytes: &[u8]) -> Option<(usize, &[u8])> {
    let mut value = 0_usize;
    for (index, byte) in bytes.iter().take(5).enumerate() {
        value |= usize::from(byte & 0x7f) << (7 * index);
        if byte & 0x80 == 0 {
            return Some((value, bytes.get(index + 1..)?));
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::{Mode, mode, number};

    fn module(sections: &[(u8, &[u8])]) -> Vec<u8> {
        let mut bytes = b"\0asm\x01\0\0\0".to_vec();
        for (id, content) in sections {
            bytes.extend([*id, u8::try_from(content.len()).unwrap()]);
            bytes.extend_from_slice(content);
        }
        bytes
    }

    #[test]
    fn the_choice_of_a_module_is_read() {
        let section = |mode: u8| [b"\x1c__wasm_bindgen_test_unstable".as_slice(), &[mode]].concat();
        assert_eq!(mode(&module(&[(1, b"types"), (0, b"\x04name..")])), Mode::Open);
        assert_eq!(mode(&module(&[(0, b"\x04name.."), (0, &section(1))])), Mode::Page);
        assert_eq!(mode(&module(&[(0, &section(2))])), Mode::Worker);
        assert_eq!(mode(&module(&[(0, &section(5))])), Mode::Node);
        assert_eq!(mode(&module(&[(0, &section(4))])), Mode::Other);
        assert_eq!(mode(b"no module"), Mode::Open);
    }

    #[test]
    fn numbers_of_several_bytes_are_read() {
        assert_eq!(number(&[0xe5, 0x8e, 0x26, 7]), Some((624_485, &[7][..])));
        assert_eq!(number(&[0x80]), None);
    }
}
