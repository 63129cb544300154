// SPDX-License-Identifier: GPL-2.0
//! Does a pin that is taken between fork's two looks at a huge PMD stay the parent's?
//!
//! ```text
//! CPU0 gup_fast()                                  CPU1 fork: copy_huge_pmd()
//!  seq is even
//!  pmd = pmdp_get_lockless(): writable
//!                                                   seq is odd
//!                                                   folio_try_dup_anon_rmap_pmd(): no pin seen,
//!                                                    the page is no longer exclusive
//!  [try_grab_folio_fast()]                          [pgtable_trans_huge_deposit()]
//!   _pincount++
//!  pmd again: still writable
//!                                                   pmdp_set_wrprotect()
//!                                                   seq is even again, and another number
//!  read_seqcount_retry(): unpin, slow path
//! ```
//!
//! Here a function stands exactly in the window: both are held until they are in the brackets, and
//! only the sequence count tells fast GUP that its pin came too late. The actors are those of
//! `fork_vs_fast_pin`.

use guplab::Kind;

use super::fork_window::{HUGE, HUGE_START, run as duel};
use super::pins::HOWS;
use crate::{Experiment, Family, Point, Stop, Trial};

/// The experiment.
pub const EXPERIMENT: Experiment = Experiment {
    family: Family::ForkPin,
    name: "fork_vs_pin_of_pmd",
    about: "a pin taken after fork looked for one at a huge PMD does not survive in fast GUP",
    hit: "fast GUP had read the PMD, and fork copied it meanwhile",
    windows: &[HUGE],
    fits,
    run,
};

fn fits(kind: Kind) -> Result<(), &'static str> {
    match kind {
        Kind::AnonThp => Ok(()),
        Kind::ShmemThp => Err("fork leaves shared file memory to page faults"),
        Kind::Hugetlb => Err("fork of hugetlb calls nothing between look and write-protection"),
        _ => Err("no huge PMD maps it"),
    }
}

fn run(trial: &mut Trial<'_>) -> Result<(), Stop> {
    trial.led_by(&HUGE_START);
    duel(trial, HOWS.split_at(4).0, Point::CopyPageRange)
}
