// SPDX-License-Identifier: GPL-2.0
//! Collapse on one CPU against pinning on another, of the same huge page: by this process, and by
//! another one that works on its memory.
//!
//! Anonymous memory: the PMD is cleared, the IPI of the flush waits for the walker, and then the
//! references are counted.
//!
//! ```text
//! CPU 0: gup_fast_fallback()                CPU 1: madvise_collapse()
//!
//! interrupts off                            collapse_huge_page()
//! pmd = pmdp_get_lockless()                   mmap_write_lock()
//! pte = ptep_get_lockless()
//! try_grab_folio_fast()                       pmdp_collapse_flush()
//!                                               pmd := none
//!   refcount += 1024                            flush: IPI to CPU 0 ...
//! pmd or pte changed? gup_put_folio(),
//!   and __gup_longterm_locked()
//! interrupts on                                 ... is answered
//!                                             tlb_remove_table_sync_one()
//!                                             __collapse_huge_page_isolate()
//!                                               more references than mappings: EAGAIN
//!                                             copy, clear_ptes(), pmd := the huge page
//! ```
//!
//! Shared memory: the flush comes after the references were counted. Nothing but the order of the
//! two accesses on either side protects the page.
//!
//! ```text
//! CPU 0: gup_fast_fallback()                CPU 1: collapse_file(), page by page
//!
//! pte = ptep_get_lockless()                 try_to_unmap()
//! try_grab_folio_fast()                       try_to_unmap_one()
//!   refcount += 1024, full barrier              pte := none, full barrier
//! pte changed? gup_put_folio()              folio_ref_count() as expected? else EAGAIN
//! ```

use guplab::{Duel, Mapping, SharedPage, Span};

use super::askers::{Asker, Askers};
use super::pinners::{Pinned, Pinner};
use super::windows::{CLEARS_PMD, UNMAPS_PAGE, collapsible, window_of};
use crate::collapsing::{Collapsed, fill, verify_fill};
use crate::trial::Context;
use crate::{Experiment, Family, Point, Stop, Trial};

/// The experiment.
pub const EXPERIMENT: Experiment = Experiment {
    family: Family::GupCollapse,
    name: "collapse_vs_pinning",
    about: "collapse and pinning at the same time lose no write, and leave no stale pin",
    hit: "collapse unmaps a page that GUP-fast is about to take a reference of",
    windows: &[CLEARS_PMD, UNMAPS_PAGE],
    fits: collapsible,
    run,
};

#[derive(Clone, Copy)]
struct Task {
    asker: Asker,
    seed: u64,
    pinner: Pinner,
}

struct CollapseAgainstPin<'t, 's> {
    trial: &'t mut Trial<'s>,
    mapping: &'t Mapping,
    askers: &'t Askers<'t>,
}

fn run(trial: &mut Trial<'_>) -> Result<(), Stop> {
    let (windows, point) = window_of(trial.kind);
    trial.windows = windows;
    race(trial, point)
}

/// Runs the duel. The pin begins when collapse is at a point.
pub(super) fn race(trial: &mut Trial<'_>, begins: Point) -> Result<(), Stop> {
    let shared = SharedPage::new().context("shared memory")?;
    let askers = Askers::fork(trial, &shared)?;
    let mapping = trial.mapping(1)?;
    // The first page: the PMD is told by its address, and of a file that is the page pinned.
    trial.aim_pages(&mapping, 0, 1)?;
    let (session, gate) = (trial.session, trial.gate(begins));
    let ring = trial.ring();
    let mut sides = CollapseAgainstPin {
        trial,
        mapping: &mapping,
        askers: &askers,
    };
    ring.duel(&mut sides, |task: &Task| {
        task.pinner.pin(session, &mapping, gate)
    })
}

impl<'s> Duel for CollapseAgainstPin<'_, 's> {
    type Task = Task;
    type Left = Result<Collapsed, Stop>;
    type Right = Pinned<'s>;
    type Error = Stop;

    fn prepare(&mut self) -> Result<Option<Task>, Stop> {
        let trial = &mut *self.trial;
        if !trial.next_round() {
            return Ok(None);
        }
        // The last round has collapsed it.
        if trial.round() > 1 {
            self.mapping.renew(trial.session)?;
        }
        let seed = trial.rng.u64(..);
        fill(self.mapping, seed);
        let asker = self.askers.of_round(trial.round());
        let pinner = Pinner::draw(trial, self.mapping);
        trial.variant(format!("collapse by {asker}, {pinner}"));
        Ok(Some(Task {
            asker,
            seed,
            pinner,
        }))
    }

    fn left(&mut self, task: &Task) -> (Result<Collapsed, Stop>, Span) {
        Span::of(|| self.askers.collapse(self.mapping, task.asker))
    }

    fn judge(
        &mut self,
        task: Task,
        (collapsed, collapse_span): (Result<Collapsed, Stop>, Span),
        (pinned, pin_span): (Pinned<'s>, Span),
    ) -> Result<bool, Stop> {
        let collapsed = collapsed?;
        let trial = &mut *self.trial;
        let met = trial.met(&collapse_span, &pin_span);
        pinned.judge(trial, self.mapping)?;
        collapsed.count(trial);
        let notes = [format!("collapse: {collapsed}"), task.pinner.to_string()];
        verify_fill(trial, self.mapping, task.seed, &notes);
        Ok(met)
    }
}
