//! The race of the demo page, driven and judged: a raw WebSocket, tidegate in plain mode and tidegate over `tidegate.v1`
//! upload the same over the same slow link, with pings meanwhile.
//!
//! The page leaves what came of it in `globalThis.race` (`www/race.js` says what is in there). Absolute times judge
//! nothing: each lane is compared with the one beside it.

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

/// Which lane of the page is in plain mode.
const PLAIN: usize = 1;

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
/// If it does not come to its end, or what is typed meanwhile does not come back in every lane.
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

/// Lets the page race once more, with a server that says what it has; what came of the lane in plain mode.
///
/// # Errors
///
/// As of [`drive`].
pub(super) fn drive_acknowledged(session: &Session) -> Result<Lane> {
    session.click(&session.find("#race-acknowledge")?)?;
    let plain = drive(session)?.into_iter().nth(PLAIN).context("there is no lane in plain mode")?;
    Ok(Lane { name: format!("{}, acknowledged", plain.name), ..plain })
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

/// Whether all uploads arrived as they were sent, and the pings of plain mode sooner than the raw lane's. Those of the
/// other two, over `tidegate.v1` and in plain mode with a server that says what it has, have to be sooner still.
///
/// In WebKit plain mode is not compared with the raw lane: its `bufferedAmount` says of everything that it has been
/// sent, so that tidegate's queue holds back next to nothing there.
///
/// # Errors
///
/// If not; it says what is wrong.
pub(super) fn judge(lanes: &[Lane], browser: Browser) -> Result<()> {
    let [raw, plain, tidegate, acknowledged] = lanes else { bail!("there are {} lanes, not 4", lanes.len()) };
    for lane in lanes {
        if lane.sha256 != lane.sent_sha256 || lane.bytes != raw.bytes || lane.bytes == 0 {
            bail!("the upload of {} did not arrive as it was sent", lane.name);
        }
        if lane.pings < LEAST_PINGS {
            bail!("{} had {} pings during its upload, too few to say anything", lane.name, lane.pings);
        }
    }
    let mut pairs = vec![(tidegate, plain), (acknowledged, plain)];
    if browser != Browser::Webkit {
        pairs.push((plain, raw));
    }
    for (lane, other) in pairs {
        let is_sooner = lane.p50 > 0.0 && lane.p50 < other.p50;
        if !is_sooner {
            let (ms, than) = (lane.p50, other.p50);
            bail!("half of the pings of {} took {ms:.0} ms, those of {} {than:.0}", lane.name, other.name);
        }
    }
    for lane in [plain, tidegate, acknowledged] {
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
        assert!(super::judge(&[lane(9.0), lane(9.5), lane(1.0), lane(1.0)], Browser::Webkit).is_ok());
        assert!(super::judge(&[lane(9.0), lane(9.5), lane(9.5), lane(1.0)], Browser::Webkit).is_err());
        let changed = Lane { sha256: "d2".to_owned(), ..lane(1.0) };
        assert!(super::judge(&[lane(9.0), changed, lane(0.5), lane(0.5)], Browser::Webkit).is_err());
    }

    #[test]
    fn a_race_is_won_only_by_whole_uploads_and_sooner_pings() {
        let race = |plain: Lane, tidegate: Lane, acknowledged: Lane| {
            judge(&[lane(9.0), plain, tidegate, acknowledged])
        };
        assert!(race(lane(1.0), lane(0.4), lane(0.5)).is_ok());
        assert!(race(lane(9.0), lane(0.4), lane(0.5)).is_err(), "plain mode no sooner");
        assert!(race(lane(1.0), lane(1.0), lane(0.5)).is_err(), "tidegate.v1 no sooner");
        assert!(race(lane(1.0), lane(0.4), lane(1.0)).is_err(), "no sooner by what the server says");
        assert!(race(lane(1.0), lane(0.0), lane(0.5)).is_err(), "no time at all");
        assert!(race(lane(f64::NAN), lane(0.4), lane(0.5)).is_err(), "no number");
        assert!(judge(&[lane(9.0), lane(1.0), lane(0.5)]).is_err(), "a lane is missing");
        for wrong in [
            Lane { sha256: "d2".to_owned(), ..lane(0.4) }, // other bytes
            Lane { bytes: 2, ..lane(0.4) },                // another upload
            Lane { pings: 3, ..lane(0.4) },                // hardly a ping
        ] {
            assert!(race(lane(1.0), wrong.clone(), lane(0.5)).is_err(), "{wrong:?}");
            assert!(race(wrong.clone(), lane(0.3), lane(0.3)).is_err(), "{wrong:?}");
            assert!(race(lane(1.0), lane(0.4), wrong.clone()).is_err(), "{wrong:?}");
        }
    }
}
