//! Reading the output of test programs: libtest's, and that of wasm-bindgen-test, which is like it.

use crate::behaviours::Record;
use crate::place::Place;

/// Notes the test that `line` reports, if it reports one. `suite` names the program; it is put before the
/// name of the test. Ignored tests do not count: they did not run.
pub(super) fn note(line: &str, place: Place, suite: &str, records: &mut Vec<Record>) {
    let Some((name, passed)) = outcome(line) else { return };
    // In a suite over several transports, the module's name tells which one it is.
    let is_sim = place == Place::Native && (suite == "sim" || name.split("::").any(|part| part == "sim"));
    let place = if is_sim { Place::Sim } else { place };
    records.push(Record { place: place.name().to_owned(), name: format!("{suite}::{name}"), passed });
}

/// Name and outcome in `test NAME ... ok`. wasm-bindgen-test says `FAIL` where libtest says `FAILED`.
fn outcome(line: &str) -> Option<(String, bool)> {
    let line = plain(line);
    let (name, result) = line.trim().strip_prefix("test ")?.rsplit_once(" ... ")?;
    let passed = match result.split([' ', ',', '(']).next()? {
        "ok" => true,
        "FAILED" | "FAIL" => false,
        _ => return None,
    };
    let name = name.trim_end_matches(" - should panic").trim();
    Some((name.to_owned(), passed))
}

/// `line` without the escape sequences that set colours.
fn plain(line: &str) -> String {
    let mut text = String::with_capacity(line.len());
    let mut rest = line;
    while let Some((before, after)) = rest.split_once("\u{1b}[") {
        text.push_str(before);
        rest = after.split_once('m').map_or("", |(_, after)| after);
    }
    text + rest
}

#[cfg(test)]
mod tests {
    use super::{note, outcome};
    use crate::place::Place;

    #[test]
    fn both_harnesses_are_understood() {
        let ok = |name: &str| Some((name.to_owned(), true));
        assert_eq!(outcome("test a::b ... ok"), ok("a::b"));
        assert_eq!(outcome("test a::b ... \u{1b}[32mok\u{1b}[m"), ok("a::b"));
        assert_eq!(outcome("test a - should panic ... ok"), ok("a"));
        assert_eq!(outcome("test slow ... ok (12.3s)"), ok("slow"));
        assert_eq!(outcome("test src/lib.rs - Client (line 12) ... ok"), ok("src/lib.rs - Client (line 12)"));
        assert_eq!(outcome("test a::b ... FAILED"), Some(("a::b".to_owned(), false)));
        assert_eq!(outcome("test web::b5_x ... FAIL"), Some(("web::b5_x".to_owned(), false)));
    }

    #[test]
    fn other_lines_are_left_alone() {
        for line in
            ["test result: ok. 3 passed", "test a ... ignored", "running 3 tests", "test a", "a test ... ok"]
        {
            assert_eq!(outcome(line), None, "{line}");
        }
    }

    #[test]
    fn simulated_tests_are_told_apart_by_suite_or_module() {
        let mut records = Vec::new();
        note("test queue::fifo ... ok", Place::Native, "sim", &mut records);
        note("test sim::b28_bounds ... ok", Place::Native, "client", &mut records);
        note("test native::b28_bounds ... ok", Place::Native, "client", &mut records);
        let places: Vec<_> = records.iter().map(|record| record.place.as_str()).collect();
        assert_eq!(places, ["sim", "sim", "native"]);
    }
}
