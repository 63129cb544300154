// SPDX-License-Identifier: GPL-2.0
//! A page table is freed while a page fault is in it: the fault finds it empty, and nothing else.
//!
//! ```text
//! CPU 0: a fault of pin_user_pages()           CPU 1: MADV_DONTNEED of all that a PMD maps
//!
//! pte_offset_map_rw_nolock():
//!   rcu_read_lock()
//!                                              zap_pte_range(): clears all PTEs
//!                                              zap_empty_pte_table(): pmd_clear()
//!                                              tlb_remove_table(), TLB flush
//!                                              call_rcu(): the table is freed when ...
//!                                              write(): a pipe takes what is free
//! ptep_get_lockless(): still an empty table
//! pte_unmap(): rcu_read_unlock() ------------- ... nobody reads it any more
//! do_pte_missing(): a new table
//! ```
//!
//! Both have the VMA locked for reading, and the flush does not wait for a fault, which has its
//! interrupts on: the grace period alone keeps the table. The pipe is filled with words that would
//! be PTE markers of lost memory, and the fault would fail; or entries that map another page, which
//! the fault would mark as used: the pipe would not give back what was written into it
//! (`forging.rs`).

use guplab::Kind;

use super::faulting::{By, FAULTS, fault, fault_against};
use crate::{Experiment, Family, Point, Stop, Trial, Window};

const WINDOW: Window = fault_against(
    Point::TlbRemoveTable,
    "the page table is handed over to be freed when a fault has looked it up",
);

/// The experiment.
pub const EXPERIMENT: Experiment = Experiment {
    family: Family::WalkFree,
    name: "table_free_vs_fault",
    about: FAULTS,
    hit: "a fault had looked up the page table when it was handed over to be freed",
    windows: &[WINDOW],
    fits,
    run,
};

fn fits(kind: Kind) -> Result<(), &'static str> {
    match kind {
        Kind::Anon4k | Kind::Shmem | Kind::PrivateShmem => Ok(()),
        Kind::AnonPteThp | Kind::AnonMthp => Err("its page tables go as those of single pages do"),
        Kind::AnonThp | Kind::ShmemThp => Err("a PMD maps it: no page table is looked up"),
        Kind::Hugetlb => Err("a PMD maps it, and no page table is kept for it"),
    }
}

fn run(trial: &mut Trial<'_>) -> Result<(), Stop> {
    fault(trial, By::DontNeed)
}
