//! Driving a browser: a small client for WebDriver, as much of it as demo and package tests need.
//!
//! Not here: finding browsers (`tools::browsers`), what the pages do.
//!
//! # Specification
//!
//! <https://www.w3.org/TR/webdriver2/>

use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, anyhow, bail};
use base64::Engine as _;
use serde_json::{Value, json};

use crate::process::memory::{self, Watch};
use crate::process::{self, Job};
use crate::tools::browsers::Found;
use crate::tools::screen::Screen;

/// How long the driver may take to listen.
const DRIVER_LIMIT: Duration = Duration::from_secs(30);

/// How long one command may take; starting a browser on a loaded machine is the longest.
const COMMAND_LIMIT: Duration = Duration::from_secs(90);

/// How often a condition is looked at again.
const POLL: Duration = Duration::from_millis(50);

/// The key under which an element's reference stands (WebDriver, section 12).
const ELEMENT: &str = "element-6066-11e4-a52e-4f735466cecf";

/// A browser with one window; dropping it ends browser and driver.
///
/// It is ended also when it holds more memory than it may ([`memory::browser_bound`]); then every command fails with
/// [`memory::Outgrown`].
pub(crate) struct Session {
    agent: ureq::Agent,
    /// `http://127.0.0.1:PORT/session/ID`
    base: String,
    version: String,
    // Dropped after `Drop::drop`, which quits the browser first; the watch before what it watches, the screen last.
    watch: Watch,
    _driver: Job,
    _screen: Option<Screen>,
}

/// An element of the page.
#[derive(Clone, Debug)]
pub(crate) struct Element(String);

/// A tab of the browser.
#[derive(Clone, Debug)]
pub(crate) struct Window(String);

impl Session {
    /// Starts the driver and a headless browser; once more if the first attempt fails.
    ///
    /// # Errors
    ///
    /// If the browser does not start twice in a row, or it is set to no number what it may hold.
    pub(crate) fn start(found: &Found) -> Result<Self> {
        Self::start_within(found, memory::browser_bound()?)
    }

    /// The same with a bound of one's own, in bytes.
    fn start_within(found: &Found, bound: Option<u64>) -> Result<Self> {
        Self::attempt(found, bound).or_else(|error| {
            println!("{} did not start ({error:#}); trying once more", found.browser);
            Self::attempt(found, bound)
        })
    }

    fn attempt(found: &Found, bound: Option<u64>) -> Result<Self> {
        let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port();
        let mut command = Command::new(&found.driver);
        command.arg(format!("--port={port}")).env("TMPDIR", process::scratch()?);
        let screen = found.screen()?;
        if let Some(screen) = &screen {
            screen.take(&mut command);
        }
        let mut driver = Job::start(command.stdout(Stdio::null()).stderr(Stdio::null()))?;
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        let limit = Instant::now() + DRIVER_LIMIT;
        while TcpStream::connect(address).is_err() {
            if !driver.is_running() || Instant::now() > limit {
                bail!("the driver {} does not listen", found.driver.display());
            }
            thread::sleep(POLL);
        }
        // Errors come as JSON with a status of 400 or more, so the body is wanted then, too.
        let config =
            ureq::Agent::config_builder().timeout_global(Some(COMMAND_LIMIT)).http_status_as_error(false);
        let agent = ureq::Agent::from(config.build());
        let base = format!("http://{address}/session");
        let watch = driver.watched(bound);
        let version = String::new();
        let mut session = Self { agent, base, version, watch, _driver: driver, _screen: screen };
        let answer = session.post("", &json!({ "capabilities": { "alwaysMatch": found.capabilities() } }))?;
        let id = answer.get("sessionId").and_then(Value::as_str).context("the driver names no session")?;
        session.base = format!("{}/{id}", session.base);
        let version = answer.pointer("/capabilities/browserVersion").and_then(Value::as_str);
        version.unwrap_or("of no version").clone_into(&mut session.version);
        let limit = u64::try_from(COMMAND_LIMIT.as_millis())?;
        session.post("/timeouts", &json!({ "script": limit, "pageLoad": limit }))?;
        Ok(session)
    }

    /// The browser's version, as it says itself.
    pub(crate) fn version(&self) -> &str {
        &self.version
    }

    /// Goes to `url` and waits until the page has loaded.
    ///
    /// # Errors
    ///
    /// If the page does not load.
    pub(crate) fn open(&self, url: &str) -> Result<()> {
        self.post("/url", &json!({ "url": url })).with_context(|| format!("opening {url}"))?;
        Ok(())
    }

    /// Sets the size of the window, in CSS pixels.
    ///
    /// # Errors
    ///
    /// If the browser refuses.
    pub(crate) fn resize(&self, width: u32, height: u32) -> Result<()> {
        self.post("/window/rect", &json!({ "width": width, "height": height }))?;
        Ok(())
    }

    /// The first element that the CSS selector matches.
    ///
    /// # Errors
    ///
    /// If there is none.
    pub(crate) fn find(&self, selector: &str) -> Result<Element> {
        let found = self.post("/element", &json!({ "using": "css selector", "value": selector }));
        let found = found.with_context(|| format!("looking for {selector}"))?;
        let id = found.get(ELEMENT).and_then(Value::as_str).context("the driver names no element")?;
        Ok(Element(id.to_owned()))
    }

    /// Clicks in the middle of an element, as a user would.
    ///
    /// # Errors
    ///
    /// If it cannot be clicked, or something lies over it.
    pub(crate) fn click(&self, element: &Element) -> Result<()> {
        self.post(&format!("/element/{}/click", element.0), &json!({}))?;
        Ok(())
    }

    /// Empties a text field and types `text` into it.
    ///
    /// # Errors
    ///
    /// If it cannot be typed into.
    pub(crate) fn fill(&self, element: &Element, text: &str) -> Result<()> {
        self.post(&format!("/element/{}/clear", element.0), &json!({}))?;
        self.keys(element, text)
    }

    /// Chooses a file in a file input; its page sees a change as if a user had chosen it.
    ///
    /// # Errors
    ///
    /// If the element is no file input.
    pub(crate) fn choose_file(&self, element: &Element, path: &Path) -> Result<()> {
        let path = path.canonicalize().with_context(|| format!("finding {}", path.display()))?;
        self.keys(element, path.to_str().context("the driver takes UTF-8 paths only")?)
    }

    fn keys(&self, element: &Element, text: &str) -> Result<()> {
        self.post(&format!("/element/{}/value", element.0), &json!({ "text": text }))?;
        Ok(())
    }

    /// Runs `script` in the page, the body of a function called with `arguments`, and returns what it
    /// returns, a promise's value if it is one.
    ///
    /// # Errors
    ///
    /// If it throws, or takes too long.
    pub(crate) fn run(&self, script: &str, arguments: &[Value]) -> Result<Value> {
        self.post("/execute/sync", &json!({ "script": script, "args": arguments }))
    }

    /// Evaluates `script` until it gives something other than `null`, `false`, 0 and the empty text.
    ///
    /// # Errors
    ///
    /// If it throws, or `limit` has passed.
    pub(crate) fn wait(&self, script: &str, limit: Duration) -> Result<Value> {
        let set = |value: &Value| match value {
            Value::Null => false,
            Value::Bool(value) => *value,
            Value::Number(number) => number.as_f64() != Some(0.0),
            Value::String(text) => !text.is_empty(),
            Value::Array(_) | Value::Object(_) => true,
        };
        until(limit, || Ok(Some(self.run(script, &[])?).filter(set))).with_context(|| script.to_owned())
    }

    /// The tab that commands go to.
    ///
    /// # Errors
    ///
    /// If the driver does not say.
    pub(crate) fn window(&self) -> Result<Window> {
        let handle = self.call(self.agent.get(format!("{}/window", self.base)).call())?;
        Ok(Window(handle.as_str().context("the driver names no window")?.to_owned()))
    }

    /// Opens a tab in front of all others. Commands still go to the one that they went to.
    ///
    /// # Errors
    ///
    /// If the browser opens none.
    pub(crate) fn new_tab(&self) -> Result<Window> {
        let opened = self.post("/window/new", &json!({ "type": "tab" }))?;
        let handle = opened.get("handle").and_then(Value::as_str).context("the driver names no tab")?;
        Ok(Window(handle.to_owned()))
    }

    /// Has commands go to this tab from now on, and shows it.
    ///
    /// # Errors
    ///
    /// If it is not there any more.
    pub(crate) fn switch_to(&self, window: &Window) -> Result<()> {
        self.post("/window", &json!({ "handle": window.0 }))?;
        Ok(())
    }

    /// Closes the tab that commands go to; after that they go nowhere until [`switch_to`](Self::switch_to).
    ///
    /// # Errors
    ///
    /// If it is not there any more.
    pub(crate) fn close_window(&self) -> Result<()> {
        self.call(self.agent.delete(format!("{}/window", self.base)).call())?;
        Ok(())
    }

    /// A picture of what the window shows, as PNG.
    ///
    /// # Errors
    ///
    /// If the browser gives none.
    pub(crate) fn screenshot(&self) -> Result<Vec<u8>> {
        let picture = self.call(self.agent.get(format!("{}/screenshot", self.base)).call())?;
        let text = picture.as_str().context("the driver gives no picture")?;
        base64::engine::general_purpose::STANDARD.decode(text).context("decoding the screenshot")
    }

    fn post(&self, path: &str, body: &Value) -> Result<Value> {
        let request =
            self.agent.post(format!("{}{path}", self.base)).header("content-type", "application/json");
        self.call(request.send(body.to_string()))
    }

    /// Takes the `value` out of an answer, or makes an error of it: of its own end, if the browser was ended.
    fn call(&self, answer: Result<ureq::http::Response<ureq::Body>, ureq::Error>) -> Result<Value> {
        self.value(answer).map_err(|error| self.watch.outgrown().map_or(error, anyhow::Error::from))
    }

    fn value(&self, answer: Result<ureq::http::Response<ureq::Body>, ureq::Error>) -> Result<Value> {
        let mut answer = answer.with_context(|| format!("asking the driver at {}", self.base))?;
        let is_ok = answer.status().is_success();
        // A screenshot of a large window goes past the default bound of 10 MB.
        let text = answer.body_mut().with_config().limit(256 << 20).read_to_string()?;
        let mut answer: Value = serde_json::from_str(&text).context("reading the driver's answer")?;
        let value = answer.get_mut("value").map(Value::take).context("the driver's answer has no value")?;
        if is_ok {
            return Ok(value);
        }
        let part = |name: &str| value.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
        // The first line says it; what follows is the driver's stack.
        Err(anyhow!("{}: {}", part("error"), part("message").lines().next().unwrap_or_default()))
    }
}

/// Asks until there is an answer, some 20 times a second.
///
/// # Errors
///
/// If asking fails, or `limit` has passed.
pub(crate) fn until<T>(limit: Duration, mut ask: impl FnMut() -> Result<Option<T>>) -> Result<T> {
    let end = Instant::now() + limit;
    loop {
        if let Some(answer) = ask()? {
            return Ok(answer);
        }
        if Instant::now() > end {
            bail!("not so after {} s", limit.as_secs());
        }
        thread::sleep(POLL);
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        // Quits the browser and removes its profile; what is left after that, the job ends.
        let _ = self.call(self.agent.delete(&self.base).call());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::place::Browser;
    use crate::process::memory::Outgrown;
    use crate::tools::browsers;

    /// Also proof that no process is left behind. Not run where a browser is missing: `cargo test` alone
    /// installs nothing.
    #[test]
    fn a_page_is_driven_and_the_browser_gone_afterwards() {
        for browser in [Browser::Chromium, Browser::Firefox, Browser::Webkit] {
            let Some(found) = browsers::installed(browser).unwrap() else { continue };
            let session = Session::start(&found).unwrap();
            let page = "data:text/html,<input id=a><button onclick=\"document.title=a.value\">ok</button>";
            session.open(page).unwrap();
            session.fill(&session.find("#a").unwrap(), "typed ü").unwrap();
            session.click(&session.find("button").unwrap()).unwrap();
            assert_eq!(session.wait("return document.title", COMMAND_LIMIT).unwrap(), "typed ü", "{browser}");
            assert_eq!(session.run("return arguments[0] + 1", &[json!(2)]).unwrap(), 3);
            assert_eq!(session.run("return Promise.resolve('later')", &[]).unwrap(), "later");
            let error = session.find("#nothing").unwrap_err();
            assert!(format!("{error:#}").contains("no such element"), "{error:#}");
            assert!(session.screenshot().unwrap().starts_with(b"\x89PNG"));
        }
    }

    /// A page takes 16 MiB every 10 ms, for ever.
    #[cfg(target_os = "linux")]
    #[test]
    fn a_browser_whose_page_takes_more_than_it_may_is_ended() {
        const BOUND: u64 = 1 << 30;
        for browser in [Browser::Chromium, Browser::Firefox, Browser::Webkit] {
            let Some(found) = browsers::installed(browser).unwrap() else { continue };
            let session = Session::start_within(&found, Some(BOUND)).unwrap();
            session.open("data:text/html,<title>taking</title>").unwrap();
            let take = "const held = [];
                setInterval(() => held.push(new Uint8Array(16 << 20).fill(1)), 10);";
            session.run(take, &[]).unwrap();
            let error = session.wait("return false", COMMAND_LIMIT).unwrap_err();
            let outgrown = error.downcast::<Outgrown>().unwrap();
            assert!(outgrown.bound == BOUND && outgrown.held > BOUND, "{browser}: {outgrown}");
            // Everything fails with that from here on.
            assert!(session.find("title").unwrap_err().is::<Outgrown>());
        }
    }

    #[test]
    fn a_tab_hides_the_one_behind_it() {
        for browser in Browser::REQUIRED {
            let Some(found) = browsers::installed(browser).unwrap() else { continue };
            let session = Session::start(&found.holding_timers_up()).unwrap();
            session.open("data:text/html,<title>behind</title>").unwrap();
            let note = "document.addEventListener('visibilitychange', () => (document.title += document.visibilityState))";
            session.run(note, &[]).unwrap();
            let behind = session.window().unwrap();
            session.switch_to(&session.new_tab().unwrap()).unwrap();
            assert_eq!(session.run("return document.title", &[]).unwrap(), "", "{browser}");
            session.close_window().unwrap();
            session.switch_to(&behind).unwrap();
            session.wait("return document.title === 'behindhiddenvisible'", COMMAND_LIMIT).unwrap();
        }
    }
}
