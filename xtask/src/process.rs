//! Children of xtask: started in a process group of their own, and gone when xtask is, unless that is killed
//! outright (SIGKILL), which nobody can answer.
//!
//! Every child is started through this module. Three things keep browsers from being left behind:
//! a [`Job`] ends its whole process group when it is dropped; a handler does the same for all jobs on
//! Ctrl-C, SIGTERM and SIGHUP; and on Linux xtask is the *sub-reaper* of its descendants, so a browser
//! that leaves its driver's group (Chromium does) is handed to xtask when the driver dies, and found.
//!
//! Not here: which programs there are and how they are found (`tools`).

pub(crate) mod memory;

use std::ffi::OsStr;
use std::io::{BufRead, BufReader, Read};
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError, mpsc};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};

use self::memory::{Outgrown, Watch};

/// How long a child may take to end by itself after SIGTERM.
const GRACE: Duration = Duration::from_millis(1_500);

/// The process ids of all running jobs. Who holds this lock keeps new ones from starting.
static RUNNING: Mutex<Vec<u32>> = Mutex::new(Vec::new());

/// The temporary directory of this run, once it has been asked for.
static SCRATCH: Mutex<Option<PathBuf>> = Mutex::new(None);

fn running() -> MutexGuard<'static, Vec<u32>> {
    RUNNING.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Ends every child when it goes out of scope; `main` holds the only one.
pub(crate) struct Guard(());

/// Takes over the signals that end a process, so that its children end with it.
///
/// # Errors
///
/// If another handler is installed already.
pub(crate) fn guard() -> Result<Guard> {
    adopt_orphans();
    ctrlc::set_handler(|| {
        // Held until the process is gone: nothing may be started from here on.
        let jobs = running();
        end_all(&jobs);
        remove_scratch();
        std::process::exit(130);
    })
    .context("installing the handler for Ctrl-C")?;
    Ok(Guard(()))
}

impl Drop for Guard {
    fn drop(&mut self) {
        end_all(&running());
        remove_scratch();
    }
}

/// A directory for the temporary files of children, removed when xtask ends.
///
/// Browsers leave their profiles in the temporary directory when they are killed; with `TMPDIR` set to
/// this one, nothing is left. It is short, because Chromium puts a Unix socket below it.
///
/// # Errors
///
/// If the directory cannot be made.
pub(crate) fn scratch() -> Result<PathBuf> {
    let mut slot = SCRATCH.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(path) = slot.as_ref() {
        return Ok(path.clone());
    }
    let path = std::env::temp_dir().join(format!("tidegate-{}", std::process::id()));
    std::fs::create_dir_all(&path).with_context(|| format!("making {}", path.display()))?;
    *slot = Some(path.clone());
    Ok(path)
}

fn remove_scratch() {
    if let Some(path) = SCRATCH.lock().unwrap_or_else(PoisonError::into_inner).take() {
        // Best effort on the way out: a file that cannot be removed is no reason to fail.
        let _ = std::fs::remove_dir_all(path);
    }
}

/// A running child; dropping it ends the child with all of its descendants.
pub(crate) struct Job {
    child: Child,
    shown: String,
    ended: bool,
}

impl Job {
    /// Starts `command` in a process group of its own, without standard input.
    ///
    /// # Errors
    ///
    /// If the program cannot be started.
    pub(crate) fn start(command: &mut Command) -> Result<Self> {
        let shown = show(command);
        own_group(command.stdin(Stdio::null()));
        let mut jobs = running();
        let child = command.spawn().with_context(|| format!("starting `{shown}`"))?;
        jobs.push(child.id());
        Ok(Self { child, shown, ended: false })
    }

    /// Starts `command`, which goes on running, and waits for the first line of its output.
    ///
    /// # Errors
    ///
    /// If it cannot be started, or has written no line within `limit`.
    pub(crate) fn start_and_read(command: &mut Command, limit: Duration) -> Result<(Self, String)> {
        let mut job = Self::start(command.stdout(Stdio::piped()).stderr(Stdio::null()))?;
        let (sender, lines) = mpsc::channel();
        if let Some(pipe) = job.child.stdout.take() {
            thread::spawn(move || send_lines(pipe, &sender));
        }
        let line = lines.recv_timeout(limit);
        let line = line.with_context(|| format!("waiting for the first words of `{}`", job.shown))?;
        Ok((job, line))
    }

    /// Waits for the end of the child.
    ///
    /// # Errors
    ///
    /// If the operating system cannot tell how it ended.
    pub(crate) fn wait(mut self) -> Result<ExitStatus> {
        let status = self.child.wait().with_context(|| format!("waiting for `{}`", self.shown))?;
        self.ended = true;
        Ok(status)
    }

    /// Ends the child with all of its descendants when they hold more than `bound` bytes, as long as the watch lives.
    /// To be dropped before the job.
    pub(crate) fn watched(&self, bound: Option<u64>) -> Watch {
        Watch::over(self.child.id(), bound)
    }

    /// Whether the child is still running.
    pub(crate) fn is_running(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }
}

impl Drop for Job {
    fn drop(&mut self) {
        let pid = self.child.id();
        let mut family = descendants(pid);
        if !self.ended && self.is_running() {
            signal_group(pid, Signal::Term);
            let limit = Instant::now() + GRACE;
            while self.is_running() && Instant::now() < limit {
                thread::sleep(Duration::from_millis(20));
            }
            family.extend(descendants(pid));
        }
        // Also after an ordinary end: a child that left somebody behind in its group is cleaned up after.
        signal_group(pid, Signal::Kill);
        family.into_iter().for_each(kill);
        // All there is on systems without process groups.
        let _ = self.child.kill();
        // Reaps it; the outcome is known or of no interest.
        let _ = self.child.wait();
        let mut jobs = running();
        jobs.retain(|job| *job != pid);
        end_orphans(&jobs);
    }
}

/// Runs `command` with its output going where xtask's own goes.
///
/// # Errors
///
/// If it cannot be started or does not succeed.
pub(crate) fn run(command: &mut Command) -> Result<()> {
    let shown = show(command);
    let status = Job::start(command)?.wait()?;
    if !status.success() {
        bail!("`{shown}` failed ({status})");
    }
    Ok(())
}

/// What a child wrote, and how it ended.
pub(crate) struct Captured {
    /// Standard output.
    pub(crate) stdout: String,
    /// Standard error.
    pub(crate) stderr: String,
    /// How it ended.
    pub(crate) status: ExitStatus,
}

/// Runs `command` silently and returns what it wrote, whether it succeeded or not.
///
/// # Errors
///
/// If it cannot be started.
pub(crate) fn capture(command: &mut Command) -> Result<Captured> {
    let mut job = Job::start(command.stdout(Stdio::piped()).stderr(Stdio::piped()))?;
    let stdout = job.child.stdout.take().map(read_all);
    let stderr = job.child.stderr.take().map(read_all);
    let status = job.wait()?;
    Ok(Captured { stdout: joined(stdout), stderr: joined(stderr), status })
}

/// As [`capture`], for a program that is to end by itself.
///
/// # Errors
///
/// If it cannot be started, or still runs after `limit`: then it is ended with all of its descendants, and the error has
/// what it wrote until then.
pub(crate) fn capture_within(command: &mut Command, limit: Duration) -> Result<Captured> {
    let until = Instant::now() + limit;
    let mut job = Job::start(command.stdout(Stdio::piped()).stderr(Stdio::piped()))?;
    let stdout = job.child.stdout.take().map(read_all);
    let stderr = job.child.stderr.take().map(read_all);
    while job.is_running() {
        if Instant::now() > until {
            let shown = job.shown.clone();
            // Whoever has the ends of the pipes is gone after this.
            drop(job);
            let (stdout, stderr) = (joined(stdout), joined(stderr));
            bail!("`{shown}` did not end within {} s; it wrote\n{stdout}{stderr}", limit.as_secs_f32());
        }
        thread::sleep(Duration::from_millis(5));
    }
    let status = job.wait()?;
    Ok(Captured { stdout: joined(stdout), stderr: joined(stderr), status })
}

/// Runs `command` silently and returns its standard output.
///
/// # Errors
///
/// If it cannot be started or does not succeed; the error carries what it wrote.
pub(crate) fn stdout_of(command: &mut Command) -> Result<String> {
    let shown = show(command);
    let done = capture(command)?;
    if !done.status.success() {
        bail!("`{shown}` failed ({})\n{}{}", done.status, done.stdout, done.stderr);
    }
    Ok(done.stdout)
}

/// Runs `command`, shows what it writes to standard error, and returns its standard output.
///
/// # Errors
///
/// If it cannot be started or does not succeed.
pub(crate) fn stdout_shown(command: &mut Command) -> Result<String> {
    let shown = show(command);
    let mut job = Job::start(command.stdout(Stdio::piped()).stderr(Stdio::inherit()))?;
    let stdout = job.child.stdout.take().map(read_all);
    let status = job.wait()?;
    if !status.success() {
        bail!("`{shown}` failed ({status})");
    }
    Ok(joined(stdout))
}

/// What [`tee`] is told about each line: go on, or give up on the child.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wait {
    /// For the next line, or the end, without limit.
    Forever,
    /// For the next line, or the end, until this moment; then the child is ended.
    Until(Instant),
}

/// How a child that was read line by line came to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// By itself.
    Exited(ExitStatus),
    /// It was ended because a line was overdue.
    Overdue,
    /// It was ended because it held too much memory.
    Outgrown(Outgrown),
}

/// [`lines`], and prints each line as it comes.
///
/// # Errors
///
/// As there.
pub(crate) fn tee(command: &mut Command, first: Wait, on_line: impl FnMut(&str) -> Wait) -> Result<End> {
    tee_within(None, command, first, on_line)
}

/// [`tee`] for a child that may hold so many bytes of memory, with all of its descendants.
///
/// # Errors
///
/// As there.
pub(crate) fn tee_within(
    bound: Option<u64>,
    command: &mut Command,
    first: Wait,
    mut on_line: impl FnMut(&str) -> Wait,
) -> Result<End> {
    lines_within(bound, command, first, |line| {
        println!("{line}");
        on_line(line)
    })
}

/// Runs `command` and passes each line of its output to `on_line` as it comes, which says how long the next
/// one may take. `first` is the limit for the first line.
///
/// Both output streams are read; their relative order is not kept.
///
/// # Errors
///
/// If it cannot be started.
pub(crate) fn lines(command: &mut Command, first: Wait, on_line: impl FnMut(&str) -> Wait) -> Result<End> {
    lines_within(None, command, first, on_line)
}

fn lines_within(
    bound: Option<u64>,
    command: &mut Command,
    first: Wait,
    mut on_line: impl FnMut(&str) -> Wait,
) -> Result<End> {
    let mut job = Job::start(command.stdout(Stdio::piped()).stderr(Stdio::piped()))?;
    let (sender, lines) = mpsc::channel();
    for stream in [
        job.child.stdout.take().map(|pipe| Box::new(pipe) as Box<dyn Read + Send>),
        job.child.stderr.take().map(|pipe| Box::new(pipe) as Box<dyn Read + Send>),
    ]
    .into_iter()
    .flatten()
    {
        let sender = sender.clone();
        thread::spawn(move || send_lines(stream, &sender));
    }
    drop(sender);
    let watch = job.watched(bound);
    let mut wait = first;
    loop {
        let line = match wait {
            Wait::Forever => lines.recv().map_err(|_| mpsc::RecvTimeoutError::Disconnected),
            Wait::Until(limit) => lines.recv_timeout(limit.saturating_duration_since(Instant::now())),
        };
        match line {
            Ok(line) => wait = on_line(&line),
            Err(mpsc::RecvTimeoutError::Timeout) => return Ok(End::Overdue),
            // Both streams are closed: the child has ended, or is about to.
            Err(mpsc::RecvTimeoutError::Disconnected) => {
                let outgrown = watch.outgrown();
                drop(watch);
                let status = job.wait()?;
                return Ok(outgrown.map_or(End::Exited(status), End::Outgrown));
            }
        }
    }
}

fn send_lines(stream: impl Read, sender: &mpsc::Sender<String>) {
    let mut reader = BufReader::new(stream);
    let mut bytes = Vec::new();
    while matches!(reader.read_until(b'\n', &mut bytes), Ok(1..)) {
        let line = String::from_utf8_lossy(&bytes).trim_end_matches(['\n', '\r']).to_owned();
        bytes.clear();
        if sender.send(line).is_err() {
            return;
        }
    }
}

fn read_all(mut pipe: impl Read + Send + 'static) -> JoinHandle<String> {
    thread::spawn(move || {
        let mut bytes = Vec::new();
        // A pipe that breaks in the middle still has what came before.
        let _ = pipe.read_to_end(&mut bytes);
        String::from_utf8_lossy(&bytes).into_owned()
    })
}

fn joined(reader: Option<JoinHandle<String>>) -> String {
    reader.and_then(|thread| thread.join().ok()).unwrap_or_default()
}

/// The command as one would type it, without quoting.
pub(crate) fn show(command: &Command) -> String {
    let program = PathBuf::from(command.get_program());
    let name = program.file_name().unwrap_or(command.get_program()).to_os_string();
    let words = std::iter::once(name.as_os_str()).chain(command.get_args());
    words.map(OsStr::to_string_lossy).collect::<Vec<_>>().join(" ")
}

#[derive(Clone, Copy)]
enum Signal {
    Term,
    Kill,
}

fn end_all(jobs: &[u32]) {
    for pid in jobs {
        signal_group(*pid, Signal::Term);
    }
    // Drivers that get the chance quit their browsers and remove the profiles.
    let limit = Instant::now() + GRACE;
    while !jobs.is_empty() && jobs.iter().any(|pid| is_alive(*pid)) && Instant::now() < limit {
        thread::sleep(Duration::from_millis(20));
    }
    for pid in jobs {
        signal_group(*pid, Signal::Kill);
    }
    end_orphans(&[]);
}

/// Ends what is below xtask but below none of `jobs`, in rounds: who dies hands over its children.
fn end_orphans(jobs: &[u32]) {
    for _ in 0..50 {
        reap(jobs);
        let lost: Vec<u32> =
            children(std::process::id()).into_iter().filter(|pid| !jobs.contains(pid)).collect();
        if lost.is_empty() {
            return;
        }
        lost.into_iter().flat_map(|pid| descendants(pid).into_iter().chain([pid])).for_each(kill);
        thread::sleep(Duration::from_millis(10));
    }
}

#[cfg(unix)]
fn own_group(command: &mut Command) {
    use std::os::unix::process::CommandExt as _;
    command.process_group(0);
}

#[cfg(unix)]
fn pid(raw: u32) -> Option<rustix::process::Pid> {
    rustix::process::Pid::from_raw(i32::try_from(raw).ok()?)
}

#[cfg(unix)]
fn signal_group(leader: u32, signal: Signal) {
    use rustix::process::Signal as S;
    let signal = match signal {
        Signal::Term => S::TERM,
        Signal::Kill => S::KILL,
    };
    if let Some(group) = pid(leader) {
        // It may have ended in this very moment.
        let _ = rustix::process::kill_process_group(group, signal);
    }
}

/// Takes the exit status of adopted children that have ended, which frees their entries; those of jobs are
/// left to who waits for them.
#[cfg(unix)]
fn reap(jobs: &[u32]) {
    use rustix::process::{WaitOptions, waitpid};
    let own = std::process::id();
    let ended =
        processes().into_iter().filter(|(id, up, state)| *up == own && *state == b'Z' && !jobs.contains(id));
    for child in ended.filter_map(|(id, ..)| pid(id)) {
        // Somebody else may have taken it.
        let _ = waitpid(Some(child), WaitOptions::NOHANG);
    }
}

#[cfg(unix)]
fn kill(raw: u32) {
    if let Some(process) = pid(raw) {
        // It may have ended in this very moment.
        let _ = rustix::process::kill_process(process, rustix::process::Signal::KILL);
    }
}

// On other systems a job ends its child alone, by `Child::kill`.
#[cfg(not(unix))]
fn own_group(_: &mut Command) {}
#[cfg(not(unix))]
fn signal_group(_: u32, _: Signal) {}
#[cfg(not(unix))]
fn reap(_: &[u32]) {}
#[cfg(not(unix))]
fn kill(_: u32) {}

#[cfg(target_os = "linux")]
fn adopt_orphans() {
    // Without it orphans go to init, and only process groups are ended.
    let _ = rustix::process::set_child_subreaper(Some(rustix::process::getpid()));
}

#[cfg(not(target_os = "linux"))]
fn adopt_orphans() {}

/// Parent and state of every process, from `/proc`; empty where there is no such thing.
fn processes() -> Vec<(u32, u32, u8)> {
    let Ok(entries) = std::fs::read_dir("/proc") else { return Vec::new() };
    let ids = entries.flatten().filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    ids.filter_map(|id| {
        let stat = std::fs::read_to_string(format!("/proc/{id}/stat")).ok()?;
        // The name, in brackets, may hold anything; state and parent follow the last bracket.
        let mut fields = stat.rsplit_once(')')?.1.split_whitespace();
        let state = *fields.next()?.as_bytes().first()?;
        Some((id, fields.next()?.parse().ok()?, state))
    })
    .collect()
}

fn is_alive(raw: u32) -> bool {
    processes().iter().any(|(id, _, state)| *id == raw && *state != b'Z')
}

/// The living processes whose parent is `parent`.
fn children(parent: u32) -> Vec<u32> {
    processes()
        .into_iter()
        .filter(|(_, up, state)| *up == parent && *state != b'Z')
        .map(|(id, ..)| id)
        .collect()
}

/// The living processes below `root`, nearest first.
fn descendants(root: u32) -> Vec<u32> {
    let all = processes();
    let mut found = vec![root];
    let mut next = 0;
    while let Some(parent) = found.get(next).copied() {
        found.extend(all.iter().filter(|(_, up, state)| *up == parent && *state != b'Z').map(|(id, ..)| *id));
        next += 1;
    }
    found.remove(0);
    found
}

#[cfg(test)]
mod tests;
