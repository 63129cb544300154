// SPDX-License-Identifier: GPL-2.0
//! Shared futexes in memory under test: the calls, when they were made, and what they prove.
//!
//! A waiter goes to sleep only if the word still has the value that it expects, and that is looked
//! at under the lock that a wake needs. So who changes the word and then wakes finds every sleeper:
//! one that sleeps on after that, to the end of its time, was looked for under another key. Times
//! prove the order: a timeout never ends early.

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use guplab::duel::now_ns;
use guplab::oracle::Evidence;
use guplab::{Errno, Mapping, Span};
use rustix::event::Timespec;
use rustix::thread::futex;

use crate::Trial;

/// No wake is lost.
pub(super) const NO_LOST_WAKE: &str = "a waiter that slept before the wake is woken by it";
/// A wake that counts the waiter has woken it.
pub(super) const WAKE_COUNTS: &str = "a waiter that a wake has counted returns as woken";
/// The mail's first complaint.
pub(super) const ENDS: &str = "a futex call on mapped memory comes to an end";
/// The page of a futex can always be had.
pub(super) const REACHED: &str = "a futex in mapped memory is found";

/// How long a waiter sleeps at most. Only a lost wake makes it sleep so long.
pub(super) const SLEEP: Duration = Duration::from_secs(3);
/// A call that doesn't sleep and takes longer doesn't end.
const LONG_NS: u64 = 45_000_000_000;

/// The word of a futex: half of a word of the mapping, which nobody uses otherwise meanwhile.
pub(super) fn word(mapping: &Mapping, offset: usize) -> &AtomicU32 {
    let word = mapping.word(offset).as_ptr().cast::<u32>();
    // SAFETY: It is an aligned part of a live word that is only ever used as an atomic, and while
    // actors use this half nobody uses the whole.
    unsafe { AtomicU32::from_ptr(word) }
}

/// How a waiter ended, and when it was at it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Waited {
    pub(super) result: Result<(), Errno>,
    pub(super) span: Span,
}

/// FUTEX_WAIT on a shared futex. Safe to call in a forked child: it neither allocates nor locks.
pub(super) fn wait(word: &AtomicU32, expected: u32) -> Waited {
    let limit = Timespec {
        tv_sec: SLEEP.as_secs() as i64,
        tv_nsec: 0,
    };
    let (result, span) =
        Span::of(|| futex::wait(word, futex::Flags::empty(), expected, Some(&limit)));
    Waited { result, span }
}

/// What a waker did.
#[derive(Clone, Copy, Debug)]
pub(super) struct Woke {
    /// How many waiters were woken in all.
    pub(super) woken: Result<usize, Errno>,
    /// When.
    pub(super) span: Span,
}

/// Changes the word and wakes who sleeps there, by a name of the word that need not be the one by
/// which it sleeps.
pub(super) fn wake(word: &AtomicU32, next: u32) -> Woke {
    let (woken, span) = Span::of(|| {
        word.store(next, Ordering::SeqCst);
        futex::wake(word, futex::Flags::empty(), 1)
    });
    Woke { woken, span }
}

/// Changes the word, moves who sleeps there to another futex, and wakes it there.
pub(super) fn requeue_and_wake(word: &AtomicU32, next: u32, other: &AtomicU32) -> Woke {
    let shared = futex::Flags::empty();
    let (woken, span) = Span::of(|| {
        word.store(next, Ordering::SeqCst);
        let moved = futex::cmp_requeue(word, shared, 0, 1, other, next)?;
        let woken = futex::wake(other, shared, 1)?;
        // Nobody else sleeps: one that was moved and isn't there is lost.
        if moved == woken {
            Ok(woken)
        } else {
            Err(Errno::XFULL)
        }
    });
    Woke { woken, span }
}

/// Decides what can be decided when both have ended.
pub(super) fn judge(trial: &mut Trial<'_>, addr: usize, waited: &Waited, woke: &Woke) {
    let slept_to = waited.span.start + SLEEP.as_nanos() as u64;
    let evidence = || {
        Evidence::at(addr)
            .detail(format!(
                "FUTEX_WAIT: {:?} from {} to {}",
                waited.result, waited.span.start, waited.span.end
            ))
            .detail(format!(
                "FUTEX_WAKE: {:?} from {} to {}, judged at {}",
                woke.woken,
                woke.span.start,
                woke.span.end,
                now_ns()
            ))
    };
    let timed_out = waited.result == Err(Errno::TIMEDOUT);
    let lost = timed_out && woke.span.end < slept_to;
    trial.oracle.decide(NO_LOST_WAKE, !lost, evidence);
    let counted = woke.woken == Ok(1);
    let well = !counted || waited.result.is_ok();
    trial.oracle.decide(WAKE_COUNTS, well, evidence);
    let took = woke.span.end - woke.span.start;
    trial.oracle.decide(ENDS, took < LONG_NS, evidence);
    let found = |error: Option<Errno>| {
        matches!(
            error,
            None | Some(Errno::AGAIN | Errno::TIMEDOUT | Errno::NOMEM)
        )
    };
    let well = found(waited.result.err()) && found(woke.woken.err());
    trial.oracle.decide(REACHED, well, evidence);
    let name = match (waited.result, counted) {
        (Ok(()), true) => "slept_and_woken",
        (Err(Errno::AGAIN), _) => "came_too_late",
        _ => "other_ends",
    };
    trial.count(name, 1);
}
