//! The pages of `examples/web`, used as a visitor would use them.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use serde_json::Value;

use super::{Places, Session, Tally, package};
use crate::place::{Browser, Place};
use crate::server::{self, Config, Running};
use crate::tools::browsers;
use crate::{web_examples, webdriver};

/// How long anything in them may take, on a loaded machine.
const LIMIT: Duration = Duration::from_secs(60);

/// A check of a page, and its name.
type Check = (&'static str, fn(&Page<'_>) -> Result<()>);

/// All of them; each opens its page anew.
const CHECKS: [Check; 2] = [
    ("a_component_talks_while_it_is_shown_and_closes_when_it_goes", component),
    ("a_frame_loop_sends_and_receives_without_waiting", frame_loop),
];

/// Lets the page note its sockets, from now on.
const SPY: &str = "
    globalThis.sockets = [];
    globalThis.WebSocket = class extends WebSocket {
        constructor(...given) {
            super(...given);
            sockets.push(this);
        }
    };";

/// Builds the pages and runs all checks that are wanted in every browser.
pub(super) fn run(session: &mut Session, places: &Places) {
    let only = session.only.clone().unwrap_or_default();
    let checks: Vec<Check> = CHECKS.into_iter().filter(|(name, _)| name.contains(&only)).collect();
    if checks.is_empty() {
        return;
    }
    let Some(roots) = session.step("web examples: build", |_| web_examples::build()) else { return };
    let start =
        || server::start(Config { roots, ..Config::default() }).context("starting the embedded server");
    let Some(server) = session.step("web examples: start the server", |_| start()) else { return };
    for (browser, weight) in places.browsers.iter().copied() {
        session.weighed(weight, &format!("web examples: in {browser}"), |tally| {
            check(browser, &server, &checks, tally)
        });
    }
}

fn check(browser: Browser, server: &Running, checks: &[Check], tally: &mut Tally) -> Result<()> {
    let driven = webdriver::Session::start(&browsers::find(browser)?)?;
    let page = Page { driven: &driven, server };
    let mut failed = 0;
    for (name, check) in checks {
        let began = Instant::now();
        let result = check(&page);
        let note = result
            .as_ref()
            .map_or_else(|error| format!("{error:#}"), |()| format!("{} ms", began.elapsed().as_millis()));
        package::report(tally, Place::Page(browser), "web_examples", name, result.is_ok(), &note);
        failed += usize::from(result.is_err());
    }
    if failed > 0 {
        bail!("{failed} of {} checks failed", checks.len());
    }
    Ok(())
}

/// Pages of `server` in a browser.
struct Page<'a> {
    driven: &'a webdriver::Session,
    server: &'a Running,
}

impl Page<'_> {
    fn open(&self, name: &str) -> Result<()> {
        self.driven.open(&format!("http://{}/examples/{name}/", self.server.address()))
    }

    /// Waits until an expression is true.
    fn until(&self, condition: &str) -> Result<()> {
        let limited = self.driven.wait(&format!("return {condition}"), LIMIT);
        limited.map(drop).with_context(|| {
            let seen = self.driven.run("return document.body.textContent", &[]);
            format!("waiting for {condition}; the page shows {}", seen.unwrap_or_default())
        })
    }

    fn run(&self, script: &str) -> Result<Value> {
        self.driven.run(script, &[])
    }

    /// Types a message, sends it, and waits for all that should have come back by then.
    fn say(&self, text: &str, lines: &[&str]) -> Result<()> {
        self.driven.fill(&self.driven.find("input")?, text)?;
        self.driven.click(&self.driven.find("form button")?)?;
        self.until(&format!("document.querySelectorAll('li').length === {}", lines.len()))?;
        let seen = self.run(
            "return [...document.querySelectorAll('li, input')].map((it) => it.value || it.textContent)",
        )?;
        let wanted: Vec<&str> = [&[""], lines].concat();
        if seen != Value::from(wanted.clone()) {
            bail!("the page shows {seen}, and not {wanted:?}");
        }
        Ok(())
    }
}

/// It connects, sends what is typed and shows what comes back in its order; hidden and shown, it has a new connection
/// each time, and the old one has closed, even if it was not open yet.
fn component(page: &Page<'_>) -> Result<()> {
    const OPEN: &str = "document.querySelector('[role=status]')?.textContent === 'open'";
    page.open("component")?;
    page.until(OPEN)?;
    // As a script of the page's own: those of a driver have another global object in Firefox.
    let spy = [SPY.into()];
    page.driven.run(
        "document.head.append(Object.assign(document.createElement('script'), { text: arguments[0] }))",
        &spy,
    )?;
    let toggle = page.driven.find("#toggle")?;
    page.driven.click(&toggle)?;
    page.until("document.querySelector('form') === null")?;
    page.driven.click(&toggle)?;
    page.until(OPEN)?;
    page.say("Gr\u{fc}\u{df}e", &["Gr\u{fc}\u{df}e"])?;
    page.say("\u{6c34} again", &["Gr\u{fc}\u{df}e", "\u{6c34} again"])?;
    page.driven.click(&toggle)?;
    page.until("sockets[0].readyState === WebSocket.CLOSED")?;
    for _ in 0..5 {
        page.driven.click(&toggle)?;
    }
    // It is shown now: the last one opens.
    page.until(OPEN)?;
    page.driven.click(&toggle)?;
    page.until("sockets.length === 4 && sockets.every((socket) => socket.readyState === WebSocket.CLOSED)")
}

/// Places come back with many frames, and the last one that did is drawn.
fn frame_loop(page: &Page<'_>) -> Result<()> {
    const DRAWN: &str = "parseFloat(document.getElementById('there').style.left)";
    page.open("frame_loop")?;
    page.until("parseInt(document.getElementById('status').textContent) >= 30")?;
    let place = page.run(&format!("return {DRAWN}"))?;
    let place =
        place.as_f64().filter(|place| (0.0..=100.0).contains(place)).context("it is drawn nowhere")?;
    page.until(&format!("{DRAWN} !== {place}"))
}
