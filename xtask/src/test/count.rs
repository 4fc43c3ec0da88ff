//! What came of a run: the tests that ran, and the steps that failed without one.

use crate::behaviours::Record;

/// Whether a failure fails the run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Weight {
    /// It does.
    Required,
    /// It is told, and that is all.
    Reported,
}

/// All tests that have run, and where.
#[derive(Default)]
pub(super) struct Tally {
    pub(super) records: Vec<Record>,
}

impl Tally {
    fn failed(&self) -> usize {
        self.records.iter().filter(|record| !record.passed).count()
    }
}

/// What ran with one weight.
#[derive(Default)]
pub(super) struct Count {
    tally: Tally,
    /// The names of the steps that failed without a failed test.
    loose: Vec<String>,
}

impl Count {
    /// Does one step, `None` being its failure; whatever fails in it is counted.
    pub(super) fn step<T>(&mut self, name: &str, work: impl FnOnce(&mut Tally) -> Option<T>) -> Option<T> {
        let before = self.tally.failed();
        let result = work(&mut self.tally);
        if result.is_none() && self.tally.failed() == before {
            self.loose.push(name.to_owned());
        }
        result
    }

    /// Every test so far, in the order in which they ran.
    pub(super) fn records(&self) -> &[Record] {
        &self.tally.records
    }

    /// How many tests passed.
    pub(super) fn passed(&self) -> usize {
        self.tally.records.len() - self.tally.failed()
    }

    /// How many tests, and steps without a failed test, failed.
    pub(super) fn failed(&self) -> usize {
        self.tally.failed() + self.loose.len()
    }

    /// Names all that failed, each in a line behind `word`.
    pub(super) fn print_failed(&self, word: &str) {
        for Record { place, name, .. } in self.tally.records.iter().filter(|record| !record.passed) {
            println!("{word}: {name} in {place}");
        }
        for step in &self.loose {
            println!("{word}: {step}");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Count;
    use crate::behaviours::Record;

    #[test]
    fn a_step_that_fails_without_a_failed_test_is_one_failure() {
        let record = |passed| Record { place: "webkit".to_owned(), name: "a".to_owned(), passed };
        let mut count = Count::default();
        count.step("lint", |_| None::<()>);
        count.step("tests", |tally| {
            tally.records.extend([record(true), record(false)]);
            None::<()>
        });
        count.step("build", |_| Some(()));
        assert_eq!((count.passed(), count.failed(), count.records().len()), (1, 2, 2));
    }
}
