// SPDX-License-Identifier: GPL-2.0
//! A page table that maps a huge page of a file piece by piece is replaced by a PMD, while it is
//! walked.
//!
//! ```text
//! CPU 0: pin_user_pages_fast()                 CPU 1: MADV_COLLAPSE: try_collapse_pte_mapped_thp()
//!
//! pmd = pmdp_get_lockless()
//! pte = ptep_get_lockless()
//!                                              mmu_notifier_invalidate_range_start()
//!                                              clear_ptes(), no TLB flush yet
//!                                              folio_ref_sub(): the references of all PTEs
//! try_grab_folio_fast(): + 1 reference
//! the pte is read again: changed, give it
//!   back; a fault finds the same page
//! local_irq_restore()
//!                                              pmdp_collapse_flush(): TLB flush: has waited for
//!                                                the walk
//!                                              pte_free_defer(): the table is freed by RCU
//!                                              set_huge_pmd()
//! ```
//!
//! Whoever wins, the page is the same before and after. The walk and pte_free_defer() can't meet on
//! x86: the flush in between waits for the walk. An architecture that flushes without interrupts
//! has the grace period instead.

use guplab::oracle::{Evidence, SAME_PAGE};
use guplab::{Duel, Kind, Mapping, Pin, Protection, Span, page_size, split};

use super::aiming::{pin_flags, pin_page, walk_against};
use super::changing::is_refusal;
use super::forging::{Forged, Forger};
use super::provenance::{Moves, New, Provenance, judge_pin};
use crate::trial::Context;
use crate::{Experiment, Family, Point, Stop, Trial, Whom, Window};

const WINDOW: Window = walk_against(
    Point::Notifier,
    Whom::Mm,
    "the page table is emptied and replaced by a PMD between the walker's two reads of it",
);

/// The experiment.
pub const EXPERIMENT: Experiment = Experiment {
    family: Family::WalkFree,
    name: "table_retract_vs_pinning",
    about: "a page that is pinned while a PMD takes its page table's place stays the mapped page",
    hit: "fast GUP took its reference while try_collapse_pte_mapped_thp() was at work",
    windows: &[WINDOW],
    fits,
    run,
};

fn fits(kind: Kind) -> Result<(), &'static str> {
    match kind {
        Kind::ShmemThp => Ok(()),
        Kind::Shmem | Kind::PrivateShmem => Err("its page cache has no huge page"),
        _ => Err("only files have huge pages to which a page table is adapted"),
    }
}

#[derive(Clone, Copy)]
struct Task {
    page: usize,
    flags: u32,
}

struct RetractAgainstPin<'t, 's> {
    trial: &'t mut Trial<'s>,
    mapping: &'t Mapping,
    forger: Forger<'s>,
    known: Provenance,
    moves: Moves,
}

fn run(trial: &mut Trial<'_>) -> Result<(), Stop> {
    let mapping = trial.mapping(1)?;
    let forger = Forger::new(trial.session)?;
    trial.aim(&mapping)?;
    let session = trial.session;
    let gate = trial.gate(Point::Notifier).id();
    let ring = trial.ring();
    let mut sides = RetractAgainstPin {
        trial,
        mapping: &mapping,
        forger,
        known: Provenance::default(),
        moves: Moves::watch(),
    };
    ring.duel(&mut sides, |task: &Task| {
        pin_page(session, mapping.page_addr(task.page), task.flags, gate)
    })
}

/// Has the huge page mapped by PTEs. While the VMA is cut in pieces no PMD can map it.
fn map_by_ptes(mapping: &Mapping, seed: u64) -> guplab::Result<()> {
    let last = mapping.pages() - 1;
    mapping.protect(last, 1, Protection::Read)?;
    Provenance::write(mapping, (0, last), seed);
    mapping.protect(last, 1, Protection::ReadWrite)?;
    Provenance::write(mapping, (last, 1), seed);
    Ok(())
}

impl<'s> Duel for RetractAgainstPin<'_, 's> {
    type Task = Task;
    type Left = guplab::Result<()>;
    type Right = guplab::Result<Pin<'s>>;
    type Error = Stop;

    fn prepare(&mut self) -> Result<Option<Task>, Stop> {
        let (trial, mapping) = (&mut *self.trial, self.mapping);
        if !trial.next_round() {
            return Ok(None);
        }
        self.forger.clear()?;
        let all = mapping.pages();
        let seed = trial.rng.u64(..);
        // The last round has made it a PMD, and the folio is still whole.
        split::split_pmd(mapping, all - 1).context("splitting the PMD")?;
        map_by_ptes(mapping, seed).context("mapping by PTEs")?;
        self.known = Provenance::look(trial.session, mapping, (0, all), seed)?;
        let seen = trial.session.inspect(0, mapping.addr(), 1);
        if seen.context("INSPECT before the race")?[0].is_pmd_leaf() {
            trial.count("still_a_pmd", 1);
        }
        let page = trial.rng.usize(0..all);
        let flags = pin_flags(&mut trial.rng);
        trial.variant(format!("page {page} is pinned, flags {flags:#x}"));
        Ok(Some(Task { page, flags }))
    }

    fn left(&mut self, task: &Task) -> (guplab::Result<()>, Span) {
        Span::of(|| {
            let collapsed = self.mapping.madvise_collapse();
            self.forger.fill(task.page, Forged::Canary);
            collapsed
        })
    }

    fn judge(
        &mut self,
        task: Task,
        (collapsed, span): (guplab::Result<()>, Span),
        (pinned, pin_span): (guplab::Result<Pin<'s>>, Span),
    ) -> Result<bool, Stop> {
        let pin = pinned.context("PIN")?;
        let (trial, mapping) = (&mut *self.trial, self.mapping);
        let met = trial.met(&span, &pin_span);
        match collapsed {
            Ok(()) => trial.count("collapsed", 1),
            Err(error) if is_refusal(error) => trial.count("refused", 1),
            Err(error) => return Err(error).context("MADV_COLLAPSE"),
        }
        self.forger.judge_pipe(trial)?;
        self.forger.judge(trial, &pin)?;
        let (known, moves) = (&self.known, &mut self.moves);
        judge_pin(trial, mapping, &pin, known, New::Impossible, moves)?;
        let _mapped = mapping.read(task.page * page_size());
        let seen = pin.pages().context("INSPECT of a pin")?[0];
        let (pinned, mapped) = (seen.0.pfn, seen.mapped());
        trial.oracle.decide(SAME_PAGE, mapped == Some(pinned), || {
            Evidence::at(mapping.page_addr(task.page))
                .frames(Some(pinned), mapped)
                .detail(seen.to_string())
        });
        Ok(met)
    }
}
