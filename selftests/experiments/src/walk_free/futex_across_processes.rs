// SPDX-License-Identifier: GPL-2.0
//! A process sleeps on a futex in shared memory. Another one, which has the same memory elsewhere,
//! wakes it or moves it to another futex, while the pages are split or collapsed.
//!
//! ```text
//! peer: futex(FUTEX_WAIT)
//! get_futex_key(): (inode, page offset)
//! sleeps
//!
//! CPU 0: FUTEX_WAKE, FUTEX_CMP_REQUEUE         CPU 1: __folio_split(), split_huge_pmd_locked(),
//!                                                collapse_file()
//! get_futex_key():
//! get_user_pages_fast(): page                  the folio is unmapped, everywhere
//! page_pgoff(folio, page)                      the page is in another folio, or its content in
//!                                                another page
//! futex_wake(): the same key?
//! ```
//!
//! The key has neither the page nor the address in it, and so must be the same before and after, in
//! either process, whatever the page is made of. FUTEX_CMP_REQUEUE makes two keys in one call.

use std::sync::atomic::Ordering;
use std::time::Duration;

use guplab::oracle::Evidence;
use guplab::{Duel, Errno, Kind, Mapping, Peer, SharedPage, Span, page_size};

use super::changing::{Change, Changer, changes, has_changed, is_refusal};
use super::futex_vs_change::{self, WINDOW, place};
use super::futexes::{NO_LOST_WAKE, Waited, Woke, judge, requeue_and_wake, wait, wake, word};
use crate::trial::Context;
use crate::{Experiment, Family, Point, Stop, Trial};

const MOVED_IS_FOUND: &str = "a waiter that was moved to another futex is woken there";

/// The experiment.
pub const EXPERIMENT: Experiment = Experiment {
    family: Family::WalkFree,
    name: "futex_across_processes",
    about: NO_LOST_WAKE,
    hit: "get_futex_key() was at work while the page was being split or collapsed",
    windows: &[WINDOW],
    fits,
    run,
};

fn fits(kind: Kind) -> Result<(), &'static str> {
    futex_vs_change::fits(kind)?;
    match kind.is_private() {
        true => Err("a futex in private memory is one process's own"),
        false => Ok(()),
    }
}

// Words of the page of reports.
const WAITS: usize = 0;
const STARTED: usize = 1;
const ENDED: usize = 2;

/// How long a peer may take to be about to wait.
const LIMIT: Duration = Duration::from_secs(20);

#[derive(Clone, Copy)]
struct Task {
    change: Change,
    page: usize,
    offset: usize,
    value: u32,
    /// Where the waiter is moved to first.
    other: Option<usize>,
}

struct ChangeAgainstWake<'t, 's> {
    trial: &'t mut Trial<'s>,
    mapping: &'t Mapping,
    changer: Changer,
    shared: &'t SharedPage,
    peer: Peer<'t>,
}

fn run(trial: &mut Trial<'_>) -> Result<(), Stop> {
    let mapping = trial.mapping(1)?;
    let changer = Changer::new()?;
    let shared = SharedPage::new().context("a shared page")?;
    let peer = {
        let (mapping, shared) = (&mapping, &shared);
        let sleep = move |arg: u64| {
            let (offset, value) = ((arg >> 32) as usize, arg as u32);
            let word = word(mapping, offset);
            // It has the page mapped, too, as far as this is possible now.
            word.load(Ordering::SeqCst);
            shared.set(WAITS, 1);
            let waited = wait(word, value);
            shared.set(STARTED, waited.span.start);
            shared.set(ENDED, waited.span.end);
            waited.result.err().map_or(0, |e| e.raw_os_error() as u64)
        };
        Peer::fork(shared, &[&sleep]).context("forking a peer")?
    };
    trial.aim(&mapping)?;
    let gate = trial.gate(Point::Notifier);
    let ring = trial.ring();
    let mut sides = ChangeAgainstWake {
        trial,
        mapping: &mapping,
        changer,
        shared: &shared,
        peer,
    };
    ring.duel(&mut sides, |task: &Task| {
        gate.wait();
        let (word_of, next) = (|at| word(&mapping, at), task.value + 1);
        let woke = match task.other {
            Some(other) => requeue_and_wake(word_of(task.offset), next, word_of(other)),
            None => wake(word_of(task.offset), next),
        };
        (woke, woke.span)
    })
}

impl Duel for ChangeAgainstWake<'_, '_> {
    type Task = Task;
    type Left = guplab::Result<()>;
    type Right = Woke;
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
        // In another page, at another place.
        let elsewhere = (offset + rng.usize(1..mapping.pages()) * page_size()) % mapping.len();
        let task = Task {
            change: all[rng.usize(0..all.len())],
            page,
            offset,
            value: rng.u32(1..1 << 30),
            other: rng.bool().then_some(elsewhere),
        };
        word(mapping, offset).store(task.value, Ordering::SeqCst);
        trial.variant(format!(
            "{:?}, futex at {offset:#x} in page {page}, {}",
            task.change,
            match task.other {
                Some(other) => format!("moved to {other:#x}"),
                None => "woken".to_owned(),
            }
        ));
        self.shared.set(WAITS, 0);
        let arg = (offset as u64) << 32 | u64::from(task.value);
        self.peer.start(0, arg).context("the peer")?;
        if !self.shared.wait_for(WAITS, 1, LIMIT) {
            return Err(Stop::Error("the peer does not wait".into()));
        }
        // Most of the time it sleeps by then. Nothing depends on it.
        std::thread::sleep(Duration::from_micros(500));
        Ok(Some(task))
    }

    fn left(&mut self, task: &Task) -> (guplab::Result<()>, Span) {
        Span::of(|| self.changer.change(self.mapping, task.page, task.change))
    }

    fn judge(
        &mut self,
        task: Task,
        (changed, span): (guplab::Result<()>, Span),
        (woke, wake_span): (Woke, Span),
    ) -> Result<bool, Stop> {
        let error = self.peer.finish().context("the peer")?;
        let result = match error {
            0 => Ok(()),
            error => Err(Errno::from_raw_os_error(error as i32)),
        };
        let waited = Waited {
            result,
            span: Span {
                start: self.shared.get(STARTED),
                end: self.shared.get(ENDED),
            },
        };
        let (trial, mapping) = (&mut *self.trial, self.mapping);
        let met = trial.met(&span, &wake_span);
        match changed {
            Err(error) if !is_refusal(error) => {
                return Err(error).context("splitting or collapsing");
            }
            _ => {
                let done = has_changed(trial.session, mapping, task.page, task.change)?;
                trial.count(if done { "changed" } else { "not_changed" }, 1);
            }
        }
        let addr = mapping.addr() + task.offset;
        if let Some(other) = task.other {
            let lost = woke.woken == Err(Errno::XFULL);
            trial.oracle.decide(MOVED_IS_FOUND, !lost, || {
                Evidence::at(addr).detail(format!("it was moved to {:#x}", mapping.addr() + other))
            });
            if lost {
                return Ok(met);
            }
        }
        judge(trial, addr, &waited, &woke);
        Ok(met)
    }
}
