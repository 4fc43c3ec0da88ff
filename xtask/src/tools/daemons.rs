//! Programs of others that listen: proxies in front of a server, and a server with WebSockets.
//!
//! Not here: how they are configured and started (`test::proxies`, `test::foreign`).

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, anyhow};

use super::{debian, on_path};

/// The programs, and Debian's packages of them; with what makes certificates for them. Of Apache only what has the program: the package `apache2` adds
/// nothing but the service.
const PROGRAMS: [(&str, &str); 6] = [
    ("nginx", "nginx"),
    ("apache2", "apache2-bin"),
    ("lighttpd", "lighttpd"),
    ("haproxy", "haproxy"),
    ("libwebsockets-test-server", "libwebsockets-test-server"),
    ("openssl", "openssl"),
];

/// What lighttpd needs for TLS, which Debian has in a package of its own.
const LIGHTTPDS_TLS: (&str, &str) = ("/usr/lib/lighttpd/mod_openssl.so", "lighttpd-mod-openssl");

/// Where Debian keeps programs of services, which is not on every user's search path.
const SERVICES: [&str; 2] = ["/usr/sbin", "/usr/local/sbin"];

/// Makes sure that all of them are there.
///
/// # Errors
///
/// [`Missing`](super::Missing) if one has to be installed by the user.
pub(crate) fn find() -> Result<()> {
    let no_tls = || Some(LIGHTTPDS_TLS).filter(|(path, _)| !Path::new(path).is_file());
    let missing = || PROGRAMS.into_iter().filter(|(name, _)| installed(name).is_none()).chain(no_tls());
    let (names, packages): (Vec<_>, Vec<_>) = missing().unzip();
    if names.is_empty() {
        return Ok(());
    }
    debian::install(debian::Wanted {
        what: &names.join(" and "),
        packages: &packages,
        starts: true,
        elsewhere: "The tests through proxies are made for Debian's packages of nginx, Apache, lighttpd,\n\
                    HAProxy and libwebsockets.",
    })?;
    missing().next().map_or(Ok(()), |(name, _)| Err(anyhow!("{name} is missing after its installation")))
}

/// The program of that name.
///
/// # Errors
///
/// If it is not there.
pub(crate) fn program(name: &str) -> Result<PathBuf> {
    installed(name).with_context(|| format!("the program {name} is missing"))
}

fn installed(name: &str) -> Option<PathBuf> {
    let in_services = || SERVICES.iter().map(|place| Path::new(place).join(name)).find(|path| path.is_file());
    on_path(&[name]).or_else(in_services)
}
