// SPDX-License-Identifier: GPL-2.0
//! A PMD takes the place of the page table of a huge page of a file while a page fault is in it.
//!
//! ```text
//! CPU 0: a fault of pin_user_pages()           CPU 1: MADV_COLLAPSE: try_collapse_pte_mapped_thp()
//!
//! pte_offset_map_rw_nolock():
//!   rcu_read_lock()
//!                                              clear_ptes()
//!                                              pmdp_collapse_flush(): TLB flush
//!                                              pte_free_defer(): the table is freed when ...
//!                                              set_huge_pmd()
//!                                              write(): a pipe takes what is free
//! ptep_get_lockless(): still an empty table
//! pte_unmap(): rcu_read_unlock() ------------- ... nobody reads it any more
//! do_pte_missing(): the PMD is there
//! ```
//!
//! Actors and oracle are those of `table_free_vs_fault`: the flush waits for GUP-fast and not for a
//! fault, and both have the mmap lock for reading only.

use guplab::Kind;

use super::faulting::{By, FAULTS, fault, fault_against};
use crate::{Experiment, Family, Point, Stop, Trial, Window};

const WINDOW: Window = fault_against(
    Point::PteFreeDefer,
    "the page table is unlinked and about to be freed when a fault has looked it up",
);

/// The experiment.
pub const EXPERIMENT: Experiment = Experiment {
    family: Family::WalkFree,
    name: "table_retract_vs_fault",
    about: FAULTS,
    hit: "a fault had looked up the page table when collapse came to free it",
    windows: &[WINDOW],
    fits,
    run,
};

fn fits(kind: Kind) -> Result<(), &'static str> {
    match kind {
        Kind::ShmemThp => Ok(()),
        Kind::Shmem | Kind::PrivateShmem => Err("its page cache has no huge page"),
        _ => Err("only files have huge pages to which a page table is adapted"),
    }
}

fn run(trial: &mut Trial<'_>) -> Result<(), Stop> {
    fault(trial, By::Collapse)
}
