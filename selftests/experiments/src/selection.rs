// SPDX-License-Identifier: GPL-2.0
//! Which experiments are run on which mapping kinds.

use guplab::Kind;

use crate::{Experiment, Family, all};

/// One experiment on one mapping kind.
#[derive(Clone, Copy, Debug)]
pub struct Case {
    /// The experiment.
    pub experiment: &'static Experiment,
    /// The mapping kind.
    pub kind: Kind,
}

impl Case {
    /// Its name: experiment/kind.
    pub fn name(&self) -> String {
        format!("{}/{}", self.experiment.name, self.kind)
    }

    /// Whether the experiment is for this kind, or why not.
    pub fn fits(&self) -> Result<(), &'static str> {
        (self.experiment.fits)(self.kind)
    }
}

/// Whether a name matches a pattern: a part of the name, in which `*` stands for any text.
pub fn matches(name: &str, pattern: &str) -> bool {
    let mut rest = name;
    pattern.split('*').all(|part| match rest.find(part) {
        Some(at) => {
            rest = &rest[at + part.len()..];
            true
        }
        None => false,
    })
}

/// The cases of these families whose name (experiment/kind) matches one of the patterns; empty
/// lists are no restriction. A pattern that is a whole name stands for that case alone, as the name
/// of one kind may begin with that of another.
pub fn select(patterns: &[String], families: &[Family]) -> Vec<Case> {
    let cases = || all().flat_map(|experiment| Kind::ALL.map(|kind| Case { experiment, kind }));
    let is_name = |pattern: &String| cases().any(|case| case.name() == *pattern);
    let (names, patterns): (Vec<_>, Vec<_>) = patterns.iter().partition(|p| is_name(p));
    let is_everything = names.is_empty() && patterns.is_empty();
    cases()
        .filter(|case| families.is_empty() || families.contains(&case.experiment.family))
        .filter(|case| {
            let name = case.name();
            is_everything
                || names.contains(&&name)
                || patterns.iter().any(|pattern| matches(&name, pattern))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(patterns: &[&str], families: &[Family]) -> Vec<String> {
        let patterns: Vec<String> = patterns.iter().map(|&p| p.to_owned()).collect();
        select(&patterns, families).iter().map(Case::name).collect()
    }

    #[test]
    fn patterns_are_parts_of_names() {
        let kinds = Kind::ALL.len();
        assert_eq!(names(&[], &[]).len(), all().count() * kinds);
        assert_eq!(names(&["pin_and_look"], &[]).len(), kinds);
        assert_eq!(names(&["/hugetlb"], &[]).len(), all().count());
        assert_eq!(
            names(&["fork_held_*/hugetlb"], &[]),
            ["fork_held_pin/hugetlb"]
        );
        assert!(names(&["no such thing"], &[]).is_empty());
        // There is shmem-thp as well.
        assert_eq!(
            names(&["fork_held_pin/shmem"], &[]),
            ["fork_held_pin/shmem"]
        );
        assert!(names(&["fork_held_pin/shme"], &[]).len() > 1);
        let twice = ["held_pin/hugetlb", "*held_pin/hugetlb"];
        assert_eq!(names(&twice, &[]), names(&twice[..1], &[]));
    }

    #[test]
    fn families_restrict_patterns() {
        let fork = names(&[], &[Family::ForkPin]);
        assert_eq!(fork.len(), crate::fork_pin::ALL.len() * Kind::ALL.len());
        assert!(names(&["pin_and_look"], &[Family::ForkPin]).is_empty());
    }
}
