// SPDX-License-Identifier: GPL-2.0
//! Pages are dropped while they are pinned: is what is pinned a page that was there?
//!
//! ```text
//! CPU 0: pin_user_pages_fast()                 CPU 1: madvise(MADV_DONTNEED), munmap()
//!
//! gup_fast_pte_range():
//! pte = ptep_get_lockless()
//!                                              mmu_notifier_invalidate_range_start()
//!                                              zap_present_ptes(): the PTE is cleared
//! try_grab_folio_fast(): + 1 reference
//!                                              tlb_finish_mmu(): TLB flush; the page loses
//!                                                the reference of its mapping, and is free
//!                                                unless somebody has another one
//! the pmd and the pte are read again:
//!   changed: the reference is given back, and a fault brings a new page
//!   same: the pin came first, and keeps the page
//! ```
//!
//! A reference to a page without any (folio_try_get() fails) or to one that has a new owner by now
//! (the PTE has changed) must not be returned.
//!
//! The actors are in `zapping.rs`; the oracle is in `provenance.rs`: by its content and its page
//! frame, a pinned page is the one from before the race or the one from after it. What was dropped
//! is taken again at once and filled with entries that map a canary (`forging.rs`).

use super::aiming::walk_against;
use super::provenance::MAPPED_HERE;
use super::zapping::{Style, zap};
use crate::{Experiment, Family, Point, Stop, Trial, Whom, Window, any_kind};

const WINDOW: Window = walk_against(
    Point::Notifier,
    Whom::Mm,
    "a zap clears the entry between the walker's two reads of it",
);

/// The experiment.
pub const EXPERIMENT: Experiment = Experiment {
    family: Family::WalkFree,
    name: "zap_vs_pinning",
    about: MAPPED_HERE,
    hit: "fast GUP took its reference while a zap was at work on the page",
    windows: &[WINDOW],
    fits: any_kind,
    run,
};

fn run(trial: &mut Trial<'_>) -> Result<(), Stop> {
    zap(
        trial,
        Style {
            whole: false,
            clean: false,
            gate: Some(Point::Notifier),
        },
    )
}
