// SPDX-License-Identifier: GPL-2.0
//! A row of the kill matrix: what became of one mutant.

use std::collections::{BTreeMap, BTreeSet};

use guplab::Outcome;
use guplab_experiments::machine::Machine;
use serde::Serialize;

use crate::hunt::{Hunt, Kill};
use crate::journal::GUPLAB;
use crate::{Class, Target};

/// A deterministic mutant is to be noticed within so many rounds of a case.
const DETERMINISTIC_ROUNDS: u64 = 3;

/// What became of a mutant in the hands of one hunter.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Cell {
    /// Hunts, one for each seed.
    pub hunts: u64,
    /// How each that was successful ended.
    pub kills: Vec<Kill>,
    /// Rounds of all hunts.
    pub rounds: u64,
    /// Those in which both sides met.
    pub hits: u64,
    /// Cases that were run.
    pub cases: u64,
    /// Time of all hunts.
    pub seconds: f64,
    /// Why there was no hunt.
    pub skipped: Option<String>,
}

/// A mutant.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Row {
    /// The name of the step, or of those that back each other up.
    pub name: String,
    /// What was left out.
    pub switches: Vec<String>,
    /// The litmus tests that show what is lost.
    pub litmus: Vec<String>,
    /// What is to be expected.
    pub class: Class,
    /// What experiments noticed.
    pub guplab: Cell,
    /// What in-tree tests noticed, by their names.
    pub in_tree: BTreeMap<String, Cell>,
}

impl Cell {
    /// What the hunts of one hunter for a target came to; none if there was none.
    pub(crate) fn of(hunts: &[Hunt], target: &str, by: &str) -> Option<Cell> {
        let mut cell: Option<Cell> = None;
        for hunt in hunts
            .iter()
            .filter(|hunt| hunt.target == target && hunt.by == by)
        {
            cell.get_or_insert_default().add(hunt.clone());
        }
        cell
    }

    fn add(&mut self, hunt: Hunt) {
        if hunt.skipped.is_some() {
            self.skipped = hunt.skipped;
            return;
        }
        self.hunts += 1;
        self.rounds += hunt.rounds;
        self.hits += hunt.hits;
        self.cases += hunt.cases;
        self.seconds += hunt.seconds;
        self.kills.extend(hunt.kill);
    }

    /// Whether anybody was there to notice.
    pub fn was_tried(&self) -> bool {
        self.hunts > 0
    }

    /// Whether each hunt was successful.
    pub fn always_killed(&self) -> bool {
        self.was_tried() && self.kills.len() as u64 == self.hunts
    }

    /// Seconds to the kill: the median, where a hunt without one took longer than any other.
    pub fn median(&self) -> Option<f64> {
        let mut times: Vec<f64> = self.kills.iter().map(|kill| kill.seconds).collect();
        times.resize(self.hunts as usize, f64::INFINITY);
        times.sort_by(f64::total_cmp);
        let median = *times.get(times.len() / 2)?;
        median.is_finite().then_some(median)
    }

    /// The cases that noticed it, the one that did so most often first.
    pub fn killers(&self) -> Vec<&str> {
        let mut count: BTreeMap<&str, usize> = BTreeMap::new();
        for kill in &self.kills {
            *count.entry(&kill.case).or_default() += 1;
        }
        let mut killers: Vec<(&str, usize)> = count.into_iter().collect();
        killers.sort_by_key(|&(_, times)| std::cmp::Reverse(times));
        killers.into_iter().map(|(case, _)| case).collect()
    }

    /// The first kill that was one: not what was noticed with the step in force, too.
    pub fn first_kill(&self) -> Option<&Kill> {
        let is_true = |kill: &&Kill| !matches!(kill.again, Some(Some(_)));
        self.kills.iter().find(is_true)
    }

    /// Kills that were none: the same was noticed with the step in force.
    fn false_kills(&self) -> impl Iterator<Item = &Kill> {
        let is_false = |kill: &&Kill| matches!(kill.again, Some(Some(_)));
        self.kills.iter().filter(is_false)
    }
}

impl Row {
    /// What became of one target; none if nobody hunted for it.
    pub(crate) fn of(target: &Target, hunts: &[Hunt]) -> Option<Row> {
        let hunters: BTreeSet<&str> = hunts
            .iter()
            .filter(|hunt| hunt.target == target.name && hunt.by != GUPLAB)
            .map(|hunt| hunt.by.as_str())
            .collect();
        let in_tree: BTreeMap<String, Cell> = hunters
            .into_iter()
            .filter_map(|by| Some((by.to_owned(), Cell::of(hunts, target.name, by)?)))
            .collect();
        let guplab = Cell::of(hunts, target.name, GUPLAB);
        if guplab.is_none() && in_tree.is_empty() {
            return None;
        }
        Some(Row {
            guplab: guplab.unwrap_or_default(),
            in_tree,
            ..Row::untried(target)
        })
    }

    /// One that nobody has hunted for.
    pub(crate) fn untried(target: &Target) -> Row {
        let strings = |names: &[&str]| names.iter().map(|&name| name.to_owned()).collect();
        Row {
            name: target.name.to_owned(),
            switches: strings(&target.switches),
            litmus: strings(&target.litmus),
            class: target.class,
            guplab: Cell::default(),
            in_tree: BTreeMap::new(),
        }
    }

    /// Whether it went as is to be expected on this machine, and if not, why.
    pub fn outcome(&self, machine: &Machine) -> Outcome {
        let cell = &self.guplab;
        if !cell.was_tried() {
            return match &cell.skipped {
                Some(reason) => Outcome::Skip(reason.clone()),
                None if !self.in_tree.is_empty() => {
                    Outcome::Skip("only in-tree tests hunted for it".into())
                }
                None => Outcome::Fail(vec!["nobody hunted for it".into()]),
            };
        }
        if let Some(kill) = cell.false_kills().next() {
            let text = format!("{} notices it with the step in force, too", kill.case);
            return Outcome::Fail(vec![text, kill.symptom.clone()]);
        }
        match (self.class, cell.kills.first()) {
            (Class::Equivalent, None) => Outcome::Pass,
            (Class::Barrier, None) => Outcome::Skip(format!(
                "only a barrier is left out, and emulated CPUs need none: {}",
                match self.litmus.as_slice() {
                    [] => "no litmus test has TLBs".to_owned(),
                    tests => format!("Documentation/litmus has {}", tests.join(", ")),
                }
            )),
            (Class::Barrier, Some(_)) if !machine.is_emulated() => Outcome::Pass,
            (Class::Equivalent | Class::Barrier, Some(kill)) => Outcome::Fail(vec![
                format!("{} notices what should change nothing", kill.case),
                kill.symptom.clone(),
            ]),
            (Class::Race | Class::Deterministic, _) if !cell.always_killed() => {
                let (kills, hunts) = (cell.kills.len(), cell.hunts);
                let (rounds, hits) = (cell.rounds, cell.hits);
                Outcome::Fail(vec![format!(
                    "noticed in {kills} of {hunts} hunts, {rounds} rounds, {hits} hits"
                )])
            }
            (Class::Deterministic, _) => match self.late() {
                Some(kill) => Outcome::Fail(vec![format!(
                    "noticed in round {} of {} only",
                    kill.round.unwrap_or(0),
                    kill.case
                )]),
                None => Outcome::Pass,
            },
            (Class::Race, _) => Outcome::Pass,
        }
    }

    /// A kill that took more rounds than it may for a deterministic mutant.
    fn late(&self) -> Option<&Kill> {
        let is_late = |kill: &&Kill| kill.round.is_some_and(|round| round > DETERMINISTIC_ROUNDS);
        self.guplab.kills.iter().find(is_late)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kill(seconds: f64, round: u64) -> Kill {
        Kill {
            case: "a/b".into(),
            round: Some(round),
            seconds,
            symptom: "lost".into(),
            again: Some(None),
        }
    }

    fn hunted(class: Class, hunts: u64, kills: Vec<Kill>) -> Row {
        Row {
            name: "x".into(),
            switches: vec!["x".into()],
            litmus: vec!["y".into()],
            class,
            guplab: Cell {
                hunts,
                kills,
                ..Cell::default()
            },
            in_tree: BTreeMap::new(),
        }
    }

    fn machine(accelerator: Option<&str>) -> Machine {
        Machine {
            accelerator: accelerator.map(str::to_owned),
            ..Machine::default()
        }
    }

    fn fails(row: &Row) -> bool {
        matches!(row.outcome(&machine(Some("TCG"))), Outcome::Fail(_))
    }

    #[test]
    fn live_mutants_must_be_killed_in_every_hunt() {
        assert!(!fails(&hunted(
            Class::Race,
            2,
            vec![kill(1.0, 9), kill(2.0, 9)]
        )));
        assert!(fails(&hunted(Class::Race, 2, vec![kill(1.0, 9)])));
        assert!(fails(&hunted(Class::Race, 1, Vec::new())));
    }

    #[test]
    fn deterministic_ones_must_be_killed_at_once() {
        assert!(!fails(&hunted(Class::Deterministic, 1, vec![kill(1.0, 3)])));
        assert!(fails(&hunted(Class::Deterministic, 1, vec![kill(1.0, 4)])));
    }

    #[test]
    fn equivalent_ones_must_survive() {
        assert!(!fails(&hunted(Class::Equivalent, 1, Vec::new())));
        assert!(fails(&hunted(Class::Equivalent, 1, vec![kill(1.0, 1)])));
    }

    #[test]
    fn barriers_are_for_litmus_tests_where_cpus_are_emulated() {
        let survived = hunted(Class::Barrier, 1, Vec::new());
        let Outcome::Skip(reason) = survived.outcome(&machine(Some("TCG"))) else {
            panic!("{survived:?}");
        };
        assert!(reason.ends_with(" y"), "{reason}");
        let killed = hunted(Class::Barrier, 1, vec![kill(1.0, 1)]);
        assert!(fails(&killed));
        assert_eq!(killed.outcome(&machine(None)), Outcome::Pass);
    }

    #[test]
    fn a_kill_with_the_step_in_force_is_none() {
        let mut kill = kill(1.0, 1);
        kill.again = Some(Some("lost".into()));
        assert!(fails(&hunted(Class::Race, 1, vec![kill])));
    }

    #[test]
    fn the_median_counts_survivors_as_the_slowest() {
        let of = |hunts, times: &[f64]| {
            let kills = times.iter().map(|&seconds| kill(seconds, 1)).collect();
            hunted(Class::Race, hunts, kills).guplab.median()
        };
        assert_eq!(of(3, &[5.0, 1.0, 2.0]), Some(2.0));
        assert_eq!(of(3, &[5.0, 1.0]), Some(5.0));
        assert_eq!(of(3, &[1.0]), None);
        assert_eq!(of(0, &[]), None);
    }
}
