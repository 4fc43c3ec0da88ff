//! Which cases the suite has, and which of them are run.

use std::fmt;

use anyhow::{Context as _, Result, bail};
use serde::{Serialize, Serializer};

/// All cases of the pinned version of the suite: what their ids begin with, and how many begin so.
#[rustfmt::skip]
const GROUPS: [(&[u32], u32); 57] = [
    (&[1, 1], 8), (&[1, 2], 8),
    (&[2], 11),
    (&[3], 7),
    (&[4, 1], 5), (&[4, 2], 5),
    (&[5], 20),
    (&[6, 1], 3), (&[6, 2], 4), (&[6, 3], 2), (&[6, 4], 4), (&[6, 5], 5), (&[6, 6], 11), (&[6, 7], 4),
    (&[6, 8], 2), (&[6, 9], 4), (&[6, 10], 3), (&[6, 11], 5), (&[6, 12], 8), (&[6, 13], 5), (&[6, 14], 10),
    (&[6, 15], 1), (&[6, 16], 3), (&[6, 17], 5), (&[6, 18], 5), (&[6, 19], 5), (&[6, 20], 7), (&[6, 21], 8),
    (&[6, 22], 34), (&[6, 23], 7),
    (&[7, 1], 6), (&[7, 3], 6), (&[7, 5], 1), (&[7, 7], 13), (&[7, 9], 9), (&[7, 13], 2),
    (&[9, 1], 6), (&[9, 2], 6), (&[9, 3], 9), (&[9, 4], 9), (&[9, 5], 6), (&[9, 6], 6), (&[9, 7], 6), (&[9, 8], 6),
    (&[10, 1], 1),
    (&[12, 1], 18), (&[12, 2], 18), (&[12, 3], 18), (&[12, 4], 18), (&[12, 5], 18),
    (&[13, 1], 18), (&[13, 2], 18), (&[13, 3], 18), (&[13, 4], 18), (&[13, 5], 18), (&[13, 6], 18), (&[13, 7], 18),
];

/// What a quick run has: everything about the protocol's rules, and a few of the cases that only take time.
const QUICK: [&str; 25] = [
    "1.*", "2.*", "3.*", "4.*", "5.*", "6.*", "7.*", "9.1.1", "9.1.2", "9.1.3", "9.2.1", "9.2.2", "9.2.3",
    "9.3.5", "9.4.5", "9.5.6", "9.6.6", "9.7.1", "9.8.1", "10.*", "12.1.1", "12.2.1", "13.1.1", "13.4.1",
    "13.7.1",
];

/// The id of a case, such as 6.22.34. Ordered as the suite orders them.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct CaseId(Vec<u32>);

impl CaseId {
    /// Reads an id.
    ///
    /// # Errors
    ///
    /// If it is not numbers with dots between them.
    pub(super) fn parse(text: &str) -> Result<Self> {
        let numbers = text.split('.').map(str::parse).collect::<Result<_, _>>();
        Ok(Self(numbers.with_context(|| format!("reading the id of a case, {text:?}"))?))
    }

    /// The number of its section.
    pub(super) fn section(&self) -> u32 {
        self.0.first().copied().unwrap_or(0)
    }
}

impl fmt::Display for CaseId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let numbers: Vec<String> = self.0.iter().map(u32::to_string).collect();
        f.write_str(&numbers.join("."))
    }
}

impl Serialize for CaseId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// What is run.
#[derive(Clone, Debug)]
pub(crate) enum Selection {
    /// A few seconds' worth.
    Quick,
    /// Everything.
    Full,
    /// Those that match one of these patterns, in which `*` stands for anything.
    Matching(Vec<String>),
}

impl Selection {
    /// The cases, in order.
    ///
    /// # Errors
    ///
    /// If a pattern matches none.
    pub(super) fn cases(&self) -> Result<Vec<CaseId>> {
        match self {
            Self::Quick => select(&QUICK),
            Self::Full => select(&["*"]),
            Self::Matching(patterns) => select(&patterns.iter().map(String::as_str).collect::<Vec<_>>()),
        }
    }
}

fn select(patterns: &[&str]) -> Result<Vec<CaseId>> {
    let mut cases = all();
    if let Some(pattern) =
        patterns.iter().find(|pattern| !cases.iter().any(|case| matches(pattern, &case.to_string())))
    {
        bail!("the suite has no case {pattern}");
    }
    cases.retain(|case| {
        let id = case.to_string();
        patterns.iter().any(|pattern| matches(pattern, &id))
    });
    Ok(cases)
}

/// Every case of the suite, in order.
fn all() -> Vec<CaseId> {
    let group = |(first, count): (&[u32], u32)| {
        let first = first.to_vec();
        (1..=count).map(move |last| CaseId([first.as_slice(), &[last]].concat()))
    };
    GROUPS.into_iter().flat_map(group).collect()
}

/// Whether the whole of `text` matches `pattern`.
fn matches(pattern: &str, text: &str) -> bool {
    match pattern.split_once('*') {
        None => pattern == text,
        Some((before, after)) => text.strip_prefix(before).is_some_and(|rest| {
            let ends = rest.char_indices().map(|(at, _)| at).chain([rest.len()]);
            ends.filter_map(|at| rest.get(at..)).any(|rest| matches(after, rest))
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::{CaseId, Selection, all, matches, select};

    fn count(patterns: &[&str]) -> usize {
        select(patterns).unwrap().len()
    }

    #[test]
    fn the_numbers_of_cases_are_those_of_the_suite() {
        assert_eq!(count(&["12.*", "13.*"]), 216);
        assert_eq!(Selection::Quick.cases().unwrap().len(), 264);
        assert_eq!(Selection::Full.cases().unwrap().len(), 517);
    }

    #[test]
    fn cases_are_sorted_as_numbers() {
        assert!(all().is_sorted());
        assert!(CaseId::parse("2.10").unwrap() > CaseId::parse("2.9").unwrap());
        assert_eq!(CaseId::parse("6.22.34").unwrap().to_string(), "6.22.34");
        assert_eq!(CaseId::parse("6.22.34").unwrap().section(), 6);
        assert!(CaseId::parse("6.x").is_err() && CaseId::parse("").is_err());
    }

    #[test]
    fn patterns_match_whole_ids() {
        for (pattern, text) in [("1.*", "1.1.1"), ("*", "2.1"), ("1*.*.8", "12.3.8"), ("9.1.1", "9.1.1")] {
            assert!(matches(pattern, text), "{pattern} {text}");
        }
        for (pattern, text) in [("1.*", "10.1.1"), ("1.1", "1.1.1"), ("*.8", "12.3.18"), ("9.1.1*", "9.1.2")]
        {
            assert!(!matches(pattern, text), "{pattern} {text}");
        }
    }

    #[test]
    fn a_pattern_without_a_case_is_refused() {
        let nothing = Selection::Matching(vec!["1.*".to_owned(), "8.*".to_owned()]);
        assert!(nothing.cases().unwrap_err().to_string().contains("8.*"));
    }
}
