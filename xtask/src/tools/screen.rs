//! A screen that nobody sees, for browsers that cannot do without one: an X server that draws into memory.
//!
//! Started directly, not by `xvfb-run`: that needs `xauth`, which the package does not bring, and two of
//! them at once may choose the same number. This one chooses a free number itself and tells it.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result};

use crate::process::Job;

/// How long the server may take to listen; on a loaded machine it was a second.
const LIMIT: Duration = Duration::from_secs(30);

/// A screen; gone when it is dropped.
pub(crate) struct Screen {
    number: u32,
    _server: Job,
}

impl Screen {
    /// Starts `server`, the program of Xvfb.
    ///
    /// # Errors
    ///
    /// If it does not listen within half a minute.
    pub(crate) fn start(server: &Path) -> Result<Self> {
        let mut command = Command::new(server);
        command.args(["-displayfd", "1", "-nolisten", "tcp", "-screen", "0", "1280x1024x24"]);
        let (server, line) = Job::start_and_read(&mut command, LIMIT)?;
        let number =
            line.trim().parse().with_context(|| format!("Xvfb says `{line}`, which is no number"))?;
        Ok(Self { number, _server: server })
    }

    /// Has what `command` starts draw here, whatever screens the user has.
    pub(crate) fn take(&self, command: &mut Command) {
        let display = format!(":{}", self.number);
        command.env("DISPLAY", display).env("GDK_BACKEND", "x11").env_remove("WAYLAND_DISPLAY");
    }
}
