// SPDX-License-Identifier: GPL-2.0
//! A page table is freed while it is walked: nothing that is found in it afterwards may be pinned.
//!
//! ```text
//! CPU 0: pin_user_pages_fast()                 CPU 1: MADV_DONTNEED of all that a PMD maps
//!
//! local_irq_save()
//! pmd = pmdp_get_lockless()
//! pte = ptep_get_lockless()
//!                                              zap_pte_range(): clears all PTEs
//!                                              zap_empty_pte_table(): pmd_clear()
//! try_grab_folio_fast()
//!                                              pte_free_tlb(): tlb_remove_table()
//! pmd and pte are read again
//!                                              tlb_finish_mmu(): TLB flush ...
//! ptep++: the next entry is read, out of
//! a table that nobody else has any more
//! local_irq_restore()
//!                                              ... answered; call_rcu(): the table is freed
//!                                              when no CPU walks with interrupts off
//! ```
//!
//! munmap() gets there by free_pgtables(). Without the grace period and without the flush, the walk
//! would read a table that is something else by now; CPU 1 does its best to have it filled with
//! entries that map a canary, or used as another page table (`forging.rs`).
//!
//! Few pages are there, and shared memory is mapped for reading only, so that its entries are
//! clean. A zap of dirty ones flushes the TLB before the table is freed (tlb_flush_rmaps()), and
//! that flush waits for the walk: on x86 the two can't meet then.

use guplab::Kind;

use super::aiming::WALK;
use super::forging::NO_CANARY;
use super::zapping::{Style, zap};
use crate::{At, Experiment, Family, Point, Side, Stop, Trial, Whom, Window};

/// The walk has to be there before the table goes. It waits for that with interrupts off.
const WINDOW: Window = Window {
    first: Side {
        hold_us: 2000,
        ..WALK
    },
    second: Side {
        point: Point::TlbRemoveTable,
        whom: Whom::Process,
        side: At::Entry,
        hold_us: 0,
        linger_us: 0,
    },
    about: "the page table is unlinked and handed over to be freed between the walker's two reads",
};

/// The experiment.
pub const EXPERIMENT: Experiment = Experiment {
    family: Family::WalkFree,
    name: "table_free_vs_pinning",
    about: NO_CANARY,
    hit: "fast GUP took its reference while the page table that it walks was being freed",
    windows: &[WINDOW],
    fits,
    run,
};

fn fits(kind: Kind) -> Result<(), &'static str> {
    match kind {
        Kind::AnonThp | Kind::ShmemThp => Err("a PMD maps it: no page table is walked"),
        Kind::Hugetlb => Err("a PMD maps it, and no page table is kept for it"),
        _ => Ok(()),
    }
}

fn run(trial: &mut Trial<'_>) -> Result<(), Stop> {
    zap(
        trial,
        Style {
            whole: true,
            clean: true,
            gate: None,
        },
    )
}
