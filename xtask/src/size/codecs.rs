//! What a codec for JSON adds to a page that is written in Rust: the example `json_in_browser`, built without one
//! and with each.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use wasm_bindgen_cli_support::Bindgen;

use super::{Row, Weight, bundle, print_rows};
use crate::steps::{Steps, write_json};
use crate::{dist, process, tools};

const EXAMPLE: &str = "json_in_browser";

/// What is compared, and the features of each.
const CODECS: [(&str, &str); 3] = [("no codec", "client"), ("Json", "json"), ("BrowserJson", "browser-json")];

/// Builds, weighs and prints.
///
/// # Errors
///
/// If it cannot be built.
pub(super) fn run(json: Option<&Path>) -> Result<()> {
    let mut steps = Steps::default();
    tools::check_wasm_bindgen()?;
    tools::rust_target(tools::WASM_TARGET)?;
    let mut rows = Vec::new();
    for (part, features) in CODECS {
        let (module, script) = steps.run(part, || weigh(features))?;
        rows.push(Row { part, weight: module + script });
    }
    print_rows(&rows);
    let least = rows.first().map_or(Weight::default(), |row| row.weight);
    for Row { part, weight } in rows.iter().skip(1) {
        println!("{part} adds {} B of brotli", weight.brotli.saturating_sub(least.brotli));
    }
    write_json(json, &rows)
}

/// The weights of module and minified glue.
fn weigh(features: &str) -> Result<(Weight, Weight)> {
    let directory = tools::target().join("size").join(features);
    if directory.is_dir() {
        std::fs::remove_dir_all(&directory).with_context(|| format!("removing {}", directory.display()))?;
    }
    let module = compile(features)?;
    let mut bindgen = Bindgen::new();
    bindgen.input_path(module).out_name(EXAMPLE).web(true)?.typescript(false);
    bindgen.omit_default_module_path(false).remove_name_section(true).remove_producers_section(true);
    bindgen.generate(&directory).context("binding the example to JavaScript")?;
    dist::optimise(&directory.join(format!("{EXAMPLE}_bg.wasm")), &tools::npm::tools()?)?;
    let glue = serde_json::to_string(&directory.join(format!("{EXAMPLE}.js")))?;
    bundle(&directory.join("page"), &format!("import start from {glue};\nawait start();\n"))
}

fn compile(features: &str) -> Result<PathBuf> {
    let mut cargo = tools::cargo();
    cargo.args(["build", "--package", "tidegate", "--example", EXAMPLE, "--profile", "wasm"]);
    cargo.args(["--target", tools::WASM_TARGET, "--features", features]);
    process::run(&mut cargo)?;
    Ok(tools::target().join(tools::WASM_TARGET).join("wasm/examples").join(format!("{EXAMPLE}.wasm")))
}
