// SPDX-License-Identifier: GPL-2.0
//! A shared futex is waited for while the page that it is in becomes part of a huge page, or ceases
//! to be.
//!
//! ```text
//! CPU 0: futex(FUTEX_WAIT)                     CPU 1: split or collapse, then FUTEX_WAKE
//!
//! get_futex_key():
//! get_user_pages_fast(): page                  __split_huge_pmd(), __folio_split(), or
//!                                                collapse_huge_page(): entries change
//! folio = page_folio(page)
//! folio_test_anon()? key = (mm, address)
//! else key = (inode, page_pgoff(folio, page))
//! again, if folio->mapping has changed
//! futex_wait_setup(): the word is still the
//!   expected one; sleeps under that key
//!                                              the word is changed
//!                                              get_futex_key(): the same key, by the page
//!                                                that is there now
//!                                              futex_wake(): finds the sleeper
//! ```
//!
//! In 2013 get_futex_key() never ended on ARM, where fast GUP returned 0 and a split was waited for
//! by pinning again. Today a split or collapse that has to wait for a reference must not make it
//! loop, and must not change the key: head page or tail page, anonymous or not.

use std::time::Duration;

use guplab::{Duel, Kind, Mapping, Span, page_size};

use super::aiming::LONG_US;
use super::changing::{Change, Changer, changes, has_changed, is_refusal};
use super::futexes::{NO_LOST_WAKE, Waited, Woke, judge, wait, wake, word};
use crate::trial::Context;
use crate::{At, Experiment, Family, Point, Side, Stop, Trial, Whom, Window};

/// Who looks for the key, against whatever changes page tables.
pub(super) const WINDOW: Window = Window {
    first: Side {
        point: Point::GetFutexKey,
        whom: Whom::Process,
        side: At::Entry,
        hold_us: 2000,
        linger_us: 300,
    },
    second: Side {
        point: Point::Notifier,
        whom: Whom::Mm,
        side: At::Entry,
        hold_us: LONG_US,
        linger_us: 0,
    },
    about: "the page is split or collapsed while the key of a futex in it is being made",
};

/// The experiment.
pub const EXPERIMENT: Experiment = Experiment {
    family: Family::WalkFree,
    name: "futex_vs_change",
    about: NO_LOST_WAKE,
    hit: "get_futex_key() was at work while the page was being split or collapsed",
    windows: &[WINDOW],
    fits,
    run,
};

/// Why a kind has no such futexes.
pub(super) fn fits(kind: Kind) -> Result<(), &'static str> {
    match kind {
        Kind::Hugetlb => Err("hugetlb pages are neither split nor collapsed"),
        Kind::PrivateShmem => {
            Err("private copies of a file's pages are neither split nor collapsed")
        }
        _ => Ok(()),
    }
}

#[derive(Clone, Copy)]
struct Task {
    change: Change,
    page: usize,
    offset: usize,
    /// What the waiter expects. The waker makes it one more.
    value: u32,
    /// The waiter is to sleep before anything changes.
    sleeps_first: bool,
    /// How long the waker waits after the change.
    rest: Duration,
}

struct ChangeAgainstWait<'t, 's> {
    trial: &'t mut Trial<'s>,
    mapping: &'t Mapping,
    changer: Changer,
}

fn run(trial: &mut Trial<'_>) -> Result<(), Stop> {
    let mapping = trial.mapping(1)?;
    let changer = Changer::new()?;
    trial.aim(&mapping)?;
    let gate = trial.gate(Point::Notifier);
    let ring = trial.ring();
    let mut sides = ChangeAgainstWait {
        trial,
        mapping: &mapping,
        changer,
    };
    ring.duel(&mut sides, |task: &Task| {
        if !task.sleeps_first {
            gate.wait();
        }
        let waited = wait(word(&mapping, task.offset), task.value);
        (waited, waited.span)
    })
}

/// A page and a word in it: head pages, tail pages and the last one.
pub(super) fn place(trial: &mut Trial<'_>, mapping: &Mapping) -> (usize, usize) {
    let all = mapping.pages();
    let page = match trial.rng.u8(0..4) {
        0 => 0,
        1 => all - 1,
        _ => trial.rng.usize(1..all),
    };
    let word = trial.rng.usize(0..page_size() / 8);
    (page, page * page_size() + 8 * word)
}

impl Duel for ChangeAgainstWait<'_, '_> {
    type Task = Task;
    type Left = (guplab::Result<()>, Woke);
    type Right = Waited;
    type Error = Stop;

    fn prepare(&mut self) -> Result<Option<Task>, Stop> {
        let (trial, mapping) = (&mut *self.trial, self.mapping);
        if !trial.next_round() {
            return Ok(None);
        }
        if trial.round() > 1 {
            mapping.renew(trial.session)?;
        }
        let (page, offset) = place(trial, mapping);
        let rng = &mut trial.rng;
        let all = changes(mapping.kind());
        let task = Task {
            change: all[rng.usize(0..all.len())],
            page,
            offset,
            value: rng.u32(1..1 << 30),
            sleeps_first: rng.u8(0..4) == 0,
            rest: Duration::from_micros([0, 1000][rng.usize(0..2)]),
        };
        word(mapping, offset).store(task.value, std::sync::atomic::Ordering::SeqCst);
        trial.variant(format!(
            "{:?}, futex at {offset:#x} in page {page}, {}",
            task.change,
            if task.sleeps_first {
                "waited for before that"
            } else {
                "waited for meanwhile"
            }
        ));
        Ok(Some(task))
    }

    fn left(&mut self, task: &Task) -> (Self::Left, Span) {
        if task.sleeps_first {
            std::thread::sleep(Duration::from_millis(1));
        }
        let (changed, span) =
            Span::of(|| self.changer.change(self.mapping, task.page, task.change));
        if !task.rest.is_zero() {
            std::thread::sleep(task.rest);
        }
        let woke = wake(word(self.mapping, task.offset), task.value + 1);
        ((changed, woke), span)
    }

    fn judge(
        &mut self,
        task: Task,
        ((changed, woke), span): (Self::Left, Span),
        (waited, wait_span): (Waited, Span),
    ) -> Result<bool, Stop> {
        let (trial, mapping) = (&mut *self.trial, self.mapping);
        let met = trial.met(&span, &wait_span);
        match changed {
            Err(error) if !is_refusal(error) => {
                return Err(error).context("splitting or collapsing");
            }
            _ => {
                let done = has_changed(trial.session, mapping, task.page, task.change)?;
                trial.count(if done { "changed" } else { "not_changed" }, 1);
            }
        }
        judge(trial, mapping.addr() + task.offset, &waited, &woke);
        Ok(met)
    }
}
