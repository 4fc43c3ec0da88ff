//! Where tests run: the names under which results are recorded, and how a wasm test gets there.

use std::fmt;
use std::str::FromStr;

use anyhow::{Error, bail};

/// A browser that the tests and the demo drive.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, clap::ValueEnum)]
pub(crate) enum Browser {
    /// Chromium or Chrome, by chromedriver.
    Chromium,
    /// Firefox or Firefox ESR, by geckodriver.
    Firefox,
    /// WebKitGTK, by WebKitWebDriver: the engine of Safari, without its networking.
    Webkit,
}

impl Browser {
    /// Those that all tests have to pass in, in the order in which they run.
    pub(crate) const REQUIRED: [Self; 2] = [Self::Chromium, Self::Firefox];
}

impl fmt::Display for Browser {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Chromium => "chromium",
            Self::Firefox => "firefox",
            Self::Webkit => "webkit",
        })
    }
}

/// Where a test ran.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Place {
    /// On the host.
    Native,
    /// On the host, over the simulated transport.
    Sim,
    /// In Node: wasm, or the npm package.
    Node,
    /// In a page of a browser.
    Page(Browser),
    /// In a dedicated worker of a browser.
    Worker(Browser),
    /// In a shared worker of a browser.
    SharedWorker(Browser),
    /// In a service worker of a browser.
    ServiceWorker(Browser),
}

impl Place {
    /// All of them, in the order in which tables list them.
    pub(crate) const ALL: [Self; 15] = [
        Self::Native,
        Self::Sim,
        Self::Node,
        Self::Page(Browser::Chromium),
        Self::Worker(Browser::Chromium),
        Self::SharedWorker(Browser::Chromium),
        Self::ServiceWorker(Browser::Chromium),
        Self::Page(Browser::Firefox),
        Self::Worker(Browser::Firefox),
        Self::SharedWorker(Browser::Firefox),
        Self::ServiceWorker(Browser::Firefox),
        Self::Page(Browser::Webkit),
        Self::Worker(Browser::Webkit),
        Self::SharedWorker(Browser::Webkit),
        Self::ServiceWorker(Browser::Webkit),
    ];

    /// The name in tables, in recorded results and in `TIDEGATE_PLACE`.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Native => "native",
            Self::Sim => "sim",
            Self::Node => "node",
            Self::Page(Browser::Chromium) => "chromium",
            Self::Page(Browser::Firefox) => "firefox",
            Self::Page(Browser::Webkit) => "webkit",
            Self::Worker(Browser::Chromium) => "chromium-worker",
            Self::Worker(Browser::Firefox) => "firefox-worker",
            Self::Worker(Browser::Webkit) => "webkit-worker",
            Self::SharedWorker(Browser::Chromium) => "chromium-shared-worker",
            Self::SharedWorker(Browser::Firefox) => "firefox-shared-worker",
            Self::SharedWorker(Browser::Webkit) => "webkit-shared-worker",
            Self::ServiceWorker(Browser::Chromium) => "chromium-service-worker",
            Self::ServiceWorker(Browser::Firefox) => "firefox-service-worker",
            Self::ServiceWorker(Browser::Webkit) => "webkit-service-worker",
        }
    }

    /// The browser it is in, if any.
    pub(crate) fn browser(self) -> Option<Browser> {
        match self {
            Self::Page(browser)
            | Self::Worker(browser)
            | Self::SharedWorker(browser)
            | Self::ServiceWorker(browser) => Some(browser),
            Self::Native | Self::Sim | Self::Node => None,
        }
    }

    /// The variable that makes wasm-bindgen's test runner go there; `None` on the host.
    pub(crate) fn runner_variable(self) -> Option<&'static str> {
        match self {
            Self::Native | Self::Sim => None,
            Self::Node => Some("WASM_BINDGEN_USE_NODE_EXPERIMENTAL"),
            Self::Page(_) => Some("WASM_BINDGEN_USE_BROWSER"),
            Self::Worker(_) => Some("WASM_BINDGEN_USE_DEDICATED_WORKER"),
            Self::SharedWorker(_) => Some("WASM_BINDGEN_USE_SHARED_WORKER"),
            Self::ServiceWorker(_) => Some("WASM_BINDGEN_USE_SERVICE_WORKER"),
        }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl FromStr for Place {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self, Error> {
        let known = Self::ALL.into_iter().find(|place| place.name() == name);
        let Some(place) = known else {
            bail!("no place is called `{name}`; there are {}", Self::ALL.map(Self::name).join(", "));
        };
        Ok(place)
    }
}
