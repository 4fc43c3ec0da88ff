//! The arrows between the layers of the crate: who may name whose types.
//!
//! ```text
//! js ───────────┐
//! client ──> driver ──> proto                     arrows: "may name types of", transitive;
//!   ▲             ├─────> transport ──> proto::ws   `time`, `slab` and `proto::payload` are below everything;
//! server          └─────> platform                  `platform` names nothing but `time`
//! ```
//!
//! Read from the syntax tree, in `use` declarations and in paths within code, macros included: `crate::`,
//! `self::` and `super::` are followed to the module they lead to. Test modules obey the same arrows.

use anyhow::{Context as _, Result};
use proc_macro2::{Span, TokenStream, TokenTree};
use syn::spanned::Spanned as _;
use syn::visit::{self, Visit};
use syn::{ItemMod, ItemUse, Macro, Path, UseTree};

use super::Finding;

/// For each layer, the modules below `crate` it may name, besides itself.
const ARROWS: [(&str, &[&str]); 9] = [
    ("js", &["driver", "proto", "transport", "time", "slab"]),
    ("client", &["driver", "proto", "transport", "platform", "time", "slab"]),
    ("server", &["client", "driver", "proto", "transport", "platform", "time", "slab"]),
    ("driver", &["proto", "transport", "platform", "time", "slab"]),
    ("transport", &["proto::ws", "proto::payload", "time", "slab"]),
    ("platform", &["time"]),
    ("proto", &["time", "slab"]),
    ("time", &[]),
    ("slab", &[]),
];

/// What `proto::ws` may name of its siblings.
const BELOW_WS: [&str; 3] = ["proto::ws", "proto::payload", "proto::error"];

/// Checks one file below `src`, named from the top of the workspace.
///
/// # Errors
///
/// If it is not Rust.
pub(super) fn check(file: &str, text: &str) -> Result<Vec<Finding>> {
    let module = module_of(file);
    let Some(layer) = module.first().cloned() else {
        // `lib.rs` names every layer: it is the list of what users see.
        return Ok(Vec::new());
    };
    let tree = syn::parse_file(text).with_context(|| format!("parsing {file}"))?;
    let Some((_, below)) = ARROWS.iter().find(|(name, _)| *name == layer) else {
        let problem = format!("`{layer}` is no layer: place it in the arrows of xtask's tidy");
        return Ok(vec![Finding { file: file.to_owned(), line: 0, problem }]);
    };
    let mut names = Names { module: module.clone(), found: Vec::new() };
    names.visit_file(&tree);
    let mut findings: Vec<Finding> = Vec::new();
    for (path, span) in names.found {
        let Some(problem) = problem(&module, &layer, below, &path) else { continue };
        let finding = Finding { file: file.to_owned(), line: span.start().line, problem };
        if !findings.contains(&finding) {
            findings.push(finding);
        }
    }
    Ok(findings)
}

/// The module path that `src/a/b.rs`, `src/a/b/mod.rs` and `src/a/b/tests.rs` stand for; empty for the root.
fn module_of(file: &str) -> Vec<String> {
    let inner = file.trim_start_matches("src/").trim_end_matches(".rs");
    let mut parts: Vec<String> = inner.split('/').map(str::to_owned).collect();
    if parts.last().is_some_and(|last| last == "mod" || last == "lib") {
        parts.pop();
    }
    parts
}

/// Why a module must not name `path`, if it must not.
fn problem(module: &[String], layer: &str, below: &[&str], path: &[String]) -> Option<String> {
    let Some(first) = path.first() else {
        return Some("`crate::*` hides which layers are named".to_owned());
    };
    let shown = path.join("::");
    if !ARROWS.iter().any(|(name, _)| name == first) {
        return Some(format!("`crate::{shown}`: name the module it lives in, so that the layer can be seen"));
    }
    let is_below = |allowed: &&str| {
        let mut parts = path.iter();
        allowed.split("::").all(|part| parts.next().is_some_and(|found| found == part))
    };
    let in_ws = layer == "proto" && module.get(1).is_some_and(|name| name == "ws");
    if in_ws && first == "proto" && !BELOW_WS.iter().any(is_below) {
        return Some(format!(
            "`proto::ws` knows only frames and messages, and must not name `crate::{shown}`"
        ));
    }
    if first == layer || below.iter().any(is_below) {
        return None;
    }
    Some(format!(
        "`{layer}` must not name `crate::{shown}`: the arrows in docs/DESIGN.md point the other way"
    ))
}

/// Collects every path that leads to a module of this crate, as parts after `crate`.
struct Names {
    module: Vec<String>,
    found: Vec<(Vec<String>, Span)>,
}

impl Names {
    /// Notes `parts` if they begin with `crate`, `self` or `super`.
    fn note(&mut self, parts: &[String], span: Span) {
        let mut at = match parts.first().map(String::as_str) {
            Some("crate") => Vec::new(),
            Some("self" | "super") => self.module.clone(),
            _ => return,
        };
        for part in parts {
            match part.as_str() {
                "crate" | "self" => {}
                "super" => drop(at.pop()),
                name => at.push(name.to_owned()),
            }
        }
        self.found.push((at, span));
    }

    fn note_use(&mut self, tree: &UseTree, before: &[String]) {
        let with = |name: String| before.iter().cloned().chain([name]).collect::<Vec<_>>();
        match tree {
            UseTree::Path(path) => self.note_use(&path.tree, &with(path.ident.to_string())),
            UseTree::Name(name) => self.note(&with(name.ident.to_string()), name.span()),
            UseTree::Rename(name) => self.note(&with(name.ident.to_string()), name.span()),
            UseTree::Glob(glob) => self.note(before, glob.span()),
            UseTree::Group(group) => group.items.iter().for_each(|item| self.note_use(item, before)),
        }
    }

    /// In macros there is no syntax tree: every `crate::a::b` among the tokens counts.
    fn note_tokens(&mut self, tokens: TokenStream) {
        let tokens: Vec<TokenTree> = tokens.into_iter().collect();
        let mut rest = tokens.as_slice();
        while let [token, after @ ..] = rest {
            rest = after;
            match token {
                TokenTree::Group(group) => self.note_tokens(group.stream()),
                TokenTree::Ident(ident) => {
                    let mut parts = vec![ident.to_string()];
                    while let [
                        TokenTree::Punct(one),
                        TokenTree::Punct(two),
                        TokenTree::Ident(name),
                        tail @ ..,
                    ] = rest
                    {
                        if (one.as_char(), two.as_char()) != (':', ':') {
                            break;
                        }
                        parts.push(name.to_string());
                        rest = tail;
                    }
                    // A lone `crate` stands in `pub(crate)`.
                    if parts.len() > 1 {
                        self.note(&parts, ident.span());
                    }
                }
                TokenTree::Punct(_) | TokenTree::Literal(_) => {}
            }
        }
    }
}

impl<'ast> Visit<'ast> for Names {
    fn visit_item_use(&mut self, item: &'ast ItemUse) {
        self.note_use(&item.tree, &[]);
    }

    fn visit_path(&mut self, path: &'ast Path) {
        let parts: Vec<String> = path.segments.iter().map(|part| part.ident.to_string()).collect();
        // A lone `self` is a value, not a module.
        if parts.len() > 1 {
            self.note(&parts, path.span());
        }
        visit::visit_path(self, path);
    }

    fn visit_macro(&mut self, item: &'ast Macro) {
        self.note_tokens(item.tokens.clone());
        visit::visit_macro(self, item);
    }

    fn visit_item_mod(&mut self, item: &'ast ItemMod) {
        self.module.push(item.ident.to_string());
        visit::visit_item_mod(self, item);
        self.module.pop();
    }
}

#[cfg(test)]
mod tests {
    use super::check;

    fn problems(file: &str, text: &str) -> Vec<(usize, String)> {
        check(file, text).unwrap().into_iter().map(|finding| (finding.line, finding.problem)).collect()
    }

    fn rejects(file: &str, text: &str) {
        assert_eq!(problems(file, text).len(), 1, "{file}: {text}");
    }

    fn accepts(file: &str, text: &str) {
        assert_eq!(problems(file, text), [], "{file}: {text}");
    }

    #[test]
    fn a_use_against_the_arrows_is_rejected_with_its_line() {
        let found = problems("src/proto/send/queue.rs", "//! Queue.\n\nuse crate::client::Ticket;\n");
        let [(line, problem)] = found.as_slice() else { panic!("{found:?}") };
        assert_eq!(*line, 3);
        assert!(problem.contains("`proto` must not name `crate::client::Ticket`"), "{problem}");
    }

    #[test]
    fn nested_groups_renames_and_globs_are_read() {
        rejects("src/platform/web.rs", "use crate::{time::{Clock, Timestamp}, proto::{ws}};");
        rejects("src/platform/web.rs", "use crate::proto as p;");
        rejects("src/driver.rs", "use crate::client::*;");
        accepts(
            "src/driver.rs",
            "use crate::{proto::{ws::Message, payload}, transport::Transport, platform, time::Clock};",
        );
    }

    #[test]
    fn relative_paths_are_followed() {
        rejects("src/transport/sim.rs", "use super::super::platform::spawn;");
        rejects("src/transport/mod.rs", "use super::driver::Driver;");
        rejects("src/proto/ws/decoder.rs", "use super::super::session::Session;");
        accepts("src/transport/sim.rs", "use super::{Transport, super::proto::ws::Message};");
        accepts("src/client/local.rs", "mod tests { use super::super::Client; use super::LocalClient; }");
    }

    #[test]
    fn paths_in_code_and_in_macros_are_read() {
        rejects("src/platform/sim.rs", "fn a() { crate::driver::wake(); }");
        rejects("src/platform/sim.rs", "fn a() -> crate::client::Error { b() }");
        rejects("src/platform/sim.rs", "fn a() { println!(\"{}\", crate::driver::LIMIT); }");
        accepts("src/platform/sim.rs", "fn a() { println!(\"{:?}\", crate::time::Timestamp::ZERO); }");
        accepts("src/platform/sim.rs", "impl A { fn a(&self) { self.b(); Self::c(); } }");
    }

    #[test]
    fn transports_see_messages_payloads_and_time_only() {
        accepts(
            "src/transport/native.rs",
            "use crate::proto::ws::{Connection, Message}; use crate::time::Clock;",
        );
        accepts("src/transport/mod.rs", "use crate::proto::payload::Payload;");
        rejects("src/transport/native.rs", "use crate::proto::send::Queue;");
        rejects("src/transport/web_socket.rs", "use crate::platform::spawn;");
    }

    #[test]
    fn framing_knows_nothing_above_messages() {
        accepts(
            "src/proto/ws/decoder.rs",
            "use super::header::Header; use crate::proto::{payload::Payload, error::ProtocolError};",
        );
        rejects("src/proto/ws/decoder.rs", "use crate::proto::send::Queue;");
        accepts("src/proto/session.rs", "use crate::proto::{send::Queue, ws::Message};");
    }

    #[test]
    fn re_exports_and_unknown_modules_do_not_hide_a_layer() {
        rejects("src/proto/session.rs", "use crate::Client;");
        rejects("src/proto/session.rs", "use crate::*;");
        rejects("src/helpers.rs", "");
        accepts("src/lib.rs", "pub use crate::client::Client;");
    }
}
