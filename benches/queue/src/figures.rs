//! Figures as a table and as JSON.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use serde::Serialize;

use crate::load::{OPERATIONS, QUEUED, Sample};

/// The middle of several measurements, and the bounds of their middle half.
#[derive(Clone, Copy, Debug, Serialize)]
pub(crate) struct Quartiles {
    q1: f64,
    median: f64,
    q3: f64,
}

impl Quartiles {
    /// Of at least one figure.
    fn of(mut figures: Vec<f64>) -> Option<Self> {
        figures.sort_by(f64::total_cmp);
        let last = figures.len().checked_sub(1)?;
        let at = |quarter: usize| figures.get(last * quarter / 4).copied();
        Some(Self { q1: at(1)?, median: at(2)?, q3: at(3)? })
    }
}

/// One load: nanoseconds of each operation that it has.
#[derive(Debug, Serialize)]
pub(crate) struct Row {
    load: &'static str,
    nanoseconds: BTreeMap<&'static str, Quartiles>,
}

impl Row {
    /// Of what each round gave.
    pub(crate) fn new(load: &'static str, samples: &[Sample]) -> Self {
        let of = |operation: &'static str| {
            let figures = samples.iter().filter_map(|sample| sample.get(operation).copied()).collect();
            Some((operation, Quartiles::of(figures)?))
        };
        Self { load, nanoseconds: OPERATIONS.into_iter().filter_map(of).collect() }
    }
}

/// Prints a line for each row.
pub(crate) fn print(rows: &[Row]) {
    let mut table = vec![[""; 1].into_iter().chain(OPERATIONS).map(str::to_owned).collect::<Vec<_>>()];
    for row in rows {
        let cells = OPERATIONS.iter().map(|operation| {
            row.nanoseconds.get(operation).map_or_else(
                || "–".to_owned(),
                |Quartiles { q1, median, q3 }| format!("{median:.1} ({q1:.1}–{q3:.1})"),
            )
        });
        table.push([row.load.to_owned()].into_iter().chain(cells).collect());
    }
    let width = |column: usize| {
        let cells = table.iter().filter_map(|line| line.get(column));
        cells.map(|cell| cell.chars().count()).max().unwrap_or_default()
    };
    let widths: Vec<usize> = (0..=OPERATIONS.len()).map(width).collect();
    println!();
    for line in &table {
        let cells: Vec<_> = line.iter().zip(&widths).map(|(cell, width)| format!("{cell:>width$}")).collect();
        println!("{}", cells.join("  "));
    }
}

/// What the JSON file holds.
#[derive(Debug, Serialize)]
struct Report<'a> {
    unit: &'static str,
    queued: usize,
    rounds: usize,
    rows: &'a [Row],
}

/// Writes all figures to `path`.
///
/// # Errors
///
/// If the file cannot be written.
pub(crate) fn write_json(path: &Path, rounds: usize, rows: &[Row]) -> Result<(), String> {
    let report = Report { unit: "nanoseconds of CPU time per message", queued: QUEUED, rounds, rows };
    let text = serde_json::to_string_pretty(&report).map_err(|error| error.to_string())?;
    fs::write(path, text + "\n").map_err(|error| format!("{}: {error}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::Quartiles;

    #[test]
    fn quartiles_are_measurements() {
        let Some(Quartiles { q1, median, q3 }) = Quartiles::of(vec![5.0, 1.0, 4.0, 2.0, 3.0]) else {
            panic!("there are five");
        };
        assert!([q1 - 2.0, median - 3.0, q3 - 4.0].iter().all(|off| off.abs() < 1e-9));
        assert!(Quartiles::of(Vec::new()).is_none());
    }
}
