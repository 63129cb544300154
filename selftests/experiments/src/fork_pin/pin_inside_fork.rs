// SPDX-License-Identifier: GPL-2.0
//! Does fast GUP give up at once while fork write-protects?
//!
//! ```text
//! CPU0 gup_fast()                                  CPU1 fork: copy_huge_pmd()
//!                                                   seq is odd
//!                                                   folio_try_dup_anon_rmap_pmd(): no pin seen,
//!                                                    the page is no longer exclusive
//!                                                  [pgtable_trans_huge_deposit()]
//!  raw_seqcount_try_begin(): odd
//!  [__gup_longterm_locked()]: waits for fork
//!                                                   pmdp_set_wrprotect()
//! ```
//!
//! A pin that begins and ends in here would find the PMD writable, and the sequence count the same
//! at its end as at its beginning. So it must not begin. The actors are those of `fork_vs_fast_pin`,
//! but the pin waits until fork is in its brackets, and fork stays there until fast GUP has given up.

use guplab::Kind;

use super::fork_window::{SLOW, run as duel};
use super::pins::{HOLD_US, HOWS};
use crate::{At, Experiment, Family, Point, Side, Stop, Trial, Whom, Window};

/// The experiment.
pub const EXPERIMENT: Experiment = Experiment {
    family: Family::ForkPin,
    name: "pin_inside_fork",
    about: "a pin that begins while fork write-protects is not made by fast GUP",
    hit: "fast GUP had given up when fork was between its look for pins and its write-protection",
    windows: &[INSIDE],
    fits,
    run,
};

const INSIDE: Window = Window {
    first: SLOW.first,
    second: Side {
        point: Point::PgtableTransHugeDeposit,
        whom: Whom::Process,
        side: At::Entry,
        hold_us: HOLD_US,
        linger_us: 0,
    },
    about: "the slow path begins while fork has seen no pin, and has not yet protected the PMD",
};

fn fits(kind: Kind) -> Result<(), &'static str> {
    match kind {
        Kind::AnonThp => Ok(()),
        Kind::ShmemThp => Err("fork leaves shared file memory to page faults"),
        Kind::Hugetlb => Err("fork of hugetlb calls nothing between look and write-protection"),
        _ => Err("fork calls nothing between the look at a page and its write-protection"),
    }
}

fn run(trial: &mut Trial<'_>) -> Result<(), Stop> {
    duel(trial, HOWS.split_at(4).0, INSIDE.second.point)
}
