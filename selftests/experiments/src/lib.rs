// SPDX-License-Identifier: GPL-2.0
//! The experiments, and what runs them.
//!
//! An experiment is one file: a function that is given a [`Trial`] on one mapping kind, brings its
//! actors together for as many rounds as the budget has, and lets the trial's oracle decide. It is
//! listed in [`ALL`], and that is all there is to adding one.

pub mod collapse_held_pin;
pub mod collapse_vs_pinning;
mod collapsing;
pub mod fork_held_pin;
pub mod fork_pin_stress;
mod hammering;
pub mod ktap;
pub mod pin_and_look;
pub mod report;
pub mod runner;
pub mod trial;

pub use report::{CaseReport, RunReport, Verdict};
pub use runner::{Case, Options, Progress, run, select};
pub use trial::{Stop, Trial};

/// An experiment.
#[derive(Clone, Copy, Debug)]
pub struct Experiment {
    /// Its name.
    pub name: &'static str,
    /// What it asks, in one line.
    pub about: &'static str,
    /// What a hit is.
    pub hit: &'static str,
    /// Runs it on one mapping kind until the budget of the trial is used up.
    pub run: fn(&mut Trial<'_>) -> Result<(), Stop>,
}

/// All experiments.
pub const ALL: [Experiment; 5] = [
    pin_and_look::EXPERIMENT,
    fork_held_pin::EXPERIMENT,
    fork_pin_stress::EXPERIMENT,
    collapse_held_pin::EXPERIMENT,
    collapse_vs_pinning::EXPERIMENT,
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_fit_for_ktap_and_for_patterns() {
        for (at, experiment) in ALL.iter().enumerate() {
            assert!(
                experiment
                    .name
                    .chars()
                    .all(|c| c.is_ascii_lowercase() || c == '_')
            );
            assert!(!experiment.about.is_empty() && !experiment.hit.is_empty());
            assert!(ALL[..at].iter().all(|other| other.name != experiment.name));
        }
    }
}
