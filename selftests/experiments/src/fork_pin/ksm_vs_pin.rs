// SPDX-License-Identifier: GPL-2.0
//! Does KSM leave a page alone that is pinned for reading while it is being merged?
//!
//! ```text
//! CPU0 gup_fast(), for reading                     CPU1 ksmd: try_to_merge_one_page()
//!                                                   write_protect_page()
//!                                                    folio_ref_count(): not pinned
//!                                                    folio_try_share_anon_rmap_pte():
//!                                                     the page is no longer exclusive
//!  pte = ptep_get_lockless()
//!  [try_grab_folio_fast()]                          [replace_page()]
//!   _refcount += 1024
//!  pte again: changed? unpin, slow path
//!  gup_must_unshare(): not exclusive:
//!   unpin, slow path: FAULT_FLAG_UNSHARE            pte_same(): only if nothing has changed the
//!                                                    entry is replaced by that of the KSM page
//! ```
//!
//! The left actor gives a page the content of one that KSM has, and waits: ksmd is who merges. The
//! right actor pins the page for reading. A pin for writing finds the entry write-protected and
//! doesn't come to the window.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use guplab::mapping::Advice;
use guplab::{Duel, Errno, Mapping, Pin, PinRequest, Span, page_size, sys};

use super::ksm_held_pin::judge_not_ksms;
use super::merging::{TARGET, WORD, advise_target, is_merged_alone, merged_pair};
use super::pins::{HOLD_US, HOWS, How, granted, judge_pin, pick};
use crate::aim::WALKER;
use crate::trial::Context;
use crate::{At, Experiment, Family, Point, Side, Stop, Trial, Whom, Window};

const WINDOW: Window = Window {
    first: WALKER,
    second: Side {
        point: Point::ReplacePage,
        whom: Whom::Mm,
        side: At::Entry,
        hold_us: HOLD_US,
        linger_us: 200,
    },
    about: "KSM replaces the page between the walker's reads of the page table",
};

/// The experiment.
pub const EXPERIMENT: Experiment = Experiment {
    family: Family::ForkPin,
    name: "ksm_vs_pin",
    about: "a page that is pinned while KSM merges it is the mapped one afterwards, and not KSM's",
    hit: "fast GUP took its reference while KSM was replacing the page",
    windows: &[WINDOW],
    fits: is_merged_alone,
    run,
};

/// How long the left actor waits for KSM.
const PATIENCE: Duration = Duration::from_millis(200);

#[derive(Clone, Copy)]
struct Task {
    how: How,
    request: PinRequest,
}

struct KsmAgainstPin<'t, 's> {
    trial: &'t mut Trial<'s>,
    mapping: &'t Mapping,
    /// The content of the pages that are merged.
    content: u64,
    /// The right actor is through.
    pinned: &'t AtomicBool,
    /// The left one is.
    gone: &'t AtomicBool,
}

fn run(trial: &mut Trial<'_>) -> Result<(), Stop> {
    let mapping = trial.mapping(1)?;
    // It runs as long as this is kept.
    let (_ksm, content) = merged_pair(trial, &mapping)?;
    trial.aim(&mapping)?;
    let session = trial.session;
    let gate = trial.gate(Point::ReplacePage);
    let ring = trial.ring();
    let pinned = AtomicBool::new(false);
    let gone = AtomicBool::new(false);
    let mut sides = KsmAgainstPin {
        trial,
        mapping: &mapping,
        content,
        pinned: &pinned,
        gone: &gone,
    };
    ring.duel(&mut sides, |task: &Task| {
        gate.wait_asleep(PATIENCE, || gone.load(Ordering::Acquire));
        let done = Span::of(|| session.pin(&task.request));
        pinned.store(true, Ordering::Release);
        done
    })
}

impl KsmAgainstPin<'_, '_> {
    fn write(&self, content: u64) {
        self.mapping.write(TARGET * page_size() + WORD, content);
    }

    fn is_merged(&self) -> Result<bool, Errno> {
        let addr = self.mapping.page_addr(TARGET);
        let page = self.trial.session.inspect(0, addr, 1)?[0];
        Ok(page.has(sys::GUPLAB_PAGE_KSM))
    }
}

impl<'s> Duel for KsmAgainstPin<'_, 's> {
    type Task = Task;
    type Left = Result<bool, Errno>;
    type Right = Result<Pin<'s>, Errno>;
    type Error = Stop;

    fn prepare(&mut self) -> Result<Option<Task>, Stop> {
        if !self.trial.next_round() {
            return Ok(None);
        }
        // Another content than any page has: KSM leaves it alone for now. All else that the last
        // round has left there is in words that it wrote: these are made equal again.
        self.mapping
            .discard_pages(TARGET, 1)
            .context("MADV_DONTNEED")?;
        self.write(!self.content);
        advise_target(self.mapping, Advice::Mergeable)?;
        self.pinned.store(false, Ordering::Release);
        self.gone.store(false, Ordering::Release);
        // Of the fast ways, those for reading.
        let how = pick(self.trial, &[HOWS[1], HOWS[3]]);
        self.trial.variant(how.name);
        let request = how.request(self.mapping, TARGET);
        Ok(Some(Task { how, request }))
    }

    fn left(&mut self, _: &Task) -> (Result<bool, Errno>, Span) {
        let done = Span::of(|| {
            self.write(self.content);
            let end = Instant::now() + PATIENCE;
            loop {
                let merged = self.is_merged()?;
                if merged || self.pinned.load(Ordering::Acquire) || Instant::now() >= end {
                    return Ok(merged);
                }
                std::thread::sleep(Duration::from_micros(500));
            }
        });
        self.gone.store(true, Ordering::Release);
        done
    }

    fn judge(
        &mut self,
        task: Task,
        (merged, ksm_span): (Result<bool, Errno>, Span),
        (pinned, pin_span): (Result<Pin<'s>, Errno>, Span),
    ) -> Result<bool, Stop> {
        if merged.context("INSPECT")? {
            self.trial.count("merged", 1);
        }
        let met = self.trial.met(&ksm_span, &pin_span);
        // Now ksmd, which may be in the middle of it, is through with the page, and stays away.
        advise_target(self.mapping, Advice::Unmergeable)?;
        if let Some(pin) = granted(self.trial, &task.how, pinned)? {
            judge_not_ksms(self.trial, &pin)?;
            judge_pin(self.trial, self.mapping, &pin, TARGET)?;
        }
        Ok(met)
    }
}
