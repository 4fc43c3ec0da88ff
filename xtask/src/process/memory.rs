//! A bound for the memory of a tree of processes. A browser whose page makes it hoard is ended before the machine
//! stands still, and the run says why.
//!
//! Linux only: it reads `/proc`. Elsewhere nothing is watched.

use std::sync::{Arc, OnceLock, mpsc};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use anyhow::{Context as _, Result};

use super::{descendants, kill};

/// Names the bound, in MiB; 0 is none. Default: a third of the machine's memory.
const VARIABLE: &str = "TIDEGATE_BROWSER_MEMORY";

/// How often a tree is looked at. WebKit's processes have been seen to grow by a GB a second.
const LOOK_EVERY: Duration = Duration::from_millis(250);

const MEBIBYTE: u64 = 1 << 20;

/// How many bytes a browser with its driver may hold, or none if it may hold everything.
///
/// # Errors
///
/// If the variable is set to something other than a number.
pub(crate) fn browser_bound() -> Result<Option<u64>> {
    let chosen = std::env::var(VARIABLE).ok().filter(|value| !value.is_empty());
    let machine = std::fs::read_to_string("/proc/meminfo").unwrap_or_default();
    bound(chosen.as_deref(), kibibytes(&machine, "MemTotal"))
}

fn bound(chosen: Option<&str>, machine: Option<u64>) -> Result<Option<u64>> {
    let Some(chosen) = chosen else { return Ok(machine.map(|bytes| bytes / 3)) };
    let mebibytes: u64 =
        chosen.parse().with_context(|| format!("{VARIABLE}={chosen} is no number of MiB"))?;
    Ok(Some(mebibytes.saturating_mul(MEBIBYTE)).filter(|bytes| *bytes > 0))
}

/// How many bytes of the machine's memory `root` and what is below it hold.
///
/// That is what `/proc` calls resident, without the pages of files: programs and libraries, which all processes of a
/// browser have in common, and which the kernel drops when memory is short.
pub(crate) fn held(root: u32) -> u64 {
    let tree = std::iter::once(root).chain(descendants(root));
    tree.filter_map(|pid| std::fs::read_to_string(format!("/proc/{pid}/status")).ok())
        .map(|status| unshared(&status))
        .sum()
}

/// The same of one process, by its `/proc/PID/status`; nothing for one that has ended.
fn unshared(status: &str) -> u64 {
    ["RssAnon", "RssShmem"].into_iter().filter_map(|name| kibibytes(status, name)).sum()
}

/// The bytes in the line `NAME: 1234 kB`.
fn kibibytes(text: &str, name: &str) -> Option<u64> {
    let rest = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))?;
    rest.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()?.checked_mul(1024)
}

/// A tree of processes was ended because it held too much.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Outgrown {
    /// What it held, in bytes.
    pub(crate) held: u64,
    /// What it may have held, in bytes.
    pub(crate) bound: u64,
}

impl std::fmt::Display for Outgrown {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let [held, bound] = [self.held, self.bound].map(|bytes| bytes / MEBIBYTE);
        write!(f, "it was ended because it held {held} MiB, and may hold {bound} ({VARIABLE})")
    }
}

impl std::error::Error for Outgrown {}

/// Looks at a tree of processes from time to time, until it is dropped, and ends it when it holds too much.
pub(crate) struct Watch {
    outgrown: Arc<OnceLock<Outgrown>>,
    /// Dropped first, which ends the thread.
    stop: Option<mpsc::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Watch {
    /// Watches `root` and what is below it, if there is a bound. To be dropped before the child is waited for: until then its
    /// number belongs to nobody else.
    pub(crate) fn over(root: u32, bound: Option<u64>) -> Self {
        let outgrown = Arc::new(OnceLock::new());
        let (stop, stopped) = mpsc::channel();
        let thread = bound.map(|bound| {
            let outgrown = outgrown.clone();
            thread::spawn(move || watch(root, bound, &stopped, &outgrown))
        });
        Self { outgrown, stop: Some(stop), thread }
    }

    /// What it held when it was ended, if it was.
    pub(crate) fn outgrown(&self) -> Option<Outgrown> {
        self.outgrown.get().copied()
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        drop(self.stop.take());
        // It panics at nothing; if it did, there would be nothing left to stop.
        let _ = self.thread.take().map(JoinHandle::join);
    }
}

fn watch(root: u32, bound: u64, stopped: &mpsc::Receiver<()>, outgrown: &OnceLock<Outgrown>) {
    while matches!(stopped.recv_timeout(LOOK_EVERY), Err(mpsc::RecvTimeoutError::Timeout)) {
        let held = held(root);
        if held <= bound {
            continue;
        }
        // Told before the end, which others notice at once.
        let _ = outgrown.set(Outgrown { held, bound });
        // From the root on: who starts lost children anew is gone before they are.
        let tree: Vec<u32> = std::iter::once(root).chain(descendants(root)).collect();
        tree.into_iter().for_each(kill);
        return;
    }
}

#[cfg(test)]
mod tests {
    use super::{Outgrown, bound, kibibytes, unshared};

    const STATUS: &str = "Name:\tWebKitWebProces\nState:\tS (sleeping)\nVmPeak:\t99999999 kB\nVmRSS:\t  531000 kB\n\
                          RssAnon:\t  400000 kB\nRssFile:\t  130000 kB\nRssShmem:\t    1000 kB\nThreads:\t9\n";

    #[test]
    fn what_a_process_holds_is_read_without_the_pages_of_files() {
        assert_eq!(unshared(STATUS), 401_000 * 1024);
        // A zombie, or a thread of the kernel, has no such lines.
        assert_eq!(unshared("Name:\tsh\nState:\tZ (zombie)\n"), 0);
    }

    #[test]
    fn a_line_is_found_by_its_whole_name() {
        assert_eq!(kibibytes("MemTotal:       24689764 kB\n", "MemTotal"), Some(24_689_764 * 1024));
        assert_eq!(kibibytes("MemTotalX: 1 kB\nMem: 2 kB\n", "MemTotal"), None);
        for broken in
            ["MemTotal: many kB", "MemTotal: 5 MB", "MemTotal: -5 kB", "MemTotal: 18446744073709551615 kB"]
        {
            assert_eq!(kibibytes(broken, "MemTotal"), None, "{broken}");
        }
    }

    #[test]
    fn the_bound_is_a_third_of_the_machine_unless_another_is_chosen() {
        assert_eq!(bound(None, Some(24 << 30)).unwrap(), Some(8 << 30));
        assert_eq!(bound(Some("500"), Some(24 << 30)).unwrap(), Some(500 << 20));
        assert_eq!(bound(Some("0"), Some(24 << 30)).unwrap(), None);
        assert_eq!(bound(None, None).unwrap(), None);
        assert!(bound(Some("8G"), None).is_err());
    }

    #[test]
    fn the_reason_has_both_figures() {
        let said = Outgrown { held: 8_300 << 20, bound: 8_192 << 20 }.to_string();
        assert!(said.contains("8300 MiB") && said.contains("8192"), "{said}");
    }
}
