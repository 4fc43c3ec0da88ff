//! The proxies: which configuration of `docs/proxies.md` each runs, and how it is started as nobody in particular,
//! on loopback, with all that it writes below `target/proxies`.

use std::fmt::Write as _;
use std::fs::File;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result};

use super::document;
use crate::listen;
use crate::process::{self, Job};
use crate::tools::{self, daemons, debian};

/// How long a proxy may take to listen, on a loaded machine.
const LISTENS_WITHIN: Duration = Duration::from_secs(30);

/// Where the server stands in the document.
const BACKEND: &str = "127.0.0.1:8080";

/// The file with certificate and key there.
const PEM: &str = "/etc/ssl/private/chat.pem";

/// Apache's modules, by the names that `a2enmod` knows. The first two are always there in Debian.
const APACHE_MODULES: [&str; 8] =
    ["mpm_event", "authz_core", "proxy", "proxy_http", "proxy_wstunnel", "rewrite", "ssl", "http2"];

/// Where Debian's package has them.
const APACHE_MODULES_IN: &str = "/usr/lib/apache2/modules";

/// A proxy with one of the configurations.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Nginx,
    /// mod_proxy_http, which upgrades by itself since 2.4.47.
    Apache,
    /// mod_proxy_wstunnel, which was needed before.
    ApacheWstunnel,
    Lighttpd,
    Haproxy,
}

/// For how long a connection may be idle.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Idle {
    /// As the document has it: longer than any test.
    Long,
    /// A second.
    Short,
}

/// What clients speak with a proxy.
#[derive(Clone, Copy, Debug)]
pub(super) enum Front<'a> {
    /// `http:` and `ws:`.
    Plain,
    /// `https:` and `wss:`, with certificate and key in this file; HTTP/2 as well.
    Tls(&'a Path),
}

/// Where a proxy stands, and how it is meant to be there.
#[derive(Clone, Copy, Debug)]
pub(super) struct Setting<'a> {
    /// The whole document.
    pub(super) document: &'a str,
    /// The server behind it.
    pub(super) backend: SocketAddr,
    pub(super) idle: Idle,
    pub(super) front: Front<'a>,
}

/// A proxy that listens; gone when it is dropped.
pub(super) struct Proxy {
    /// Where it listens.
    pub(super) address: SocketAddr,
    is_secure: bool,
    _job: Job,
}

impl Proxy {
    /// Its origin as a page of its own has it, or with the scheme of a WebSocket.
    pub(super) fn url(&self, scheme: &str) -> String {
        let s = if self.is_secure { "s" } else { "" };
        format!("{scheme}{s}://{}", self.address)
    }
}

/// Where all of them keep their files.
fn directory() -> PathBuf {
    tools::target().join("proxies")
}

/// A file with a certificate for this machine, which nobody has issued, and its key; made anew.
///
/// # Errors
///
/// If it cannot be made.
pub(super) fn certificate() -> Result<PathBuf> {
    let directory = directory();
    std::fs::create_dir_all(&directory).with_context(|| format!("making {}", directory.display()))?;
    let [certificate, key, both] =
        ["certificate.pem", "key.pem", "chat.pem"].map(|name| directory.join(name));
    let mut openssl = Command::new(daemons::program("openssl")?);
    openssl.args(["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]);
    openssl.args(["-days", "2", "-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1"]);
    process::stdout_of(openssl.arg("-keyout").arg(&key).arg("-out").arg(&certificate))?;
    let text = std::fs::read_to_string(&certificate)? + &std::fs::read_to_string(&key)?;
    std::fs::write(&both, text).with_context(|| format!("writing {}", both.display()))?;
    Ok(both)
}

impl Kind {
    pub(super) const ALL: [Self; 5] =
        [Self::Nginx, Self::Apache, Self::ApacheWstunnel, Self::Lighttpd, Self::Haproxy];

    /// The name of its block in the document, and of its results.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Nginx => "nginx",
            Self::Apache => "apache",
            Self::ApacheWstunnel => "apache wstunnel",
            Self::Lighttpd => "lighttpd",
            Self::Haproxy => "haproxy",
        }
    }

    /// The same as part of a path and of a test's name.
    pub(super) fn slug(self) -> String {
        self.name().replace(' ', "_")
    }

    /// With which status it refuses while the server behind it is not there.
    pub(super) fn status_without_server(self) -> u16 {
        match self {
            Self::Nginx => 502,
            Self::Apache | Self::ApacheWstunnel | Self::Lighttpd | Self::Haproxy => 503,
        }
    }

    /// Whether it cuts connections on which nothing is sent. mod_proxy_wstunnel does not.
    pub(super) fn cuts_idle(self) -> bool {
        self != Self::ApacheWstunnel
    }

    /// Whether it takes a client for idle that only listens.
    pub(super) fn cuts_listeners(self) -> bool {
        self == Self::Lighttpd
    }

    /// What stands for a time without traffic in the document, and the same for a second.
    fn idle(self) -> (&'static str, &'static str) {
        match self {
            Self::Nginx => ("proxy_read_timeout 1h;", "proxy_read_timeout 1s;"),
            Self::Apache => ("timeout=3600", "timeout=1"),
            Self::ApacheWstunnel => ("ProxyTimeout 3600", "ProxyTimeout 1"),
            Self::Lighttpd => ("server.max-read-idle = 3600", "server.max-read-idle = 1"),
            Self::Haproxy => ("timeout tunnel  1h", "timeout tunnel  1s"),
        }
    }

    /// The name of the block with its lines for TLS.
    fn tls(self) -> &'static str {
        match self {
            Self::Nginx => "nginx tls",
            Self::Apache | Self::ApacheWstunnel => "apache tls",
            Self::Lighttpd => "lighttpd tls",
            Self::Haproxy => "haproxy tls",
        }
    }

    /// What listens in the document.
    fn listening(self) -> Option<&'static str> {
        match self {
            Self::Nginx => Some("    listen 80;\n"),
            Self::Apache | Self::ApacheWstunnel => Some("<VirtualHost *:80>\n"),
            // In its main file.
            Self::Lighttpd => None,
            Self::Haproxy => Some("    bind :80\n"),
        }
    }

    /// What listens at `address` in its stead, or stands before all the rest.
    fn moved(self, address: SocketAddr, setting: &Setting<'_>) -> Result<String> {
        let Front::Tls(pem) = setting.front else {
            return Ok(match self {
                Self::Nginx => format!("    listen {address};\n"),
                Self::Apache | Self::ApacheWstunnel => format!("<VirtualHost {address}>\n"),
                Self::Lighttpd => String::new(),
                Self::Haproxy => format!("    bind {address}\n"),
            });
        };
        let block = document::block(setting.document, self.tls())?;
        let port = match self {
            Self::Nginx => Some(("listen 443", format!("listen {address}"))),
            Self::Haproxy => Some(("bind :443", format!("bind {address}"))),
            Self::Apache | Self::ApacheWstunnel | Self::Lighttpd => None,
        };
        let replacements: Vec<_> = port.into_iter().chain([(PEM, pem.display().to_string())]).collect();
        let block = document::replaced(block, &replacements)?;
        Ok(match self {
            Self::Apache | Self::ApacheWstunnel => format!("<VirtualHost {address}>\n{block}"),
            _ => block,
        })
    }

    /// The document's configuration, for these addresses.
    fn configuration(self, address: SocketAddr, setting: &Setting<'_>) -> Result<String> {
        let Setting { document, backend, idle, .. } = *setting;
        let mut replacements = vec![match self {
            Self::Lighttpd => ("\"port\" => 8080", format!("\"port\" => {}", backend.port())),
            _ => (BACKEND, backend.to_string()),
        }];
        let moved = self.moved(address, setting)?;
        let before = if self.listening().is_some() { "" } else { &*moved };
        replacements.extend(self.listening().map(|listening| (listening, moved.clone())));
        if idle == Idle::Short {
            let (long, short) = self.idle();
            replacements.push((long, short.to_owned()));
        }
        let text = document::replaced(document::block(document, self.name())?, &replacements)?;
        Ok(format!("{before}{text}"))
    }

    /// The file around it, which in Debian the package brings: where the proxy writes, and who it is.
    fn frame(self, directory: &Path, address: SocketAddr, idle: Idle) -> String {
        let at = directory.display();
        match self {
            Self::Nginx => {
                let user = if debian::is_root() { "user root;\n" } else { "" };
                let temporary = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"];
                let temporary = temporary.map(|kind| format!("    {kind}_temp_path {at}/{kind};\n")).concat();
                format!(
                    "daemon off;\n{user}pid {at}/pid;\nerror_log {at}/error.log;\nworker_processes 1;\n\
                     events {{ worker_connections 512; }}\n\
                     http {{\n    access_log off;\n{temporary}    include {at}/chat.conf;\n}}\n"
                )
            }
            Self::Apache | Self::ApacheWstunnel => {
                let mut text = format!(
                    "ServerRoot {at}\nServerName localhost\nListen {address}\nPidFile {at}/pid\n\
                     DefaultRuntimeDir {at}\nErrorLog {at}/error.log\n"
                );
                for module in APACHE_MODULES {
                    // Writing to a `String` does not fail.
                    let _ = writeln!(text, "LoadModule {module}_module {APACHE_MODULES_IN}/mod_{module}.so");
                }
                if debian::is_root() {
                    text += "User www-data\nGroup www-data\n";
                }
                if self == Self::ApacheWstunnel {
                    // As before 2.4.47, where there was no other way.
                    text += "ProxyWebsocketFallbackToProxyHttp Off\n";
                }
                if idle == Idle::Short {
                    // The longer of this and the proxy's own counts.
                    text += "Timeout 1\n";
                }
                text + &format!("Include {at}/chat.conf\n")
            }
            Self::Lighttpd => format!(
                "server.document-root = \"{at}\"\nserver.bind = \"127.0.0.1\"\nserver.port = {}\n\
                 server.errorlog = \"{at}/error.log\"\nserver.pid-file = \"{at}/pid\"\n\
                 server.upload-dirs = ( \"{at}\" )\ninclude \"{at}/chat.conf\"\n",
                address.port()
            ),
            Self::Haproxy => "global\n    maxconn 500\n".to_owned(),
        }
    }

    fn command(self, directory: &Path) -> Result<Command> {
        let (main, chat) = (directory.join("main.conf"), directory.join("chat.conf"));
        let mut command;
        match self {
            Self::Nginx => {
                command = Command::new(daemons::program("nginx")?);
                command
                    .arg("-e")
                    .arg(directory.join("error.log"))
                    .arg("-p")
                    .arg(directory)
                    .arg("-c")
                    .arg(main);
            }
            Self::Apache | Self::ApacheWstunnel => {
                command = Command::new(daemons::program("apache2")?);
                command.arg("-DFOREGROUND").arg("-f").arg(main);
            }
            Self::Lighttpd => {
                command = Command::new(daemons::program("lighttpd")?);
                command.arg("-D").arg("-f").arg(main);
            }
            Self::Haproxy => {
                command = Command::new(daemons::program("haproxy")?);
                command.arg("-db").arg("-f").arg(main).arg("-f").arg(chat);
            }
        }
        Ok(command)
    }

    /// Where it keeps its files.
    fn directory(self, setting: &Setting<'_>) -> PathBuf {
        let idle = if setting.idle == Idle::Short { "-short" } else { "" };
        let front = if matches!(setting.front, Front::Tls(_)) { "-tls" } else { "" };
        directory().join(self.slug() + idle + front)
    }

    /// Starts it with the configuration that the document has for it.
    ///
    /// # Errors
    ///
    /// If the document has none, or the proxy does not listen; its log is then told.
    pub(super) fn start(self, setting: &Setting<'_>) -> Result<Proxy> {
        let directory = self.directory(setting);
        if directory.is_dir() {
            std::fs::remove_dir_all(&directory)
                .with_context(|| format!("removing {}", directory.display()))?;
        }
        std::fs::create_dir_all(&directory).with_context(|| format!("making {}", directory.display()))?;
        let output = directory.join("output.log");
        let started = listen::start(LISTENS_WITHIN, |address| {
            let chat = self.configuration(address, setting)?;
            std::fs::write(directory.join("chat.conf"), chat)?;
            std::fs::write(directory.join("main.conf"), self.frame(&directory, address, setting.idle))?;
            let mut command = self.command(&directory)?;
            let log = File::create(&output).with_context(|| format!("making {}", output.display()))?;
            command.stdout(log.try_clone()?).stderr(log);
            Ok(command)
        });
        let (job, address) = started.with_context(|| {
            let said = std::fs::read_to_string(&output).unwrap_or_default();
            format!("{}, which says {said:?}", self.name())
        })?;
        Ok(Proxy { address, is_secure: matches!(setting.front, Front::Tls(_)), _job: job })
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::{Front, Idle, Kind, Setting, document};

    /// Also where no proxy is installed: the document and the tests say the same.
    #[test]
    fn the_document_has_a_configuration_of_each_proxy_that_can_be_moved_to_other_ports() {
        let text = std::fs::read_to_string(document::path()).unwrap();
        let (address, backend) = ("127.0.0.1:9001".parse().unwrap(), "127.0.0.1:9002".parse().unwrap());
        for kind in Kind::ALL {
            for idle in [Idle::Long, Idle::Short] {
                for front in [Front::Plain, Front::Tls(Path::new("/tmp/both.pem"))] {
                    let is_secure = matches!(front, Front::Tls(_));
                    let setting = Setting { document: &text, backend, idle, front };
                    let moved = kind.configuration(address, &setting).unwrap();
                    assert!(moved.contains("9002") && !moved.contains("8080"), "{moved}");
                    assert!(![":80", " 80", "443"].iter().any(|port| moved.contains(port)), "{moved}");
                    assert_eq!(moved.contains("/tmp/both.pem"), is_secure, "{moved}");
                }
            }
        }
    }
}
