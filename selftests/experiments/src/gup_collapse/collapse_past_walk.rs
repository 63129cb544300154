// SPDX-License-Identifier: GPL-2.0
//! Who keeps collapse from passing a walk: the IPI, or the second look at the PMD?
//!
//! ```text
//! CPU 0: gup_fast_fallback()                CPU 1: collapse_huge_page()
//!
//! pmd = pmdp_get_lockless()
//! pte = ptep_get_lockless()
//! [try_grab_folio_fast()]                   [pmdp_collapse_flush()]: pmd := none
//!                                             flush: on x86 an IPI to CPU 0
//!                                           tlb_remove_table_sync_one(): IPI
//!                                           __collapse_huge_page_isolate(): no reference too many
//!                                           copy: [copy_mc_user_highpage()]
//!   refcount += 1024
//! pte is the same: not yet cleared
//! pmd changed: gup_put_folio()
//! ```
//!
//! A walk that is in its bracket when collapse copies the pages has only the second look at the
//! PMD between itself and a page that nobody maps any more. It can't be there: collapse waits for an
//! IPI to each CPU, on x86 that of the flush, and everywhere one of its own, and a walk has
//! interrupts off. So the window is never met, and that is the answer. Where neither is sent it is
//! met, and the second look answers. The mails: "mm: gup: fix the fast GUP race against THP
//! collapse", commit 70cbc3cc78a9.

use guplab::Kind;

use super::collapse_vs_pinning::race;
use super::windows::{collapsible_anon, step};
use crate::aim::WALKER;
use crate::{At, Experiment, Family, Point, Side, Stop, Trial, Whom, Window};

/// The experiment.
pub const EXPERIMENT: Experiment = Experiment {
    family: Family::GupCollapse,
    name: "collapse_past_walk",
    about: "no walk is overtaken by collapse, or it notices",
    hit: "GUP-fast was between its two looks when collapse had copied the page",
    windows: &[PAST],
    fits,
    run,
};

/// Collapse waits for a walk that has read the PMD.
static START: Window = Window {
    first: Side {
        hold_us: 1,
        linger_us: 0,
        ..WALKER
    },
    second: step(Point::PmdpCollapseFlush, At::Entry),
    about: "collapse clears the PMD when the walk has read it",
};

const PAST: Window = Window {
    first: Side {
        hold_us: 20_000,
        linger_us: 0,
        ..WALKER
    },
    second: Side {
        point: Point::CopyMc,
        whom: Whom::Process,
        side: At::Return,
        hold_us: 1,
        linger_us: 1000,
    },
    about: "collapse copies the page between the walk's two reads of the page table",
};

fn fits(kind: Kind) -> Result<(), &'static str> {
    match kind {
        Kind::Shmem => Err("collapse of page cache counts references before it flushes"),
        _ => collapsible_anon(kind),
    }
}

fn run(trial: &mut Trial<'_>) -> Result<(), Stop> {
    trial.led_by(&START);
    race(trial, START.second.point)
}
