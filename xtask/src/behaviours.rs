//! `cargo xtask behaviours`: which statement of `docs/BEHAVIOURS.md` was tested where, and how that went.
//!
//! A test belongs to a statement by its name: `b24_close_has_its_own_deadline` counts for B24, and so does
//! every other test with `b24_` in its name. `cargo xtask test` records each test with its place under
//! `target/behaviours/`, one file for each part of the tests; its next run replaces what was recorded in the
//! same places.
//!
//! What ran in WebKit has a column of its own and decides nothing: that engine is reported, not required.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use serde::{Deserialize, Serialize};

use crate::place::{Browser, Place};
use crate::steps::{print_table, write_json};
use crate::{hash, tools};

/// A test that ran.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Record {
    /// The name of the place, as in [`Place::name`].
    pub(crate) place: String,
    /// The full name of the test, with the file it is in.
    pub(crate) name: String,
    /// How it went.
    pub(crate) passed: bool,
}

impl Record {
    /// Where it ran; `None` if today's xtask knows no such place.
    pub(crate) fn place(&self) -> Option<Place> {
        self.place.parse().ok()
    }

    fn is_reported(&self) -> bool {
        self.place().and_then(Place::browser) == Some(Browser::Webkit)
    }
}

/// How a statement stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
enum Status {
    /// Each of its tests passed.
    Passed,
    /// At least one of its tests failed.
    Failed,
    /// It has no test, or none that ran.
    Missing,
}

impl Status {
    fn of(records: &[&Record]) -> Self {
        match records {
            [] => Self::Missing,
            all if all.iter().all(|record| record.passed) => Self::Passed,
            _ => Self::Failed,
        }
    }
}

/// One line of the table.
#[derive(Serialize)]
struct Row {
    id: String,
    statement: String,
    ran: Vec<&'static str>,
    status: Status,
    /// The same for its tests in WebKit, page and workers together.
    webkit: Status,
}

/// Prints the table, and writes it as JSON if asked to.
///
/// # Errors
///
/// If the statements or the recorded results cannot be read. A failed or missing statement is no error.
pub(crate) fn run(json: Option<&Path>) -> Result<()> {
    let path = tools::root().join("docs/BEHAVIOURS.md");
    let text = std::fs::read_to_string(&path).with_context(|| format!("reading {}", path.display()))?;
    let records = recorded()?;
    let rows: Vec<Row> = statements(&text).into_iter().map(|(id, text)| row(id, text, &records)).collect();
    let cells: Vec<_> = rows
        .iter()
        .map(|row| {
            let words = |status, missing| match status {
                Status::Passed => "passed",
                Status::Failed => "FAILED",
                Status::Missing => missing,
            };
            let (status, webkit) = (words(row.status, "missing"), words(row.webkit, ""));
            let [status, webkit] = [status, webkit].map(str::to_owned);
            [row.id.clone(), shortened(&row.statement), row.ran.join(" "), status, webkit]
        })
        .collect();
    print_table(["", "statement", "ran in", "status", "webkit"], &cells);
    for Record { place, name, .. } in records.iter().filter(|record| record.is_reported() && !record.passed) {
        println!("failed in {place}: {name}");
    }
    if records.is_empty() {
        println!("no tests have run here yet: cargo xtask test");
    }
    let webkit = |status| rows.iter().filter(|row| row.webkit == status).count();
    let (passed, failed) = (webkit(Status::Passed), webkit(Status::Failed));
    println!("in webkit, which decides nothing: {passed} passed, {failed} failed");
    let count = |status| rows.iter().filter(|row| row.status == status).count();
    println!(
        "{} statements: {} passed, {} failed, {} missing",
        rows.len(),
        count(Status::Passed),
        count(Status::Failed),
        count(Status::Missing)
    );
    write_json(json, &rows)
}

/// Records what ran in one part of the tests, instead of what was recorded in the same places before:
/// those for which `is_replaced` says so.
///
/// # Errors
///
/// If the file cannot be written.
pub(crate) fn record(part: &str, records: &[Record], is_replaced: impl Fn(Place) -> bool) -> Result<()> {
    let directory = directory();
    std::fs::create_dir_all(&directory).with_context(|| format!("making {}", directory.display()))?;
    let path = directory.join(format!("{part}.json"));
    let before = if path.is_file() { read(&path)? } else { Vec::new() };
    write_json(Some(&path), &merged(before, records, is_replaced))
}

fn merged(before: Vec<Record>, records: &[Record], is_replaced: impl Fn(Place) -> bool) -> Vec<Record> {
    let kept = before.into_iter().filter(|record| record.place().is_some_and(|place| !is_replaced(place)));
    kept.chain(records.iter().cloned()).collect()
}

fn directory() -> PathBuf {
    tools::target().join("behaviours")
}

fn recorded() -> Result<Vec<Record>> {
    let mut all = Vec::new();
    for path in hash::files_below(&directory())? {
        all.extend(read(&path)?);
    }
    Ok(all)
}

fn read(path: &Path) -> Result<Vec<Record>> {
    let text = std::fs::read_to_string(path).with_context(|| format!("reading {}", path.display()))?;
    serde_json::from_str(&text).with_context(|| format!("reading {}", path.display()))
}

/// The statements of the document: id and text, in order. An item goes on to the next item, heading or
/// empty line.
fn statements(text: &str) -> Vec<(String, String)> {
    let mut found: Vec<(String, String)> = Vec::new();
    let mut inside = false;
    for line in text.lines() {
        if let Some((id, rest)) = line.strip_prefix("- **B").and_then(|rest| rest.split_once("**")) {
            inside = id.parse::<u32>().is_ok();
            if inside {
                found.push((format!("B{id}"), rest.trim().to_owned()));
            }
        } else if line.trim().is_empty() || line.starts_with(['#', '-']) {
            inside = false;
        } else if let (true, Some((_, text))) = (inside, found.last_mut()) {
            text.push(' ');
            text.push_str(line.trim());
        }
    }
    found
}

fn row(id: String, statement: String, records: &[Record]) -> Row {
    let number = id.trim_start_matches('B').parse().unwrap_or(0);
    let own = records.iter().filter(|record| numbers(&record.name).contains(&number));
    let (webkit, own): (Vec<&Record>, Vec<&Record>) = own.partition(|record| record.is_reported());
    let ran = Place::ALL
        .map(Place::name)
        .into_iter()
        .filter(|place| own.iter().any(|record| record.place == *place));
    Row { id, statement, ran: ran.collect(), status: Status::of(&own), webkit: Status::of(&webkit) }
}

/// The numbers of all statements that a test of this name counts for: every `b<digits>_` in it.
fn numbers(name: &str) -> BTreeSet<u32> {
    let words = name.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
    let mut found = BTreeSet::new();
    for word in words {
        let mut parts: Vec<&str> = word.split('_').collect();
        // What stands last has no `_` behind it.
        parts.pop();
        let digits = parts.into_iter().filter_map(|part| part.strip_prefix(['b', 'B']));
        found.extend(digits.filter_map(|digits| digits.parse::<u32>().ok()));
    }
    found
}

fn shortened(statement: &str) -> String {
    const WIDTH: usize = 72;
    if statement.chars().count() <= WIDTH {
        return statement.to_owned();
    }
    let cut: String = statement.chars().take(WIDTH - 1).collect();
    format!("{}…", cut.trim_end())
}

#[cfg(test)]
mod tests {
    use super::{Record, Status, merged, numbers, row, statements};
    use crate::place::{Browser, Place};

    fn record(place: &str, name: &str, passed: bool) -> Record {
        Record { place: place.to_owned(), name: name.to_owned(), passed }
    }

    #[test]
    fn statements_run_to_the_next_item() {
        let text = "# Title\n\n- **B1** One\n  and more.\n- **B20** Two.\n\n## Next\ntext\n- other\n- **B3** Three.\n";
        let found = statements(text);
        let found: Vec<_> = found.iter().map(|(id, text)| (id.as_str(), text.as_str())).collect();
        assert_eq!(found, [("B1", "One and more."), ("B20", "Two."), ("B3", "Three.")]);
    }

    #[test]
    fn numbers_stand_between_word_borders() {
        assert_eq!(numbers("close::b24_has_a_deadline").into_iter().collect::<Vec<_>>(), [24]);
        assert_eq!(numbers("b1_b2_both").into_iter().collect::<Vec<_>>(), [1, 2]);
        assert!(numbers("web12_tab12_ab3_b_x::b7").is_empty());
        assert_eq!(numbers("B44_import has no side effect").into_iter().collect::<Vec<_>>(), [44]);
    }

    #[test]
    fn one_failure_anywhere_fails_the_statement() {
        let records =
            [record("chromium", "b5_a", true), record("sim", "b5_b", true), record("node", "b50_a", false)];
        let five = row("B5".to_owned(), String::new(), &records);
        assert_eq!((five.status, five.ran), (Status::Passed, vec!["sim", "chromium"]));
        assert_eq!(row("B50".to_owned(), String::new(), &records).status, Status::Failed);
        assert_eq!(row("B6".to_owned(), String::new(), &records).status, Status::Missing);
    }

    #[test]
    fn webkit_has_a_column_of_its_own_and_decides_nothing() {
        let records = [
            record("chromium", "b5_a", true),
            record("webkit", "b5_a", true),
            record("webkit-worker", "b5_a", false),
            record("webkit", "b6_a", true),
        ];
        let five = row("B5".to_owned(), String::new(), &records);
        assert_eq!((five.status, five.webkit), (Status::Passed, Status::Failed));
        assert_eq!(five.ran, ["chromium"]);
        let six = row("B6".to_owned(), String::new(), &records);
        assert_eq!((six.status, six.webkit), (Status::Missing, Status::Passed));
    }

    #[test]
    fn a_run_replaces_what_was_recorded_in_its_places() {
        let before = vec![
            record("node", "a", true),
            record("webkit", "b", false),
            record("webkit-worker", "gone", true),
            record("a place of old", "c", true),
        ];
        let after = merged(before, &[record("webkit", "b", true)], |place: Place| {
            place.browser() == Some(Browser::Webkit)
        });
        assert_eq!(after, [record("node", "a", true), record("webkit", "b", true)]);
    }
}
