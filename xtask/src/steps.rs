//! Steps of a command: what is being done, how long each took, and a table of it at the end.

use std::path::Path;
use std::time::Instant;

use anyhow::{Context as _, Result};
use serde::Serialize;

/// The steps of one command so far.
#[derive(Default)]
pub(crate) struct Steps {
    rows: Vec<Row>,
}

/// One finished step.
#[derive(Serialize)]
pub(crate) struct Row {
    /// What was done.
    step: String,
    /// How long it took, in seconds of wall time.
    seconds: f64,
    /// Whether it came to a good end.
    ok: bool,
}

impl Steps {
    /// Does one step and notes how long it took.
    ///
    /// # Errors
    ///
    /// The step's own.
    pub(crate) fn run<T>(&mut self, step: &str, work: impl FnOnce() -> Result<T>) -> Result<T> {
        println!("── {step}");
        let start = Instant::now();
        let result = work();
        let seconds = start.elapsed().as_secs_f64();
        self.rows.push(Row { step: step.to_owned(), seconds, ok: result.is_ok() });
        println!("   {step}: {seconds:.1} s{}", if result.is_ok() { "" } else { ", failed" });
        result
    }

    /// Does one step whose failure is told at once and does not keep the later ones from running.
    pub(crate) fn attempt<T>(&mut self, step: &str, work: impl FnOnce() -> Result<T>) -> Option<T> {
        self.run(step, work).inspect_err(|error| eprintln!("{step}: {error:#}")).ok()
    }

    /// All finished steps, in order.
    pub(crate) fn rows(&self) -> &[Row] {
        &self.rows
    }

    /// Prints the table of all steps with their times.
    pub(crate) fn print(&self) {
        let total: f64 = self.rows.iter().map(|row| row.seconds).sum();
        let rows = self.rows.iter().map(|row| {
            [
                row.step.clone(),
                format!("{:.1} s", row.seconds),
                if row.ok { "ok" } else { "FAILED" }.to_owned(),
            ]
        });
        let rows: Vec<_> = rows.chain([["all".to_owned(), format!("{total:.1} s"), String::new()]]).collect();
        print_table(["step", "time", ""], &rows);
    }
}

/// Prints `rows` under `head`, every column as wide as its widest cell.
pub(crate) fn print_table<const N: usize>(head: [&str; N], rows: &[[String; N]]) {
    let width = |column: usize| {
        let cells = rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count());
        cells.chain(head.get(column).map(|cell| cell.chars().count())).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..N).map(width).collect();
    let line = |cells: Vec<&str>| {
        let padded = cells.iter().zip(&widths).map(|(cell, width)| format!("{cell:width$}"));
        println!("{}", padded.collect::<Vec<_>>().join("  ").trim_end());
    };
    println!();
    line(head.to_vec());
    println!("{}", "─".repeat(widths.iter().sum::<usize>() + 2 * (N.saturating_sub(1))));
    for row in rows {
        line(row.iter().map(String::as_str).collect());
    }
    println!();
}

/// Writes `value` as JSON to `path`, if one was given.
///
/// # Errors
///
/// If the file cannot be written.
pub(crate) fn write_json(path: Option<&Path>, value: &impl Serialize) -> Result<()> {
    let Some(path) = path else { return Ok(()) };
    let mut text = serde_json::to_string_pretty(value)?;
    text.push('\n');
    std::fs::write(path, text).with_context(|| format!("writing {}", path.display()))
}

#[cfg(test)]
mod tests {
    use anyhow::bail;

    use super::Steps;

    #[test]
    fn a_failed_attempt_is_counted_and_the_next_one_runs() {
        let mut steps = Steps::default();
        assert_eq!(steps.attempt("one", || Ok(1)), Some(1));
        assert_eq!(steps.attempt("two", || -> anyhow::Result<()> { bail!("on purpose") }), None);
        assert_eq!(steps.attempt("three", || Ok(3)), Some(3));
        assert_eq!(steps.rows().iter().map(|row| row.ok).collect::<Vec<_>>(), [true, false, true]);
    }
}
