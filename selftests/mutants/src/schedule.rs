// SPDX-License-Identifier: GPL-2.0
//! Which cases are run, in which order, and for how long.

use std::time::Duration;

use guplab::rng::case_rng;
use guplab_experiments::trial::Budget;
use guplab_experiments::{Case, select};

use crate::{Class, Target};

/// How long a case gets in the first pass over all; twice as long in each pass that follows.
const FIRST: Duration = Duration::from_millis(400);
/// The longest time that it gets.
const LONGEST: Duration = Duration::from_secs(6);
/// What a deterministic mutant is to be noticed in.
const DETERMINISTIC_ROUNDS: u64 = 3;
/// After so many passes over the cases that look at the step, all others get a turn.
const PASSES_BEFORE_OTHERS: u64 = 3;

/// One run of a case.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Turn {
    pub(crate) case: Case,
    pub(crate) budget: Budget,
    /// Which pass it belongs to: another one needs another seed. Every second one holds nobody: what
    /// is aimed at is not everything that there is.
    pub(crate) pass: u64,
}

impl Turn {
    /// Whether delay points hold the actors.
    pub(crate) fn is_aimed(&self) -> bool {
        self.pass % 2 == 0
    }
}

/// The cases that look at what a target loses: in the order of its list, each experiment once before
/// any is tried on its next mapping kind.
fn cases_of(target: &Target) -> Vec<Case> {
    let of_name = |&name: &&'static str| -> Vec<Case> {
        let is_meant = |case: &Case| case.name() == name || case.experiment.name == name;
        runnable().filter(is_meant).collect()
    };
    let lists: Vec<Vec<Case>> = target.experiments.iter().map(of_name).collect();
    let longest = lists.iter().map(Vec::len).max().unwrap_or(0);
    let mut cases: Vec<Case> = Vec::new();
    for case in (0..longest).flat_map(|n| lists.iter().filter_map(move |list| list.get(n))) {
        if !cases.iter().any(|known| known.name() == case.name()) {
            cases.push(*case);
        }
    }
    cases
}

/// All cases that can be run.
fn runnable() -> impl Iterator<Item = Case> {
    let fits = |case: &Case| case.fits().is_ok();
    select(&[], &[]).into_iter().filter(fits)
}

/// The turns for a target, without end. Cases that aren't in its list come in an order that the seed
/// decides. If there are some that are `chosen`, no others have a turn.
pub(crate) fn turns(
    target: &Target,
    seed: u64,
    chosen: &[Case],
) -> impl Iterator<Item = Turn> + use<> {
    let (named, mut others) = match chosen {
        [] => {
            let named = cases_of(target);
            let is_other = |case: &Case| !named.iter().any(|known| known.name() == case.name());
            let others: Vec<Case> = runnable().filter(is_other).collect();
            (named, others)
        }
        chosen => (chosen.to_vec(), Vec::new()),
    };
    case_rng(seed, target.name).shuffle(&mut others);
    let rounds_first = target.class == Class::Deterministic;
    (0..).flat_map(move |pass| {
        let budget = match pass {
            0 if rounds_first => Budget {
                time: LONGEST,
                rounds: Some(DETERMINISTIC_ROUNDS),
                until_violation: true,
            },
            _ => in_time((FIRST * 2u32.pow(pass.min(8) as u32)).min(LONGEST)),
        };
        let of_named = named
            .clone()
            .into_iter()
            .map(move |case| Turn { case, budget, pass });
        let of_others = match pass % PASSES_BEFORE_OTHERS == PASSES_BEFORE_OTHERS - 1 {
            true => others.clone(),
            false => Vec::new(),
        };
        let budget = in_time(FIRST);
        of_named.chain(
            of_others
                .into_iter()
                .map(move |case| Turn { case, budget, pass }),
        )
    })
}

fn in_time(time: Duration) -> Budget {
    Budget {
        time,
        rounds: None,
        until_violation: true,
    }
}

/// Every case once, for the control that leaves out nothing: the time is shared among them.
pub(crate) fn control(time: Duration) -> impl Iterator<Item = Turn> {
    let cases: Vec<Case> = runnable().collect();
    // What a case needs beside its rounds is about as much again.
    let budget = in_time((time / (cases.len() as u32).max(1)).max(FIRST));
    cases.into_iter().map(move |case| Turn {
        case,
        budget,
        pass: 0,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn target(class: Class, experiments: &[&'static str]) -> Target {
        Target {
            name: "x",
            switches: vec!["x"],
            class,
            experiments: experiments.to_vec(),
            quick: false,
            litmus: Vec::new(),
        }
    }

    #[test]
    fn experiments_take_turns_in_the_order_of_the_list() {
        let list = [
            "fork_vs_fast_pin/anon-pte-thp",
            "fork_vs_fast_pin",
            "fork_held_pin",
        ];
        let names: Vec<String> = turns(&target(Class::Race, &list), 1, &[])
            .take(4)
            .map(|turn| turn.case.name())
            .collect();
        let expected = [
            "fork_vs_fast_pin/anon-pte-thp",
            "fork_vs_fast_pin/anon-4k",
            "fork_held_pin/anon-4k",
            "fork_vs_fast_pin/anon-thp",
        ];
        assert_eq!(names, expected);
    }

    #[test]
    fn nobody_but_the_chosen_has_a_turn() {
        let patterns = ["fork_held_pin/anon-4k", "fork_held_pin/hugetlb"].map(str::to_owned);
        let chosen = select(&patterns, &[]);
        let names: Vec<String> = turns(&target(Class::Race, &["fork_vs_fast_pin"]), 1, &chosen)
            .take(7)
            .map(|turn| turn.case.name())
            .collect();
        assert_eq!(names.len(), 7);
        assert!(
            names.iter().all(|name| patterns.contains(name)),
            "{names:?}"
        );
    }

    #[test]
    fn deterministic_mutants_get_three_rounds_at_first() {
        let rounds = |class| {
            let mut turns = turns(&target(class, &["fork_held_pin/anon-4k"]), 1, &[]);
            let first = turns.next().expect("a turn");
            let second = turns.next().expect("another one");
            (first.budget.rounds, second.budget.rounds)
        };
        assert_eq!(rounds(Class::Deterministic), (Some(3), None));
        assert_eq!(rounds(Class::Race), (None, None));
    }

    #[test]
    fn all_cases_get_a_turn_and_no_seed_comes_twice() {
        let all = runnable().count();
        let seen: Vec<(String, u64)> =
            turns(&target(Class::Race, &["fork_held_pin/anon-4k"]), 1, &[])
                .take(all + 10)
                .map(|turn| (turn.case.name(), turn.pass))
                .collect();
        let mut unique = seen.clone();
        unique.sort();
        unique.dedup();
        assert_eq!(unique.len(), seen.len());
        let mut names: Vec<String> = seen.into_iter().map(|(name, _)| name).collect();
        names.sort();
        names.dedup();
        assert_eq!(names.len(), all);
    }
}
