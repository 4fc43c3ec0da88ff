//! Where the tests of a run go that are not for the host, and how much each place counts.

use anyhow::Result;

use super::count::Weight;
use crate::place::{Browser, Place};
use crate::tools::browsers;
use crate::{process, webdriver};

/// Where all runs that is not for the host.
pub(super) struct Places {
    /// Whether what needs no browser runs: in Node, and on the host.
    pub(super) node: bool,
    /// In this order, and whether a failure there fails the run.
    pub(super) browsers: Vec<(Browser, Weight)>,
    /// What is only reported and could not be had, and why.
    pub(super) left_out: Vec<String>,
}

impl Places {
    /// The places of a run with these `engines` named. Without any it is Node, the required browsers, and in a
    /// full run WebKit, which is reported.
    pub(super) fn of(engines: &[Browser], full: bool) -> Self {
        if engines.is_empty() {
            let usual = Browser::REQUIRED.map(|browser| (browser, Weight::Required));
            let reported = full.then_some((Browser::Webkit, Weight::Reported));
            let browsers = usual.into_iter().chain(reported).collect();
            return Self { node: true, browsers, left_out: Vec::new() };
        }
        let mut browsers: Vec<(Browser, Weight)> = Vec::new();
        for browser in engines {
            // Named twice is named.
            if browsers.iter().all(|(known, _)| known != browser) {
                browsers.push((*browser, Weight::Required));
            }
        }
        Self { node: false, browsers, left_out: Vec::new() }
    }

    /// Finds every browser and prints its version. One that is only reported is left out if it cannot be had.
    ///
    /// # Errors
    ///
    /// [`crate::tools::Missing`] if a required one has to be installed by the user.
    pub(super) fn find(&mut self) -> Result<()> {
        for (browser, weight) in std::mem::take(&mut self.browsers) {
            match version(browser) {
                Ok(version) => {
                    println!("{browser}: {version}");
                    self.browsers.push((browser, weight));
                }
                Err(error) if weight == Weight::Reported => {
                    self.left_out.push(format!("{browser} is not tested: {error:#}"));
                }
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Whether something runs in `place`.
    pub(super) fn includes(&self, place: Place) -> bool {
        match place.browser() {
            Some(browser) => self.browsers.iter().any(|(known, _)| *known == browser),
            None => self.node,
        }
    }

    /// Pages and dedicated workers, which have all tests.
    pub(super) fn ordinary(&self) -> impl Iterator<Item = (Place, Weight)> {
        let node = self.node.then_some((Place::Node, Weight::Required));
        node.into_iter().chain(self.both(Place::Page, Place::Worker))
    }

    /// Where only what is said of all workers is tested, but for shared workers in full runs.
    pub(super) fn further(&self) -> impl Iterator<Item = (Place, Weight)> {
        self.both(Place::SharedWorker, Place::ServiceWorker)
    }

    fn both(
        &self,
        one: fn(Browser) -> Place,
        other: fn(Browser) -> Place,
    ) -> impl Iterator<Item = (Place, Weight)> {
        let browsers = self.browsers.iter();
        browsers.flat_map(move |(browser, weight)| [(one(*browser), *weight), (other(*browser), *weight)])
    }
}

/// Finds a browser, and what it says about itself.
fn version(browser: Browser) -> Result<String> {
    let found = browsers::find(browser)?;
    Ok(match found.version() {
        Some(mut command) => process::stdout_of(&mut command)?.trim().to_owned(),
        None => webdriver::Session::start(&found)?.version().to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::{Places, Weight};
    use crate::place::{Browser, Place};

    #[test]
    fn webkit_is_reported_in_full_runs_and_required_when_it_is_named() {
        let usual = [(Browser::Chromium, Weight::Required), (Browser::Firefox, Weight::Required)];
        let quick = Places::of(&[], false);
        assert_eq!((quick.node, quick.browsers.as_slice()), (true, &usual[..]));
        let full = Places::of(&[], true);
        assert_eq!(full.browsers, [&usual[..], &[(Browser::Webkit, Weight::Reported)]].concat());
        let named = Places::of(&[Browser::Webkit, Browser::Webkit], true);
        assert_eq!(
            (named.node, named.browsers.as_slice()),
            (false, &[(Browser::Webkit, Weight::Required)][..])
        );
        let places: Vec<_> = named.ordinary().chain(named.further()).map(|(place, _)| place.name()).collect();
        assert_eq!(places, ["webkit", "webkit-worker", "webkit-shared-worker", "webkit-service-worker"]);
        assert!(!named.includes(Place::Native) && !named.includes(Place::Node));
        assert!(full.includes(Place::Native) && full.includes(Place::Node));
        assert!(!named.includes(Place::Page(Browser::Firefox)));
    }
}
