// SPDX-License-Identifier: GPL-2.0
//! Collapse puts a page table aside, and MADV_DONTNEED of the huge page frees it at once, with no
//! grace period. Who walks that table by then reads what is somebody else's.
//!
//! ```text
//! CPU 0: gup_fast_pte_range()                  CPU 1: MADV_COLLAPSE, MADV_DONTNEED
//!
//! local_irq_save()
//! pmd = pmdp_get_lockless(): table T
//! [__pte_offset_map()]
//!                                              pmdp_collapse_flush(): pmd := none
//! pte = ptep_get_lockless(): T[i]                flush: IPI to CPU 0 ...
//! local_irq_restore() -------------------------- ... answered
//!                                              pgtable_trans_huge_deposit(T)
//!                                              zap_huge_pmd(): zap_deposited_table(): pte_free(T)
//!                                              write(): a pipe takes T
//! ```
//!
//! Only that the flush waits for the walk keeps T until it is through. A walk that RCU alone
//! protects would still be there. The second look at the PMD would keep the pin right, but comes
//! after the entry's page was looked for: so the entries map what is behind all memory
//! (`forging.rs`), and the kernel complains, or dies. guplab's own walk looks whether there is such a
//! page, and stops: that is decided about every round (`Trial::next_round()`).

use guplab::{Duel, Kind, Mapping, Pin, Span, sys};

use super::aiming::pin_page;
use super::changing::is_refusal;
use super::faulting::{STAY_US, WALK, stay};
use super::forging::{Forged, Forger};
use super::provenance::{MAPPED_HERE, Moves, New, Provenance, around, judge_pin};
use crate::trial::Context;
use crate::{At, Experiment, Family, Point, Side, Stop, Trial, Whom, Window};

const WINDOW: Window = Window {
    first: WALK,
    second: Side {
        point: Point::ZapHugePmd,
        whom: Whom::Process,
        side: At::Entry,
        hold_us: 0,
        linger_us: 0,
    },
    about: "the table was put aside by collapse and is freed when the walk has looked it up",
};

/// Collapse waits for the walk to have read the PMD.
static START: Window = Window {
    first: Side {
        hold_us: 1,
        linger_us: STAY_US,
        ..WALK
    },
    second: Side {
        point: Point::PmdpCollapseFlush,
        whom: Whom::Process,
        side: At::Entry,
        hold_us: STAY_US,
        linger_us: 0,
    },
    about: "collapse clears the PMD when the walk has read it",
};

/// The experiment.
pub const EXPERIMENT: Experiment = Experiment {
    family: Family::WalkFree,
    name: "deposited_table_vs_walk",
    about: MAPPED_HERE,
    hit: "fast GUP was in a page table that collapse had put aside when that was freed",
    windows: &[WINDOW],
    fits,
    run,
};

fn fits(kind: Kind) -> Result<(), &'static str> {
    match kind {
        Kind::Anon4k => Ok(()),
        Kind::AnonPteThp | Kind::AnonMthp => Err("collapse treats it as single pages"),
        Kind::AnonThp | Kind::ShmemThp => Err("it is huge already: a collapse returns at once"),
        Kind::Shmem => Err("no page table is put aside for a huge page of a file"),
        Kind::PrivateShmem | Kind::Hugetlb => Err("it is never collapsed"),
    }
}

#[derive(Clone, Copy)]
struct Task {
    page: usize,
}

struct ZapAgainstWalk<'t, 's> {
    trial: &'t mut Trial<'s>,
    mapping: &'t Mapping,
    forger: Forger<'s>,
    known: Provenance,
    moves: Moves,
}

fn run(trial: &mut Trial<'_>) -> Result<(), Stop> {
    let mapping = trial.mapping(1)?;
    let forger = Forger::new(trial.session)?;
    trial.led_by(&START);
    // Collapse looks the table up as well, at its first page.
    trial.aim_pages(&mapping, 1, mapping.pages() - 1)?;
    let session = trial.session;
    let _stay = stay(trial, &mapping, WALK);
    let gate = trial.gate(START.second.point).id();
    let ring = trial.ring();
    let mut sides = ZapAgainstWalk {
        trial,
        mapping: &mapping,
        forger,
        known: Provenance::default(),
        moves: Moves::watch(),
    };
    ring.duel(&mut sides, |task: &Task| {
        pin_page(
            session,
            mapping.page_addr(task.page),
            sys::GUPLAB_PIN_WRITE,
            gate,
        )
    })
}

impl<'s> Duel for ZapAgainstWalk<'_, 's> {
    type Task = Task;
    type Left = (guplab::Result<()>, guplab::Result<()>);
    type Right = guplab::Result<Pin<'s>>;
    type Error = Stop;

    fn prepare(&mut self) -> Result<Option<Task>, Stop> {
        let (trial, mapping) = (&mut *self.trial, self.mapping);
        if !trial.next_round() {
            return Ok(None);
        }
        self.forger.clear()?;
        // What was huge is gone, whatever the last round has pinned of it.
        mapping.discard().context("MADV_DONTNEED")?;
        let (all, seed) = (mapping.pages(), trial.rng.u64(..));
        let page = trial.rng.usize(1..all);
        let there = around(page, all);
        Provenance::write(mapping, there, seed);
        self.known = Provenance::look(trial.session, mapping, there, seed)?;
        trial.variant(format!("page {page} is pinned"));
        Ok(Some(Task { page }))
    }

    fn left(&mut self, task: &Task) -> (Self::Left, Span) {
        Span::of(|| {
            let collapsed = self.mapping.madvise_collapse();
            let dropped = self.mapping.discard();
            self.forger.fill(task.page, Forged::Nowhere);
            let let_go = self.trial.session.pause_delays();
            (collapsed, dropped.and(let_go))
        })
    }

    fn judge(
        &mut self,
        task: Task,
        ((collapsed, dropped), span): (Self::Left, Span),
        (pinned, pin_span): (guplab::Result<Pin<'s>>, Span),
    ) -> Result<bool, Stop> {
        dropped.context("MADV_DONTNEED")?;
        let (trial, mapping) = (&mut *self.trial, self.mapping);
        let met = trial.met(&span, &pin_span);
        match collapsed {
            Ok(()) => trial.count("collapsed", 1),
            Err(error) if is_refusal(error) => trial.count("refused", 1),
            Err(error) => return Err(error).context("MADV_COLLAPSE"),
        }
        self.forger.judge_pipe(trial)?;
        let pin = pinned.context("PIN")?;
        self.forger.judge(trial, &pin)?;
        // The huge page has the content, and is another page than before.
        let word = pin.read_word(0).context("DMA from the page")?;
        if word == self.known.content(task.page) {
            trial.oracle.decide(MAPPED_HERE, true, Default::default);
        } else {
            let (known, moves) = (&self.known, &mut self.moves);
            judge_pin(trial, mapping, &pin, known, New::Fleeting, moves)?;
        }
        Ok(met)
    }
}
