//! `cargo xtask size`: what the npm package weighs where it is used.
//!
//! A page that uses everything the package exports is bundled and minified by Vite; its script (the facade) and the
//! wasm module are what a browser loads. The bound is on their sum as brotli. What an entry with more in it weighs
//! is told beside it. `tidegate/channels`, which has a module of its own, is to come to 40 KB.
//!
//! With `--codecs` another page, written in Rust, and without a bound: see `codecs`.

mod codecs;

use std::io::Write as _;
use std::ops::Add;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};
use serde::Serialize;

use crate::dist::{self, Package};
use crate::steps::{Steps, print_table, write_json};
use crate::{hash, process, tools};

/// For wasm and facade together, in bytes of brotli: what they weigh. 16,384 are aimed at, and were met before
/// `acknowledged`, which weighs 1.2 kB, and before what JavaScript may get wrong was refused throughout, which weighs
/// 0.6 kB. That errors show no secret of an address, and that a bound on the rate is true after a silence, weighs 0.1 kB.
const BOUND: usize = 18_580;

/// What a part of the package weighs, in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
struct Weight {
    raw: usize,
    gzip: usize,
    brotli: usize,
}

impl Add for Weight {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        let Self { raw, gzip, brotli } = self;
        Self { raw: raw + other.raw, gzip: gzip + other.gzip, brotli: brotli + other.brotli }
    }
}

/// What is weighed.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Options {
    /// What the codecs for JSON add to a page in Rust, instead of the npm package
    #[arg(long)]
    codecs: bool,
    /// Also write the table as JSON to this file
    #[arg(long, value_name = "PATH")]
    json: Option<PathBuf>,
}

/// Weighs what the command line asks for.
///
/// # Errors
///
/// If it cannot be built, or the package is above its bound.
pub(crate) fn run(options: &Options) -> Result<()> {
    let json = options.json.as_deref();
    if options.codecs { codecs::run(json) } else { package(json) }
}

/// One line of the table.
#[derive(Serialize)]
struct Row {
    part: &'static str,
    #[serde(flatten)]
    weight: Weight,
}

/// Prints the table, and writes it as JSON if asked to.
///
/// # Errors
///
/// If the sum is above the bound, or the package cannot be built.
pub(crate) fn package(json: Option<&Path>) -> Result<()> {
    let mut steps = Steps::default();
    let package = dist::build(&mut steps)?;
    let (module, script) = steps.run("bundle a page with it", || bundle_package(&package, "index.js"))?;
    let sum = module + script;
    let streams = steps.run("bundle a page with streams", || bundle_package(&package, "streams.js"))?;
    let channels = steps.run("bundle a page with channels", || bundle_package(&package, "channels.js"))?;
    let rows = [
        Row { part: "wasm", weight: module },
        Row { part: "facade, minified", weight: script },
        Row { part: "sum", weight: sum },
        Row { part: "sum, tidegate/streams", weight: streams.0 + streams.1 },
        Row { part: "sum, tidegate/channels", weight: channels.0 + channels.1 },
    ];
    print_rows(&rows);
    write_json(json, &rows)?;
    if sum.brotli > BOUND {
        bail!("{} B of brotli are above the bound of {BOUND} B", sum.brotli);
    }
    println!("{} B of brotli, {} B below the bound of {BOUND} B", sum.brotli, BOUND - sum.brotli);
    Ok(())
}

fn print_rows(rows: &[Row]) {
    let cells: Vec<_> = rows
        .iter()
        .map(|Row { part, weight }| {
            let numbers = [weight.raw, weight.gzip, weight.brotli].map(|number| format!("{number:>7}"));
            let [raw, gzip, brotli] = numbers;
            [(*part).to_owned(), raw, gzip, brotli]
        })
        .collect();
    print_table(["bytes", "    raw", " gzip 9", " brotli"], &cells);
}

/// Bundles a page that uses an entry of the package; returns the weights of module and script.
fn bundle_package(package: &Package, entry: &str) -> Result<(Weight, Weight)> {
    let from = serde_json::to_string(&package.directory.join(entry))?;
    // Everything is kept alive by giving it to the page, so nothing is shaken off.
    let script = format!("import * as all from {from};\nglobalThis.all = all;\n");
    bundle(&tools::target().join("npm/size"), &script)
}

/// Bundles `script` as the only one of a page, in the directory `page`; returns the weights of the module that it
/// loads and of all scripts.
fn bundle(page: &Path, script: &str) -> Result<(Weight, Weight)> {
    if page.is_dir() {
        std::fs::remove_dir_all(page).with_context(|| format!("removing {}", page.display()))?;
    }
    std::fs::create_dir_all(page)?;
    std::fs::write(page.join("main.js"), script)?;
    std::fs::write(
        page.join("index.html"),
        "<!doctype html><script type=\"module\" src=\"./main.js\"></script>\n",
    )?;
    // The polyfill for old browsers and inlined assets would be Vite's weight, not the package's.
    let config = "export default { build: { modulePreload: false, assetsInlineLimit: 0 } };\n";
    std::fs::write(page.join("vite.config.mjs"), config)?;
    let mut vite = tools::npm::tools()?.command("vite", "vite")?;
    process::run(vite.current_dir(page).args(["build", "--logLevel", "warn"]))?;
    // Beside the page's script there may be one of a worker, which counts as well.
    let (mut module, mut scripts) = (None, Weight::default());
    for file in hash::files_below(&page.join("dist"))? {
        let weight = || weigh(&std::fs::read(&file)?);
        match file.extension().and_then(|extension| extension.to_str()) {
            Some("wasm") if module.is_some() => bail!("the bundle has two modules"),
            Some("wasm") => module = Some(weight()?),
            Some("js") => scripts = scripts + weight()?,
            _ => {}
        }
    }
    if scripts == Weight::default() {
        bail!("the bundle has no script");
    }
    Ok((module.context("the bundle has no wasm module")?, scripts))
}

/// Sizes as a web server would send them: gzip at level 9, brotli at quality 11.
fn weigh(bytes: &[u8]) -> Result<Weight> {
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    gzip.write_all(bytes)?;
    let mut brotli = Vec::new();
    {
        let mut encoder = brotli::CompressorWriter::new(&mut brotli, 4_096, 11, 22);
        encoder.write_all(bytes)?;
    }
    Ok(Weight { raw: bytes.len(), gzip: gzip.finish()?.len(), brotli: brotli.len() })
}

#[cfg(test)]
mod tests {
    use super::weigh;

    #[test]
    fn compression_is_finished_before_it_is_weighed() {
        let weight = weigh(&[7; 10_000]).unwrap();
        assert_eq!(weight.raw, 10_000);
        assert!((10..100).contains(&weight.gzip) && (5..100).contains(&weight.brotli), "{weight:?}");
    }
}
