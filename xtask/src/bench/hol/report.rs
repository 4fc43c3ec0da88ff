//! What the uploads say, contender by contender: a table, and all of it as JSON.

use anyhow::Result;
use serde::Serialize;
use serde_json::Value;

use super::{Figures, Load, Measured, Sample, Server, Upload};
use crate::bench::figures::{Quartiles, Tail};
use crate::steps::print_table;

/// Clocks that go further apart than this, in milliseconds, are told of.
const MAX_DRIFT: f64 = 1.0;

/// One contender with messages of one size, all rounds together.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(super) struct Row {
    contender: String,
    server: Server,
    piece_bytes: u32,
    /// Latency in milliseconds over the idle link, and while the upload lasts.
    idle: Tail,
    urgent: Tail,
    /// How many urgent messages that was.
    messages: usize,
    /// All bytes of the uploads in all of their time.
    megabytes_per_second: f64,
    /// The same in that of the first contender, round by round; the median.
    ratio: f64,
    largest_buffered_amount: u64,
}

/// What a row is about: a contender, its server, and a size of messages.
type Key<'a> = (&'a str, Server, u32);

/// All rows, in the order in which contenders and sizes first occur.
pub(super) fn rows(load: Load, samples: &[Sample]) -> Vec<Row> {
    let mut keys: Vec<Key<'_>> = Vec::new();
    for sample in samples {
        let key = (sample.contender.as_str(), sample.server, sample.piece_bytes);
        if !keys.contains(&key) {
            keys.push(key);
        }
    }
    let Some(first) = keys.first().copied() else { return Vec::new() };
    keys.iter().filter_map(|key| row(load, samples, first, *key)).collect()
}

fn row(load: Load, samples: &[Sample], first: Key<'_>, key: Key<'_>) -> Option<Row> {
    let (contender, server, piece_bytes) = key;
    let of = |(name, server, _): Key<'_>| {
        let name = name.to_owned();
        let is_of = move |sample: &&Sample| {
            sample.contender == name && sample.server == server && sample.piece_bytes == piece_bytes
        };
        samples.iter().filter(is_of).map(|sample| (sample.round, &sample.upload))
    };
    let uploads: Vec<&Upload> = of(key).map(|(_, upload)| upload).collect();
    let urgent: Vec<f64> =
        uploads.iter().flat_map(|upload| upload.urgent.iter().map(|(_, latency)| *latency)).collect();
    let ratios = of(key).filter_map(|(round, upload)| {
        let (_, raw) = of(first).find(|(other, _)| *other == round)?;
        Some(raw.took / upload.took)
    });
    #[allow(clippy::cast_precision_loss, reason = "an upload is far from 2^52 bytes")]
    let bytes = load.bytes as f64 * uploads.len() as f64;
    Some(Row {
        contender: contender.to_owned(),
        server,
        piece_bytes,
        idle: Tail::of(uploads.iter().flat_map(|upload| upload.idle.iter().copied()))?,
        messages: urgent.len(),
        urgent: Tail::of(urgent)?,
        megabytes_per_second: bytes / uploads.iter().map(|upload| upload.took).sum::<f64>() / 1_000.0,
        ratio: Quartiles::of(ratios)?.median,
        largest_buffered_amount: uploads.iter().map(|upload| upload.largest_buffered_amount).max()?,
    })
}

/// One upload, in a line, while the next one runs.
pub(super) fn line(sample: &Sample) -> String {
    let Sample { piece_bytes, upload, .. } = sample;
    let p50 = Tail::of(upload.urgent.iter().map(|(_, latency)| *latency)).map_or(f64::NAN, |tail| tail.p50);
    let (name, seconds) = (sample.name(), upload.took / 1_000.0);
    format!("{name}, messages of {} KiB: {seconds:.1} s, p50 {p50:.0} ms", piece_bytes >> 10)
}

/// Prints the table of one browser.
pub(super) fn print(load: Load, Measured { browser, samples }: &Measured) {
    println!(
        "\n{browser}: an urgent message of 32 B every 100 ms while {} MiB are sent {}at {:.1} MB/s{} and {} ms of delay; {} rounds \
         together. Latency in ms from `send` until the {} has it.",
        load.bytes >> 20,
        if load.down { "by the server " } else { "" },
        f64::from(load.bytes_per_second.get()) / 1e6,
        load.then.map_or_else(String::new, |then| format!(", then {:.1},", f64::from(then.get()) / 1e6)),
        load.delay_ms,
        load.rounds,
        if load.down { "page" } else { "server" },
    );
    let cells: Vec<_> = rows(load, samples)
        .iter()
        .map(|row| {
            let number = |value: f64, digits: usize| format!("{value:>8.digits$}");
            [
                row.contender.clone(),
                row.server.name().to_owned(),
                format!("{} KiB", row.piece_bytes >> 10),
                number(row.idle.p50, 1),
                number(row.urgent.p50, 0),
                number(row.urgent.p95, 0),
                number(row.urgent.p99, 0),
                number(row.urgent.max, 0),
                format!("{:>6}", row.messages),
                number(row.megabytes_per_second, 3),
                number(row.ratio, 3),
                format!("{:>12}", row.largest_buffered_amount),
            ]
        })
        .collect();
    let head = [
        "",
        "server",
        "messages",
        "    idle",
        "     p50",
        "     p95",
        "     p99",
        "     max",
        "urgent",
        "    MB/s",
        "   : raw",
        "bufferedAmount",
    ];
    print_table(head, &cells);
    print_clocks(samples.iter().map(|sample| &sample.upload));
}

/// Says how far the latencies can be believed.
pub(super) fn print_clocks<'a>(uploads: impl Iterator<Item = &'a Upload>) {
    let (mut drift, mut nearest) = (0.0, 0.0);
    for upload in uploads {
        drift = upload.drift.abs().max(drift);
        nearest = upload.nearest.max(nearest);
    }
    println!(
        "Clocks of page and server went apart by {drift:.2} ms at most, compared over {nearest:.2} ms or less."
    );
    if drift > MAX_DRIFT {
        println!("WARNING: that is more than {MAX_DRIFT} ms; latencies are wrong by about as much.");
    }
}

/// All figures, with the rows of each browser beside its samples.
///
/// # Errors
///
/// If JSON has no words for a figure.
pub(super) fn with_rows(figures: &Figures) -> Result<Value> {
    let mut all = serde_json::to_value(figures)?;
    let browsers = all.get_mut("browsers").and_then(Value::as_array_mut).into_iter().flatten();
    for (value, measured) in browsers.zip(&figures.browsers) {
        if let Some(value) = value.as_object_mut() {
            value.insert("rows".to_owned(), serde_json::to_value(rows(figures.load, &measured.samples))?);
        }
    }
    Ok(all)
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU32;

    use super::{Load, Sample, Server, Upload, rows};

    fn load() -> Load {
        let bytes_per_second = NonZeroU32::new(2_000_000).unwrap();
        Load { rounds: 2, bytes: 20_000_000, bytes_per_second, delay_ms: 20, down: false, then: None }
    }

    fn sample(contender: &str, piece_bytes: u32, round: u32, took: f64, latencies: &[f64]) -> Sample {
        let upload = Upload {
            idle: vec![20.0, 21.0],
            urgent: latencies.iter().map(|latency| (100.0, *latency)).collect(),
            budgets: Vec::new(),
            took,
            largest_buffered_amount: u64::from(piece_bytes + round),
            drift: 0.0,
            nearest: 0.1,
        };
        Sample { contender: contender.to_owned(), server: Server::Rust, piece_bytes, round, upload }
    }

    #[test]
    fn a_server_has_rows_of_its_own_beside_raw_of_the_other() {
        let in_node = |round, took| Sample { server: Server::Node, ..sample("v1", 4, round, took, &[2.0]) };
        let samples = [
            sample("raw", 4, 0, 9_000.0, &[1.0]),
            sample("v1", 4, 0, 10_000.0, &[1.0]),
            in_node(0, 12_000.0),
            in_node(1, 12_000.0),
        ];
        let rows = rows(load(), &samples);
        let seen: Vec<_> = rows.iter().map(|row| (row.contender.as_str(), row.server, row.ratio)).collect();
        assert_eq!(seen, [("raw", Server::Rust, 1.0), ("v1", Server::Rust, 0.9), ("v1", Server::Node, 0.75)]);
        assert_eq!(samples.each_ref().map(Sample::name), ["raw", "v1", "v1, Node", "v1, Node"]);
    }

    #[test]
    fn rounds_are_pooled_and_compared_with_raw_of_the_same_round_and_size() {
        let samples = [
            sample("raw", 4, 0, 10_000.0, &[1.0, 2.0]),
            sample("gate", 4, 0, 20_000.0, &[5.0]),
            sample("raw", 2, 0, 5_000.0, &[1.0]),
            sample("gate", 2, 0, 5_000.0, &[1.0]),
            sample("gate", 4, 1, 12_000.0, &[7.0]),
            sample("raw", 4, 1, 12_000.0, &[3.0]),
        ];
        let rows = rows(load(), &samples);
        let names: Vec<_> = rows.iter().map(|row| (row.contender.as_str(), row.piece_bytes)).collect();
        assert_eq!(names, [("raw", 4), ("gate", 4), ("raw", 2), ("gate", 2)]);
        assert_eq!((rows[1].messages, rows[1].urgent.p50, rows[1].urgent.max), (2, 6.0, 7.0));
        assert_eq!((rows[0].urgent.p50, rows[1].idle.p50), (2.0, 20.5));
        assert_eq!(rows[1].largest_buffered_amount, 5);
        assert_eq!((rows[0].ratio, rows[1].ratio, rows[3].ratio), (1.0, 0.75, 1.0));
        assert_eq!((rows[0].messages, rows[1].megabytes_per_second), (3, 1.25));
    }

    #[test]
    fn without_samples_there_are_no_rows() {
        assert!(rows(load(), &[]).is_empty());
    }
}
