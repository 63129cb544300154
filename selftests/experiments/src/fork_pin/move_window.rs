// SPDX-License-Identifier: GPL-2.0
//! One pin on one CPU while another takes the page away: the duel, and who is which actor.
//!
//! The left actor has the page migrated, or reclaimed. The right one pins it once,
//! when the left one is in the function that unmaps the page. Then nobody is at work any
//! more, and pin and address must have one page.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use guplab::{Duel, Errno, Mapping, Pin, PinRequest, Span};

use super::moving::count_went;
use super::pins::{HOLD_US, HOWS, How, granted, judge_pin, pick};
use crate::aim::WALKER;
use crate::collapsing::{fill, verify_fill};
use crate::trial::Context;
use crate::{At, Point, Side, Stop, Trial, Whom, Window};

/// Fast GUP is about to take its reference when the page is unmapped at `point`.
pub(super) const fn window(point: Point, about: &'static str) -> Window {
    Window {
        first: WALKER,
        second: Side {
            point,
            whom: Whom::Process,
            side: At::Entry,
            hold_us: HOLD_US,
            linger_us: 0,
        },
        about,
    }
}

/// How long the right actor waits for the left one, which may have to drain what all CPUs hold back
/// before it comes to the page.
pub(super) const PATIENCE: Duration = Duration::from_millis(300);

/// Takes a page away. Returns whether it went.
pub(super) trait Take {
    /// Whether the content stays, wherever the page goes. Where it doesn't, a pin that loses may get
    /// the zero page, and the next store takes the address away from it, unless the pin is for
    /// writing or for long.
    const KEEPS_CONTENT: bool = true;

    /// Makes ready while nobody is at work.
    fn prepare(
        &mut self,
        trial: &mut Trial<'_>,
        mapping: &Mapping,
        page: usize,
    ) -> Result<(), Stop>;

    /// Does it.
    fn take(&mut self, mapping: &Mapping, page: usize) -> Result<bool, Errno>;
}

/// What a round does.
#[derive(Clone, Copy)]
struct Task {
    how: How,
    request: PinRequest,
    page: usize,
    seed: u64,
}

struct TakeAgainstPin<'t, 's, T> {
    trial: &'t mut Trial<'s>,
    mapping: &'t Mapping,
    taker: T,
    /// The left actor is through.
    gone: &'t AtomicBool,
}

/// Runs the duel. The point of the experiment's window is where the left actor is waited for.
pub(super) fn run<T: Take>(
    trial: &mut Trial<'_>,
    mapping: &Mapping,
    point: Point,
    taker: T,
) -> Result<(), Stop> {
    trial.aim(mapping)?;
    let session = trial.session;
    let gate = trial.gate(point);
    let ring = trial.ring();
    let gone = AtomicBool::new(false);
    let mut sides = TakeAgainstPin {
        trial,
        mapping,
        taker,
        gone: &gone,
    };
    ring.duel(&mut sides, |task: &Task| {
        gate.wait_asleep(PATIENCE, || gone.load(Ordering::Acquire));
        Span::of(|| session.pin(&task.request))
    })
}

impl<'s, T: Take> Duel for TakeAgainstPin<'_, 's, T> {
    type Task = Task;
    type Left = Result<bool, Errno>;
    type Right = Result<Pin<'s>, Errno>;
    type Error = Stop;

    fn prepare(&mut self) -> Result<Option<Task>, Stop> {
        let trial = &mut *self.trial;
        if !trial.next_round() {
            return Ok(None);
        }
        // Fast GUP is what the window is in; the slow path comes when it gives up.
        let how = match T::KEEPS_CONTENT {
            true => pick(trial, HOWS.split_at(4).0),
            false => pick(trial, &[HOWS[0], HOWS[2], HOWS[3]]),
        };
        // A page that the right actor's CPU has just seen may wait there to come to another LRU
        // list, and can't be taken: seldom the same one twice.
        let page = trial.rng.usize(0..self.mapping.pages());
        trial.variant(format!("{} of page {page}", how.name));
        self.taker.prepare(trial, self.mapping, page)?;
        let seed = trial.rng.u64(..);
        fill(self.mapping, seed);
        self.gone.store(false, Ordering::Release);
        Ok(Some(Task {
            how,
            request: how.request(self.mapping, page),
            page,
            seed,
        }))
    }

    fn left(&mut self, task: &Task) -> (Result<bool, Errno>, Span) {
        let done = Span::of(|| self.taker.take(self.mapping, task.page));
        self.gone.store(true, Ordering::Release);
        done
    }

    fn judge(
        &mut self,
        task: Task,
        (went, take_span): (Result<bool, Errno>, Span),
        (pinned, pin_span): (Result<Pin<'s>, Errno>, Span),
    ) -> Result<bool, Stop> {
        let went = went.context("taking the page away")?;
        let trial = &mut *self.trial;
        count_went(trial, went);
        let met = trial.met(&take_span, &pin_span);
        if let Some(pin) = granted(trial, &task.how, pinned)? {
            judge_pin(trial, self.mapping, &pin, task.page)?;
        }
        if T::KEEPS_CONTENT {
            let note = format!("the page {}", if went { "went" } else { "stayed" });
            verify_fill(trial, self.mapping, task.seed, &[note]);
        }
        Ok(met)
    }
}
