//! The race of the demo page, driven and judged: a raw WebSocket and tidegate upload the same over the same slow
//! link, with pings meanwhile.
//!
//! The page leaves what came of it in `globalThis.race` (`www/race.js` says what is in there). Absolute times judge
//! nothing: tidegate is compared with the raw lane beside it.

use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use serde::{Deserialize, Serialize};

use crate::place::Browser;
use crate::steps::print_table;
use crate::webdriver::Session;

/// How long a race may take: 16 MiB at 2 MB/s on a loaded machine.
const RACE_LIMIT: Duration = Duration::from_secs(120);

/// What is typed while it runs.
const TYPED: &str = "Grüße von der Überholspur";

/// What a lane must have had in the time of its upload for its figures to say anything.
const LEAST_PINGS: usize = 20;

/// What came of one lane.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Lane {
    name: String,
    /// How many were sent during the upload, all of them answered.
    pings: usize,
    /// Of their latency, in milliseconds.
    p50: f64,
    p99: f64,
    /// What the server has of the upload.
    bytes: u64,
    sha256: String,
    /// Of the upload as it was sent.
    sent_sha256: String,
    /// Until the server had all.
    ms: f64,
    largest_buffered_amount: u64,
}

/// Lets the page race, as a user would.
///
/// # Errors
///
/// If it does not come to its end, or what is typed meanwhile does not come back in both lanes.
pub(super) fn drive(session: &Session) -> Result<Vec<Lane>> {
    // WebKit calls a page loaded before its modules have run.
    session.wait("return !document.getElementById('race-start').disabled", RACE_LIMIT)?;
    session.click(&session.find("#race-start")?)?;
    session.wait("return race.state !== 'idle'", RACE_LIMIT)?;
    // As soon as the upload is under way, which is when there is something to overtake.
    session.wait(
        "return race.state !== 'running' || document.querySelector('#plot .mark') !== null",
        RACE_LIMIT,
    )?;
    session.fill(&session.find("#race-typing")?, TYPED)?;
    session.run("document.activeElement.blur()", &[])?;
    session.wait("return race.state !== 'running'", RACE_LIMIT)?;
    let told = session.run("return [race.state, race.error, race.results]", &[])?;
    let (state, error, lanes): (String, Option<String>, Vec<Lane>) =
        serde_json::from_value(told).context("reading what came of the race")?;
    if state != "done" {
        bail!("the race ended as {state}: {}", error.unwrap_or_default());
    }
    // The picture shows no button between two colours.
    session.wait("return document.getAnimations().length === 0", RACE_LIMIT)?;
    for (lane, index) in lanes.iter().zip(0..) {
        let echoed = session
            .run("return document.getElementById(`typed-${arguments[0]}`).textContent", &[index.into()])?;
        if echoed != TYPED {
            bail!("what was typed came back as {echoed} in the lane of {}", lane.name);
        }
    }
    Ok(lanes)
}

/// Lets the page race once more, with a server that says what it has; what came of tidegate's lane.
///
/// # Errors
///
/// As of [`drive`].
pub(super) fn drive_acknowledged(session: &Session) -> Result<Lane> {
    session.click(&session.find("#race-acknowledge")?)?;
    let tidegate = drive(session)?.pop().context("there is no lane")?;
    Ok(Lane { name: format!("{}, acknowledged", tidegate.name), ..tidegate })
}

/// Prints all lanes.
pub(super) fn print(lanes: &[Lane]) {
    let cells: Vec<_> = lanes
        .iter()
        .map(|lane| {
            [
                lane.name.clone(),
                format!("{:>5}", lane.pings),
                format!("{:>8.0}", lane.p50),
                format!("{:>8.0}", lane.p99),
                format!("{:>10}", lane.bytes),
                format!("{:>8.1}", lane.ms / 1_000.0),
                format!("{:>18}", lane.largest_buffered_amount),
                if lane.sha256 == lane.sent_sha256 { "yes" } else { "NO" }.to_owned(),
            ]
        })
        .collect();
    let titles =
        ["lane", "pings", "  p50 ms", "  p99 ms", "    upload", "       s", "max bufferedAmount", "equal"];
    print_table(titles, &cells);
}

/// Whether all uploads arrived as they were sent, tidegate's pings sooner than the raw lane's, and sooner still in the
/// last lane, whose server says what it has.
///
/// In WebKit tidegate is not compared with the raw lane: its `bufferedAmount` says of everything that it has been
/// sent, so that tidegate's queue holds back next to nothing there.
///
/// # Errors
///
/// If not; it says what is wrong.
pub(super) fn judge(lanes: &[Lane], browser: Browser) -> Result<()> {
    let [raw, tidegate, acknowledged] = lanes else { bail!("there are {} lanes, not 3", lanes.len()) };
    for lane in lanes {
        if lane.sha256 != lane.sent_sha256 || lane.bytes != raw.bytes || lane.bytes == 0 {
            bail!("the upload of {} did not arrive as it was sent", lane.name);
        }
        if lane.pings < LEAST_PINGS {
            bail!("{} had {} pings during its upload, too few to say anything", lane.name, lane.pings);
        }
    }
    let is_sooner = tidegate.p50 > 0.0 && tidegate.p50 < raw.p50;
    if !is_sooner && browser != Browser::Webkit {
        bail!("half of tidegate's pings took {:.0} ms, those of the raw lane {:.0}", tidegate.p50, raw.p50);
    }
    let is_soonest = acknowledged.p50 > 0.0 && acknowledged.p50 < tidegate.p50;
    if !is_soonest {
        let (told, not) = (acknowledged.p50, tidegate.p50);
        bail!("half of the pings took {told:.0} ms though the server said what it has, and {not:.0} before");
    }
    for lane in [tidegate, acknowledged] {
        let (half, most) = (lane.p50 / raw.p50, lane.p99 / raw.p99);
        println!("pings of {}: p50 {half:.3} of the raw WebSocket's, p99 {most:.3}", lane.name);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::{Browser, Lane};

    fn judge(lanes: &[Lane]) -> anyhow::Result<()> {
        super::judge(lanes, Browser::Chromium)
    }

    fn lane(p50: f64) -> Lane {
        Lane {
            name: "a lane".to_owned(),
            pings: 80,
            p50,
            p99: 2.0 * p50,
            bytes: 3,
            sha256: "d1".to_owned(),
            sent_sha256: "d1".to_owned(),
            ms: 8_000.0,
            largest_buffered_amount: 3,
        }
    }

    #[test]
    fn in_webkit_a_race_may_be_lost_and_not_an_upload() {
        assert!(super::judge(&[lane(9.0), lane(9.5), lane(1.0)], Browser::Webkit).is_ok());
        let changed = Lane { sha256: "d2".to_owned(), ..lane(1.0) };
        assert!(super::judge(&[lane(9.0), changed, lane(0.5)], Browser::Webkit).is_err());
    }

    #[test]
    fn a_race_is_won_only_by_whole_uploads_and_sooner_pings() {
        assert!(judge(&[lane(9.0), lane(1.0), lane(0.5)]).is_ok());
        assert!(judge(&[lane(9.0), lane(9.0), lane(0.5)]).is_err(), "no sooner");
        assert!(judge(&[lane(9.0), lane(0.0), lane(0.5)]).is_err(), "no time at all");
        assert!(judge(&[lane(9.0), lane(f64::NAN), lane(0.5)]).is_err(), "no number");
        assert!(judge(&[lane(9.0), lane(1.0)]).is_err(), "alone");
        assert!(judge(&[lane(9.0), lane(1.0), lane(1.0)]).is_err(), "no sooner by what the server says");
        let changed = Lane { sha256: "d2".to_owned(), ..lane(1.0) };
        assert!(judge(&[lane(9.0), changed, lane(0.5)]).is_err(), "other bytes");
        let shorter = Lane { bytes: 2, ..lane(1.0) };
        assert!(judge(&[lane(9.0), shorter, lane(0.5)]).is_err(), "another upload");
        let silent = Lane { pings: 3, ..lane(1.0) };
        assert!(judge(&[lane(9.0), silent, lane(0.5)]).is_err(), "hardly a ping");
    }
}
