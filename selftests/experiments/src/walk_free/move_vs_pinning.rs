// SPDX-License-Identifier: GPL-2.0
//! mremap() moves page-table entries, or whole page tables, while pages are pinned.
//!
//! ```text
//! CPU 0: pin_user_pages_fast(old address)      CPU 1: mremap()
//!
//! pmd = pmdp_get_lockless()
//! pte = ptep_get_lockless()
//!                                              move_page_tables():
//!                                              move_normal_pmd(): the PMD is cleared here, and
//!                                                the same page table is linked there
//! try_grab_folio_fast(): + 1 reference
//! the pmd is read again: changed, give it back
//!   (the pte has not changed at all)
//!                                              flush_tlb_range(): waits for the walk
//! ```
//!
//! A pin of the old address gets the page that is being moved, or a new one. When the pages are
//! back, a page that stayed pinned meanwhile must be the one that is mapped, and no content may be
//! lost.

use guplab::oracle::{Evidence, SAME_PAGE};
use guplab::{Duel, Kind, Mapping, Pin, Span};

use super::aiming::{pin_flags, pin_page, walk_against};
use super::provenance::{MAPPED_HERE, Moves, New, Provenance, judge_pin};
use crate::trial::Context;
use crate::{Experiment, Family, Point, Stop, Trial, Whom, Window};

const KEPT: &str = "no content is lost on the way to another address and back";

const WINDOW: Window = walk_against(
    Point::MovePageTables,
    Whom::Process,
    "the entry, or the whole table, is moved away between the walker's two reads",
);

/// The experiment.
pub const EXPERIMENT: Experiment = Experiment {
    family: Family::WalkFree,
    name: "move_vs_pinning",
    about: MAPPED_HERE,
    hit: "fast GUP took its reference while mremap() was moving the page table",
    windows: &[WINDOW],
    fits,
    run,
};

fn fits(kind: Kind) -> Result<(), &'static str> {
    match kind {
        Kind::Hugetlb => Err("MREMAP_DONTUNMAP does not take hugetlb memory"),
        _ => Ok(()),
    }
}

#[derive(Clone, Copy)]
struct Task {
    moved: (usize, usize),
    page: usize,
    flags: u32,
}

struct MoveAgainstPin<'t, 's> {
    trial: &'t mut Trial<'s>,
    mapping: &'t Mapping,
    known: Provenance,
    moves: Moves,
}

fn run(trial: &mut Trial<'_>) -> Result<(), Stop> {
    let mapping = trial.mapping(1)?;
    trial.aim(&mapping)?;
    let session = trial.session;
    let gate = trial.gate(Point::MovePageTables).id();
    let ring = trial.ring();
    let mut sides = MoveAgainstPin {
        trial,
        mapping: &mapping,
        known: Provenance::default(),
        moves: Moves::watch(),
    };
    ring.duel(&mut sides, |task: &Task| {
        pin_page(session, mapping.page_addr(task.page), task.flags, gate)
    })
}

impl<'t, 's> Duel for MoveAgainstPin<'t, 's> {
    type Task = Task;
    type Left = guplab::Result<guplab::mapping::Aside<'t>>;
    type Right = guplab::Result<Pin<'s>>;
    type Error = Stop;

    fn prepare(&mut self) -> Result<Option<Task>, Stop> {
        let (trial, mapping) = (&mut *self.trial, self.mapping);
        if !trial.next_round() {
            return Ok(None);
        }
        // The last round may have split it, or left new pages in it.
        if trial.round() > 1 {
            mapping.renew(trial.session)?;
        }
        let all = mapping.pages();
        self.known = Provenance::fresh(trial, mapping, (0, all))?;
        let page = trial.rng.usize(0..all);
        let moved = match trial.rng.u8(0..3) {
            0 => {
                let nr_pages = trial.rng.usize(1..=32);
                (page.min(all - nr_pages), nr_pages)
            }
            _ => (0, all),
        };
        let flags = pin_flags(&mut trial.rng);
        trial.variant(format!(
            "pages {}+{} move, page {page} is pinned, flags {flags:#x}",
            moved.0, moved.1
        ));
        Ok(Some(Task { moved, page, flags }))
    }

    fn left(&mut self, task: &Task) -> (Self::Left, Span) {
        let (first, nr_pages) = task.moved;
        Span::of(|| self.mapping.move_aside(first, nr_pages))
    }

    fn judge(
        &mut self,
        task: Task,
        (moved, move_span): (Self::Left, Span),
        (pinned, pin_span): (guplab::Result<Pin<'s>>, Span),
    ) -> Result<bool, Stop> {
        let aside = moved.context("mremap")?;
        let pin = pinned.context("PIN")?;
        let met = self.trial.met(&move_span, &pin_span);
        let trial = &mut *self.trial;
        // At the old address there may be a new page, and what is in the page cache is found again.
        let new = match trial.kind.is_private() {
            true => New::Possible,
            false => New::Impossible,
        };
        let moves = &mut self.moves;
        let old = judge_pin(trial, self.mapping, &pin, &self.known, new, moves)?;
        trial.count(if old > 0 { "old_pages" } else { "new_pages" }, 1);
        aside.back().context("mremap back")?;
        let lost = self.known.lost(self.mapping);
        trial.oracle.decide(KEPT, lost.is_none(), || {
            let (page, seen) = lost.unwrap_or_default();
            let expected = self.known.content(page);
            Evidence::at(self.mapping.page_addr(page)).detail(format!(
                "page {page}: expected {expected:#x}, seen {seen:#x}"
            ))
        });
        if old > 0 {
            let page = pin.pages().context("INSPECT of a pin")?[0];
            let (pinned, mapped) = (page.0.pfn, page.mapped());
            trial.oracle.decide(SAME_PAGE, mapped == Some(pinned), || {
                Evidence::at(self.mapping.page_addr(task.page))
                    .frames(Some(pinned), mapped)
                    .detail(format!("after the way back: {page}"))
            });
        }
        Ok(met)
    }
}
