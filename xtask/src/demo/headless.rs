//! The demo page, driven in a real browser as a user would drive it, every byte compared.
//!
//! First the race, of which the screenshot shows the end (see `race`), then everything that is echoed.
//!
//! The page computes the digest of what it sends and of what comes back, and the server that of what it saw;
//! here they are compared once more with what should have been sent. The page leaves its rows in
//! `globalThis.demo.rows` (`www/log.js` says what is in them).

use std::io::{BufWriter, Write as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::{Options, race};
use crate::dist::Package;
use crate::server::Running;
use crate::steps::{Steps, print_table, write_json};
use crate::tools::browsers::Found;
use crate::webdriver::Session;
use crate::{hash, tools};

/// How long one thing may take to come back; 64 MiB through an unoptimised server on a loaded machine.
const ROW_LIMIT: Duration = Duration::from_secs(180);

/// Size of the generated file.
const GENERATED_BYTES: usize = 64 << 20;

/// Width and height of the window, in CSS pixels: the whole race is seen.
const WINDOW: (u32, u32) = (1_280, 1_490);

/// The code with which each connection is closed.
const CLOSE_CODE: &str = "4001";

/// One line in several scripts each: two-byte, three-byte and four-byte characters, both directions,
/// combining marks, and a sequence that is one emoji.
const TEXTS: [&str; 8] = [
    "Grüße, façade, Łódź, İstanbul",
    "Καλημέρα κόσμε, Привет, мир",
    "שלום עולם, مرحبا بالعالم",
    "नमस्ते दुनिया, สวัสดีชาวโลก",
    "你好世界, こんにちは世界, 안녕하세요 세계",
    "e\u{301} ≠ é, Z̵̢̛a̶l̷g̸o̵",
    "👩‍👩‍👧‍👦 🏳️‍🌈 𝔘𝔫𝔦𝔠𝔬𝔡𝔢 𒀀 🧜🏽‍♀️",
    "zero \u{200b} width, \"quotes\" & <tags>, \\ and a tab\t.",
];

/// A row of the page's log, as far as it is of interest here.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Row {
    kind: String,
    label: String,
    sent_bytes: u64,
    received_bytes: u64,
    sent_sha256: Option<String>,
    server_sha256: Option<String>,
    received_sha256: Option<String>,
    equal: Option<bool>,
    ms: f64,
    error: Option<String>,
}

/// What should be in a row.
#[derive(Clone, Debug)]
struct Expected {
    kind: &'static str,
    mode: &'static str,
    /// Size and digest, where they are known beforehand.
    content: Option<(u64, String)>,
}

/// One line of the table.
#[derive(Serialize)]
struct Line {
    what: String,
    mode: &'static str,
    sent_bytes: u64,
    received_bytes: u64,
    sha256: Option<String>,
    equal: bool,
    ms: f64,
    error: Option<String>,
}

/// What `--json` writes.
#[derive(Serialize)]
struct Outcome<'a> {
    lanes: &'a [race::Lane],
    rows: &'a [Line],
}

/// Drives the page and prints the tables.
///
/// # Errors
///
/// If the page does not do what it should, anything in the tables is not equal, or a lane of tidegate's lost the race.
pub(super) fn run(
    options: &Options,
    found: &Found,
    package: &Package,
    server: &Running,
    steps: &mut Steps,
) -> Result<()> {
    let files = files(&options.files, package)?;
    let session = steps.run(&format!("start {}", found.browser), || Session::start(found))?;
    let page = Page { session: &session };
    session.resize(WINDOW.0, WINDOW.1)?;
    session.open(&format!("http://{}/", server.address()))?;
    let mut race = steps.run("drive the race", || race::drive(&session))?;
    let picture = tools::target().join(format!("demo/{}.png", found.browser));
    std::fs::write(&picture, session.screenshot()?)
        .with_context(|| format!("writing {}", picture.display()))?;
    race.push(steps.run("drive the race, acknowledged", || race::drive_acknowledged(&session))?);
    let (expected, rows) = steps.run("drive the echo", || drive(&page, &files))?;
    drop(session);

    if rows.len() != expected.len() {
        bail!("the page shows {} rows, not {}", rows.len(), expected.len());
    }
    let lines: Vec<Line> =
        expected.into_iter().zip(rows).map(|(expected, row)| line(&expected, row)).collect();
    print(&lines);
    race::print(&race);
    write_json(options.json.as_deref(), &Outcome { lanes: &race, rows: &lines })?;
    println!("screenshot: {}", picture.display());
    let wrong = lines.iter().filter(|line| !line.equal).count();
    if wrong > 0 {
        bail!("{wrong} of {} rows are not equal", lines.len());
    }
    race::judge(&race, found.browser)?;
    println!("{} rows, all equal, in {}", lines.len(), found.browser);
    Ok(())
}

/// Goes through everything; returns what should have come of it, and what has.
fn drive(page: &Page<'_>, files: &[PathBuf]) -> Result<(Vec<Expected>, Vec<Row>)> {
    let session = page.session;
    let mut expected = Vec::new();
    for mode in ["ArrayBuffer", "Blob"] {
        session.click(&session.find(&format!("#binary-type option[value={}]", mode.to_lowercase()))?)?;
        page.click("#connect")?;
        session.wait("return demo.state === 'open' || demo.error", ROW_LIMIT)?;
        for text in TEXTS {
            page.set("#text", text)?;
            page.click("#send")?;
            let content = Some((u64::try_from(text.len())?, hash::of(text.as_bytes())));
            expected.push(Expected { kind: "text", mode: "", content });
            page.rows(expected.len())?;
        }
        for file in files {
            session.choose_file(&session.find("#files")?, file)?;
            expected.push(Expected { kind: "file", mode, content: Some(hash::of_file(file)?) });
            page.rows(expected.len())?;
        }
        if mode == "Blob" {
            page.click("#feed")?;
            expected.push(Expected { kind: "feed", mode: "", content: None });
            page.rows(expected.len())?;
        }
        session.fill(&session.find("#close-code")?, CLOSE_CODE)?;
        session.fill(&session.find("#close-reason")?, "the demo is done")?;
        page.click("#close")?;
        expected.push(Expected { kind: "close", mode: "", content: None });
        page.rows(expected.len())?;
    }
    let rows = session.run("return demo.rows", &[])?;
    Ok((expected, serde_json::from_value(rows).context("reading the rows of the page")?))
}

/// The page, by what a user does there.
struct Page<'a> {
    session: &'a Session,
}

impl Page<'_> {
    fn click(&self, selector: &str) -> Result<()> {
        self.session.click(&self.session.find(selector)?)
    }

    /// Sets the text of a field. Not typed: chromedriver types no character beyond the first plane.
    fn set(&self, selector: &str, text: &str) -> Result<()> {
        let script = "const field = document.querySelector(arguments[0]); field.value = arguments[1];
            field.dispatchEvent(new Event('input', { bubbles: true }));";
        self.session.run(script, &[json!(selector), json!(text)])?;
        Ok(())
    }

    /// Waits until the page has `count` rows, all of them done.
    fn rows(&self, count: usize) -> Result<()> {
        let script = format!(
            "return demo.error ? 'error' : demo.rows.length >= {count} && demo.rows.every((row) => row.done)"
        );
        let waited = self.session.wait(&script, ROW_LIMIT).and_then(|value| match value.as_str() {
            Some(_) => bail!("the page shows an error"),
            None => Ok(()),
        });
        waited.with_context(|| {
            let seen = self.session.run("return [demo.state, demo.error, demo.rows.at(-1)]", &[]);
            format!("waiting for row {count}; the page has {}", seen.unwrap_or_default())
        })
    }
}

/// The files to send: those that were given, or the default ones.
fn files(given: &[PathBuf], package: &Package) -> Result<Vec<PathBuf>> {
    let directory = tools::target().join("demo");
    std::fs::create_dir_all(&directory).with_context(|| format!("making {}", directory.display()))?;
    if !given.is_empty() {
        return Ok(given.to_vec());
    }
    let generated = directory.join("64-MiB.bin");
    if generated.metadata().map_or(0, |data| data.len()) != u64::try_from(GENERATED_BYTES)? {
        generate(&generated)?;
    }
    let empty = directory.join("empty.bin");
    std::fs::write(&empty, [])?;
    Ok(vec![package.directory.join("tidegate_core_bg.wasm"), generated, empty])
}

/// Writes bytes without a pattern, always the same (xorshift64).
fn generate(path: &Path) -> Result<()> {
    let file = std::fs::File::create(path).with_context(|| format!("making {}", path.display()))?;
    let mut file = BufWriter::new(file);
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    for _ in 0..GENERATED_BYTES / 8 {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        file.write_all(&state.to_le_bytes())?;
    }
    file.flush().with_context(|| format!("writing {}", path.display()))
}

/// Judges a row by all that is known about it.
fn line(expected: &Expected, row: Row) -> Line {
    let as_expected = expected.content.as_ref().is_none_or(|(bytes, sha256)| {
        let digests = [&row.sent_sha256, &row.server_sha256, &row.received_sha256];
        digests.into_iter().all(|digest| digest.as_ref() == Some(sha256))
            && (row.sent_bytes, row.received_bytes) == (*bytes, *bytes)
    });
    let closed_as_asked = expected.kind != "close" || row.label.starts_with(CLOSE_CODE);
    let equal = row.kind == expected.kind
        && row.equal == Some(true)
        && row.error.is_none()
        && as_expected
        && closed_as_asked;
    Line {
        what: format!("{}: {}", row.kind, row.label),
        mode: expected.mode,
        sent_bytes: row.sent_bytes,
        received_bytes: row.received_bytes,
        sha256: row.received_sha256,
        equal,
        ms: row.ms,
        error: row.error,
    }
}

fn print(lines: &[Line]) {
    let cells: Vec<_> = lines
        .iter()
        .map(|line| {
            let what: String =
                line.what.chars().map(|c| if c.is_control() { ' ' } else { c }).take(48).collect();
            let verdict = match (&line.error, line.equal) {
                (Some(error), _) => error.clone(),
                (None, true) => "yes".to_owned(),
                (None, false) => "NO".to_owned(),
            };
            [
                format!("{:>10}", line.sent_bytes),
                format!("{:>10}", line.received_bytes),
                line.sha256.as_deref().and_then(|digest| digest.get(..12)).unwrap_or_default().to_owned(),
                format!("{:>8.1}", line.ms),
                verdict,
                line.mode.to_owned(),
                what,
            ]
        })
        .collect();
    // What was sent comes last: terminals do not agree on how wide these scripts are.
    print_table(["      sent", "  received", "SHA-256", "      ms", "equal", "as", "what"], &cells);
}

#[cfg(test)]
mod tests {
    use super::{Expected, Row, line};

    fn row() -> Row {
        let digest = Some("d1".to_owned());
        Row {
            kind: "file".to_owned(),
            label: "a.bin".to_owned(),
            sent_bytes: 3,
            received_bytes: 3,
            sent_sha256: digest.clone(),
            server_sha256: digest.clone(),
            received_sha256: digest,
            equal: Some(true),
            ms: 1.0,
            error: None,
        }
    }

    fn expected(digest: &str) -> Expected {
        Expected { kind: "file", mode: "Blob", content: Some((3, digest.to_owned())) }
    }

    #[test]
    fn a_row_is_equal_only_if_everything_is() {
        assert!(line(&expected("d1"), row()).equal);
        assert!(!line(&expected("d2"), row()).equal, "another file");
        assert!(!line(&expected("d1"), Row { equal: None, ..row() }).equal, "the page did not compare");
        assert!(!line(&expected("d1"), Row { server_sha256: None, ..row() }).equal, "the server did not say");
        assert!(!line(&expected("d1"), Row { received_bytes: 2, ..row() }).equal, "too short");
        assert!(!line(&expected("d1"), Row { error: Some("no".to_owned()), ..row() }).equal, "an error");
        let close = Expected { kind: "close", mode: "", content: None };
        assert!(!line(&close, Row { kind: "close".to_owned(), label: "1006".to_owned(), ..row() }).equal);
    }
}
