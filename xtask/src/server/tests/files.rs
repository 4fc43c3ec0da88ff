//! Files, and heads that are for nothing else.

use std::path::PathBuf;

use super::{assert_idle, connect, exchange, server};
use crate::server::{Config, Running, start};
use std::io::{Read as _, Write as _};
use std::net::Shutdown;

/// A directory that is removed when dropped.
struct Scratch(PathBuf);

impl Scratch {
    fn new(name: &str, files: &[(&str, &str)]) -> Self {
        let top = std::env::temp_dir().join(format!("tidegate-{}-{name}", std::process::id()));
        for (path, content) in files {
            let path = top.join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, content).unwrap();
        }
        Self(top)
    }

    fn root(&self, prefix: &str) -> (String, PathBuf) {
        (prefix.to_owned(), self.0.clone())
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn get(server: &Running, path: &str) -> String {
    exchange(server, &format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n"))
}

fn serving(roots: Vec<(String, PathBuf)>) -> Running {
    start(Config { roots, ..Config::default() }).unwrap()
}

#[test]
fn files_have_their_types_and_are_not_cached() {
    let names = ["index.html", "a.js", "a.mjs", "a.wasm", "a.css", "a.json", "a.png", "a.svg"];
    let kinds = [
        "text/html",
        "text/javascript",
        "text/javascript",
        "application/wasm",
        "text/css",
        "application/json",
        "image/png",
        "image/svg+xml",
    ];
    let files: Vec<_> = names.iter().map(|name| (*name, *name)).collect();
    let scratch = Scratch::new("types", &files);
    let server = serving(vec![scratch.root("/")]);
    for (name, kind) in names.into_iter().zip(kinds) {
        let answer = get(&server, &format!("/{name}?version=1"));
        assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
        assert!(answer.contains(&format!("\r\ncontent-type: {kind}\r\n")), "{answer}");
        assert!(answer.contains("\r\ncache-control: no-store\r\n"), "{answer}");
        assert!(answer.ends_with(&format!("\r\n\r\n{name}")), "{answer}");
    }
    assert!(get(&server, "/").ends_with("\r\n\r\nindex.html"));
    assert_idle(&server);
}

#[test]
fn pages_are_isolated_only_where_that_is_asked_for() {
    let scratch = Scratch::new("isolation", &[("index.html", "page")]);
    for isolates in [true, false] {
        let server = start(Config { roots: vec![scratch.root("/")], isolates, ..Config::default() }).unwrap();
        let answer = get(&server, "/");
        assert_eq!(answer.contains("\r\ncross-origin-opener-policy: same-origin\r\n"), isolates, "{answer}");
        assert_eq!(
            answer.contains("\r\ncross-origin-embedder-policy: require-corp\r\n"),
            isolates,
            "{answer}"
        );
    }
}

#[test]
fn roots_are_found_by_their_paths() {
    let page = Scratch::new("page", &[("index.html", "page"), ("pkg/a.js", "hidden"), ("pkgs/b.js", "b")]);
    let package = Scratch::new("package", &[("a.js", "a"), ("deep/index.html", "deep")]);
    let more = Scratch::new("more", &[("index.html", "never"), ("more.js", "more")]);
    let server = serving(vec![page.root("/"), package.root("/pkg/"), more.root("/")]);
    for (path, content) in
        [("/", "page"), ("/pkg/a.js", "a"), ("/pkgs/b.js", "b"), ("/more.js", "more"), ("/pkg/deep/", "deep")]
    {
        let answer = get(&server, path);
        assert!(answer.ends_with(&format!("\r\n\r\n{content}")), "{path}: {answer}");
    }
    for (path, location) in [("/pkg", "/pkg/"), ("/pkg/deep", "/pkg/deep/"), ("/pkgs", "/pkgs/")] {
        let answer = get(&server, path);
        assert!(answer.starts_with("HTTP/1.1 307"), "{path}: {answer}");
        assert!(answer.contains(&format!("\r\nlocation: {location}\r\n")), "{path}: {answer}");
    }
    for path in ["/none", "/pkg/none.js", "/../Cargo.toml", "/%2e%2e/Cargo.toml", "/pkg/..%2f..%2fx", "/echo"]
    {
        let answer = get(&server, path);
        assert!(answer.starts_with("HTTP/1.1 404 Not Found\r\n"), "{path}: {answer}");
    }
}

#[test]
fn roots_that_cannot_be_served_are_refused() {
    let scratch = Scratch::new("refused", &[("a", "a")]);
    let relative = vec![scratch.root("pkg")];
    assert!(start(Config { roots: relative, ..Config::default() }).is_err());
    let missing = vec![("/".to_owned(), scratch.0.join("none"))];
    assert!(start(Config { roots: missing, ..Config::default() }).is_err());
}

#[test]
fn heads_come_in_any_pieces_and_within_bounds() {
    let server = server();
    assert!(get(&server, "/healthz").ends_with("\r\n\r\nok\n"));

    let mut slow = connect(&server);
    for byte in b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n" {
        slow.write_all(&[*byte]).unwrap();
    }
    slow.shutdown(Shutdown::Write).unwrap();
    let mut answer = String::new();
    slow.read_to_string(&mut answer).unwrap();
    assert!(answer.ends_with("\r\n\r\nok\n"), "{answer}");

    let long = format!("GET / HTTP/1.1\r\nHost: localhost\r\nX: {}\r\n\r\n", "x".repeat(20_000));
    assert!(exchange(&server, &long).starts_with("HTTP/1.1 431 "));
    let post = "POST /healthz HTTP/1.1\r\nHost: localhost\r\nContent-Length: 3\r\n\r\nabc";
    assert!(exchange(&server, post).ends_with("ok\n"));
    assert!(exchange(&server, "nonsense\r\n\r\n").starts_with("HTTP/1.1 400 "));
    let upgrade = "GET /echo HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
        Sec-WebSocket-Version: 8\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
    let refused = exchange(&server, upgrade);
    assert!(refused.starts_with("HTTP/1.1 426 "), "{refused}");
    assert!(refused.contains("Sec-WebSocket-Version: 13\r\n"), "{refused}");
    assert_idle(&server);
}
