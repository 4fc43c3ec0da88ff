//! Chromium with chromedriver, Firefox with geckodriver, WebKitGTK with WebKitWebDriver and a screen: found,
//! or installed where that is allowed.
//!
//! Looked for in this order: the variables `CHROMEDRIVER`, `CHROMIUM`, `GECKODRIVER`, `FIREFOX`,
//! `WEBKITWEBDRIVER`, `XVFB`; tidegate's cache (geckodriver); the search path. On Debian as root missing ones
//! come by apt, with a line that says so; elsewhere the command is printed. sudo is never called.

use std::env;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result};
use serde_json::{Value, json};

use super::screen::Screen;
use super::{cache, cargo, debian, on_path};
use crate::place::Browser;
use crate::process;

/// Not in Debian, and its npm package downloads a program in an install script; so it is compiled.
const GECKODRIVER_VERSION: &str = "0.37.1";

const CHROMIUM: [&str; 4] = ["chromium", "chromium-browser", "google-chrome", "google-chrome-stable"];
const FIREFOX: [&str; 2] = ["firefox-esr", "firefox"];

/// How long a page may take to answer its driver.
const SCRIPT_MILLISECONDS: u32 = 600_000;

/// Quiet start, no outside connections; the sandbox does not work for root, and tests load only our pages,
/// which may collect garbage.
const CHROMIUM_SWITCHES: [&str; 10] = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--js-flags=--expose-gc",
];

/// With what chromedriver starts Chromium so that a hidden page is like one that is seen.
const UNTHROTTLED: [&str; 3] = [
    "disable-background-timer-throttling",
    "disable-renderer-backgrounding",
    "disable-backgrounding-occluded-windows",
];

/// A browser and its driver on this machine.
#[derive(Clone, Debug)]
pub(crate) struct Found {
    /// Which one.
    pub(crate) browser: Browser,
    /// The browser's program. `None` for WebKitGTK's, which only its driver has to find: it lies beside the
    /// library, in a directory that each distribution calls otherwise.
    pub(crate) program: Option<PathBuf>,
    /// The program of its `WebDriver` server.
    pub(crate) driver: PathBuf,
    /// The program of the X server that it needs, if it knows no headless mode.
    screen: Option<PathBuf>,
    /// Switches that its driver is not to start it with, although it would.
    without: &'static [&'static str],
    /// Whether it takes certificates that nobody has issued.
    trusts_anybody: bool,
}

impl Found {
    /// The same browser, whose hidden pages have their timers held up as users have it: drivers prevent that.
    pub(crate) fn holding_timers_up(self) -> Self {
        Self { without: &UNTHROTTLED, ..self }
    }

    /// The same browser, which takes every certificate for good.
    pub(crate) fn trusting_anybody(self) -> Self {
        Self { trusts_anybody: true, ..self }
    }

    /// The command that prints the browser's version, where there is one.
    pub(crate) fn version(&self) -> Option<Command> {
        let mut command = Command::new(self.program.as_ref()?);
        command.arg("--version");
        Some(command)
    }

    /// The screen that the browser needs, if it needs one.
    ///
    /// # Errors
    ///
    /// If it cannot be started.
    pub(crate) fn screen(&self) -> Result<Option<Screen>> {
        self.screen.as_deref().map(Screen::start).transpose()
    }

    /// The variable by which wasm-bindgen's runner is told the driver.
    pub(crate) fn driver_variable(&self) -> &'static str {
        match self.browser {
            Browser::Chromium => "CHROMEDRIVER",
            Browser::Firefox => "GECKODRIVER",
            // Both speak the protocol as the standard has it, and neither is told anything about the browser.
            Browser::Webkit => "SAFARIDRIVER",
        }
    }

    /// The capabilities for a `WebDriver` session, as the value of `alwaysMatch`.
    pub(crate) fn capabilities(&self) -> Value {
        let mut capabilities = match self.browser {
            Browser::Chromium => json!({
                "goog:chromeOptions": { "binary": self.program, "args": CHROMIUM_SWITCHES, "excludeSwitches": self.without },
            }),
            Browser::Firefox => json!({
                "moz:firefoxOptions": {
                    "binary": self.program,
                    "args": ["-headless", "--no-remote"],
                    "prefs": {
                        // After failed attempts Firefox holds further ones to the same address back, by up
                        // to a minute; a page of checks makes a dozen that fail on purpose.
                        "network.websocket.delay-failed-reconnects": false,
                        // Six by default, and a handshake that was aborted, or a close that is never
                        // answered, counts for 20 s after its page has let go of it: so many of those
                        // stand in a row here that a good connection behind them would fail.
                        "network.http.max-persistent-connections-per-server": 250,
                        // `TestUtils.gc`, as Chromium's `gc`.
                        "dom.testing.testutils.enabled": true,
                    },
                },
            }),
            Browser::Webkit => json!({}),
        };
        if let Some(fields) = capabilities.as_object_mut() {
            // A page that is given a million messages answers nobody meanwhile. With WebDriver's 30 s the run would break off.
            fields.insert("timeouts".to_owned(), json!({ "script": SCRIPT_MILLISECONDS }));
            if self.trusts_anybody {
                fields.insert("acceptInsecureCerts".to_owned(), true.into());
            }
        }
        capabilities
    }
}

/// Finds `browser` with its driver, installing what is missing where that is allowed.
///
/// # Errors
///
/// [`Missing`](super::Missing) with the command to type, if something is missing and cannot be installed from here.
pub(crate) fn find(browser: Browser) -> Result<Found> {
    if let Some(found) = installed(browser)? {
        return Ok(found);
    }
    // geckodriver is in no package, so that only a missing Firefox is one for apt.
    if browser != Browser::Firefox || program(browser).is_none() {
        install(browser)?;
    }
    if browser == Browser::Firefox && driver(browser)?.is_none() {
        build_geckodriver()?;
    }
    installed(browser)?.with_context(|| format!("{browser} or its driver is missing after its installation"))
}

/// `browser` with its driver, if all of it is there; nothing is installed.
///
/// # Errors
///
/// If tidegate's cache cannot be found.
pub(crate) fn installed(browser: Browser) -> Result<Option<Found>> {
    let Some(driver) = driver(browser)? else { return Ok(None) };
    let (program, screen) = match browser {
        Browser::Chromium | Browser::Firefox => (program(browser), None),
        Browser::Webkit => (None, from_variable("XVFB").or_else(|| on_path(&["Xvfb"]))),
    };
    let is_whole = program.is_some() || screen.is_some();
    Ok(is_whole.then_some(Found { browser, program, driver, screen, without: &[], trusts_anybody: false }))
}

fn program(browser: Browser) -> Option<PathBuf> {
    match browser {
        Browser::Chromium => from_variable("CHROMIUM").or_else(|| on_path(&CHROMIUM)),
        Browser::Firefox => from_variable("FIREFOX").or_else(|| on_path(&FIREFOX)),
        Browser::Webkit => None,
    }
}

fn driver(browser: Browser) -> Result<Option<PathBuf>> {
    Ok(match browser {
        Browser::Chromium => from_variable("CHROMEDRIVER").or_else(|| on_path(&["chromedriver"])),
        Browser::Firefox => from_variable("GECKODRIVER")
            .or(Some(cached_geckodriver(&cache()?)).filter(|path| path.is_file()))
            .or_else(|| on_path(&["geckodriver"])),
        Browser::Webkit => from_variable("WEBKITWEBDRIVER").or_else(|| on_path(&["WebKitWebDriver"])),
    })
}

fn from_variable(name: &str) -> Option<PathBuf> {
    env::var_os(name).map(PathBuf::from).filter(|path| path.is_file())
}

fn cached_geckodriver(cache: &Path) -> PathBuf {
    cache.join("tools/bin").join(format!("geckodriver{}", env::consts::EXE_SUFFIX))
}

fn install(browser: Browser) -> Result<()> {
    let packages: &[&str] = match browser {
        Browser::Chromium => &["chromium", "chromium-driver"],
        Browser::Firefox => &["firefox-esr"],
        Browser::Webkit => &["webkit2gtk-driver", "xvfb"],
    };
    debian::install(debian::Wanted {
        what: &format!("{browser} or its driver"),
        packages,
        starts: false,
        elsewhere: elsewhere(browser),
    })
}

/// Ubuntu's packages of the names that Chromium and Firefox have only fetch snaps, which do not run everywhere;
/// so no command for it.
fn elsewhere(browser: Browser) -> &'static str {
    match (browser, env::consts::OS) {
        (Browser::Chromium, "macos") => {
            "Type\nbrew install --cask chromium && brew install --cask chromedriver"
        }
        (Browser::Firefox, "macos") => "Type\nbrew install --cask firefox",
        (Browser::Chromium, _) => {
            "Install Chromium or Chrome and the chromedriver of the same version\n\
             (https://googlechromelabs.github.io/chrome-for-testing), and put both on the search path,\n\
             or set CHROMIUM and CHROMEDRIVER to their programs."
        }
        (Browser::Firefox, _) => {
            "Install Firefox (https://www.mozilla.org/firefox) and put it on\n\
             the search path, or set FIREFOX to its program."
        }
        (Browser::Webkit, "linux") => {
            "Install WebKitGTK's driver and Xvfb, whose packages are\n\
             called webkit2gtk-driver and xvfb in Ubuntu, and put both on the search path, or set\n\
             WEBKITWEBDRIVER and XVFB to their programs."
        }
        (Browser::Webkit, _) => "WebKitGTK's driver runs on Linux only.",
    }
}

fn build_geckodriver() -> Result<()> {
    let root = cache()?.join("tools");
    println!("building geckodriver {GECKODRIVER_VERSION} once, into {} (a minute or more)", root.display());
    let mut install = cargo();
    install
        .args(["install", "--quiet", "geckodriver", "--version", GECKODRIVER_VERSION, "--root"])
        .arg(&root);
    // A target directory of its own: cargo makes a temporary one and removes it.
    process::run(install.env_remove("CARGO_TARGET_DIR").env_remove("CARGO_BUILD_TARGET"))
}
