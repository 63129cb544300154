// SPDX-License-Identifier: GPL-2.0
//! Does a page that the slow path pins while fork() runs stay with the process that pinned it?
//!
//! ```text
//! CPU0 pin_user_pages_unlocked()                   CPU1 fork: dup_mmap()
//!                                                   mmap_write_lock()
//!                                                   copy_page_range(): shares, write-protects
//!  [__gup_longterm_locked()]
//!   mmap_read_lock() ... waits
//!                                                   mmap_write_unlock()
//!   follow_page_pte(): not writable, or not
//!    exclusive (gup_must_unshare())
//!   faultin_page(): breaks COW, or unshares
//! ```
//!
//! The mmap lock keeps the two apart; what is left to go wrong is the page that fork has shared.
//! The left actor forks, the right one pins one page for reading or writing, also long-term.

use super::fork_window::{SLOW, run as duel};
use super::pins::HOWS;
use crate::{Experiment, Family, Point, Stop, Trial, any_kind};

/// The experiment.
pub const EXPERIMENT: Experiment = Experiment {
    family: Family::ForkPin,
    name: "fork_vs_slow_pin",
    about: "a page that the slow path pins during fork() is the parent's alone afterwards",
    hit: "the slow path was under way while fork was in copy_page_range()",
    windows: &[SLOW],
    fits: any_kind,
    run,
};

fn run(trial: &mut Trial<'_>) -> Result<(), Stop> {
    duel(trial, HOWS.split_at(4).1, Point::CopyPageRange)
}
