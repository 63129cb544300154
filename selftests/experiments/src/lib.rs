// SPDX-License-Identifier: GPL-2.0
//! The experiments, and what runs them.
//!
//! An experiment is one file in the directory of its [`Family`]: a function that is given a
//! [`Trial`] on one mapping kind, brings its actors together for as many rounds as the budget has,
//! and lets the trial's oracle decide. The family's `ALL` lists it, and that is all there is to
//! adding one.

pub mod aim;
mod case_process;
pub mod collapse_uffd;
mod collapsing;
mod conduct;
pub mod family;
pub mod fork_pin;
pub mod gup_collapse;
mod hammering;
pub mod known;
pub mod ktap;
mod lockstep;
pub mod machine;
pub mod numa_hint;
pub mod reach;
pub mod recorder;
pub mod report;
pub mod ring;
pub mod runner;
pub mod selection;
pub mod trial;
pub mod walk_free;

use guplab::Kind;
pub use guplab::{Point, Whom};

pub use aim::{At, Side, Window};
pub use family::Family;
pub use report::{CaseReport, RunReport, Verdict};
pub use runner::{Options, PATIENCE, Progress, run};
pub use selection::{Case, select};
pub use trial::{Stop, Trial};

/// An experiment.
#[derive(Clone, Copy, Debug)]
pub struct Experiment {
    /// The question that it asks.
    pub family: Family,
    /// Its name, of a-z and `_`. It is part of the names of tests, and so stays what it is.
    pub name: &'static str,
    /// The invariant, in one line.
    pub about: &'static str,
    /// What a hit is, in one line.
    pub hit: &'static str,
    /// What it aims at; empty where there is nothing to aim at.
    pub windows: &'static [Window],
    /// Whether it can be done with a mapping kind; the error is the reason why not.
    pub fits: fn(Kind) -> Result<(), &'static str>,
    /// Runs it on one mapping kind until the budget of the trial is used up.
    pub run: fn(&mut Trial<'_>) -> Result<(), Stop>,
}

/// All experiments, by family.
pub fn all() -> impl Iterator<Item = &'static Experiment> {
    Family::ALL.into_iter().flat_map(Family::experiments)
}

/// For [`Experiment::fits`]: every kind will do.
pub fn any_kind(_: Kind) -> Result<(), &'static str> {
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_fit_for_ktap_and_for_patterns() {
        let mut names: Vec<&str> = all().map(|experiment| experiment.name).collect();
        for experiment in all() {
            assert!(
                experiment
                    .name
                    .chars()
                    .all(|c| c.is_ascii_lowercase() || c == '_')
            );
            assert!(!experiment.about.is_empty() && !experiment.hit.is_empty());
        }
        let count = names.len();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), count);
    }

    #[test]
    fn every_experiment_fits_some_kind() {
        for experiment in all() {
            assert!(
                Kind::ALL
                    .iter()
                    .any(|&kind| (experiment.fits)(kind).is_ok()),
                "{}",
                experiment.name
            );
        }
    }
}
