// SPDX-License-Identifier: GPL-2.0
//! mprotect() on one CPU against pinning on another: does a pin succeed where there is no access?
//!
//! ```text
//! CPU0: mprotect(PROT_NONE)                CPU1: pin_user_pages_fast()
//!   phase++  (changing)
//!                                            pte = ptep_get_lockless()    accessible
//!   change_protection()                      try_grab_folio_fast()
//!     change_pte_range()
//!       ptep_modify_prot_start()
//!       ptep_modify_prot_commit()            pte_val(pte) != *ptep: backs off
//!     flush_tlb: IPI, waits for CPU1         (or it had looked before: legal, the pin
//!   phase++  (inaccessible)                   began while there was access)
//!                                            a pin that begins here: -EFAULT
//! ```
//!
//! The phase is read before and after each pin, like the counter of a seqlock: a pin in the course
//! of which it didn't change took place in that phase as a whole.

use std::sync::atomic::{AtomicU64, Ordering};

use guplab::mapping::Protection;
use guplab::oracle::Evidence;
use guplab::{Duel, Errno, Kind, Mapping, Pin, PinRequest, Session, Span, Way, page_size, sys};

use super::hinting::Ready;
use super::judged_act::judge_page;
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
    about: "mprotect changes the entry between the walker's two reads of it",
};

/// The experiment.
pub const EXPERIMENT: Experiment = Experiment {
    family: Family::NumaHint,
    name: "mprotect_vs_pinning",
    about: "no pin that begins and ends while memory is PROT_NONE succeeds, but by FOLL_FORCE",
    hit: "a fast pin under way when mprotect() changed the protection",
    windows: &[WINDOW],
    fits: Kind::can_be_inaccessible,
    run,
};

const NO_ACCESS: &str = "no pin succeeds in a phase of no access";
const ACCESS: &str = "every pin succeeds in a phase of access";
const FORCED: &str = "FOLL_FORCE pins for reading in every phase";

const WRITE: u32 = sys::GUPLAB_PIN_WRITE;
const FORCE: u32 = sys::GUPLAB_PIN_FORCE;
const HONOR: u32 = sys::GUPLAB_PIN_HONOR_NUMA_FAULT;

/// Pins of a round.
const PINS: usize = 8;

/// One round in so many does what can't come to the window.
const RARELY: u8 = 12;

/// Ways that walk the page table without a lock.
const FAST: [(Way, u32); 8] = [
    (Way::PinFast, 0),
    (Way::PinFast, WRITE),
    (Way::GetFast, 0),
    (Way::GetFast, WRITE),
    (Way::GetFastOnly, 0),
    (Way::GetFastOnly, WRITE),
    (Way::PinFast, FORCE),
    (Way::PinFast, FORCE | HONOR),
];

/// Ways that don't.
const SLOW: [(Way, u32); 4] = [
    (Way::Pin, 0),
    (Way::Pin, WRITE),
    (Way::PinRemote, WRITE),
    (Way::PinRemote, FORCE),
];

/// Counts up when a change of protection begins and when it has ended. The first phase is one of
/// access.
#[derive(Debug, Default)]
struct Phase(AtomicU64);

impl Phase {
    fn now(&self) -> u64 {
        self.0.load(Ordering::SeqCst)
    }

    fn next(&self) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

/// Whether there is access in a phase; none while that changes.
fn access(phase: u64) -> Option<bool> {
    (phase % 2 == 0).then_some(phase % 4 == 0)
}

#[derive(Clone, Copy)]
struct Task {
    request: PinRequest,
}

/// A pin, with the phases before and after it.
#[derive(Clone, Copy, Debug)]
struct Seen {
    before: u64,
    after: u64,
    pinned: Result<u32, Errno>,
}

struct MprotectAgainstPin<'t, 's> {
    trial: &'t mut Trial<'s>,
    mapping: &'t Mapping,
    phase: &'t Phase,
    gate: Gated<'s>,
    ready: &'t Ready,
}

fn run(trial: &mut Trial<'_>) -> Result<(), Stop> {
    let mapping = trial.mapping(1)?;
    trial.aim(&mapping)?;
    let session = trial.session;
    let gate = trial.gate(Point::ChangeProtection);
    let ring = trial.ring();
    let (phase, ready) = (Phase::default(), Ready::default());
    let mut sides = MprotectAgainstPin {
        trial,
        mapping: &mapping,
        phase: &phase,
        gate,
        ready: &ready,
    };
    ring.duel(&mut sides, |task: &Task| {
        ready.set();
        Span::of(|| pins(session, task.request, &phase, gate))
    })
}

/// Pins a few times, and brings back the last one.
fn pins<'s>(
    session: &'s Session,
    mut request: PinRequest,
    phase: &Phase,
    gate: Gated<'_>,
) -> (Vec<Seen>, Option<Pin<'s>>) {
    request.gate = gate.id();
    let mut seen = Vec::with_capacity(PINS);
    let mut last = None;
    for _ in 0..PINS {
        drop(last.take());
        let before = phase.now();
        let pin = session.pin(&request);
        let after = phase.now();
        request.gate = 0;
        seen.push(Seen {
            before,
            after,
            pinned: pin.as_ref().map(Pin::pinned).map_err(|&error| error),
        });
        last = pin.ok();
    }
    (seen, last)
}

impl MprotectAgainstPin<'_, '_> {
    fn toggle(&self) -> Result<(), Errno> {
        let allow = match access(self.phase.now()) {
            Some(true) => Protection::None,
            _ => Protection::ReadWrite,
        };
        self.phase.next();
        let done = self.mapping.protect(0, self.mapping.pages(), allow);
        self.phase.next();
        done
    }
}

impl<'s> Duel for MprotectAgainstPin<'_, 's> {
    type Task = Task;
    type Left = Result<(), Errno>;
    type Right = (Vec<Seen>, Option<Pin<'s>>);
    type Error = Stop;

    fn prepare(&mut self) -> Result<Option<Task>, Stop> {
        if !self.trial.next_round() {
            return Ok(None);
        }
        // Where there is no access the walk never comes to the window: so mostly it is taken away.
        if access(self.phase.now()) == Some(false) && self.trial.rng.u8(0..RARELY) != 0 {
            self.toggle().context("mprotect(2)")?;
        }
        let (mapping, accessible) = (self.mapping, access(self.phase.now()) == Some(true));
        let trial = &mut *self.trial;
        let (way, flags) = match trial.rng.u8(0..RARELY) {
            0 => SLOW[trial.rng.usize(0..SLOW.len())],
            _ => FAST[trial.rng.usize(0..FAST.len())],
        };
        let nr_pages = trial.rng.usize(1..=4);
        let first = trial.rng.usize(0..=mapping.pages() - nr_pages);
        let from = match accessible {
            true => "to none",
            false => "from none",
        };
        if accessible {
            // Hugetlb entries become accessible, but not writable before the next store.
            mapping.write(first * page_size(), trial.round());
        }
        trial.variant(format!(
            "{from}, {} flags {flags:#x}, pages {first}+{nr_pages}",
            way.name()
        ));
        let addr = mapping.page_addr(first);
        Ok(Some(Task {
            request: PinRequest::new(addr, nr_pages as u32, way, flags),
        }))
    }

    fn left(&mut self, _: &Task) -> (Result<(), Errno>, Span) {
        self.ready.wait(self.gate);
        Span::of(|| self.toggle())
    }

    fn judge(
        &mut self,
        task: Task,
        (changed, change_span): (Result<(), Errno>, Span),
        ((seen, last), pin_span): (Self::Right, Span),
    ) -> Result<bool, Stop> {
        changed.context("mprotect(2)")?;
        let met = self.trial.met(&change_span, &pin_span);
        for (number, pin) in seen.iter().enumerate() {
            judge_result(self.trial, &task.request, number, pin)?;
        }
        // The protection has changed, and the page hasn't.
        if let Some(pin) = last {
            for page in pin.pages().context("INSPECT of a pin")? {
                judge_page(self.trial, &page);
            }
        }
        Ok(met)
    }
}

fn judge_result(
    trial: &mut Trial<'_>,
    request: &PinRequest,
    number: usize,
    seen: &Seen,
) -> Result<(), Stop> {
    let is_pinned = match seen.pinned {
        Ok(_) => true,
        Err(Errno::FAULT) => false,
        Err(error) => return Err(Stop::Error(format!("pin: {error}"))),
    };
    let steady = (seen.before == seen.after)
        .then(|| access(seen.before))
        .flatten();
    let name = match steady {
        Some(true) => "pins_in_access",
        Some(false) => "pins_in_no_access",
        None => "pins_across_change",
    };
    trial.count(name, 1);
    let evidence = || {
        Evidence::at(request.addr).detail(format!(
            "pin {number} of the round: {:?}, phase {} before and {} after",
            seen.pinned, seen.before, seen.after
        ))
    };
    if request.flags & FORCE != 0 {
        trial.oracle.decide(FORCED, is_pinned, evidence);
    } else if steady == Some(false) {
        trial.oracle.decide(NO_ACCESS, !is_pinned, evidence);
    } else if steady == Some(true) && request.way != Way::GetFastOnly {
        trial.oracle.decide(ACCESS, is_pinned, evidence);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn phases_alternate() {
        let phases: Vec<Option<bool>> = (0..5).map(access).collect();
        let expected = [Some(true), None, Some(false), None, Some(true)];
        assert_eq!(phases, expected);
    }
}
