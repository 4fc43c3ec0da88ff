//! Building test programs, so that each can be run by itself: where and how often is not cargo's to say.

use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context as _, Result};
use serde_json::Value;

use crate::{process, tools};

/// A test program that cargo has built.
#[derive(Clone, Debug)]
pub(super) struct Program {
    /// The name of its target: `tidegate` for the library's own tests, else the test's.
    pub(super) name: String,
    /// The directory of its package, in which it is run.
    pub(super) package: PathBuf,
    /// The program, or the wasm module.
    pub(super) path: PathBuf,
}

/// Builds with `cargo`, a `cargo test` with all its options, and returns the test programs in the order in
/// which cargo names them.
///
/// # Errors
///
/// If the build fails; cargo has said why.
pub(super) fn build(cargo: &mut Command) -> Result<Vec<Program>> {
    cargo.args(["--no-run", "--message-format", "json-render-diagnostics"]);
    let messages = process::stdout_shown(cargo)?;
    let messages = messages.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    Ok(messages.filter_map(|message| program(&message)).collect())
}

fn program(message: &Value) -> Option<Program> {
    // Programs that are built only to be called by tests are not tests.
    if message.pointer("/profile/test") != Some(&Value::Bool(true)) {
        return None;
    }
    let text = |pointer| message.pointer(pointer).and_then(Value::as_str);
    let manifest = PathBuf::from(text("/manifest_path")?);
    Some(Program {
        name: text("/target/name")?.to_owned(),
        package: manifest.parent()?.to_path_buf(),
        path: PathBuf::from(text("/executable")?),
    })
}

/// The names of the package's test targets that are made for browsers: `web`, and those that begin so.
///
/// # Errors
///
/// If cargo cannot read the workspace.
pub(super) fn web_targets() -> Result<Vec<String>> {
    let text = process::stdout_of(tools::cargo().args(["metadata", "--no-deps", "--format-version", "1"]))?;
    let metadata: Value = serde_json::from_str(&text).context("reading cargo's metadata")?;
    let packages = metadata.get("packages").and_then(Value::as_array).context("no packages")?;
    let package = packages.iter().find(|package| package.get("name").is_some_and(|name| name == "tidegate"));
    let targets = package.and_then(|package| package.get("targets")?.as_array()).context("no targets")?;
    let tests = targets.iter().filter(|target| target.pointer("/kind/0").is_some_and(|kind| kind == "test"));
    let names = tests.filter_map(|target| target.get("name")?.as_str());
    Ok(names.filter(|name| name.starts_with("web")).map(str::to_owned).collect())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::program;

    #[test]
    fn only_test_programs_are_taken_from_cargos_messages() {
        let message = |test: bool| {
            json!({
                "reason": "compiler-artifact",
                "manifest_path": "/a/b/Cargo.toml",
                "target": { "name": "web" },
                "profile": { "test": test },
                "executable": "/a/target/web-123.wasm",
            })
        };
        let found = program(&message(true)).unwrap();
        assert_eq!((found.name.as_str(), found.package.to_str()), ("web", Some("/a/b")));
        assert!(program(&message(false)).is_none());
        assert!(program(&json!({ "reason": "build-finished", "success": true })).is_none());
    }
}
