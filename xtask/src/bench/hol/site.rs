//! What is measured against: xtask's own server, which also has the pages, the one in Node if it is wanted, and a link in
//! front of each.

use std::net::SocketAddr;

use anyhow::{Context as _, Result};
use serde::{Deserialize, Serialize};

use super::Upload;
use crate::bench::pages::{self, Prepared};
use crate::bench::{self, node};
use crate::link::{Link, Shape};
use crate::place::Browser;
use crate::process::Job;
use crate::server::{self, Config, Running};
use crate::steps::Steps;
use crate::tools::browsers;
use crate::webdriver::Session;

/// Whose server is at the other end.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Server {
    /// The crate's, in xtask itself.
    #[default]
    Rust,
    /// The npm package's.
    Node,
}

impl Server {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Rust => "Rust",
            Self::Node => "Node",
        }
    }
}

/// Which of them tidegate mode is measured against.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum Servers {
    /// The crate's
    Rust,
    /// `tidegate/server` of the npm package
    Node,
    /// Both, one after the other
    Both,
}

impl Servers {
    pub(super) fn all(self) -> &'static [Server] {
        match self {
            Self::Rust => &[Server::Rust],
            Self::Node => &[Server::Node],
            Self::Both => &[Server::Rust, Server::Node],
        }
    }
}

/// See the module's page.
pub(super) struct Site {
    rust: Running,
    node: Option<(Job, SocketAddr)>,
}

impl Site {
    /// Builds, installs and starts what is wanted, once the browsers are found: they are what may be missing.
    ///
    /// # Errors
    ///
    /// If something does not build or start, or a tool is missing.
    pub(super) fn start(steps: &mut Steps, browsers: &[Browser], servers: Servers) -> Result<Self> {
        for browser in browsers {
            steps.run(&format!("find {browser}"), || browsers::find(*browser))?;
        }
        let Prepared { roots, project } = pages::prepare(steps)?;
        let rust = server::start(Config { roots, isolates: true, ..Config::default() })?;
        let node = servers.all().contains(&Server::Node).then(|| {
            steps.run("server in Node: install and start", || {
                node::install(&project)?;
                node::start(&project)
            })
        });
        let node = node.transpose()?;
        Ok(Self { rust, node })
    }

    fn address(&self, server: Server) -> Result<SocketAddr> {
        match server {
            Server::Rust => Ok(self.rust.address()),
            Server::Node => {
                let (_, address) = self.node.as_ref().context("the server in Node was not started")?;
                Ok(*address)
            }
        }
    }

    /// A link in front of `server` whose way that is measured has this shape, and whose other way is free.
    pub(super) fn link(&self, server: Server, shape: Shape, down: bool) -> Result<Way> {
        let address = self.address(server)?;
        let (up, back) = if down { (Shape::default(), shape) } else { (shape, Shape::default()) };
        Ok(Way { server, address, link: Link::start(address, up, back)?, down })
    }

    /// The page, open in a browser.
    pub(super) fn open(&self, browser: Browser) -> Result<Page> {
        let session = Session::start(&browsers::find(browser)?)?;
        session.open(&format!("http://{}/bench/hol.html", self.rust.address()))?;
        Ok(Page { session })
    }
}

/// A server with the link to it.
pub(super) struct Way {
    pub(super) server: Server,
    address: SocketAddr,
    pub(super) link: Link,
    down: bool,
}

/// What the page is to do.
#[derive(Clone, Debug)]
pub(super) struct Asked<'a> {
    pub(super) contender: &'a str,
    pub(super) bytes: u64,
    pub(super) piece_bytes: u32,
    pub(super) bytes_per_second: u32,
    /// How long what is under way may queue, in milliseconds; by default as the contender has it.
    pub(super) budget_delay_ms: Option<u64>,
    /// A name that no other upload has.
    pub(super) run: String,
}

/// The page of the bench.
pub(super) struct Page {
    session: Session,
}

impl Page {
    /// The names of all contenders that are wanted, behind the first.
    pub(super) fn contenders(&self, down: bool, is_wanted: impl Fn(&str) -> bool) -> Result<Vec<String>> {
        bench::named(&self.session, if down { "receivers" } else { "contenders" }, is_wanted)
    }

    /// Has it do one upload, or download, over `way`.
    pub(super) fn ask(&self, way: &Way, asked: &Asked<'_>) -> Result<Upload> {
        let Asked { contender, bytes, piece_bytes, bytes_per_second, budget_delay_ms, run } = asked;
        let call = if way.down {
            "return bench.download(arguments[0])"
        } else {
            "return bench.upload(arguments[0])"
        };
        let options = serde_json::json!({
            "contender": contender,
            "bytes": bytes,
            "pieceBytes": piece_bytes,
            "bytesPerSecond": bytes_per_second,
            "delay": budget_delay_ms,
            "link": format!("ws://{}", way.link.address()),
            "server": format!("ws://{}", way.address),
            "run": run,
        });
        let told = self.session.run(call, &[options]).with_context(|| run.clone())?;
        serde_json::from_value(told).context("reading what the page tells")
    }
}

#[cfg(test)]
mod tests {
    use super::{Server, Servers};

    #[test]
    fn both_is_one_after_the_other() {
        assert_eq!(Servers::Both.all(), [Server::Rust, Server::Node]);
        assert_eq!((Servers::Rust.all(), Servers::Node.all()), (&[Server::Rust][..], &[Server::Node][..]));
    }
}
