//! Plain mode through what stands between client and server: nginx, Apache, lighttpd and HAProxy, with the very
//! configurations that `docs/proxies.md` has for users.
//!
//! Each proxy runs twice in front of an embedded server of its own: as the document has it, and with a second instead
//! of an hour for connections on which nothing is sent.

mod browsers;
mod checks;
mod document;
mod ends;
mod kind;

use std::cell::Cell;

use anyhow::{Context as _, Result};

use self::kind::{Front, Idle, Kind, Proxy, Setting};
use super::way::{self, Way};
use super::{Places, Session};
use crate::server::{self, Config, Running};

/// What is spoken with the server, and offered in this order.
const SUBPROTOCOLS: &[&str] = &["chat.v2", "chat.v1"];

/// A proxy with its server, and the ways to it.
struct Scene {
    kind: Kind,
    /// Through the proxy, as users have it.
    way: Way,
    /// Through the one with a short time for what is idle.
    short: Way,
    /// Past both.
    direct: Way,
    // Taken by the check that stops it.
    _proxy: Proxy,
    short_proxy: Cell<Option<Proxy>>,
    server: Cell<Option<Running>>,
}

impl Scene {
    fn start(kind: Kind, document: &str, subprotocols: &'static [&'static str]) -> Result<Self> {
        let server = server::start(Config::default()).context("starting the embedded server")?;
        let way = |address| Way { address, subprotocols };
        let setting = Setting { document, backend: server.address(), idle: Idle::Long, front: Front::Plain };
        let proxy = kind.start(&setting)?;
        let short_proxy = kind.start(&Setting { idle: Idle::Short, ..setting })?;
        Ok(Self {
            kind,
            way: way(proxy.address),
            short: way(short_proxy.address),
            direct: way(server.address()),
            _proxy: proxy,
            short_proxy: Cell::new(Some(short_proxy)),
            server: Cell::new(Some(server)),
        })
    }

    /// The route that sends everything back, and chooses a subprotocol if some are offered.
    fn echo(&self) -> &'static str {
        if self.way.subprotocols.is_empty() { "/echo" } else { "/subprotocol" }
    }

    /// The same with parameters.
    fn echo_with(&self, parameters: &str) -> String {
        format!("{}?{parameters}", self.echo())
    }
}

/// Runs all checks through each proxy, on the host and in browsers.
pub(super) fn run(session: &mut Session, places: &Places) {
    let read = || std::fs::read_to_string(document::path()).context("reading docs/proxies.md");
    let Some(document) = session.step("proxies: read the document", |_| read()) else { return };
    if places.node {
        for kind in Kind::ALL {
            session.step(&format!("proxies: {}, on the host", kind.name()), |tally| {
                let scene = Scene::start(kind, &document, SUBPROTOCOLS)?;
                let suite = format!("proxies::{}", kind.slug());
                let idle = if kind.cuts_idle() { ends::IDLE } else { &[] };
                way::run(&suite, &scene, &[checks::CHECKS, idle, ends::CHECKS].concat(), tally)
            });
        }
    }
    browsers::run(session, places, &document);
}
