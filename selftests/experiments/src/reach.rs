// SPDX-License-Identifier: GPL-2.0
//! Windows that the kernel keeps closed. That they are never met is an answer.

use guplab::Protocol;
use guplab::walk::Exclusion;

/// Before collapse copies anything, or puts the page table aside.
const COLLAPSE_WAITS: &str = if cfg!(target_arch = "x86_64") {
    "the flush of the PMD sends an IPI, and waits for a walk that has interrupts off"
} else {
    "tlb_remove_table_sync_one() sends an IPI, and waits for a walk that has interrupts off"
};

const CLOSED: [(&str, &str); 2] = [
    ("collapse_past_walk", COLLAPSE_WAITS),
    ("deposited_table_vs_walk", COLLAPSE_WAITS),
];

/// Why the windows of an experiment are never met on this architecture, where that is so: by fast
/// GUP, or by guplab's own walk.
pub fn unreachable(experiment: &str, walk: Option<&Protocol>) -> Option<&'static str> {
    if walk.is_some_and(|walk| walk.exclusion != Exclusion::IrqsOff) {
        return None;
    }
    let of_this = CLOSED.iter().find(|(name, _)| *name == experiment);
    of_this.map(|&(_, why)| why)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_races_have_a_reason() {
        for experiment in crate::all() {
            let is_race = !experiment.windows.is_empty();
            assert!(is_race || unreachable(experiment.name, None).is_none());
        }
        let names: Vec<&str> = crate::all().map(|experiment| experiment.name).collect();
        for (name, _) in CLOSED {
            assert!(names.contains(&name));
            let rcu = "rcu".parse().expect("a protocol");
            assert!(unreachable(name, Some(&rcu)).is_none());
        }
    }
}
