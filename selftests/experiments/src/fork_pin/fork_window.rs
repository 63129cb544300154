// SPDX-License-Identifier: GPL-2.0
//! One pin on one CPU while fork() runs on another: the windows, the duel, and who is which actor.
//!
//! The left actor forks. The right one pins one page once; its gate inside the module lets it begin
//! when fork is in copy_page_range(). There the parent's VMAs are write-locked, so fork itself
//! can't be waited for in userspace. Then both processes write and look: see `aftermath`.

use guplab::{Child, Duel, Errno, Mapping, Pin, PinRequest, SharedPage, Span, fork_child};

use super::aftermath::{First, Scene, forked};
use super::pins::{HOLD_US, How, granted, pick, pick_page};
use crate::aim::{Gated, WALKER};
use crate::trial::Context;
use crate::{At, Point, Side, Stop, Trial, Whom, Window};

/// Fork waits at the start of a VMA, before the sequence count is made odd, until the other side
/// has come: as long as may be, for a loaded machine.
const fn fork_waits() -> Side {
    Side {
        point: Point::CopyPageRange,
        whom: Whom::Process,
        side: At::Entry,
        hold_us: HOLD_US,
        linger_us: 0,
    }
}

/// Fast GUP has read the sequence count and the page table and is about to take its reference when
/// fork goes on: to the page, past it, or through to its end.
pub(super) const FAST: Window = Window {
    first: WALKER,
    second: fork_waits(),
    about: "fork shares and write-protects pages between the walker's reads of the page table",
};

/// The slow path has begun, and comes to the mmap lock that fork holds.
pub(super) const SLOW: Window = Window {
    first: Side {
        point: Point::GupLongtermLocked,
        whom: Whom::Process,
        side: At::Entry,
        hold_us: 500,
        linger_us: 200,
    },
    second: fork_waits(),
    about: "the slow path waits for the mmap lock while fork shares and write-protects pages",
};

/// Fork waits for the walker to be past its first reads, and no longer.
pub(super) const HUGE_START: Window = Window {
    first: Side {
        point: Point::TryGrabFolioFast,
        whom: Whom::Process,
        side: At::Entry,
        hold_us: 1,
        linger_us: 0,
    },
    second: fork_waits(),
    about: "fork begins when the walker has read sequence count and PMD",
};

/// Then the walker waits until fork has seen no pin, and has not yet write-protected the PMD.
pub(super) const HUGE: Window = Window {
    first: Side {
        point: Point::TryGrabFolioFast,
        whom: Whom::Process,
        side: At::Entry,
        hold_us: 2000,
        linger_us: 100,
    },
    second: Side {
        point: Point::PgtableTransHugeDeposit,
        whom: Whom::Process,
        side: At::Entry,
        hold_us: 300,
        linger_us: 100,
    },
    about: "the walker takes its reference after fork looked for one, before the PMD is protected",
};

/// What a round does.
#[derive(Clone, Copy)]
struct Task {
    how: How,
    request: PinRequest,
    page: usize,
    first: First,
}

struct ForkAgainstPin<'t, 's> {
    trial: &'t mut Trial<'s>,
    mapping: &'t Mapping,
    shared: &'t SharedPage,
    hows: &'static [How],
    gate: Gated<'s>,
}

/// Runs the duel with these ways of pinning. The pin begins when fork is at a point.
pub(super) fn run(trial: &mut Trial<'_>, hows: &'static [How], begins: Point) -> Result<(), Stop> {
    let mapping = trial.mapping(1)?;
    let shared = SharedPage::new().context("a shared page")?;
    trial.aim(&mapping)?;
    let session = trial.session;
    let gate = trial.gate(begins);
    let ring = trial.ring();
    let mut sides = ForkAgainstPin {
        trial,
        mapping: &mapping,
        shared: &shared,
        hows,
        gate,
    };
    ring.duel(&mut sides, |task: &Task| {
        Span::of(|| session.pin(&task.request))
    })
}

impl<'s> Duel for ForkAgainstPin<'_, 's> {
    type Task = Task;
    type Left = Result<Child, Errno>;
    type Right = Result<Pin<'s>, Errno>;
    type Error = Stop;

    fn prepare(&mut self) -> Result<Option<Task>, Stop> {
        let trial = &mut *self.trial;
        if !trial.next_round() {
            return Ok(None);
        }
        // A fork splits, shares and write-protects what the mapping was made of; then fast GUP
        // would give up before it comes to the window.
        if trial.round() > 1 {
            self.mapping.renew(trial.session)?;
        }
        let how = pick(trial, self.hows);
        let page = pick_page(trial, self.mapping);
        let first = pick(trial, &First::BOTH);
        trial.variant(format!(
            "{} of page {page}, {} writes first",
            how.name,
            first.name()
        ));
        let mut request = how.request(self.mapping, page);
        request.gate = self.gate.id();
        self.scene(page).prepare();
        Ok(Some(Task {
            how,
            request,
            page,
            first,
        }))
    }

    fn left(&mut self, task: &Task) -> (Result<Child, Errno>, Span) {
        let scene = self.scene(task.page);
        Span::of(|| fork_child(|| scene.child()))
    }

    fn judge(
        &mut self,
        task: Task,
        (child, fork_span): (Result<Child, Errno>, Span),
        (pinned, pin_span): (Result<Pin<'s>, Errno>, Span),
    ) -> Result<bool, Stop> {
        let child = forked(child)?;
        let met = self.trial.met(&fork_span, &pin_span);
        let scene = self.scene(task.page);
        if let Some(pin) = granted(self.trial, &task.how, pinned)? {
            scene.play(self.trial, child, &pin, task.first)?;
        }
        Ok(met)
    }
}

impl<'t> ForkAgainstPin<'t, '_> {
    fn scene(&self, page: usize) -> Scene<'t> {
        Scene {
            mapping: self.mapping,
            shared: self.shared,
            page,
        }
    }
}
