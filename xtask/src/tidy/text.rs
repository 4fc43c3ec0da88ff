//! Rules about the text of files: length, unfinished marks, sleeping tests, traces of a machine.

use super::{Finding, is};

/// Past this many lines a file holds two things.
const MAX_LINES: usize = 600;

// Written in two parts, so that this file does not find itself.
const UNFINISHED: [(&str, &str); 4] = [
    (
        concat!("#[ig", "nore"),
        "a test that does not run proves nothing: assert today's behaviour and say why it is wrong",
    ),
    (concat!("to", "do!("), "unfinished code"),
    (concat!("unimple", "mented!("), "unfinished code"),
    (concat!("test.sk", "ip("), "a test that does not run proves nothing"),
];

const SLEEPS: [&str; 4] = [
    concat!("thread::sl", "eep"),
    concat!("time::sl", "eep"),
    concat!("setTime", "out(r"),
    concat!("waitFor", "Timeout"),
];

const TRACES: [&str; 11] = [
    concat!("/ro", "ot/"),
    concat!("/wo", "rk/"),
    concat!("/ho", "me/"),
    concat!("/Us", "ers/"),
    concat!("/fa", "rm/"),
    concat!("registry.npm", "js.org"),
    concat!("index.crates", ".io"),
    concat!("static.crates", ".io"),
    concat!("files.python", "hosted.org"),
    concat!("pypi.org/", "simple"),
    concat!("deb.debian", ".org"),
];

/// Checks one file, named from the top of the workspace.
pub(super) fn check(file: &str, text: &str) -> Vec<Finding> {
    let mut findings = Vec::new();
    let mut add =
        |line: usize, problem: String| findings.push(Finding { file: file.to_owned(), line, problem });
    let ours = ["src/", "xtask/", "pkg-template/"].iter().any(|top| file.starts_with(top));
    let source = is_source(file);
    let lines = text.lines().count();
    if ours && source && lines > MAX_LINES {
        add(0, format!("{lines} lines, {MAX_LINES} at most: look for a second noun and give it a file"));
    }
    let mut in_tests = is_test_file(file);
    for (number, line) in (1..).zip(text.lines()) {
        // By convention the test module stands last.
        in_tests |= is(file, "rs") && line.trim_start().starts_with("mod tests {");
        if source {
            let unfinished = UNFINISHED.iter().filter(|(mark, _)| line.contains(*mark));
            unfinished.for_each(|(mark, why)| add(number, format!("`{mark}`: {why}")));
            if in_tests && SLEEPS.iter().any(|sleep| line.contains(*sleep)) {
                add(
                    number,
                    "a test that sleeps is slow on a fast machine and fails on a slow one".to_owned(),
                );
            }
        }
        for trace in TRACES.iter().filter(|trace| has_trace(line, trace)) {
            add(number, format!("`{trace}` belongs to one machine or one network"));
        }
    }
    findings
}

/// Whether `trace` stands in `line`; a path only where it begins, not in the middle of a longer one.
fn has_trace(line: &str, trace: &str) -> bool {
    let starts_path = |at: usize| {
        let before = line.get(..at).and_then(|head| head.chars().next_back());
        !trace.starts_with('/') || before.is_none_or(|c| !(c.is_alphanumeric() || "._-/*)}~".contains(c)))
    };
    line.match_indices(trace).any(|(at, _)| starts_path(at))
}

fn is_source(file: &str) -> bool {
    ["rs", "ts", "mts", "js", "mjs", "cjs", "html", "css", "sh"].iter().any(|extension| is(file, extension))
}

fn is_test_file(file: &str) -> bool {
    file.starts_with("tests/")
        || file.contains("/tests/")
        || file.ends_with("/tests.rs")
        || file.contains(".test.")
}

#[cfg(test)]
mod tests {
    use super::{MAX_LINES, SLEEPS, TRACES, UNFINISHED, check};

    fn lines(file: &str, text: &str) -> Vec<usize> {
        check(file, text).into_iter().map(|finding| finding.line).collect()
    }

    #[test]
    fn every_unfinished_mark_is_found() {
        for (mark, _) in UNFINISHED {
            assert_eq!(lines("src/a.rs", &format!("fn a() {{}}\n{mark}\n")), [2], "{mark}");
        }
    }

    #[test]
    fn sleeping_is_found_in_tests_only() {
        for sleep in SLEEPS {
            assert_eq!(lines("tests/web/a.rs", sleep), [1], "{sleep}");
            assert_eq!(lines("src/a/tests.rs", sleep), [1], "{sleep}");
            assert_eq!(lines("src/a.rs", &format!("{sleep}\nmod tests {{\n{sleep}\n")), [3], "{sleep}");
            assert!(lines("src/a.rs", sleep).is_empty(), "{sleep}");
        }
    }

    #[test]
    fn traces_of_a_machine_are_found_in_any_file() {
        for trace in TRACES {
            assert_eq!(lines("README.md", &format!("see {trace}somebody")), [1], "{trace}");
        }
        assert!(lines("README.md", concat!("https://example.org/ho", "me/page")).is_empty());
    }

    #[test]
    fn a_long_file_is_found() {
        assert_eq!(lines("src/a.rs", &"\n".repeat(MAX_LINES + 1)), [0]);
        assert!(lines("src/a.rs", &"\n".repeat(MAX_LINES)).is_empty());
        assert!(lines("docs/a.md", &"\n".repeat(MAX_LINES + 1)).is_empty());
    }
}
