// SPDX-License-Identifier: GPL-2.0
//! Does a fault map a page that left the file after the fault had found it there?
//!
//! ```text
//! CPU0 MADV_POPULATE_WRITE, or a store         CPU1 ftruncate(), fallocate(PUNCH_HOLE)
//!
//! shmem_fault()
//!  shmem_get_folio_gfp()
//!   behind the end? not yet
//!   [filemap_get_entry()]: finds the folio
//!                                               i_size_write()
//!                                               shmem_undo_range(): the folio is locked
//!                                                [truncate_inode_folio()]: out of the page cache
//!                                                folio_unlock()
//!   folio_lock()
//!   folio->mapping: not this file: again
//! ```
//!
//! Without the second look the fault would map a page that is in no file: the address would go on
//! showing what was truncated, and a store to it would be seen by nobody.
//!
//! The left actor faults, and the right one takes some pages out of the file when the fault is at it.

use super::truncating::race;
use crate::{At, Experiment, Family, Point, Side, Stop, Trial, Whom, Window};

/// The fault has found the folio. Truncation is about to take it out, and has it locked.
static WINDOW: Window = Window {
    first: Side {
        point: Point::FilemapGetEntry,
        whom: Whom::Process,
        side: At::Return,
        hold_us: 20_000,
        linger_us: 0,
    },
    second: Side {
        point: Point::TruncateInodeFolio,
        whom: Whom::Process,
        side: At::Entry,
        hold_us: 1,
        linger_us: 500,
    },
    about: "a page leaves the file when a fault has found it and not yet locked it",
};

/// The experiment.
pub const EXPERIMENT: Experiment = Experiment {
    family: Family::WalkFree,
    name: "truncate_vs_lookup",
    about: "a fault maps no page that has left the file since it was looked up",
    hit: "a page was taken out of the file while the fault was looking it up",
    windows: &[WINDOW],
    fits: super::truncating::fits,
    run,
};

fn run(trial: &mut Trial<'_>) -> Result<(), Stop> {
    race(trial, WINDOW.first.point)
}
