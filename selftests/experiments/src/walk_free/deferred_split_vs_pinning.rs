// SPDX-License-Identifier: GPL-2.0
//! Memory reclaim splits a folio that is not mapped whole any more, while a page of it is pinned.
//!
//! ```text
//! CPU 0: pin_user_pages_fast()                 CPU 1: MADV_DONTNEED of one page, long ago:
//!                                                deferred_split_folio()
//!                                              echo 2 > drop_caches: deferred_split_scan():
//!                                              folio_try_get(), folio_trylock()
//! pte = ptep_get_lockless()
//!                                              split_folio(): __folio_split()
//! try_grab_folio_fast(): + 1 reference
//!   seen by folio_ref_freeze(), or given
//!   back because the pte has changed
//! ```
//!
//! Unlike in `folio_split_vs_pinning` nobody holds the mmap lock, and the splitter knows the folio
//! and not the address. Shrinking looks at all caches there are, so rounds take longer.

use guplab::Kind;

use super::aiming::walk_against;
use super::splitting::{By, STAYS_WHOLE, split};
use crate::{Experiment, Family, Point, Stop, Trial, Whom, Window};

const WINDOW: Window = walk_against(
    Point::FolioSplit,
    Whom::Process,
    "the shrinker splits a folio between the walker's two reads of the page table",
);

/// The experiment.
pub const EXPERIMENT: Experiment = Experiment {
    family: Family::WalkFree,
    name: "deferred_split_vs_pinning",
    about: STAYS_WHOLE,
    hit: "fast GUP took its reference while the shrinker was splitting the folio",
    windows: &[WINDOW],
    fits,
    run,
};

fn fits(kind: Kind) -> Result<(), &'static str> {
    match kind {
        Kind::AnonThp | Kind::AnonPteThp | Kind::AnonMthp => Ok(()),
        Kind::ShmemThp => Err("only anonymous folios are split when memory is short"),
        Kind::Hugetlb => Err("hugetlb folios are never split"),
        _ => Err("its folios are single pages"),
    }
}

fn run(trial: &mut Trial<'_>) -> Result<(), Stop> {
    split(trial, By::shrinker()?)
}
