//! `cargo xtask tidy`: rules of this repository that no compiler checks.
//!
//! The arrows between layers (`layers`), a few rules about the text of files (`text`), and that tests which a
//! document names exist (`named`). Rust's own formatting and lints are rustfmt's and clippy's.

mod layers;
mod named;
mod text;

use std::collections::HashSet;
use std::fmt;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, bail};
use serde::Serialize;

use crate::steps::write_json;
use crate::{process, tools};

/// Something that breaks a rule.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Finding {
    /// The file, from the top of the workspace.
    file: String,
    /// Its line, counted from 1; 0 for the whole file.
    line: usize,
    /// What is wrong, and why that matters.
    problem: String,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}", self.file, self.line, self.problem)
    }
}

/// Checks all files and prints what it finds.
///
/// # Errors
///
/// If there is a finding.
pub(crate) fn run(json: Option<&Path>) -> Result<()> {
    let root = tools::root();
    let files = files(&root)?;
    let mut findings = Vec::new();
    let mut functions = HashSet::new();
    for file in &files {
        // Not text, or gone since the list was made: neither has lines to check.
        let Ok(text) = std::fs::read_to_string(root.join(file)) else { continue };
        findings.extend(text::check(file, &text));
        if file.starts_with("src/") && is(file, "rs") {
            findings.extend(layers::check(file, &text)?);
        }
        if is(file, "rs") {
            functions.extend(named::functions(&text).map(str::to_owned));
        }
        if is(file, "mjs") {
            functions.extend(named::scripted(&text).map(str::to_owned));
        }
    }
    let document = std::fs::read_to_string(root.join(named::DOCUMENT)).context(named::DOCUMENT)?;
    findings.extend(named::check(&document, &functions));
    for finding in &findings {
        println!("{finding}");
    }
    write_json(json, &findings)?;
    if !findings.is_empty() {
        bail!("tidy: {} findings in {} files", findings.len(), files.len());
    }
    println!("tidy: {} files, nothing found", files.len());
    Ok(())
}

/// All files of the repository: tracked ones and new ones, but none that are ignored.
fn files(root: &Path) -> Result<Vec<String>> {
    let mut git = Command::new("git");
    git.current_dir(root).args(["ls-files", "-z", "--cached", "--others", "--exclude-standard"]);
    if tools::on_path(&["git"]).is_some() && root.join(".git").exists() {
        let list = process::stdout_of(&mut git).context("listing the files")?;
        return Ok(list.split_terminator('\0').map(str::to_owned).collect());
    }
    // An unpacked archive has no git: what lies there is what is checked.
    let mut found = Vec::new();
    let mut open = vec![PathBuf::new()];
    while let Some(directory) = open.pop() {
        let path = root.join(&directory);
        for entry in std::fs::read_dir(&path).with_context(|| format!("reading {}", path.display()))? {
            let entry = entry?;
            let name = directory.join(entry.file_name());
            let skipped = matches!(entry.file_name().to_str(), Some("target" | "node_modules" | ".git"));
            if entry.file_type()?.is_dir() && !skipped {
                open.push(name);
            } else if entry.file_type()?.is_file() {
                found.push(name.to_string_lossy().replace('\\', "/"));
            }
        }
    }
    Ok(found)
}

/// Whether `file` ends in `.extension`.
fn is(file: &str, extension: &str) -> bool {
    Path::new(file).extension().is_some_and(|found| found == extension)
}
