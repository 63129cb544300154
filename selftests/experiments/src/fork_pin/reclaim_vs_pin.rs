// SPDX-License-Identifier: GPL-2.0
//! Does reclaim leave a page alone that is pinned while it is being unmapped?
//!
//! ```text
//! CPU0 gup_fast()                                  CPU1 MADV_PAGEOUT: shrink_folio_list()
//!                                                   folio_maybe_dma_pinned()? not yet
//!                                                   folio_alloc_swap()
//!  pte = ptep_get_lockless()
//!                                                   [try_to_unmap_one()]
//!                                                    get_and_clear_ptes(), and a flush
//!  [try_grab_folio_fast()]
//!   _refcount += 1024; smp_mb__after_atomic()
//!  pte again: changed? unpin, slow path
//!                                                    folio_try_share_anon_rmap_pte(): pinned?
//!                                                     the entry is put back
//!                                                   folio_maybe_dma_pinned()? kept
//!                                                   pageout(), __remove_mapping(): frees it only
//!                                                    if nobody else has a reference
//! ```
//!
//! A pin that wins keeps the page; one that loses is taken of the page that is swapped in again.
//! The left actor reclaims the page, the right one pins it. The swap device is a zram.

use guplab::mapping::Advice;
use guplab::{Errno, Kind, Mapping};

use super::move_window::{Take, run as duel, window};
use super::moving::{is_reclaimed, page_out, swap};
use crate::trial::Context;
use crate::{Experiment, Family, Point, Stop, Trial};

/// The experiment.
pub const EXPERIMENT: Experiment = Experiment {
    family: Family::ForkPin,
    name: "reclaim_vs_pin",
    about: "a page that is pinned while it is swapped out is the mapped one afterwards",
    hit: "fast GUP took its reference while reclaim was unmapping the page",
    windows: &[window(
        Point::TryToUnmapOne,
        "reclaim unmaps the page between the walker's reads of the page table",
    )],
    fits: is_reclaimed,
    run,
};

struct Reclaim;

impl Take for Reclaim {
    fn prepare(
        &mut self,
        trial: &mut Trial<'_>,
        mapping: &Mapping,
        page: usize,
    ) -> Result<(), Stop> {
        match trial.kind {
            // What is swapped in again is a base page.
            Kind::AnonThp | Kind::AnonPteThp | Kind::AnonMthp | Kind::ShmemThp => {
                if trial.round() > 1 {
                    mapping.renew(trial.session)?;
                }
                Ok(())
            }
            _ => mapping
                .advise(page, 1, Advice::PopulateWrite)
                .context("MADV_POPULATE_WRITE"),
        }
    }

    fn take(&mut self, mapping: &Mapping, page: usize) -> Result<bool, Errno> {
        page_out(mapping, page)
    }
}

fn run(trial: &mut Trial<'_>) -> Result<(), Stop> {
    // Kept as long as pages are swapped out to it.
    let _swap = swap()?;
    let mapping = trial.mapping(1)?;
    duel(trial, &mapping, Point::TryToUnmapOne, Reclaim)
}
