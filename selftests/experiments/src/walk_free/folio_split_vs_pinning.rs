// SPDX-License-Identifier: GPL-2.0
//! A folio is split while a page of it is pinned: one of the two must see the other.
//!
//! ```text
//! CPU 0: pin_user_pages_fast()                 CPU 1: echo PID,START,END,ORDER > split_huge_pages
//!
//! pte = ptep_get_lockless()
//!                                              __folio_split():
//!                                              more references than mappings? then -EAGAIN
//!                                              unmap_folio(): try_to_migrate_one() makes
//!                                                migration entries; TLB flush
//! try_grab_folio_fast(): + 1 reference
//! the pte is read again: changed, give it
//!   back; a fault waits for the migration
//!   entry to go
//!                                              folio_ref_freeze(): one reference too many?
//!                                                then all is mapped again as it was
//!                                              else the folio is split, and mapped
//! ```
//!
//! A pin that stays keeps the folio whole, whoever asks for the split later; and the page that it
//! got, of whatever folio, is the page that was and stays mapped.

use guplab::Kind;

use super::aiming::walk_against;
use super::splitting::{By, STAYS_WHOLE, split};
use crate::{Experiment, Family, Point, Side, Stop, Trial, Whom, Window};

const SPLIT: Window = walk_against(
    Point::FolioSplit,
    Whom::Process,
    "a folio is split between the walker's two reads of the page table",
);

/// A step later, in the same call. The walk waits for it with its interrupts off.
const UNMAP: Window = Window {
    second: Side {
        hold_us: 0,
        ..walk_against(Point::TryToMigrateOne, Whom::Mm, "").second
    },
    ..walk_against(
        Point::TryToMigrateOne,
        Whom::Mm,
        "a split unmaps the folio between the walker's two reads of the page table",
    )
};

/// The experiment.
pub const EXPERIMENT: Experiment = Experiment {
    family: Family::WalkFree,
    name: "folio_split_vs_pinning",
    about: STAYS_WHOLE,
    hit: "fast GUP took its reference while __folio_split() was at work",
    windows: &[SPLIT, UNMAP],
    fits,
    run,
};

/// Kinds with folios of more than one page.
fn fits(kind: Kind) -> Result<(), &'static str> {
    match kind {
        Kind::AnonThp | Kind::AnonPteThp | Kind::AnonMthp | Kind::ShmemThp => Ok(()),
        Kind::Hugetlb => Err("hugetlb folios are never split"),
        _ => Err("its folios are single pages"),
    }
}

fn run(trial: &mut Trial<'_>) -> Result<(), Stop> {
    split(trial, By::Debugfs)
}
