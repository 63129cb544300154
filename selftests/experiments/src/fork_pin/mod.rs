// SPDX-License-Identifier: GPL-2.0
//! Question 1: pins against fork().

mod aftermath;
pub mod clone_held_pin;
pub mod fault_vs_fault;
pub mod fork_held_pin;
pub mod fork_pin_stress;
pub mod fork_remote_pin;
pub mod fork_shared_pin;
pub mod fork_unmapped_ref;
pub mod fork_vs_fast_pin;
pub mod fork_vs_fault;
pub mod fork_vs_pin_of_pmd;
pub mod fork_vs_slow_pin;
pub mod fork_while_writing;
mod fork_window;
pub mod ksm_held_pin;
pub mod ksm_vs_pin;
pub mod ksm_vs_stores;
pub mod lazyfree_held_pin;
pub mod lazyfree_vs_pin;
mod merging;
pub mod migrate_vs_pin;
pub mod migrate_vs_unpin;
pub mod move_held_pin;
mod move_window;
mod moving;
pub mod pin_inside_fork;
mod pins;
pub mod reclaim_vs_pin;
pub mod reclaim_vs_stores;
pub mod untouched_pin;

use crate::Experiment;

/// The experiments of this family.
pub const ALL: &[Experiment] = &[
    fork_held_pin::EXPERIMENT,
    fork_pin_stress::EXPERIMENT,
    clone_held_pin::EXPERIMENT,
    fork_shared_pin::EXPERIMENT,
    fork_unmapped_ref::EXPERIMENT,
    untouched_pin::EXPERIMENT,
    fork_remote_pin::EXPERIMENT,
    fork_while_writing::EXPERIMENT,
    fault_vs_fault::EXPERIMENT,
    fork_vs_fault::EXPERIMENT,
    fork_vs_fast_pin::EXPERIMENT,
    fork_vs_slow_pin::EXPERIMENT,
    fork_vs_pin_of_pmd::EXPERIMENT,
    pin_inside_fork::EXPERIMENT,
    move_held_pin::EXPERIMENT,
    migrate_vs_pin::EXPERIMENT,
    migrate_vs_unpin::EXPERIMENT,
    reclaim_vs_pin::EXPERIMENT,
    lazyfree_held_pin::EXPERIMENT,
    lazyfree_vs_pin::EXPERIMENT,
    reclaim_vs_stores::EXPERIMENT,
    ksm_held_pin::EXPERIMENT,
    ksm_vs_pin::EXPERIMENT,
    ksm_vs_stores::EXPERIMENT,
];
