// SPDX-License-Identifier: GPL-2.0
//! The kill matrix: what became of each mutant, and who noticed it.

use std::collections::BTreeSet;

use guplab::Outcome;
use guplab_experiments::machine::Machine;
use serde::Serialize;

use crate::hunt::Hunt;
use crate::journal::{CONTROL, GUPLAB};
use crate::{Arch, Cell, Class, Journal, Row, Steps, Target};

/// All that journals tell of one architecture.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Matrix {
    /// The architecture.
    pub arch: Arch,
    /// Where and when.
    pub machine: Machine,
    /// Kernels that were booted.
    pub boots: usize,
    /// The run in which nothing was left out.
    pub control: Option<Cell>,
    /// The mutants that were tried, in the order of the steps.
    pub rows: Vec<Row>,
}

impl Matrix {
    /// What a journal tells about these steps on an architecture.
    pub fn of(journal: &Journal, steps: &'static Steps, arch: Arch) -> Matrix {
        let hunts: Vec<Hunt> = journal
            .hunts()
            .into_iter()
            .filter(|hunt| hunt.is_over && hunt.arch == arch)
            .collect();
        let rows = steps.targets(arch).map(|target| Row::of(&target, &hunts));
        Matrix {
            arch,
            machine: journal.machines(arch).next().cloned().unwrap_or_default(),
            boots: journal.machines(arch).count(),
            control: Cell::of(&hunts, CONTROL, GUPLAB),
            rows: rows.flatten().collect(),
        }
    }

    /// Has a row for each of these, hunted or not.
    pub fn require(&mut self, targets: impl Iterator<Item = Target>) {
        for target in targets {
            if !self.rows.iter().any(|row| row.name == target.name) {
                self.rows.push(Row::untried(&target));
            }
        }
    }

    /// The in-tree tests that were run.
    pub fn programs(&self) -> BTreeSet<&str> {
        self.rows
            .iter()
            .flat_map(|row| row.in_tree.keys().map(String::as_str))
            .collect()
    }

    /// Whether the run without mutants was clean, and if not, why.
    pub fn control(&self) -> Outcome {
        match &self.control {
            None => Outcome::Skip("was not run".into()),
            Some(cell) => match cell.kills.first() {
                None => Outcome::Pass,
                Some(kill) => Outcome::Fail(vec![kill.case.clone(), kill.symptom.clone()]),
            },
        }
    }

    /// Mutants of these classes, and how many of them were noticed in every hunt.
    pub fn score(&self, classes: &[Class]) -> (usize, usize) {
        let tried: Vec<&Row> = self
            .rows
            .iter()
            .filter(|row| classes.contains(&row.class) && row.guplab.was_tried())
            .collect();
        let killed = tried
            .iter()
            .filter(|row| row.guplab.always_killed())
            .count();
        (killed, tried.len())
    }

    /// The mutant of this name.
    pub fn row(&self, name: &str) -> Option<&Row> {
        self.rows.iter().find(|row| row.name == name)
    }

    /// The exit code: 1 if anything isn't as expected, 4 if nothing was tried, else 0.
    pub fn exit_code(matrices: &[Matrix]) -> u8 {
        let outcomes_of = |matrix: &Matrix| -> Vec<Outcome> {
            let of_rows = matrix.rows.iter().map(|row| row.outcome(&matrix.machine));
            of_rows.chain([matrix.control()]).collect()
        };
        let outcomes: Vec<Outcome> = matrices.iter().flat_map(outcomes_of).collect();
        let failed = outcomes
            .iter()
            .any(|outcome| matches!(outcome, Outcome::Fail(_)));
        let skipped = outcomes
            .iter()
            .all(|outcome| matches!(outcome, Outcome::Skip(_)));
        match (failed, skipped) {
            (true, _) => guplab::ktap::exit::FAIL,
            (false, true) => guplab::ktap::exit::SKIP,
            (false, false) => guplab::ktap::exit::PASS,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Event;

    #[test]
    fn what_is_expected_is_told_by_the_architecture_of_the_hunt() {
        let steps = Steps::all();
        let here_and_there = steps.targets(Arch::X86).zip(steps.targets(Arch::Arm64));
        let classes = here_and_there.map(|(here, there)| (here.name, here.class, there.class));
        let mut differing = classes.filter(|&(_, here, there)| here != there);
        let (name, here, there) = differing.next().expect("a step");
        let begin = || Event::Begin {
            target: name.to_owned(),
            by: GUPLAB.into(),
            seed: 1,
        };
        let end = || Event::End {
            seconds: 1.0,
            skipped: None,
        };
        let boot = |arch: Arch| Event::Boot {
            machine: Machine {
                arch: arch.name().into(),
                ..Machine::default()
            },
        };
        let mut journal = Journal::in_memory();
        for event in [
            boot(Arch::X86),
            begin(),
            end(),
            boot(Arch::Arm64),
            boot(Arch::Arm64),
            begin(),
            end(),
        ] {
            journal.note(event).expect("noted");
        }
        for (arch, boots, class) in [(Arch::X86, 1, here), (Arch::Arm64, 2, there)] {
            let matrix = Matrix::of(&journal, steps, arch);
            let row = matrix.row(name).expect("a row");
            assert_eq!(row.class, class);
            assert_eq!((row.guplab.hunts, matrix.boots), (1, boots));
        }
    }

    #[test]
    fn who_is_required_and_was_not_hunted_is_a_failure() {
        let mut matrix = Matrix::of(&Journal::in_memory(), Steps::all(), Arch::X86);
        assert_eq!(
            Matrix::exit_code(std::slice::from_ref(&matrix)),
            guplab::ktap::exit::SKIP
        );
        matrix.require(Steps::all().targets(Arch::X86).take(1));
        let outcome = matrix.rows[0].outcome(&matrix.machine);
        assert!(matches!(outcome, Outcome::Fail(_)), "{outcome:?}");
        assert_eq!(
            Matrix::exit_code(std::slice::from_ref(&matrix)),
            guplab::ktap::exit::FAIL
        );
    }
}
