//! The suite's report, and what is made of it.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use serde::{Deserialize, Serialize};

use super::cases::CaseId;
use crate::steps::print_table;

/// Cases on which the suite has no opinion: close codes that nobody has defined, and a close frame that comes
/// right behind a large message.
const WITHOUT_OPINION: [&str; 3] = ["7.1.6", "7.13.1", "7.13.2"];

/// How a case went, and its closing handshake with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "SCREAMING-KEBAB-CASE")]
pub(super) enum Outcome {
    /// As it must.
    Ok,
    /// Conformant, and not what the suite thinks best.
    NonStrict,
    /// The suite has no opinion.
    Informational,
    /// The peer does not have the extension that the case is about.
    Unimplemented,
    /// The case passed, and the connection was not closed as it must be.
    BadClose,
    /// It failed, or the suite has a new word for how it went.
    Failed,
}

impl Outcome {
    const ALL: [Self; 6] =
        [Self::Ok, Self::NonStrict, Self::Informational, Self::Unimplemented, Self::BadClose, Self::Failed];

    /// The suite's word, but for [`Outcome::BadClose`].
    fn name(self) -> &'static str {
        match self {
            Self::Ok => "OK",
            Self::NonStrict => "NON-STRICT",
            Self::Informational => "INFORMATIONAL",
            Self::Unimplemented => "UNIMPLEMENTED",
            Self::BadClose => "BAD-CLOSE",
            Self::Failed => "FAILED",
        }
    }
}

/// One case of a report.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Case {
    outcome: Outcome,
    /// The suite's word on the closing handshake.
    close: String,
    milliseconds: u64,
}

/// The cases of one run.
pub(super) type Report = BTreeMap<CaseId, Case>;

/// Reads the suite's `index.json`, which must be about one peer.
///
/// # Errors
///
/// If it cannot be read, or is about none or several.
pub(super) fn read(path: &Path) -> Result<Report> {
    let text = std::fs::read_to_string(path).with_context(|| format!("reading {}", path.display()))?;
    parse(&text).with_context(|| format!("reading {}", path.display()))
}

fn parse(text: &str) -> Result<Report> {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Entry {
        behavior: String,
        behavior_close: String,
        duration: u64,
    }
    let peers: BTreeMap<String, BTreeMap<String, Entry>> = serde_json::from_str(text)?;
    let mut peers = peers.into_values();
    let (Some(entries), None) = (peers.next(), peers.next()) else {
        bail!("the report is not about one peer");
    };
    let case = |(id, entry): (String, Entry)| {
        let outcome = outcome(&entry.behavior, &entry.behavior_close);
        Ok((CaseId::parse(&id)?, Case { outcome, close: entry.behavior_close, milliseconds: entry.duration }))
    };
    entries.into_iter().map(case).collect()
}

fn outcome(behavior: &str, close: &str) -> Outcome {
    let known = Outcome::ALL.into_iter().find(|outcome| outcome.name() == behavior);
    match known.unwrap_or(Outcome::Failed) {
        Outcome::Failed => Outcome::Failed,
        // The suite does not look at these closes either.
        Outcome::Informational if close == "INFORMATIONAL" => Outcome::Informational,
        outcome if close == "OK" => outcome,
        // Among them FAILED BY CLIENT: the server under test has left it to the client to end the
        // connection (RFC 6455 section 7.1.1).
        _ => Outcome::BadClose,
    }
}

/// A case that is not plainly OK.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub(super) struct Remark {
    case: CaseId,
    outcome: Outcome,
    /// The suite's word on the closing handshake.
    close: String,
    /// Whether that is as it should be.
    allowed: bool,
}

/// What a section's cases came to.
#[derive(Debug, Default, PartialEq, Serialize)]
struct Section {
    counts: BTreeMap<Outcome, usize>,
    seconds: f64,
}

impl Section {
    /// A row of the table.
    fn cells(&self, name: String) -> [String; 8] {
        let mut cells =
            Outcome::ALL.map(|outcome| format!("{:>5}", self.counts.get(&outcome).unwrap_or(&0))).into_iter();
        let mut name = Some(name);
        core::array::from_fn(|_| {
            name.take().or_else(|| cells.next()).unwrap_or_else(|| format!("{:>7.1}", self.seconds))
        })
    }
}

/// What a run came to.
#[derive(Debug, PartialEq, Serialize)]
pub(super) struct Verdict {
    /// Every case that was to be run was, and each went as it must.
    pub(super) passed: bool,
    cases: usize,
    /// By their numbers.
    sections: BTreeMap<u32, Section>,
    /// Cases that are not plainly OK.
    remarks: Vec<Remark>,
    /// Cases that were to be run and are not in the report: the suite ends with 0 when it stops early, too.
    missing: Vec<CaseId>,
    /// Cases in the report that were not to be run.
    unasked: Vec<CaseId>,
    /// Cases that failed beside others, and were run again alone.
    again: Vec<CaseId>,
}

/// Judges a report about the cases in `expected`.
pub(super) fn judge(report: &Report, expected: &[CaseId], again: Vec<CaseId>) -> Verdict {
    let mut sections: BTreeMap<u32, Section> = BTreeMap::new();
    let mut remarks = Vec::new();
    for (id, case) in report {
        let section = sections.entry(id.section()).or_default();
        *section.counts.entry(case.outcome).or_default() += 1;
        section.seconds += Duration::from_millis(case.milliseconds).as_secs_f64();
        if case.outcome != Outcome::Ok {
            let allowed = is_allowed(id, case);
            let (case, outcome, close) = (id.clone(), case.outcome, case.close.clone());
            remarks.push(Remark { case, outcome, close, allowed });
        }
    }
    let missing: Vec<CaseId> = expected.iter().filter(|id| !report.contains_key(id)).cloned().collect();
    let unasked: Vec<CaseId> = report.keys().filter(|id| !expected.contains(id)).cloned().collect();
    let passed = missing.is_empty() && unasked.is_empty() && remarks.iter().all(|remark| remark.allowed);
    Verdict { passed, cases: report.len(), sections, remarks, missing, unasked, again }
}

fn is_allowed(id: &CaseId, case: &Case) -> bool {
    match case.outcome {
        Outcome::Ok => true,
        Outcome::Informational => WITHOUT_OPINION.contains(&id.to_string().as_str()),
        _ => false,
    }
}

/// The cases of a report that are worth another run alone: those that went wrong in a way that a busy machine
/// can be to blame for.
pub(super) fn doubtful(report: &Report) -> Vec<CaseId> {
    let is_doubtful =
        |id: &CaseId, case: &Case| case.outcome != Outcome::Unimplemented && !is_allowed(id, case);
    report.iter().filter(|(id, case)| is_doubtful(id, case)).map(|(id, _)| id.clone()).collect()
}

impl Verdict {
    /// Whether this case was run and went as it must.
    pub(super) fn has_passed(&self, case: &CaseId) -> bool {
        !self.missing.contains(case)
            && !self.remarks.iter().any(|remark| remark.case == *case && !remark.allowed)
    }

    /// Prints the table and what is not plainly OK.
    pub(super) fn print(&self, title: &str, pages: &Path) {
        println!("\n{title}: {} cases", self.cases);
        let mut sum = Section::default();
        let mut rows = Vec::new();
        for (number, section) in &self.sections {
            section
                .counts
                .iter()
                .for_each(|(outcome, count)| *sum.counts.entry(*outcome).or_default() += count);
            sum.seconds += section.seconds;
            rows.push(section.cells(number.to_string()));
        }
        rows.push(sum.cells("all".to_owned()));
        let mut head = ["section", "", "", "", "", "", "", "seconds"];
        head.iter_mut().skip(1).zip(Outcome::ALL).for_each(|(cell, outcome)| *cell = outcome.name());
        print_table(head, &rows);
        for outcome in Outcome::ALL {
            let remarks = self.remarks.iter().filter(|remark| remark.outcome == outcome);
            let ids: Vec<String> = remarks
                .map(|Remark { case, close, .. }| match outcome {
                    Outcome::BadClose => format!("{case} ({close})"),
                    _ => case.to_string(),
                })
                .collect();
            print_list(outcome.name(), &ids);
        }
        let names = |cases: &[CaseId]| cases.iter().map(CaseId::to_string).collect::<Vec<_>>();
        print_list("run again alone", &names(&self.again));
        print_list("MISSING in the report", &names(&self.missing));
        print_list("in the report, and not asked for", &names(&self.unasked));
        println!("a page for each case: {}", pages.join("index.html").display());
    }
}

fn print_list(title: &str, items: &[String]) {
    if !items.is_empty() {
        println!("{title}: {}", items.join(", "));
    }
}

#[cfg(test)]
mod tests {
    use super::{CaseId, Outcome, Report, Section, doubtful, judge, outcome, parse};

    fn ids(ids: &[&str]) -> Vec<CaseId> {
        ids.iter().map(|id| CaseId::parse(id).unwrap()).collect()
    }

    /// A report with these cases: id, behaviour, behaviour of the close.
    fn report(cases: &[(&str, &str, &str)]) -> Report {
        let entry = |(id, behavior, close): &(&str, &str, &str)| {
            format!(
                r#""{id}": {{"behavior": "{behavior}", "behaviorClose": "{close}", "duration": 1500,
                   "remoteCloseCode": null, "reportfile": "x.json"}}"#
            )
        };
        let entries: Vec<String> = cases.iter().map(entry).collect();
        parse(&format!(r#"{{"peer": {{{}}}}}"#, entries.join(","))).unwrap()
    }

    #[test]
    fn outcomes_join_behaviour_and_close() {
        for (behavior, close, expected) in [
            ("OK", "OK", Outcome::Ok),
            ("OK", "UNCLEAN", Outcome::BadClose),
            ("OK", "WRONG CODE", Outcome::BadClose),
            ("OK", "FAILED", Outcome::BadClose),
            ("OK", "FAILED BY CLIENT", Outcome::BadClose),
            ("NON-STRICT", "OK", Outcome::NonStrict),
            ("NON-STRICT", "FAILED", Outcome::BadClose),
            ("INFORMATIONAL", "INFORMATIONAL", Outcome::Informational),
            ("UNIMPLEMENTED", "OK", Outcome::Unimplemented),
            ("FAILED", "OK", Outcome::Failed),
            ("SOMETHING NEW", "OK", Outcome::Failed),
        ] {
            assert_eq!(outcome(behavior, close), expected, "{behavior} {close}");
        }
    }

    #[test]
    fn a_report_is_counted_by_section() {
        let report = report(&[("1.1.1", "OK", "OK"), ("10.1.1", "OK", "OK"), ("1.1.2", "NON-STRICT", "OK")]);
        let verdict = judge(&report, &ids(&["1.1.1", "1.1.2", "10.1.1"]), Vec::new());
        let row = |(number, section): (&u32, &Section)| {
            let cells = section.cells(number.to_string());
            cells.map(|cell| cell.trim().to_owned()).join(" ")
        };
        let rows: Vec<String> = verdict.sections.iter().map(row).collect();
        assert_eq!(rows, ["1 1 1 0 0 0 0 3.0", "10 1 0 0 0 0 0 1.5"]);
        assert_eq!(verdict.cases, 3);
    }

    #[test]
    fn only_ok_passes_and_what_is_without_opinion() {
        let judged = |id, behavior, close| judge(&report(&[(id, behavior, close)]), &ids(&[id]), Vec::new());
        assert!(judged("1.1.1", "OK", "OK").passed);
        assert!(judged("7.13.2", "INFORMATIONAL", "INFORMATIONAL").passed);
        for (id, behavior, close) in [
            ("7.1.1", "INFORMATIONAL", "INFORMATIONAL"),
            ("1.1.1", "NON-STRICT", "OK"),
            ("1.1.1", "FAILED", "OK"),
            ("1.1.1", "OK", "UNCLEAN"),
            ("12.1.1", "UNIMPLEMENTED", "OK"),
        ] {
            let verdict = judged(id, behavior, close);
            assert!(!verdict.passed, "{id} {behavior} {close}");
            assert_eq!(verdict.remarks.len(), 1);
        }
    }

    #[test]
    fn every_case_must_be_there_and_no_other() {
        let report = report(&[("1.1.1", "OK", "OK"), ("1.1.3", "OK", "OK")]);
        let verdict = judge(&report, &ids(&["1.1.1", "1.1.2"]), Vec::new());
        assert!(!verdict.passed);
        assert_eq!(
            ids(&["1.1.1", "1.1.2"]).iter().map(|id| verdict.has_passed(id)).collect::<Vec<_>>(),
            [true, false]
        );
        assert_eq!((verdict.missing, verdict.unasked), (ids(&["1.1.2"]), ids(&["1.1.3"])));
        assert!(!judge(&Report::new(), &ids(&["1.1.1"]), Vec::new()).passed);
    }

    #[test]
    fn what_a_busy_machine_may_have_done_is_run_again() {
        let report = report(&[
            ("1.1.1", "OK", "OK"),
            ("7.1.6", "INFORMATIONAL", "INFORMATIONAL"),
            ("9.1.6", "FAILED", "OK"),
            ("9.2.6", "OK", "UNCLEAN"),
            ("12.1.1", "UNIMPLEMENTED", "OK"),
        ]);
        assert_eq!(doubtful(&report), ids(&["9.1.6", "9.2.6"]));
    }

    #[test]
    fn a_report_is_about_one_peer() {
        assert!(parse("{}").is_err());
        assert!(parse(r#"{"a": {}, "b": {}}"#).is_err());
        assert!(parse("not json").is_err());
        assert!(parse(r#"{"a": {}}"#).unwrap().is_empty());
    }
}
