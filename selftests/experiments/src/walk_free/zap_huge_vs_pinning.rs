// SPDX-License-Identifier: GPL-2.0
//! A huge page is dropped while it is pinned, and the page table that was kept for it is freed at
//! once.
//!
//! ```text
//! CPU 0: pin_user_pages_fast()                 CPU 1: MADV_DONTNEED, munmap()
//!
//! gup_fast_pmd_leaf():
//! orig = pmdp_get_lockless()
//!                                              zap_huge_pmd():
//!                                              pmdp_huge_get_and_clear_full()
//! try_grab_folio_fast(): + n references
//!                                              zap_deposited_table(): pte_free(), with no
//!                                                grace period: nobody can be in that table,
//!                                                it was unlinked, and flushed by IPI, when
//!                                                the huge page was made
//! the pmd is read again:
//!   changed: give n references back
//!                                              tlb_finish_mmu(): TLB flush; the folio loses
//!                                                its last reference, or not
//! ```
//!
//! Actors and oracle are those of `zap_vs_pinning`.

use guplab::Kind;

use super::aiming::walk_against;
use super::provenance::MAPPED_HERE;
use super::zapping::{Style, zap};
use crate::{Experiment, Family, Point, Stop, Trial, Whom, Window};

const WINDOW: Window = walk_against(
    Point::ZapHugePmd,
    Whom::Process,
    "a huge page is zapped between the walker's two reads of the PMD",
);

/// The experiment.
pub const EXPERIMENT: Experiment = Experiment {
    family: Family::WalkFree,
    name: "zap_huge_vs_pinning",
    about: MAPPED_HERE,
    hit: "fast GUP took its references to a huge page while zap_huge_pmd() was at work",
    windows: &[WINDOW],
    fits,
    run,
};

fn fits(kind: Kind) -> Result<(), &'static str> {
    match kind {
        Kind::AnonThp | Kind::ShmemThp => Ok(()),
        Kind::Hugetlb => Err("hugetlb has a zap of its own: see zap_vs_pinning"),
        _ => Err("no PMD maps it: see table_free_vs_pinning"),
    }
}

fn run(trial: &mut Trial<'_>) -> Result<(), Stop> {
    zap(
        trial,
        Style {
            whole: true,
            clean: false,
            gate: Some(Point::ZapHugePmd),
        },
    )
}
