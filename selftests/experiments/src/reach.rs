// SPDX-License-Identifier: GPL-2.0
//! Windows that an architecture keeps closed. That they are never met is an answer.

use guplab::Protocol;
use guplab::walk::Exclusion;

const FLUSH_WAITS: &str =
    "the flush of the PMD sends an IPI, and waits for a walk that has interrupts off";

/// Why the windows of an experiment are never met on this architecture, where that is so: by fast
/// GUP, or by guplab's own walk.
pub fn unreachable(experiment: &str, walk: Option<&Protocol>) -> Option<&'static str> {
    if walk.is_some_and(|walk| walk.exclusion != Exclusion::IrqsOff) {
        return None;
    }
    let closed: &[(&str, &str)] = if cfg!(target_arch = "x86_64") {
        &[
            ("collapse_past_walk", FLUSH_WAITS),
            ("deposited_table_vs_walk", FLUSH_WAITS),
        ]
    } else {
        &[]
    };
    let of_this = closed.iter().find(|(name, _)| *name == experiment);
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
        for name in ["collapse_past_walk", "deposited_table_vs_walk"] {
            assert!(names.contains(&name));
            let rcu = "rcu".parse().expect("a protocol");
            assert!(unreachable(name, Some(&rcu)).is_none());
        }
    }
}
