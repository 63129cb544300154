// SPDX-License-Identifier: GPL-2.0
//! Does a pin notice that reclaim drops a MADV_FREE page under it?
//!
//! ```text
//! CPU0 gup_fast()                                  CPU1 MADV_PAGEOUT: shrink_folio_list()
//!  pte = ptep_get_lockless()
//!                                                   [try_to_unmap_one()]
//!                                                    get_and_clear_ptes(), no flush yet
//!                                                    clean, and no reference too many: dropped
//!  [try_grab_folio_fast()]
//!   _refcount += 1024
//!  pte again: changed? unpin, slow path
//!                                                   folio_ref_freeze()? not while it is pinned
//!                                                   try_to_unmap_flush()
//! ```
//!
//! The entry is gone when references are counted, and the TLB is flushed later: no interrupt waits
//! for the walk in between. Only the second look at the PTE keeps GUP-fast from a page that the
//! address doesn't have any more. A huge PMD is flushed before references are counted.

use guplab::mapping::Advice;
use guplab::{Errno, Mapping};

use super::lazyfree_held_pin::is_lazyfree;
use super::move_window::{Take, run as duel, window};
use super::moving::page_out;
use crate::aim::WALKER;
use crate::trial::Context;
use crate::{At, Experiment, Family, Point, Side, Stop, Trial, Whom, Window};

/// The experiment.
pub const EXPERIMENT: Experiment = Experiment {
    family: Family::ForkPin,
    name: "lazyfree_vs_pin",
    about: "a pin that is taken while a MADV_FREE page is dropped is of the mapped page",
    hit: "fast GUP took its reference when reclaim had unmapped the page",
    windows: &[DROPPED],
    fits: is_lazyfree,
    run,
};

/// Reclaim waits for a walk that has read the entry.
static START: Window = Window {
    first: Side {
        hold_us: 1,
        linger_us: 0,
        ..WALKER
    },
    ..window(
        Point::TryToUnmapOne,
        "reclaim unmaps the page when the walk has read its entry",
    )
};

const DROPPED: Window = Window {
    first: Side {
        linger_us: 1000,
        ..WALKER
    },
    second: Side {
        point: Point::TryToUnmapOne,
        whom: Whom::Process,
        side: At::Return,
        hold_us: 1,
        linger_us: 1000,
    },
    about: "reclaim has counted references between the walker's reads of the page table",
};

struct FreeAndReclaim;

impl Take for FreeAndReclaim {
    /// What MADV_FREE gave up may be zeroes.
    const KEEPS_CONTENT: bool = false;

    fn prepare(&mut self, trial: &mut Trial<'_>, mapping: &Mapping, _: usize) -> Result<(), Stop> {
        // What comes again where a page was dropped is a base page.
        if trial.round() > 1 {
            mapping.renew(trial.session)?;
        }
        mapping
            .advise(0, mapping.pages(), Advice::PopulateWrite)
            .context("MADV_POPULATE_WRITE")
    }

    fn take(&mut self, mapping: &Mapping, page: usize) -> Result<bool, Errno> {
        mapping.advise(0, mapping.pages(), Advice::Free)?;
        page_out(mapping, page)
    }
}

fn run(trial: &mut Trial<'_>) -> Result<(), Stop> {
    let mapping = trial.mapping(1)?;
    trial.led_by(&START);
    duel(trial, &mapping, Point::TryToUnmapOne, FreeAndReclaim)
}
