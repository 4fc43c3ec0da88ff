//! Tests of the npm package: built, installed from its tarball into a fresh project, then used as its users
//! do: types, a page built by Vite, a plain page, workers, Node.
//!
//! The checks are in `tests/package`; the pages leave their result in `globalThis.result`.

use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use serde::Deserialize;

use super::project::Project;
use super::{Places, Session, Tally, output, server};
use crate::behaviours::Record;
use crate::bench;
use crate::dist::{self, Package};
use crate::place::{Browser, Place};
use crate::process::{self, End, Job, Wait};
use crate::steps::Steps;
use crate::tools::{self, browsers, python};
use crate::{hash, webdriver};

/// How long the checks of one page, with its worker, may take, and with full counts.
const PAGE_LIMIT: Duration = Duration::from_secs(300);
const FULL_PAGE_LIMIT: Duration = Duration::from_secs(1_800);

/// Whose TypeScript is compiled, and run where it can be; below what name.
const READMES: [(&str, &str); 2] = [("repository", "README.md"), ("package", "pkg-template/README.md")];

/// What the checks leave behind.
#[derive(Deserialize)]
pub(super) struct Outcome {
    checks: Vec<Check>,
}

/// How one of them came out.
#[derive(Deserialize)]
struct Check {
    name: String,
    /// `page`, `worker` or `node`.
    host: String,
    status: String,
    message: String,
    ms: f64,
}

/// Which checks run, and how often they do what they do.
#[derive(Clone, Debug, Default)]
pub(super) struct Choice {
    full: bool,
    /// Those that have this in their names.
    only: Option<String>,
    /// The port of the chat's server.
    chat: u16,
}

impl Choice {
    /// As pages are told.
    fn query(&self) -> String {
        let mut query = form_urlencoded::Serializer::new(String::new());
        if self.full {
            query.append_key_only("full");
        }
        query.extend_pairs(self.only.iter().map(|only| ("only", only)));
        query.append_pair("chat", &format!("ws://127.0.0.1:{}/live", self.chat));
        query.finish()
    }
}

/// Builds the package and runs all of them in `places`.
pub(super) fn run(session: &mut Session, places: &Places) {
    let Some(package) = session.step("package: build", |_| dist::build(&mut Steps::default())) else {
        return;
    };
    let Some(project) = session.step("package: install in a project", |_| Project::make(&package)) else {
        return;
    };
    if session.step("package: compile the examples", |_| compile_examples(&project)).is_none() {
        return;
    }
    let mut choice = Choice { full: session.full, only: session.only.clone(), chat: 0 };
    // What has no names is not asked for by one.
    let whole = choice.only.is_none();
    if places.node && whole {
        session.step("package tests: types", |tally| types(&project, tally));
        session.step("package tests: units in node", |tally| {
            units(&project, project.npm.node(), "package", tally)
        });
    }
    if session.full && places.node && whole {
        other_releases(session, &project);
    }
    let bundled = session.step("package: bundle by Vite", |_| bundle(&project)).is_some();
    let roots = roots(&package, &project);
    let Some(server) = session.step("package: start the server", |_| server::start(&roots)) else { return };
    let base = format!("http://{}", server.address());
    let chat = session.step("package: start the chat", |_| start_chat(&project, &base));
    // Until the end.
    let Some((_chat, port)) = chat else { return };
    choice.chat = port;
    if places.node {
        session.step("package tests: checks in node", |tally| node(&project, &base, &choice, tally));
    }
    for (browser, weight) in places.browsers.iter().copied() {
        for suite in ["vite", "plain"].into_iter().filter(|suite| bundled || *suite != "vite") {
            session.weighed(weight, &format!("package tests: {suite} in {browser}"), |tally| {
                page(suite, browser, &base, &choice, tally)
            });
        }
        if !whole {
            continue;
        }
        // Judges nothing, but that the page can still measure.
        let rounds = if choice.full { 15 } else { 1 };
        session.weighed(weight, &format!("package: throughput in {browser}"), |_| {
            let page = format!("{base}/bench/throughput.html");
            let sockets = format!("ws://{}", server.address());
            // The others would have to be built and installed first.
            let is_ours = |name: &str| name.starts_with("raw") || name == "tidegate";
            let measured = bench::measure(browser, &page, &sockets, (rounds, 1), is_ours)?;
            bench::print(browser, &measured);
            Ok(())
        });
    }
}

/// What the server shows to pages.
fn roots(package: &Package, project: &Project) -> [(&'static str, std::path::PathBuf); 4] {
    [
        ("/bench", tools::root().join("benches/browser/pages")),
        ("/pkg", package.directory.clone()),
        ("/package", project.directory.clone()),
        ("/vite", project.directory.join("vite/dist")),
    ]
}

/// The TypeScript examples, checked and made JavaScript, for pages that are not bundled and for Node.
fn compile_examples(project: &Project) -> Result<()> {
    for directory in ["examples", "examples/chat"] {
        let mut tsc = project.npm.command("typescript", "tsc")?;
        process::run(tsc.current_dir(&project.directory).args(["-p", directory]))?;
    }
    Ok(())
}

/// How long Node may take to start the chat's server.
const CHAT_LIMIT: Duration = Duration::from_secs(30);

/// Starts the server of the example `chat` in Node, for pages of the embedded server; gives it with its port.
fn start_chat(project: &Project, origin: &str) -> Result<(Job, u16)> {
    let mut node = project.npm.node();
    node.current_dir(&project.directory).args(["node/chat.mjs", origin]);
    let (job, port) = Job::start_and_read(&mut node, CHAT_LIMIT)?;
    let port = port.trim().parse().with_context(|| format!("`{port}` is no port"))?;
    Ok((job, port))
}

/// The declarations, as strict projects see them: under both ways of module resolution, and without the
/// DOM; and the TypeScript in the READMEs.
fn types(project: &Project, tally: &mut Tally) -> Result<()> {
    readme_blocks(project)?;
    let mut failed = 0;
    for resolution in ["nodenext", "bundler", "node", "readme"] {
        let mut tsc = project.npm.command("typescript", "tsc")?;
        tsc.current_dir(&project.directory).arg("-p").arg(format!("types/tsconfig.{resolution}.json"));
        let done = process::capture(&mut tsc)?;
        print!("{}{}", done.stdout, done.stderr);
        let passed = done.status.success();
        failed += usize::from(!passed);
        report(tally, Place::Node, "types", resolution, passed, "");
    }
    if failed > 0 {
        bail!("{failed} of the projects with strict types do not compile");
    }
    Ok(())
}

/// Writes every TypeScript block of the READMEs and of the page about servers as a module below `types/readme`.
fn readme_blocks(project: &Project) -> Result<()> {
    let directory = project.directory.join("types/readme");
    std::fs::create_dir_all(&directory).with_context(|| format!("making {}", directory.display()))?;
    for (name, readme) in READMES.into_iter().chain([("server", "docs/SERVER.md")]) {
        let path = tools::root().join(readme);
        let text = std::fs::read_to_string(&path).with_context(|| format!("reading {}", path.display()))?;
        let blocks: Vec<_> =
            text.split("```ts\n").skip(1).filter_map(|rest| rest.split("```").next()).collect();
        if blocks.is_empty() {
            bail!("there is no TypeScript in {readme}");
        }
        for (number, block) in blocks.into_iter().enumerate() {
            let file = directory.join(format!("{name}-{number}.ts"));
            std::fs::write(&file, format!("{block}export {{}};\n"))
                .with_context(|| format!("writing {}", file.display()))?;
        }
    }
    Ok(())
}

/// The units in each release of Node that is kept up, whatever this machine has.
fn other_releases(session: &mut Session, project: &Project) {
    let releases = session.step("package: install releases of Node", |_| {
        let releases = tools::npm::releases_of_node()?;
        if releases.is_empty() {
            println!("npm has none for this kind of machine");
        }
        Ok(releases)
    });
    for (name, program) in releases.unwrap_or_default() {
        session.step(&format!("package tests: units in {name}"), |tally| {
            units(project, Command::new(program), &format!("package in {name}"), tally)
        });
    }
}

/// `**/*.test.mjs`, by the test runner of `node`.
fn units(project: &Project, mut node: Command, suite: &str, tally: &mut Tally) -> Result<()> {
    let all = hash::files_below(&project.directory)?;
    let modules = project.directory.join("node_modules");
    let files = all.iter().filter(|file| !file.starts_with(&modules));
    let files: Vec<_> = files.filter(|file| file.to_string_lossy().ends_with(".test.mjs")).collect();
    if files.is_empty() {
        bail!("there are no tests below tests/package");
    }
    let interop = tools::root().join("tests/interop");
    let python = python::environment(&interop.join("requirements.txt"), &tools::target().join("interop"))?;
    let readmes = READMES.map(|(_, readme)| tools::root().join(readme));
    node.current_dir(&project.directory)
        .env("TIDEGATE_READMES", std::env::join_paths(readmes)?)
        .env("TIDEGATE_PYTHON", python)
        .env("TIDEGATE_INTEROP", interop)
        .arg("--test");
    node.arg("--test-reporter").arg(tools::root().join("xtask/npm/reporter.mjs")).args(files);
    let end = process::tee(&mut node, Wait::Forever, |line| {
        output::note(line, Place::Node, suite, &mut tally.records);
        Wait::Forever
    })?;
    match end {
        End::Exited(status) if status.success() => Ok(()),
        _ => bail!("the tests failed"),
    }
}

fn bundle(project: &Project) -> Result<()> {
    let mut vite = project.npm.command("vite", "vite")?;
    vite.current_dir(&project.directory).args(["build", "vite", "--logLevel", "warn"]);
    process::run(&mut vite)
}

/// The checks in Node, with the WebSocket of the package `ws`.
fn node(project: &Project, base: &str, choice: &Choice, tally: &mut Tally) -> Result<()> {
    let mut node: Command = project.npm.node();
    node.current_dir(&project.directory).args(["node/run.mjs", base, &choice.chat.to_string()]);
    node.env_remove("TIDEGATE_FULL").env_remove("TIDEGATE_ONLY");
    node.envs(choice.full.then_some(("TIDEGATE_FULL", "1")));
    node.envs(choice.only.iter().map(|only| ("TIDEGATE_ONLY", only)));
    let done = process::capture(&mut node)?;
    let outcome = done.stdout.lines().last().and_then(|line| serde_json::from_str(line).ok());
    let outcome = outcome.with_context(|| format!("Node gave no result:\n{}{}", done.stdout, done.stderr))?;
    judge(&outcome, choice, "checks", |_| Place::Node, tally)
}

/// The checks in one page and its worker.
///
/// Each page has a browser of its own: handshakes that were aborted, and closes that were never answered,
/// count in Firefox for up to 20 s after their page.
fn page(suite: &str, browser: Browser, base: &str, choice: &Choice, tally: &mut Tally) -> Result<()> {
    let path = if suite == "vite" { "/vite/" } else { "/package/plain/" };
    let limit = if choice.full { FULL_PAGE_LIMIT } else { PAGE_LIMIT };
    let driven = webdriver::Session::start(&browsers::find(browser)?)?;
    driven.open(&format!("{base}{path}?{}", choice.query()))?;
    let mut outcome = outcome(&driven, limit).with_context(|| format!("the page {path}"))?;
    if suite == "plain" {
        outcome.checks.extend(vanished_files(&driven)?.checks);
    }
    let place = |host: &str| if host == "worker" { Place::Worker(browser) } else { Place::Page(browser) };
    judge(&outcome, choice, suite, place, tally)
}

/// Waits until the page has left its result.
pub(super) fn outcome(driven: &webdriver::Session, limit: Duration) -> Result<Outcome> {
    // Until it is there the title says which check is running; a browser that is ended cannot be asked any more.
    let mut title = String::new();
    let result = webdriver::until(limit, || {
        let seen = driven.run("return [globalThis.result ?? null, document.title]", &[])?;
        let (result, now): (Option<Outcome>, String) = serde_json::from_value(seen)?;
        title = now;
        Ok(result)
    });
    result.with_context(|| format!("last seen with the title `{title}`"))
}

/// What becomes of files that are chosen and then removed: one that is read before it is sent, and one
/// that is only probed.
fn vanished_files(driven: &webdriver::Session) -> Result<Outcome> {
    let input = driven.find("#files")?;
    let mut files = Vec::new();
    for (name, bytes) in [("small.bin", 64 << 10), ("large.bin", 2 << 20)] {
        let path = process::scratch()?.join(name);
        std::fs::write(&path, vec![7_u8; bytes]).with_context(|| format!("writing {}", path.display()))?;
        driven.choose_file(&input, &path)?;
        files.push(path);
    }
    for path in files {
        std::fs::remove_file(&path).with_context(|| format!("removing {}", path.display()))?;
    }
    let result = driven.run("return checkVanishedFiles()", &[])?;
    serde_json::from_value(result).context("reading what became of the files")
}

/// Records and prints every check.
pub(super) fn judge(
    outcome: &Outcome,
    choice: &Choice,
    suite: &str,
    place: impl Fn(&str) -> Place,
    tally: &mut Tally,
) -> Result<()> {
    for Check { name, host, status, message, ms } in &outcome.checks {
        let note = if message.is_empty() { format!("{ms} ms") } else { message.clone() };
        report(tally, place(host), suite, name, status == "passed", &note);
    }
    let failed = outcome.checks.iter().filter(|check| check.status != "passed").count();
    if failed > 0 {
        bail!("{failed} of {} checks failed", outcome.checks.len());
    }
    if outcome.checks.is_empty() && choice.only.is_none() {
        bail!("not one check ran");
    }
    Ok(())
}

pub(super) fn report(tally: &mut Tally, place: Place, suite: &str, name: &str, passed: bool, note: &str) {
    let result = if passed { "ok" } else { "FAILED" };
    println!("test {suite}::{name} in {place} ... {result} {note}");
    tally.records.push(Record { place: place.name().to_owned(), name: format!("{suite}::{name}"), passed });
}
