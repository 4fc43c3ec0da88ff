//! Figures as tables and as JSON.

use std::fs;
use std::path::Path;

use serde::Serialize;

use crate::measure::Quartiles;

/// The name of what is compared with the rest.
const SUBJECT: &str = "tidegate";

/// How one library did in one cell.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Figures {
    /// The library, and the way through it.
    pub(crate) name: String,
    /// Nanoseconds of CPU time per frame or message.
    pub(crate) nanoseconds: Quartiles,
    /// The figures of which those are the quartiles, in the order of the rounds.
    pub(crate) rounds: Vec<f64>,
    /// What is written in what is sent, where it is compressed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) share: Option<f64>,
}

/// One line of a table.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Row {
    /// The cell without its size.
    pub(crate) what: String,
    /// Payload bytes of each frame or message.
    pub(crate) bytes: usize,
    /// All that took part.
    pub(crate) figures: Vec<Figures>,
    /// The peer with the lowest median.
    pub(crate) best_peer: String,
    /// That peer's time in tidegate's, round by round: above 1 tidegate is faster. `None` where
    /// tidegate takes no part.
    pub(crate) ratio: Option<Quartiles>,
}

impl Row {
    /// Of the names and what each needed in each round.
    pub(crate) fn new(what: &str, bytes: usize, names: &[&str], rounds: Vec<Vec<f64>>) -> Self {
        let figures: Vec<_> = names
            .iter()
            .zip(rounds)
            .map(|(name, rounds)| Figures {
                name: (*name).to_owned(),
                nanoseconds: Quartiles::of(&rounds),
                rounds,
                share: None,
            })
            .collect();
        let best = figures
            .iter()
            // Other ways through tidegate are shown, and no peers.
            .filter(|figures| !figures.name.starts_with(SUBJECT))
            .min_by(|a, b| a.nanoseconds.median.total_cmp(&b.nanoseconds.median));
        let ours = figures.iter().find(|figures| figures.name == SUBJECT);
        let ratio = ours.zip(best).map(|(ours, best)| {
            let ratios: Vec<_> =
                best.rounds.iter().zip(&ours.rounds).map(|(best, ours)| best / ours).collect();
            Quartiles::of(&ratios)
        });
        let best_peer = best.map(|best| best.name.clone()).unwrap_or_default();
        Self { what: what.to_owned(), bytes, figures, best_peer, ratio }
    }

    /// Also with what share of its input each writes, in the order of the names.
    pub(crate) fn with_shares(mut self, shares: Option<&[f64]>) -> Self {
        for (figures, share) in self.figures.iter_mut().zip(shares.unwrap_or_default()) {
            figures.share = Some(*share);
        }
        self
    }
}

/// Prints the rows of one `what` as a table.
pub(crate) fn print(rows: &[Row]) {
    let Some(first) = rows.first() else { return };
    let mut head = vec![first.what.clone()];
    head.extend(first.figures.iter().map(|figures| figures.name.clone()));
    head.extend(["best peer : tidegate", "best peer"].map(str::to_owned));
    let mut table = vec![head];
    for row in rows {
        let mut line = vec![row.bytes.to_string()];
        line.extend(row.figures.iter().map(|figures| {
            let Quartiles { q1, median, q3 } = figures.nanoseconds;
            let digits = usize::from(median < 100.0);
            let share = figures.share.map(|share| format!(" to {:.1} %", share * 100.0)).unwrap_or_default();
            format!("{median:.digits$} ({q1:.digits$}–{q3:.digits$}){share}")
        }));
        line.push(row.ratio.map_or_else(
            || "–".to_owned(),
            |Quartiles { q1, median, q3 }| format!("{median:.2} ({q1:.2}–{q3:.2})"),
        ));
        line.push(row.best_peer.clone());
        table.push(line);
    }
    let columns = table.first().map_or(0, Vec::len);
    let widths: Vec<usize> = (0..columns)
        .map(|column| table.iter().filter_map(|line| line.get(column)).map(|cell| cell.chars().count()).max())
        .map(Option::unwrap_or_default)
        .collect();
    println!();
    for line in table {
        let cells: Vec<_> = line.iter().zip(&widths).map(|(cell, width)| format!("{cell:>width$}")).collect();
        println!("{}", cells.join("  "));
    }
}

/// What the JSON file holds.
#[derive(Debug, Serialize)]
struct Report<'a> {
    unit: &'static str,
    rounds: usize,
    rows: &'a [Row],
}

/// Writes all figures to `path`.
///
/// # Errors
///
/// If the file cannot be written.
pub(crate) fn write_json(path: &Path, unit: &'static str, rounds: usize, rows: &[Row]) -> Result<(), String> {
    let report = Report { unit, rounds, rows };
    let text = serde_json::to_string_pretty(&report).map_err(|error| error.to_string())?;
    fs::write(path, text + "\n").map_err(|error| format!("{}: {error}", path.display()))
}
