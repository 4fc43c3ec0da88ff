//! Chromium with chromedriver, Firefox with geckodriver: found, or installed where that is allowed.
//!
//! Looked for in this order: the variables `CHROMEDRIVER`, `CHROMIUM`, `GECKODRIVER`, `FIREFOX`; tidegate's
//! cache (geckodriver); the search path. On Debian as root missing ones come by apt, with a line that
//! says so; elsewhere the command is printed. sudo is never called.

use std::env;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, bail};
use serde_json::{Value, json};

use super::{Missing, cache, cargo, on_path};
use crate::place::Browser;
use crate::process;

/// Not in Debian, and its npm package downloads a program in an install script; so it is compiled.
const GECKODRIVER_VERSION: &str = "0.37.1";

const CHROMIUM: [&str; 4] = ["chromium", "chromium-browser", "google-chrome", "google-chrome-stable"];
const FIREFOX: [&str; 2] = ["firefox-esr", "firefox"];

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

/// A browser and its driver on this machine.
#[derive(Clone, Debug)]
pub(crate) struct Found {
    /// Which one.
    pub(crate) browser: Browser,
    /// The browser's program.
    pub(crate) program: PathBuf,
    /// The program of its `WebDriver` server.
    pub(crate) driver: PathBuf,
}

impl Found {
    /// The command that prints the browser's version.
    pub(crate) fn version(&self) -> Command {
        let mut command = Command::new(&self.program);
        command.arg("--version");
        command
    }

    /// The variable by which wasm-bindgen's runner is told the driver.
    pub(crate) fn driver_variable(&self) -> &'static str {
        match self.browser {
            Browser::Chromium => "CHROMEDRIVER",
            Browser::Firefox => "GECKODRIVER",
        }
    }

    /// The capabilities for a `WebDriver` session, as the value of `alwaysMatch`.
    pub(crate) fn capabilities(&self) -> Value {
        match self.browser {
            Browser::Chromium => json!({
                "goog:chromeOptions": { "binary": self.program, "args": CHROMIUM_SWITCHES },
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
        }
    }
}

/// Finds `browser` with its driver, installing what is missing where that is allowed.
///
/// # Errors
///
/// [`Missing`] with the command to type, if something is missing and cannot be installed from here.
pub(crate) fn find(browser: Browser) -> Result<Found> {
    if program(browser).is_none() || (browser == Browser::Chromium && driver(browser)?.is_none()) {
        install(browser)?;
    }
    if browser == Browser::Firefox && driver(browser)?.is_none() {
        build_geckodriver()?;
    }
    let program = program(browser)
        .with_context(|| format!("{browser} is not on the search path after its installation"))?;
    let driver = driver(browser)?
        .with_context(|| format!("the driver of {browser} is missing after its installation"))?;
    Ok(Found { browser, program, driver })
}

/// `browser` with its driver, if both are there; nothing is installed.
///
/// # Errors
///
/// If tidegate's cache cannot be found.
#[cfg(test)]
pub(crate) fn installed(browser: Browser) -> Result<Option<Found>> {
    let (Some(program), Some(driver)) = (program(browser), driver(browser)?) else { return Ok(None) };
    Ok(Some(Found { browser, program, driver }))
}

fn program(browser: Browser) -> Option<PathBuf> {
    match browser {
        Browser::Chromium => from_variable("CHROMIUM").or_else(|| on_path(&CHROMIUM)),
        Browser::Firefox => from_variable("FIREFOX").or_else(|| on_path(&FIREFOX)),
    }
}

fn driver(browser: Browser) -> Result<Option<PathBuf>> {
    Ok(match browser {
        Browser::Chromium => from_variable("CHROMEDRIVER").or_else(|| on_path(&["chromedriver"])),
        Browser::Firefox => from_variable("GECKODRIVER")
            .or(Some(cached_geckodriver(&cache()?)).filter(|path| path.is_file()))
            .or_else(|| on_path(&["geckodriver"])),
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
    };
    let names = packages.join(" ");
    if !is_debian() {
        bail!(Missing(format!("{browser} or its driver is missing. {}", elsewhere(browser))));
    }
    if !is_root() || on_path(&["apt-get"]).is_none() {
        bail!(Missing(format!(
            "{browser} or its driver is missing. Type as root:\n\
             apt-get update && apt-get install -y --no-install-recommends {names}"
        )));
    }
    println!(
        "{browser} or its driver is missing: installing {names} by apt-get, as this is Debian and you are root"
    );
    let apt = |arguments: &[&str]| {
        process::run(Command::new("apt-get").args(arguments).env("DEBIAN_FRONTEND", "noninteractive"))
    };
    apt(&["update"])?;
    apt(&[&["install", "-y", "--no-install-recommends"], packages].concat())
}

/// Ubuntu's packages of these names only fetch snaps, which do not run everywhere; so no command for it.
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
    }
}

/// Only Debian itself: see [`elsewhere`].
fn is_debian() -> bool {
    let text = std::fs::read_to_string("/etc/os-release").unwrap_or_default();
    text.lines().filter_map(|line| line.strip_prefix("ID=")).any(|id| id.trim_matches('"') == "debian")
}

#[cfg(unix)]
fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

#[cfg(not(unix))]
fn is_root() -> bool {
    false
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
