//! The tables of one browser.

use super::{Cell, Measured};
use crate::place::Browser;
use crate::steps::print_table;

/// Prints both tables.
pub(crate) fn print(browser: Browser, measured: &Measured) {
    println!("\n{browser}: medians and quartiles of {} rounds, in turn", measured.rounds);
    let rows: Vec<_> = measured.cells.iter().flat_map(rows).collect();
    print_table(["", "", "messages/s", "MB/s", ": raw"], &rows);
    println!("{browser}: microseconds per message of 32 bytes, over a socket that does nothing");
    let costs = measured.costs.iter().map(|cost| {
        let difference = cost.tidegate.median - cost.raw.median;
        [cost.what.to_owned(), cost.tidegate.show(2), cost.raw.show(2), format!("{difference:.2}")]
    });
    print_table(["", "tidegate", "by hand", "difference"], &costs.collect::<Vec<_>>());
}

fn rows(cell: &Cell) -> Vec<[String; 5]> {
    let mut name = format!("{} {}", cell.what, size(cell.bytes));
    let rows = cell.rows.iter().map(|row| {
        [
            // Once, before the first of them.
            std::mem::take(&mut name),
            row.contender.clone(),
            row.messages_per_second.show(0),
            row.megabytes_per_second.show(1),
            row.ratio.show(2),
        ]
    });
    rows.collect()
}

fn size(bytes: u32) -> String {
    match bytes {
        0..1_024 => format!("{bytes} B"),
        1_024..1_048_576 => format!("{} KiB", bytes >> 10),
        _ => format!("{} MiB", bytes >> 20),
    }
}
