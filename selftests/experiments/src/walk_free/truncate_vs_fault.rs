// SPDX-License-Identifier: GPL-2.0
//! Does a page stay mapped behind the end of a file if the fault came before truncation?
//!
//! ```text
//! CPU0 MADV_POPULATE_WRITE, or a store         CPU1 ftruncate(): shmem_setattr()
//!
//! [shmem_fault()]
//!  behind the end? not yet
//!  the folio, locked
//!                                               i_size_write()
//!                                               unmap_mapping_range(): nothing yet
//!                                               [shmem_undo_range()]
//! private: copies the page                       waits for the folio's lock
//! finish_fault(): maps it, or the copy
//! folio_unlock()
//!                                                truncate_inode_folio(): unmaps the page, but
//!                                                 no copies, and takes it out
//!                                               unmap_mapping_range(): copies as well
//! ```
//!
//! Behind the end nothing is mapped, and when the file is made longer again there are zeroes. Holes
//! leave private copies where they are.
//!
//! The left actor faults, and the right one takes some pages out of the file when the fault is at it.

use super::truncating::race;
use crate::{At, Experiment, Family, Point, Side, Stop, Trial, Whom, Window};

/// The fault has the folio locked. Truncation has unmapped what was mapped.
static WINDOW: Window = Window {
    first: Side {
        point: Point::ShmemFault,
        whom: Whom::Process,
        side: At::Return,
        hold_us: 20_000,
        linger_us: 50,
    },
    second: Side {
        point: Point::ShmemUndoRange,
        whom: Whom::Process,
        side: At::Entry,
        hold_us: 1,
        linger_us: 500,
    },
    about: "truncation has unmapped the range when a fault has the page and not yet mapped it",
};

/// The experiment.
pub const EXPERIMENT: Experiment = Experiment {
    family: Family::WalkFree,
    name: "truncate_vs_fault",
    about: "what a fault maps during a truncation doesn't stay mapped behind the end of the file",
    hit: "a range of the file was being truncated while a fault was getting a page of it",
    windows: &[WINDOW],
    fits: super::truncating::fits,
    run,
};

fn run(trial: &mut Trial<'_>) -> Result<(), Stop> {
    race(trial, WINDOW.first.point)
}
