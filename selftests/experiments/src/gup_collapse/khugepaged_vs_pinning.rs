// SPDX-License-Identifier: GPL-2.0
//! khugepaged against pinning: the same race as with MADV_COLLAPSE, by a task that belongs to no
//! process, and that decides itself when and what to collapse.
//!
//! Two experiments, for it can make folios of two sorts.
//!
//! Of the PMD's size, it works as MADV_COLLAPSE does (see collapse_vs_pinning.rs).
//!
//! Of a smaller size, the PMD is cleared all the same, and what is set again afterwards is the very
//! value that it had: a walker that compares PMDs can't tell that it was gone (ABA). What protects
//! the page then is the PTE, and the IPI which lets no walker span all of it.
//!
//! ```text
//! CPU 0: gup_fast_fallback()                CPU 1: khugepaged, collapse_huge_page(order < PMD's)
//!
//! interrupts off
//! pmd = P -> table T
//! pte = ptep_get_lockless()
//! try_grab_folio_fast()                     pmdp_collapse_flush()
//!                                             pmd := none
//!   refcount += 1024                          flush: IPI to CPU 0 ...
//! pmd != P: gup_put_folio()
//! interrupts on                               ... is answered
//!                                           tlb_remove_table_sync_one()
//!                                           isolate 2^order pages, copy, clear_ptes()
//!                                           pmd_populate(): pmd := P -> table T, again
//!                                           map_anon_folio_pte_nopf()
//! ```

use guplab::{Duel, Kind, Mapping, Span};

use super::background::{Background, Visit};
use super::pinners::{Pinned, Pinner};
use super::windows::{CLEARS_PMD, UNMAPS_PAGE, collapsible, collapsible_anon, window_of};
use crate::collapsing::{fill, verify_fill};
use crate::{Experiment, Family, Stop, Trial};

/// Folios of the PMD's size.
pub const PMD_ORDER: Experiment = Experiment {
    family: Family::GupCollapse,
    name: "khugepaged_vs_pinning",
    about: "khugepaged and pinning at the same time lose no write, and leave no stale pin",
    hit: "khugepaged unmaps a page that GUP-fast is about to take a reference of",
    windows: &[CLEARS_PMD, UNMAPS_PAGE],
    fits: collapsible,
    run: |trial| run(trial, false),
};

/// Smaller folios.
pub const SMALLER: Experiment = Experiment {
    family: Family::GupCollapse,
    name: "mthp_collapse_vs_pinning",
    about: "collapse to folios below a PMD and pinning lose no write, and leave no stale pin",
    hit: "khugepaged clears the PMD while GUP-fast is about to take a reference of a page below it",
    windows: &[CLEARS_PMD],
    fits: |kind| match kind {
        Kind::AnonPteThp => Err("its folio is larger already than what it would become"),
        Kind::Shmem => Err("page cache is collapsed to the PMD's size only"),
        _ => collapsible_anon(kind),
    },
    run: |trial| run(trial, true),
};

#[derive(Clone, Copy)]
struct Task {
    order: u32,
    seed: u64,
    pinner: Pinner,
}

struct KhugepagedAgainstPin<'t, 's> {
    trial: &'t mut Trial<'s>,
    mapping: &'t Mapping,
    background: &'t Background<'t>,
    /// The orders of folio that are made, in turn.
    orders: Vec<u32>,
}

fn run(trial: &mut Trial<'_>, smaller: bool) -> Result<(), Stop> {
    let mapping = trial.mapping(1)?;
    let background = Background::new(trial, &mapping)?;
    let orders = match smaller {
        false => vec![trial.session.pmd_order()],
        // The smallest take hundreds of steps, each with its flush.
        true => {
            let mut orders = background.orders(trial);
            orders.retain(|&order| order >= trial.session.pmd_order() / 2);
            orders
        }
    };
    if orders.is_empty() {
        return Err(Stop::Skip("the kernel has no folios of such a size".into()));
    }
    let (windows, point) = window_of(trial.kind);
    trial.windows = windows;
    trial.aim_pages(&mapping, 0, 1)?;
    let (session, gate) = (trial.session, trial.gate(point));
    let ring = trial.ring();
    let mut sides = KhugepagedAgainstPin {
        trial,
        mapping: &mapping,
        background: &background,
        orders,
    };
    ring.duel(&mut sides, |task: &Task| {
        task.pinner.pin(session, &mapping, gate)
    })
}

impl<'s> Duel for KhugepagedAgainstPin<'_, 's> {
    type Task = Task;
    type Left = Result<Visit, Stop>;
    type Right = Pinned<'s>;
    type Error = Stop;

    fn prepare(&mut self) -> Result<Option<Task>, Stop> {
        let trial = &mut *self.trial;
        if !trial.next_round() {
            return Ok(None);
        }
        self.background.renew(trial)?;
        let seed = trial.rng.u64(..);
        fill(self.mapping, seed);
        let order = self.orders[trial.round() as usize % self.orders.len()];
        let pinner = Pinner::draw(trial, self.mapping);
        trial.variant(format!("khugepaged to order {order}, {pinner}"));
        Ok(Some(Task {
            order,
            seed,
            pinner,
        }))
    }

    fn left(&mut self, task: &Task) -> (Result<Visit, Stop>, Span) {
        Span::of(|| self.background.collapse(task.order))
    }

    fn judge(
        &mut self,
        task: Task,
        (visit, visit_span): (Result<Visit, Stop>, Span),
        (pinned, pin_span): (Pinned<'s>, Span),
    ) -> Result<bool, Stop> {
        let visit = visit?;
        let trial = &mut *self.trial;
        let met = trial.met(&visit_span, &pin_span);
        pinned.judge(trial, self.mapping)?;
        trial.count(
            match visit {
                Visit::Collapsed => "collapsed",
                Visit::Left => "left_alone",
                Visit::Missed => "missed",
            },
            1,
        );
        let notes = [format!("khugepaged: {visit:?}"), task.pinner.to_string()];
        verify_fill(trial, self.mapping, task.seed, &notes);
        Ok(met)
    }
}
