//! Tests that a document names have to be there: a table of tests that nobody runs is worse than none.

use std::collections::HashSet;

use super::Finding;

/// The document whose tests are looked for.
pub(super) const DOCUMENT: &str = "docs/HOSTILE_INPUT.md";

/// Fewer underscores have names that are no sentence, such as those of functions.
const LEAST_UNDERSCORES: usize = 3;

/// The names of all functions of a Rust file, by its text.
pub(super) fn functions(text: &str) -> impl Iterator<Item = &str> {
    text.split("fn ").skip(1).filter_map(|rest| rest.split(['(', '<']).next())
}

/// The names of the tests of a script that Node runs: what `test` is given, and the keys of tables from which tests are made.
pub(super) fn scripted(text: &str) -> impl Iterator<Item = &str> {
    let given = text.split("test(\"").skip(1).filter_map(|rest| rest.split('"').next());
    let keys = text.lines().filter_map(|line| line.trim_start().split_once(": [")).map(|(key, _)| key);
    given.chain(keys)
}

/// Checks that each test which `text` names between backticks is among `functions`.
pub(super) fn check(text: &str, functions: &HashSet<String>) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (line, number) in text.lines().zip(1..) {
        // Every second part stands between two of them.
        let names = line.split('`').skip(1).step_by(2);
        let tests = names.filter(|name| name.matches('_').count() >= LEAST_UNDERSCORES);
        for name in tests.filter(|name| !functions.contains(*name)) {
            let problem = format!("there is no test `{name}`");
            findings.push(Finding { file: DOCUMENT.to_owned(), line: number, problem });
        }
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::{check, functions, scripted};

    #[test]
    fn tests_are_found_by_their_names() {
        let source = "#[test]\nfn b01_one_is_here() {}\n    async fn two_has_no_number(a: u8) {}\nfn three_is_generic_too<T>() {}";
        let there = functions(source).map(str::to_owned).collect();
        let document = "| `usize` | `b01_one_is_here`, `two_has_no_number` |\n`three_is_generic_too`";
        assert_eq!(check(document, &there), []);
        let lines: Vec<usize> = check("\n`b01_one_is_away`, `b01_one_is_here`", &there)
            .into_iter()
            .map(|finding| finding.line)
            .collect();
        assert_eq!(lines, [2]);
    }

    #[test]
    fn tests_of_scripts_are_found_in_calls_and_in_tables() {
        let source =
            "test(\"b01_one_is_here\", () => {});\nconst all = {\n  b02_two_is_in_a_table: [1, 2],\n};";
        assert_eq!(scripted(source).collect::<Vec<_>>(), ["b01_one_is_here", "b02_two_is_in_a_table"]);
    }
}
