// SPDX-License-Identifier: GPL-2.0
//! The five questions that the experiments ask of the kernel.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::Experiment;

/// A question, with the experiments that ask it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Family {
    /// GUP-fast against collapse to a huge page.
    GupCollapse,
    /// Pins against fork().
    ForkPin,
    /// Collapse of a PTE-mapped huge page against userfaultfd.
    CollapseUffd,
    /// NUMA hints and PROT_NONE against pins.
    NumaHint,
    /// The lockless walk against freeing and splitting of page tables.
    WalkFree,
}

impl Family {
    /// All of them, in the order of their numbers.
    pub const ALL: [Family; 5] = [
        Family::GupCollapse,
        Family::ForkPin,
        Family::CollapseUffd,
        Family::NumaHint,
        Family::WalkFree,
    ];

    /// Its number, counted from 0.
    pub fn number(self) -> usize {
        self as usize
    }

    /// Its short name.
    pub fn name(self) -> &'static str {
        match self {
            Family::GupCollapse => "gup-collapse",
            Family::ForkPin => "fork-pin",
            Family::CollapseUffd => "collapse-uffd",
            Family::NumaHint => "numa-hint",
            Family::WalkFree => "walk-free",
        }
    }

    /// The question.
    pub fn question(self) -> &'static str {
        match self {
            Family::GupCollapse => {
                "Does a page that GUP-fast pins while its range is collapsed to a huge page stay \
                 the page that is mapped?"
            }
            Family::ForkPin => {
                "Does a page that is pinned before or during fork() stay with the process that \
                 pinned it?"
            }
            Family::CollapseUffd => {
                "Does what userfaultfd puts into a page table survive when that table is replaced \
                 by a huge page?"
            }
            Family::NumaHint => {
                "Does pinning treat NUMA hints and PROT_NONE as it must, and leave the hints \
                 where they are?"
            }
            Family::WalkFree => {
                "Is the lockless walk safe while page tables are freed, and PMDs and folios are \
                 split?"
            }
        }
    }

    /// The family of this number or name.
    pub fn parse(text: &str) -> Option<Family> {
        Family::ALL
            .into_iter()
            .find(|family| text == family.name() || text == family.number().to_string())
    }

    /// Its experiments.
    pub fn experiments(self) -> &'static [Experiment] {
        match self {
            Family::GupCollapse => crate::gup_collapse::ALL,
            Family::ForkPin => crate::fork_pin::ALL,
            Family::CollapseUffd => crate::collapse_uffd::ALL,
            Family::NumaHint => crate::numa_hint::ALL,
            Family::WalkFree => crate::walk_free::ALL,
        }
    }
}

impl fmt::Display for Family {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_family_is_named_by_number_or_name() {
        assert_eq!(Family::parse("2"), Some(Family::CollapseUffd));
        assert_eq!(Family::parse("fork-pin"), Some(Family::ForkPin));
        assert_eq!(Family::parse("5"), None);
        for (number, family) in Family::ALL.into_iter().enumerate() {
            assert_eq!(family.number(), number);
            assert!(family.question().ends_with('?'));
        }
    }

    #[test]
    fn experiments_are_where_they_belong() {
        for family in Family::ALL {
            for experiment in family.experiments() {
                assert_eq!(experiment.family, family, "{}", experiment.name);
            }
        }
    }
}
