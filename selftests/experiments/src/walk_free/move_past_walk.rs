// SPDX-License-Identifier: GPL-2.0
//! Who keeps a walk out of a page table that mremap() has moved to another address?
//!
//! ```text
//! CPU 0: pin_user_pages_fast(old address)      CPU 1: mremap(), then at the new address
//!
//! local_irq_save()
//! pmd = pmdp_get_lockless(): table T
//! [__pte_offset_map()]                         [move_page_tables()]: move_normal_pmd(): T is linked
//!                                                there, and the PMD here is none
//!                                                flush: on x86 an IPI, which waits
//!                                              MADV_DONTNEED and a store: T[i] maps a new page
//! pte = ptep_get_lockless(): T[i]
//! try_grab_folio_fast()
//! the pmd is read again: changed, give it back
//! local_irq_restore() ------------------------ the flush is answered
//! ```
//!
//! The entry is as it was read, and the page is mapped: only not here, and it never was. Where a
//! flush waits for the walk T is not changed before that is through. Where it does not, as on arm64,
//! the second look at the PMD is all that tells.

use guplab::mapping::Aside;
use guplab::{Duel, Kind, Mapping, Pin, Span};

use super::aiming::{LONG_US, pin_flags, pin_page};
use super::faulting::{WALK, stay};
use super::provenance::{MAPPED_HERE, Moves, New, Provenance, judge_pin};
use crate::trial::Context;
use crate::{At, Experiment, Family, Point, Side, Stop, Trial, Whom, Window};

/// mremap() waits for the walk, which then stays until the new page is there (`stay()`).
const WINDOW: Window = Window {
    first: Side { hold_us: 1, ..WALK },
    second: Side {
        point: Point::MovePageTables,
        whom: Whom::Process,
        side: At::Entry,
        hold_us: LONG_US,
        linger_us: 0,
    },
    about: "the page table is moved to another address when the walk has looked it up",
};

/// The experiment.
pub const EXPERIMENT: Experiment = Experiment {
    family: Family::WalkFree,
    name: "move_past_walk",
    about: MAPPED_HERE,
    hit: "fast GUP was in the page table when mremap() moved that",
    windows: &[WINDOW],
    fits,
    run,
};

fn fits(kind: Kind) -> Result<(), &'static str> {
    match kind {
        Kind::Anon4k | Kind::AnonPteThp | Kind::AnonMthp => Ok(()),
        Kind::AnonThp | Kind::ShmemThp | Kind::Hugetlb => Err("no page table is moved"),
        Kind::Shmem | Kind::PrivateShmem => Err("what is dropped comes back from the file"),
    }
}

#[derive(Clone, Copy)]
struct Task {
    page: usize,
    flags: u32,
}

struct MovePastWalk<'t, 's> {
    trial: &'t mut Trial<'s>,
    mapping: &'t Mapping,
    known: Provenance,
    moves: Moves,
}

fn run(trial: &mut Trial<'_>) -> Result<(), Stop> {
    let mapping = trial.mapping(1)?;
    trial.aim(&mapping)?;
    let session = trial.session;
    let _stay = stay(trial, &mapping, WALK);
    let gate = trial.gate(WINDOW.second.point).id();
    let ring = trial.ring();
    let mut sides = MovePastWalk {
        trial,
        mapping: &mapping,
        known: Provenance::default(),
        moves: Moves::watch(),
    };
    ring.duel(&mut sides, |task: &Task| {
        pin_page(session, mapping.page_addr(task.page), task.flags, gate)
    })
}

impl<'t, 's> Duel for MovePastWalk<'t, 's> {
    type Task = Task;
    type Left = guplab::Result<Aside<'t>>;
    type Right = guplab::Result<Pin<'s>>;
    type Error = Stop;

    fn prepare(&mut self) -> Result<Option<Task>, Stop> {
        let (trial, mapping) = (&mut *self.trial, self.mapping);
        if !trial.next_round() {
            return Ok(None);
        }
        // The last round has left new pages in it.
        if trial.round() > 1 {
            mapping.renew(trial.session)?;
        }
        let all = mapping.pages();
        self.known = Provenance::fresh(trial, mapping, (0, all))?;
        // The first one is out of the reach of stay().
        let page = trial.rng.usize(1..all);
        let flags = pin_flags(&mut trial.rng);
        trial.variant(format!("page {page} is pinned, flags {flags:#x}"));
        Ok(Some(Task { page, flags }))
    }

    fn left(&mut self, task: &Task) -> (Self::Left, Span) {
        let elsewhere = !self.known.content(task.page);
        Span::of(|| {
            let aside = self.mapping.move_aside(0, self.mapping.pages())?;
            aside.renew_page(task.page, elsewhere)?;
            self.trial.session.pause_delays()?;
            Ok(aside)
        })
    }

    fn judge(
        &mut self,
        _task: Task,
        (moved, move_span): (Self::Left, Span),
        (pinned, pin_span): (guplab::Result<Pin<'s>>, Span),
    ) -> Result<bool, Stop> {
        let aside = moved.context("mremap")?;
        let pin = pinned.context("PIN")?;
        let met = self.trial.met(&move_span, &pin_span);
        let (known, moves) = (&self.known, &mut self.moves);
        // An old page that is pinned was dropped at the new address, and is mapped nowhere.
        let old = judge_pin(self.trial, self.mapping, &pin, known, New::Possible, moves)?;
        let counter = if old > 0 { "old_pages" } else { "new_pages" };
        self.trial.count(counter, 1);
        aside.back().context("mremap back")?;
        Ok(met)
    }
}
