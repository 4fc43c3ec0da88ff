//! Packages of Debian: installed by apt as root, asked for otherwise. sudo is never called.

use std::env;
use std::path::Path;
use std::process::Command;

use anyhow::{Result, bail};

use super::{Missing, on_path};
use crate::process;

/// Whose exit code says whether an installation may start services; where it is not there, it does.
const POLICY: &str = "/usr/sbin/policy-rc.d";

/// What is to be installed, and the words for where that cannot be done.
#[derive(Clone, Copy, Debug)]
pub(super) struct Wanted<'a> {
    /// What is missing, as the beginning of a sentence: `chromium or its driver`.
    pub(super) what: &'a str,
    /// The packages that bring it.
    pub(super) packages: &'a [&'a str],
    /// Whether Debian starts one of them as a service when it is installed.
    pub(super) starts: bool,
    /// What to do on other systems, in whole sentences.
    pub(super) elsewhere: &'a str,
}

/// Installs it, on Debian as root, with a line that says so.
///
/// # Errors
///
/// [`Missing`] elsewhere, for others, and if that would start a service; or if apt fails.
pub(super) fn install(wanted: Wanted<'_>) -> Result<()> {
    let Wanted { what, packages, starts, elsewhere } = wanted;
    if !is_debian() {
        bail!(Missing(format!("{what} is missing. {elsewhere}")));
    }
    let names = packages.join(" ");
    let command = format!("apt-get update && apt-get install -y --no-install-recommends {names}");
    if !is_root() || on_path(&["apt-get"]).is_none() {
        bail!(Missing(format!("{what} is missing. Type as root:\n{command}")));
    }
    if starts && !Path::new(POLICY).exists() {
        bail!(Missing(format!(
            "{what} is missing, and is not installed from here, since Debian would start it as a service.\n\
             Type as root, and stop the services if you do not want them:\n{command}"
        )));
    }
    println!("{what} is missing: installing {names} by apt-get, as this is Debian and you are root");
    let apt = |arguments: &[&str]| {
        process::run(Command::new("apt-get").args(arguments).env("DEBIAN_FRONTEND", "noninteractive"))
    };
    apt(&["update"])?;
    apt(&[&["install", "-y", "--no-install-recommends"], packages].concat())
}

/// Only Debian itself: Ubuntu's packages of the same names may bring something else, such as a snap.
fn is_debian() -> bool {
    let text = std::fs::read_to_string("/etc/os-release").unwrap_or_default();
    env::consts::OS == "linux"
        && text.lines().filter_map(|line| line.strip_prefix("ID=")).any(|id| id.trim_matches('"') == "debian")
}

/// Whether xtask may do everything.
#[cfg(unix)]
pub(crate) fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

/// Whether xtask may do everything.
#[cfg(not(unix))]
pub(crate) fn is_root() -> bool {
    false
}
