// SPDX-License-Identifier: GPL-2.0
//! A NUMA hint is set on one CPU while another one pins the page.
//!
//! ```text
//! CPU0: change_prot_numa()                 CPU1: pin_user_pages_fast()
//!   change_protection()                      pte = ptep_get_lockless()    accessible
//!     change_pte_range()                     try_grab_folio_fast()
//!       folio_maybe_dma_pinned()?            .
//!       ptep_modify_prot_start()             .
//!       ptep_modify_prot_commit()            pte_val(pte) != *ptep: gup_put_folio(), slow path
//! ```
//!
//! A page may end up pinned and hinted. What must not be is a pin of another page, a pin that
//! fails, a hinting fault that nobody asked for, or a hinted page from get_user_pages_fast_only().

use guplab::oracle::Evidence;
use guplab::{Duel, Errno, Kind, Mapping, Pin, PinRequest, Session, Span, Way, page_size, sys};

use super::hinting::{Hints, Ready, can_be_hinted, is_protnone, look};
use super::judged_act::{FAULTS, judge_page};
use crate::aim::{Gated, WALKER};
use crate::trial::Context;
use crate::{At, Experiment, Family, Point, Side, Stop, Trial, Whom, Window};

const WINDOW: Window = Window {
    first: WALKER,
    second: Side {
        point: Point::ChangeProtection,
        whom: Whom::Process,
        side: At::Entry,
        hold_us: 15000,
        linger_us: 0,
    },
    about: "the entry becomes a hint between the walker's two reads of it",
};

/// The experiment.
pub const EXPERIMENT: Experiment = Experiment {
    family: Family::NumaHint,
    name: "hint_vs_pinning",
    about: "hints that are set while pages are pinned make no pin fail, fault or go astray",
    hit: "a fast pin under way when the page was hinted",
    windows: &[WINDOW],
    fits: can_be_hinted,
    run,
};

const PINNED: &str = "a pin succeeds whether the page is hinted or not";
const FAST_ONLY: &str = "get_user_pages_fast_only() returns no hinted page";

const HOWS: [(Way, u32); 6] = [
    (Way::PinFast, 0),
    (Way::PinFast, sys::GUPLAB_PIN_WRITE),
    (Way::PinFast, sys::GUPLAB_PIN_HONOR_NUMA_FAULT),
    (Way::GetFast, 0),
    (Way::GetFastOnly, 0),
    (Way::GetFastOnly, sys::GUPLAB_PIN_WRITE),
];

/// Pins of a round, one after the other.
const PINS: usize = 4;
/// Pages that are hinted where that can be done page by page.
const PAGES: usize = 16;

#[derive(Clone, Copy)]
struct Task {
    /// What is hinted.
    first: usize,
    nr_pages: usize,
    request: PinRequest,
}

struct HintAgainstPin<'t, 's> {
    trial: &'t mut Trial<'s>,
    mapping: &'t Mapping,
    hints: Hints<'s>,
    before: Option<u64>,
    gate: Gated<'s>,
    ready: &'t Ready,
}

/// A pin, or why there is none, and when.
type Tried<'s> = (Result<Pin<'s>, Errno>, Span);

fn run(trial: &mut Trial<'_>) -> Result<(), Stop> {
    let mapping = trial.mapping(1)?;
    let hints = Hints::on_demand(trial, &mapping)?;
    trial.aim(&mapping)?;
    let session = trial.session;
    let gate = trial.gate(Point::ChangeProtection);
    let ring = trial.ring();
    let ready = Ready::default();
    let mut sides = HintAgainstPin {
        trial,
        mapping: &mapping,
        hints,
        before: None,
        gate,
        ready: &ready,
    };
    ring.duel(&mut sides, |task: &Task| {
        ready.set();
        Span::of(|| pins(session, task.request, gate))
    })
}

fn pins<'s>(session: &'s Session, mut request: PinRequest, gate: Gated<'_>) -> Vec<Tried<'s>> {
    request.gate = gate.id();
    (0..PINS)
        .map(|_| {
            let tried = Span::of(|| session.pin(&request));
            request.gate = 0;
            tried
        })
        .collect()
}

impl<'s> Duel for HintAgainstPin<'_, 's> {
    type Task = Task;
    type Left = Result<u64, Errno>;
    type Right = Vec<Tried<'s>>;
    type Error = Stop;

    fn prepare(&mut self) -> Result<Option<Task>, Stop> {
        let trial = &mut *self.trial;
        if !trial.next_round() {
            return Ok(None);
        }
        let (first, nr_pages) = match trial.kind {
            // A part of them would be split off.
            Kind::AnonThp | Kind::ShmemThp => (0, self.mapping.pages()),
            _ => (trial.rng.usize(0..=self.mapping.pages() - PAGES), PAGES),
        };
        // Using the pages takes old hints away, and makes the entries writable.
        let step = match trial.kind {
            Kind::AnonThp | Kind::ShmemThp => nr_pages,
            _ => 1,
        };
        for page in (first..first + nr_pages).step_by(step) {
            self.mapping.write(page * page_size(), page as u64);
        }
        let (way, flags) = HOWS[trial.rng.usize(0..HOWS.len())];
        let pins = trial.rng.usize(1..=4);
        let at = first + trial.rng.usize(0..=nr_pages - pins);
        trial.variant(format!(
            "hints at {first}+{nr_pages}, {} flags {flags:#x} at {at}+{pins}",
            way.name()
        ));
        self.before = self.hints.faults()?;
        let addr = self.mapping.page_addr(at);
        Ok(Some(Task {
            first,
            nr_pages,
            request: PinRequest::new(addr, pins as u32, way, flags),
        }))
    }

    fn left(&mut self, task: &Task) -> (Result<u64, Errno>, Span) {
        let (addr, len) = (
            self.mapping.page_addr(task.first),
            task.nr_pages * page_size(),
        );
        self.ready.wait(self.gate);
        Span::of(|| self.trial.session.hint(0, addr, len))
    }

    fn judge(
        &mut self,
        task: Task,
        (hinted, hint_span): (Result<u64, Errno>, Span),
        (tried, pin_span): (Vec<Tried<'s>>, Span),
    ) -> Result<bool, Stop> {
        let trial = &mut *self.trial;
        trial.count("hinted_pages", hinted.context("HINT")?);
        let met = trial.met(&hint_span, &pin_span);
        self.judge_faults(&task)?;
        let mut held = Vec::new();
        for (pin, span) in tried {
            held.extend(self.judge_pin(&task, pin, span, hint_span)?);
        }
        drop(held);
        self.fast_only(&task)?;
        Ok(met)
    }
}

impl HintAgainstPin<'_, '_> {
    /// Nobody but the pins was at work.
    fn judge_faults(&mut self, task: &Task) -> Result<(), Stop> {
        let ways = sys::GUPLAB_PIN_WRITE | sys::GUPLAB_PIN_HONOR_NUMA_FAULT;
        let may_fault = task.request.way != Way::GetFastOnly && task.request.flags & ways != 0;
        if let (Some(before), Some(after), false) = (self.before, self.hints.faults()?, may_fault) {
            let addr = task.request.addr;
            self.trial
                .same(FAULTS, addr, "hinting faults", before, after);
        }
        Ok(())
    }

    fn judge_pin<'p>(
        &mut self,
        task: &Task,
        pin: Result<Pin<'p>, Errno>,
        span: Span,
        hint: Span,
    ) -> Result<Option<Pin<'p>>, Stop> {
        let trial = &mut *self.trial;
        let addr = task.request.addr;
        let is_fast_only = task.request.way == Way::GetFastOnly;
        let pin = match pin {
            Ok(pin) => pin,
            Err(Errno::FAULT) => {
                trial.count("pin_failed", 1);
                trial.oracle.decide(PINNED, is_fast_only, || {
                    Evidence::at(addr).detail(format!("{:?}: EFAULT", task.request))
                });
                return Ok(None);
            }
            Err(error) => return Err(Stop::Error(format!("pin: {error}"))),
        };
        for page in pin.pages().context("INSPECT of a pin")? {
            judge_page(trial, &page);
            // Once set, a hint stayed: nobody took a fault in this round.
            let too_late = is_fast_only && span.start > hint.end && is_protnone(&page);
            trial.oracle.decide(FAST_ONLY, !too_late, || {
                Evidence::at(page.0.addr as usize).detail(format!(
                    "HINT ended at {}, the call began at {}: {page}",
                    hint.end, span.start
                ))
            });
            if is_protnone(&page) {
                trial.count("pinned_and_hinted", 1);
            }
        }
        Ok(Some(pin))
    }

    /// Now that nobody is at work: a hinted page is none for get_user_pages_fast_only().
    fn fast_only(&mut self, task: &Task) -> Result<(), Stop> {
        let trial = &mut *self.trial;
        let page = (task.request.addr - self.mapping.addr()) / page_size();
        if !is_protnone(&look(trial, self.mapping, (page, 1))?[0]) {
            return Ok(());
        }
        let request = PinRequest::new(task.request.addr, 1, Way::GetFastOnly, 0);
        let got = trial.session.pin(&request).map(|pin| pin.pinned());
        trial
            .oracle
            .decide(FAST_ONLY, got == Err(Errno::FAULT), || {
                Evidence::at(task.request.addr).detail(format!("it returned {got:?}"))
            });
        Ok(())
    }
}
