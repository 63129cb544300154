// SPDX-License-Identifier: GPL-2.0
//! Question 4: the lockless walk against freeing and splitting of page tables.

mod aiming;
mod changing;
pub mod deferred_split_vs_pinning;
pub mod deposited_table_vs_walk;
mod faulting;
pub mod folio_split_vs_pinning;
mod forging;
pub mod futex_across_processes;
pub mod futex_vs_change;
mod futexes;
pub mod move_past_walk;
pub mod move_vs_pinning;
pub mod move_vs_stores;
pub mod pin_and_look;
mod pipes;
pub mod pmd_split_vs_pinning;
mod provenance;
mod sharing;
mod splitting;
pub mod table_free_vs_fault;
pub mod table_free_vs_pinning;
pub mod table_retract_vs_fault;
pub mod table_retract_vs_pinning;
pub mod torn_entry;
pub mod truncate_held_pin;
pub mod truncate_vs_fault;
pub mod truncate_vs_lookup;
pub mod truncate_vs_pinning;
mod truncating;
pub mod unshare_past_walk;
pub mod unshare_vs_pinning;
pub mod zap_huge_vs_pinning;
pub mod zap_vs_pinning;
pub mod zap_vs_refault;
mod zapping;

use crate::Experiment;

/// The experiments of this family.
pub const ALL: &[Experiment] = &[
    pin_and_look::EXPERIMENT,
    zap_vs_pinning::EXPERIMENT,
    zap_vs_refault::EXPERIMENT,
    torn_entry::EXPERIMENT,
    table_free_vs_pinning::EXPERIMENT,
    table_retract_vs_pinning::EXPERIMENT,
    table_free_vs_fault::EXPERIMENT,
    table_retract_vs_fault::EXPERIMENT,
    zap_huge_vs_pinning::EXPERIMENT,
    deposited_table_vs_walk::EXPERIMENT,
    move_vs_pinning::EXPERIMENT,
    move_past_walk::EXPERIMENT,
    move_vs_stores::EXPERIMENT,
    pmd_split_vs_pinning::EXPERIMENT,
    folio_split_vs_pinning::EXPERIMENT,
    deferred_split_vs_pinning::EXPERIMENT,
    truncate_held_pin::EXPERIMENT,
    truncate_vs_pinning::EXPERIMENT,
    truncate_vs_lookup::EXPERIMENT,
    truncate_vs_fault::EXPERIMENT,
    unshare_past_walk::EXPERIMENT,
    unshare_vs_pinning::EXPERIMENT,
    futex_vs_change::EXPERIMENT,
    futex_across_processes::EXPERIMENT,
];
