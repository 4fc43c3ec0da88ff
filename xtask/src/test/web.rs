//! wasm tests: built once, run in Node, Chromium and Firefox, and in WebKit where that is asked for.
//!
//! The codec's conformance tests, the vectors of `tidegate.v1` and the fuzz targets run in Node, where `usize` has 32 bits too
//! (those of the vectors that the codec of records decides alone are among the crate's own tests); each test
//! target whose name begins with `web` runs in a page and in a dedicated worker of every browser, unless it
//! chooses one of them itself by `wasm_bindgen_test_configure!`. Shared and service workers get the tests of
//! what is said of all workers; a full run has all tests in shared workers, and once more with a memory that
//! is shared.

use std::ffi::OsStr;
use std::process::Command;

use anyhow::{Context as _, Result, bail};

use super::cargo::{self, Program};
use super::checks::WEB;
use super::count::Weight;
use super::{Places, Session, output, server, web_examples};
use crate::place::{Browser, Place};
use crate::runner::{self, Setup};
use crate::tools::{self, WASM_TARGET};

/// B4: nothing needs a window.
const OF_ALL_WORKERS: &str = "b04_";

/// What the linker is told so that the memory can be shared between threads.
const SHARED_MEMORY: [&str; 8] = [
    "-Ctarget-feature=+atomics",
    "-Clink-arg=--shared-memory",
    "-Clink-arg=--max-memory=1073741824",
    "-Clink-arg=--import-memory",
    "-Clink-arg=--export=__wasm_init_tls",
    "-Clink-arg=--export=__tls_size",
    "-Clink-arg=--export=__tls_align",
    "-Clink-arg=--export=__tls_base",
];

/// Builds and runs all of them.
///
/// # Errors
///
/// If the workspace cannot be read. Failed tests, and places that cannot be reached, are counted.
pub(super) fn run(session: &mut Session, places: &Places) -> Result<()> {
    let Some(server) = session.step("web tests: start the server", |_| server::start(&[])) else {
        return Ok(());
    };
    let server = server::variable(server.address());
    let for_node: &[&str] =
        if places.node { &["--lib", "--test", "conformance", "--test", "fuzz"] } else { &[] };
    let mut build = build(session, &server, for_node)?;
    let programs = session.step("web tests: build", |_| cargo::build(&mut build)).unwrap_or_default();
    let modes = programs.iter().map(|program| Ok((program, mode(&std::fs::read(&program.path)?))));
    let modes: Vec<(&Program, Mode)> = modes.collect::<Result<_>>().context("reading the test modules")?;
    for (place, weight) in places.ordinary() {
        let here = modes.iter().filter(|(program, mode)| match mode {
            Mode::Open => (place == Place::Node) != program.name.starts_with("web"),
            Mode::Node => place == Place::Node,
            Mode::Page => matches!(place, Place::Page(_)),
            Mode::Worker => matches!(place, Place::Worker(_)),
            Mode::Other => false,
        });
        for (program, _) in here {
            run_in(session, (place, weight), program, None);
        }
    }
    let open = modes.iter().filter(|(program, mode)| *mode == Mode::Open && program.name.starts_with("web"));
    for (program, _) in open {
        for (place, weight) in places.further() {
            // A browser ends a service worker that is busy for half a minute, full counts or not.
            let all = session.full && matches!(place, Place::SharedWorker(_));
            run_in(session, (place, weight), program, Some(OF_ALL_WORKERS).filter(|_| !all));
        }
    }
    if session.full && places.node {
        vectors(session);
    }
    if session.full {
        shared_memory(session, &server, places)?;
    }
    web_examples::run(session, places);
    Ok(())
}

/// The codec's tests where it is built with the vectors of wasm, which no build has that does not ask for
/// them.
fn vectors(session: &mut Session) {
    let mut build = session.cargo();
    build
        .args(["test", "--package", "tidegate", "--target", WASM_TARGET, "--no-default-features"])
        .args(["--features", "deflate", "--test", "conformance"])
        .env("CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_RUSTFLAGS", "-Ctarget-feature=+simd128")
        .env_remove("RUSTFLAGS")
        .env("CARGO_TARGET_DIR", tools::target().join("simd128"));
    let programs = session.step("web tests: build with vectors", |_| cargo::build(&mut build));
    for program in programs.unwrap_or_default() {
        let program = Program { name: format!("{}-simd128", program.name), ..program };
        run_in(session, (Place::Node, Weight::Required), &program, None);
    }
}

/// A `cargo test` of the targets that are made for browsers, and of those in `more`.
fn build(session: &Session, (variable, address): &(&str, String), more: &[&str]) -> Result<Command> {
    let mut build = session.cargo();
    let package = ["test", "--package", "tidegate", "--target", WASM_TARGET, "--features", WEB];
    build.env(variable, address).args(package).args(more);
    for target in cargo::web_targets()? {
        build.args(["--test", &target]);
    }
    Ok(build)
}

/// Runs the tests of a module in `place`, those with `filter` in their names if one is given. Where only some tests are
/// asked for, these are the filter, and a place that has one of its own is left out.
fn run_in(session: &mut Session, (place, weight): (Place, Weight), program: &Program, filter: Option<&str>) {
    let full = session.full;
    let only = session.only.clone();
    if filter.is_some() && only.is_some() {
        return;
    }
    let filter = filter.or(only.as_deref());
    let name = format!("web tests: {} in {place}", program.name);
    session.weighed(weight, &name, |tally| {
        let setup = Setup::new(place, full)?;
        let arguments = [Some(program.path.as_os_str()), filter.map(OsStr::new)];
        let arguments: Vec<_> = arguments.into_iter().flatten().map(OsStr::to_owned).collect();
        let passed = runner::run_file(&setup, &arguments, &program.package, |line| {
            output::note(line, place, &program.name, &mut tally.records);
        })?;
        if !passed {
            bail!("the tests failed");
        }
        Ok(())
    });
}

/// The same tests where the wasm memory is shared, as with wasm threads: a browser sends nothing out of
/// it, and decodes no text in it. The standard library has to be built with that, which only its makers'
/// switch allows a stable compiler.
///
/// Not in WebKit, where nobody can have wasm threads: WebKitGTK gives no page `SharedArrayBuffer`, and no worker
/// such a memory.
fn shared_memory(session: &mut Session, server: &(&str, String), places: &Places) -> Result<()> {
    let browsers: Vec<_> =
        places.browsers.iter().copied().filter(|(browser, _)| *browser != Browser::Webkit).collect();
    if browsers.is_empty() {
        return Ok(());
    }
    tools::standard_library_sources()?;
    let mut build = build(session, server, &["-Zbuild-std=std,panic_abort"])?;
    build
        .env("RUSTC_BOOTSTRAP", "1")
        // Of the target alone, or build scripts would be linked with it; and in a directory of its own,
        // or all that is built without it would be built again.
        .env("CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_RUSTFLAGS", SHARED_MEMORY.join(" "))
        .env_remove("RUSTFLAGS")
        .env("CARGO_TARGET_DIR", tools::target().join("shared-memory"));
    let programs = session.step("web tests: build with shared memory", |_| cargo::build(&mut build));
    for program in programs.unwrap_or_default() {
        for (browser, weight) in &browsers {
            let program = Program { name: format!("{}-shared-memory", program.name), ..program.clone() };
            run_in(session, (Place::Page(*browser), *weight), &program, None);
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
    /// A kind of worker that it need not choose: see [`Places::further`].
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
