// SPDX-License-Identifier: GPL-2.0
//! Does a page that fast GUP pins while fork() runs stay with the process that pinned it?
//!
//! ```text
//! CPU0 gup_fast()                                  CPU1 fork: copy_page_range()
//!  raw_seqcount_try_begin(): seq is even
//!  pte = ptep_get_lockless(): writable
//!                                                   raw_write_seqcount_begin(): seq is odd
//!                                                   folio_get()
//!  [try_grab_folio_fast()]                          folio_needs_cow_for_dma()? not yet
//!   _refcount += 1024; smp_mb__after_atomic()
//!  pte again: still writable
//!                                                   wrprotect_ptes(): the page is shared now
//!                                                   raw_write_seqcount_end()
//!  read_seqcount_retry(): seq has changed:
//!   unpin, and again by the slow path,
//!   which breaks COW, or unshares
//! ```
//!
//! Of a large folio fork looks at the count of pins once for up to 512 entries, which are
//! write-protected after that: the last page of a PTE-mapped huge page has the widest window.
//! The left actor forks, the right one pins one page for reading or writing, also long-term.

use super::fork_window::{FAST, run as duel};
use super::pins::HOWS;
use crate::{Experiment, Family, Point, Stop, Trial, any_kind};

/// The experiment.
pub const EXPERIMENT: Experiment = Experiment {
    family: Family::ForkPin,
    name: "fork_vs_fast_pin",
    about: "a page that fast GUP pins during fork() is the parent's alone afterwards",
    hit: "fast GUP took its reference while fork was in copy_page_range()",
    windows: &[FAST],
    fits: any_kind,
    run,
};

fn run(trial: &mut Trial<'_>) -> Result<(), Stop> {
    duel(trial, HOWS.split_at(4).0, Point::CopyPageRange)
}
