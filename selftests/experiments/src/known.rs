// SPDX-License-Identifier: GPL-2.0
//! Bugs of the mm that experiments have found, and that are in the kernels of today.
//!
//! A violation that is one of these is shown, with all its evidence, as an expected failure: it tells
//! nothing new about the kernel, and must not hide what does. With a kernel that has been fixed the
//! case simply passes, and the entry here can go.

/// A known bug.
#[derive(Clone, Copy, Debug)]
pub struct KnownBug {
    /// The experiment that shows it.
    pub experiment: &'static str,
    /// The invariant that is broken.
    pub invariant: &'static str,
    /// What is known, in one line.
    pub finding: &'static str,
}

const LOST_GUARD: KnownBug = KnownBug {
    experiment: "collapse_guard",
    invariant: "a guard region faults until it is removed",
    finding: "collapse of a file's huge page drops guard markers that are installed meanwhile \
              (seen on 7.2.13; Documentation/findings.rst)",
};

/// All of them.
pub const ALL: [KnownBug; 2] = [
    LOST_GUARD,
    KnownBug {
        experiment: "khugepaged_guard",
        ..LOST_GUARD
    },
];

/// The known bugs that an experiment shows.
pub fn of(experiment: &str) -> impl Iterator<Item = &'static KnownBug> {
    ALL.iter().filter(move |bug| bug.experiment == experiment)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_known_bug_is_that_of_an_experiment() {
        for bug in &ALL {
            assert!(crate::all().any(|experiment| experiment.name == bug.experiment));
        }
    }
}
