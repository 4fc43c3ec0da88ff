//! The checks that run nothing: format, lints, documentation, feature sets, layers, packaging.

use super::Session;
use crate::tools::{self, NEON_TARGET, WASM_TARGET};
use crate::{dist, process, size, tidy};

/// The features of a build for the host.
pub(super) const NATIVE: &str = "native,tls,futures-io,sim,json,deflate,v1,axum,socket,tracing";

/// Features that are built without the others too: each has to do without what those bring.
const ALONE: [&str; 13] = [
    "native",
    "tls",
    "futures-io",
    "sim",
    "json",
    "browser-json",
    "deflate",
    "native,deflate",
    "v1",
    "axum",
    "axum,v1",
    "socket",
    "tracing",
];

/// The features of a build for browsers, without those of the npm package.
pub(super) const WEB: &str = "json,browser-json,deflate,v1";

/// As [`ALONE`], for browsers.
const ALONE_IN_BROWSERS: [&str; 3] = ["json", "browser-json", "v1"];

/// All checks on the sources.
pub(super) fn run(session: &mut Session) {
    cargo(session, "rustfmt", &["fmt", "--all", "--check"]);
    // A workspace of its own, whose sources are for the most part those of `tests/fuzz`: linted there.
    cargo(session, "rustfmt, fuzz", &["fmt", "--manifest-path", "fuzz/Cargo.toml", "--check"]);
    let pages = ["--manifest-path", "examples/web/Cargo.toml"];
    cargo(session, "rustfmt, web examples", &[&["fmt", "--all", "--check"], &pages[..]].concat());
    let clippy = ["clippy", "--workspace", "--all-targets", "--features", NATIVE, "--", "-D", "warnings"];
    cargo(session, "clippy, host", &clippy);
    let wasm = ["clippy", "--package", "tidegate", "--all-targets", "--target", WASM_TARGET];
    let deny = ["--", "-D", "warnings"];
    cargo(session, "clippy, wasm32", &[&wasm[..], &["--features", WEB], &deny].concat());
    let npm =
        ["clippy", "--package", "tidegate", "--target", WASM_TARGET, "--no-default-features", "--features"];
    cargo(session, "clippy, npm build", &[&npm[..], &["js"], &deny].concat());
    cargo(session, "clippy, npm build with channels", &[&npm[..], &["js,v1"], &deny].concat());
    let target = tools::target().display().to_string();
    let pages =
        [&["clippy", "--locked", "--target", WASM_TARGET, "--target-dir", &target], &pages[..], &deny];
    cargo(session, "clippy, web examples", &pages.concat());
    documentation(session, "doc, host", &["--features", NATIVE]);
    documentation(session, "doc, wasm32", &["--features", WEB, "--target", WASM_TARGET]);
    // With the example that drives it.
    for features in ALONE {
        let name = format!("clippy, host, {features} alone");
        cargo(
            session,
            &name,
            &["clippy", "--package", "tidegate", "--features", features, "--", "-D", "warnings"],
        );
    }
    for features in ALONE_IN_BROWSERS {
        let name = format!("clippy, wasm32, {features} alone");
        let clippy = ["clippy", "--package", "tidegate", "--target", WASM_TARGET, "--features", features];
        cargo(session, &name, &[&clippy[..], &["--examples"], &deny].concat());
    }
    let core = ["check", "--package", "tidegate", "--no-default-features", "--lib"];
    let examples = [&core[..], &["--examples"]].concat();
    cargo(session, "core alone, host", &examples);
    cargo(session, "core alone, wasm32", &[&examples[..], &["--target", WASM_TARGET]].concat());
    // Without the examples, for which dependencies of the tests would be compiled from C.
    cargo(session, "core alone, aarch64", &[&core[..], &["--target", NEON_TARGET]].concat());
    session.step("tidy", |_| tidy::run(None));
}

/// Whether crate and npm package can be packed as they are.
pub(super) fn packaging(session: &mut Session) {
    // The packed crate is compiled once more, from its own files only.
    cargo(session, "cargo package", &["package", "--package", "tidegate", "--allow-dirty", "--quiet"]);
    session.step("npm pack", |_| dist::build(&mut crate::steps::Steps::default()));
    session.step("size", |_| size::package(None));
}

fn cargo(session: &mut Session, name: &str, arguments: &[&str]) {
    let mut command = tools::cargo();
    command.args(arguments);
    session.step(name, |_| process::run(&mut command));
}

fn documentation(session: &mut Session, name: &str, arguments: &[&str]) {
    let mut command = tools::cargo();
    command
        .args(["doc", "--no-deps", "--package", "tidegate"])
        .args(arguments)
        .env("RUSTDOCFLAGS", "-D warnings");
    session.step(name, |_| process::run(&mut command));
}
