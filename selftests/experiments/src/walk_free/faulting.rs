// SPDX-License-Identifier: GPL-2.0
//! One actor takes a page table away, and has the page that it was filled with something else at
//! once; the other one faults in a page which that table does not map yet. The experiments that use
//! it differ in how the table goes.

use guplab::oracle::Evidence;
use guplab::{
    Delay, Duel, Errno, Mapping, Pin, PinRequest, Protection, Span, Way, page_size, split,
};

use super::aiming::pin_flags;
use super::changing::is_refusal;
use super::forging::{Forged, Forger};
use super::provenance::{Moves, New, Provenance, around, judge_pin};
use crate::trial::Context;
use crate::{At, Point, Side, Stop, Trial, Whom, Window};

/// How the table goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum By {
    /// MADV_DONTNEED of all that it maps.
    DontNeed,
    /// MADV_COLLAPSE, which has a PMD take its place.
    Collapse,
}

/// How long one may wait for the other: as long as the module lets it.
pub(super) const STAY_US: u32 = 20_000;

/// The fault has looked up the page table, and not yet read the entry: rcu_read_lock() is all that
/// it has. It stays until the other actor is through, and ends the delay.
const FAULT: Side = Side {
    point: Point::PteOffsetMapRwNolock,
    whom: Whom::Process,
    side: At::Return,
    hold_us: STAY_US,
    linger_us: 0,
};

/// The walk has read the PMD and no entry yet. With interrupts off it stays no longer than the
/// module lets it.
pub(super) const WALK: Side = Side {
    point: Point::PteOffsetMap,
    whom: Whom::Process,
    side: At::Return,
    hold_us: STAY_US,
    linger_us: 0,
};

/// The fault meets a function through which a page table goes.
pub(super) const fn fault_against(point: Point, about: &'static str) -> Window {
    Window {
        first: FAULT,
        second: Side {
            point,
            whom: Whom::Process,
            side: At::Entry,
            hold_us: 0,
            linger_us: 0,
        },
        about,
    }
}

/// Whoever takes the table away waits for the fault to be in it.
static START: Window = Window {
    first: Side {
        hold_us: 1,
        linger_us: STAY_US,
        ..FAULT
    },
    second: Side {
        point: Point::Notifier,
        whom: Whom::Mm,
        side: At::Entry,
        hold_us: STAY_US,
        linger_us: 0,
    },
    about: "the page table is about to be emptied when the fault has looked it up",
};

/// Decided about every pin.
pub(super) const FAULTS: &str = "a fault of memory that is mapped succeeds";

#[derive(Clone, Copy)]
struct Task {
    page: usize,
    request: PinRequest,
    forged: Forged,
}

struct Faulting<'t, 's> {
    trial: &'t mut Trial<'s>,
    mapping: &'t Mapping,
    forger: Forger<'s>,
    by: By,
    known: Provenance,
    moves: Moves,
}

/// After its windows the walk, or the fault, stays where it is until the delays are paused: the table
/// may have to be freed and filled yet. Not for ever, for the other actor may be late.
pub(super) fn stay<'s>(trial: &Trial<'s>, mapping: &Mapping, side: Side) -> Option<Delay<'s>> {
    let range = (mapping.page_addr(1), mapping.len() - page_size());
    let stay = Side {
        hold_us: STAY_US,
        linger_us: 0,
        ..trial.place(side)
    };
    // What can't be armed holds nobody, and less is seen.
    let arm = || trial.session.arm(&stay.request(range, None, true)).ok();
    trial.aimed.then(arm).flatten()
}

/// Runs it.
pub(super) fn fault(trial: &mut Trial<'_>, by: By) -> Result<(), Stop> {
    let mapping = trial.mapping(1)?;
    let forger = Forger::new(trial.session)?;
    trial.led_by(&START);
    // Who takes the table away looks it up as well, at its first page.
    trial.aim_pages(&mapping, 1, mapping.pages() - 1)?;
    let session = trial.session;
    let _stay = stay(trial, &mapping, FAULT);
    let gate = trial.gate(START.second.point).id();
    let ring = trial.ring();
    let mut sides = Faulting {
        trial,
        mapping: &mapping,
        forger,
        by,
        known: Provenance::default(),
        moves: Moves::watch(),
    };
    ring.duel(&mut sides, |task: &Task| {
        let request = task.request.after(gate);
        Span::of(|| session.pin(&request))
    })
}

impl Faulting<'_, '_> {
    /// Has pages around one mapped by a page table, and that one not.
    fn renew(&mut self, page: usize) -> Result<(), Stop> {
        let (trial, mapping) = (&mut *self.trial, self.mapping);
        let (all, seed) = (mapping.pages(), trial.rng.u64(..));
        let last = all - 1;
        let there = around(page, last);
        if self.by == By::Collapse {
            // The last round has made it a PMD. While the VMA is cut in pieces none can map it.
            split::split_pmd(mapping, last).context("splitting the PMD")?;
            mapping
                .protect(last, 1, Protection::Read)
                .context("cutting the VMA")?;
        }
        Provenance::write(mapping, there, seed);
        if self.by == By::Collapse {
            mapping
                .protect(last, 1, Protection::ReadWrite)
                .context("mending the VMA")?;
        }
        self.known = Provenance::look(trial.session, mapping, there, seed)?;
        mapping.discard_pages(page, 1).context("dropping a page")
    }
}

impl<'s> Duel for Faulting<'_, 's> {
    type Task = Task;
    type Left = guplab::Result<()>;
    type Right = guplab::Result<Pin<'s>>;
    type Error = Stop;

    fn prepare(&mut self) -> Result<Option<Task>, Stop> {
        if !self.trial.next_round() {
            return Ok(None);
        }
        self.forger.clear()?;
        let page = self.trial.rng.usize(1..self.mapping.pages() - 1);
        self.renew(page)?;
        let rng = &mut self.trial.rng;
        let way = [Way::PinFast, Way::Pin][rng.usize(0..2)];
        let flags = pin_flags(rng);
        let forged = [Forged::Poison, Forged::Unused][rng.usize(0..2)];
        let request = PinRequest::new(self.mapping.page_addr(page), 1, way, flags);
        self.trial.variant(format!(
            "{} of page {page}, flags {flags:#x}; {forged:?} entries",
            way.name()
        ));
        Ok(Some(Task {
            page,
            request,
            forged,
        }))
    }

    fn left(&mut self, task: &Task) -> (guplab::Result<()>, Span) {
        Span::of(|| {
            let done = match self.by {
                By::DontNeed => self.mapping.discard_pages(0, self.mapping.pages()),
                By::Collapse => self.mapping.madvise_collapse(),
            };
            self.forger.fill(task.page, task.forged);
            let let_go = self.trial.session.pause_delays();
            done.and(let_go)
        })
    }

    fn judge(
        &mut self,
        task: Task,
        (done, span): (guplab::Result<()>, Span),
        (pinned, pin_span): (guplab::Result<Pin<'s>>, Span),
    ) -> Result<bool, Stop> {
        let (trial, mapping) = (&mut *self.trial, self.mapping);
        let met = trial.met(&span, &pin_span);
        match done {
            Ok(()) => trial.count("table_gone", 1),
            Err(error) if self.by == By::Collapse && is_refusal(error) => {
                trial.count("refused", 1);
            }
            Err(error) => return Err(error).context("taking the page table away"),
        }
        self.forger.judge_pipe(trial)?;
        let failed = matches!(pinned, Err(Errno::FAULT | Errno::HWPOISON));
        trial.oracle.decide(FAULTS, !failed, || {
            Evidence::at(mapping.page_addr(task.page))
                .detail(format!("PIN: {:?}", pinned.as_ref().err()))
        });
        match pinned {
            Ok(pin) => {
                self.forger.judge(trial, &pin)?;
                // What is in the page cache stays there.
                let new = match trial.kind.is_private() {
                    true => New::Fleeting,
                    false => New::Impossible,
                };
                judge_pin(trial, mapping, &pin, &self.known, new, &mut self.moves)?;
            }
            Err(_) if failed => {}
            Err(Errno::NOMEM) => trial.count("pin_failed", 1),
            Err(error) => return Err(Stop::Error(format!("PIN: {error}"))),
        }
        Ok(met)
    }
}
