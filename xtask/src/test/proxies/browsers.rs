//! The npm package in browsers, through every proxy: the page comes the same way as its connections, over TLS, which
//! ends at the proxy. Its checks are in `tests/proxies`.

use std::time::Duration;

use anyhow::{Context as _, Result};

use super::SUBPROTOCOLS;
use super::kind::{self, Front, Idle, Kind, Proxy, Setting};
use crate::dist::{self, Package};
use crate::place::{Browser, Place};
use crate::server::{self, Config, Running};
use crate::steps::Steps;
use crate::test::{Places, Session, Tally, package};
use crate::tools::{self, browsers};
use crate::webdriver;

/// How long the checks of one page may take, on a loaded machine.
const PAGE_LIMIT: Duration = Duration::from_secs(180);

/// All proxies in front of one server.
struct Street {
    /// The second with a short time for what is idle, where it cuts that.
    proxies: Vec<(Kind, Proxy, Option<Proxy>)>,
    _server: Running,
}

impl Street {
    fn start(package: &Package, document: &str) -> Result<Self> {
        let tests = tools::root().join("tests");
        let roots = [
            ("/page", tests.join("proxies")),
            ("/checks", tests.join("package/checks")),
            ("/pkg", package.directory.clone()),
        ];
        let roots = roots.map(|(path, directory)| (path.to_owned(), directory)).to_vec();
        let server =
            server::start(Config { roots, ..Config::default() }).context("starting the embedded server")?;
        let backend = server.address();
        let pem = kind::certificate()?;
        let both = |kind: Kind| {
            let long = Setting { document, backend, idle: Idle::Long, front: Front::Tls(&pem) };
            let short = || kind.start(&Setting { idle: Idle::Short, ..long });
            Ok((kind, kind.start(&long)?, kind.cuts_idle().then(short).transpose()?))
        };
        Ok(Self { proxies: Kind::ALL.into_iter().map(both).collect::<Result<_>>()?, _server: server })
    }
}

/// Runs the checks of the page in every browser through every proxy.
pub(super) fn run(session: &mut Session, places: &Places, document: &str) {
    if places.browsers.is_empty() {
        return;
    }
    let Some(package) =
        session.step("proxies: build the npm package", |_| dist::build(&mut Steps::default()))
    else {
        return;
    };
    let Some(street) = session.step("proxies: start all for browsers", |_| Street::start(&package, document))
    else {
        return;
    };
    for (browser, weight) in places.browsers.iter().copied() {
        session.weighed(weight, &format!("proxies: in {browser}"), |tally| check(browser, &street, tally));
    }
}

fn check(browser: Browser, street: &Street, tally: &mut Tally) -> Result<()> {
    let driven = webdriver::Session::start(&browsers::find(browser)?.trusting_anybody())?;
    let mut result = Ok(());
    for (kind, proxy, short) in &street.proxies {
        let page = format!(
            "{}/page/?short={}&protocols={}",
            proxy.url("http"),
            short.as_ref().map(|proxy| proxy.url("ws")).unwrap_or_default(),
            SUBPROTOCOLS.join(",")
        );
        let suite = format!("proxies::{}", kind.slug());
        let passed = driven.open(&page).and_then(|()| {
            let outcome = package::outcome(&driven, PAGE_LIMIT)?;
            package::judge(&outcome, &package::Choice::default(), &suite, |_| Place::Page(browser), tally)
        });
        // The others are still of interest.
        result = result.and(passed.with_context(|| format!("through {}", kind.name())));
    }
    result
}
