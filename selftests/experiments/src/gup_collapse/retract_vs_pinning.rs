// SPDX-License-Identifier: GPL-2.0
//! Collapse of file memory whose page cache is huge already, against pinning: the page stays, the
//! page table goes.
//!
//! Neither the copy nor the check for references is there; a pin is no obstacle. The PTEs are
//! cleared, the table is unlinked and freed after a grace period, and the PMD maps the huge page.
//!
//! ```text
//! CPU 0: gup_fast_fallback()                CPU 1: try_collapse_pte_mapped_thp()
//!
//! interrupts off                            mmap_read_lock(), folio_lock()
//! pmd, pte read                             all PTEs are of this folio
//! try_grab_folio_fast()                     clear_ptes()
//!   pincount += 1                             pte := none (512 of them)
//! pte changed? gup_put_folio()              folio_ref_sub(512)
//! interrupts on                             pmdp_collapse_flush(): IPI
//!                                           pte_free_defer()
//!                                           set_huge_pmd()
//! ```

use guplab::oracle::Evidence;
use guplab::{Duel, Kind, Mapping, Page, Protection, SharedPage, Span, page_size};

use super::askers::{Asker, Askers};
use super::pinners::{Pinned, Pinner};
use super::windows::step;
use crate::aim::WALKER;
use crate::collapsing::{Collapsed, fill, verify_fill};
use crate::trial::Context;
use crate::{At, Experiment, Family, Point, Stop, Trial, Window};

/// The experiment.
pub const EXPERIMENT: Experiment = Experiment {
    family: Family::GupCollapse,
    name: "retract_vs_pinning",
    about: "replacing the page table of a huge page of page cache by a PMD leaves pins alone",
    hit: "the PTEs are cleared while GUP-fast is about to take a reference of their folio",
    windows: &[Window {
        first: WALKER,
        second: step(Point::ClearPtes, At::Entry),
        about: "collapse clears the PTEs between the walker's two reads of one",
    }],
    fits: |kind| match kind {
        Kind::ShmemThp => Ok(()),
        Kind::Shmem => Err("its page cache is not huge: see collapse_vs_pinning"),
        _ => Err("not page cache"),
    },
    run,
};

/// What is to be seen.
const STAYS: &str = "the huge page of the page cache is the same before and after";

#[derive(Clone, Copy)]
struct Task {
    asker: Asker,
    seed: u64,
    pinner: Pinner,
    /// The page frame of the first page.
    pfn: Option<u64>,
}

struct RetractAgainstPin<'t, 's> {
    trial: &'t mut Trial<'s>,
    mapping: &'t Mapping,
    askers: &'t Askers<'t>,
}

fn run(trial: &mut Trial<'_>) -> Result<(), Stop> {
    let shared = SharedPage::new().context("shared memory")?;
    let askers = Askers::fork(trial, &shared)?;
    let mapping = trial.mapping(1)?;
    trial.aim(&mapping)?;
    let (session, gate) = (trial.session, trial.gate(Point::ClearPtes));
    let ring = trial.ring();
    let mut sides = RetractAgainstPin {
        trial,
        mapping: &mapping,
        askers: &askers,
    };
    ring.duel(&mut sides, |task: &Task| {
        task.pinner.pin(session, &mapping, gate)
    })
}

fn look(trial: &Trial<'_>, mapping: &Mapping) -> Result<Page, Stop> {
    let pages = trial.session.inspect(0, mapping.addr(), 1);
    Ok(pages.context("INSPECT of an address")?[0])
}

/// Maps the huge page by PTEs: while one page has another protection, its PMD can't be a leaf.
fn map_by_ptes(trial: &Trial<'_>, mapping: &Mapping) -> Result<Page, Stop> {
    let failed = "mapping a huge page by PTEs";
    mapping.protect(0, 1, Protection::Read).context(failed)?;
    for page in 0..mapping.pages() {
        mapping.read(page * page_size());
    }
    mapping
        .protect(0, 1, Protection::ReadWrite)
        .context(failed)?;
    let page = look(trial, mapping)?;
    if page.is_pmd_leaf() {
        return Err(Stop::Error(format!("{failed}: {page}")));
    }
    Ok(page)
}

impl<'s> Duel for RetractAgainstPin<'_, 's> {
    type Task = Task;
    type Left = Result<Collapsed, Stop>;
    type Right = Pinned<'s>;
    type Error = Stop;

    fn prepare(&mut self) -> Result<Option<Task>, Stop> {
        let trial = &mut *self.trial;
        if !trial.next_round() {
            return Ok(None);
        }
        let pfn = map_by_ptes(trial, self.mapping)?.mapped();
        let seed = trial.rng.u64(..);
        fill(self.mapping, seed);
        let asker = self.askers.of_round(trial.round());
        let pinner = Pinner::draw(trial, self.mapping);
        trial.variant(format!("collapse by {asker}, {pinner}"));
        Ok(Some(Task {
            asker,
            seed,
            pinner,
            pfn,
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
        let now = look(trial, self.mapping)?.mapped();
        trial.oracle.decide(STAYS, now == task.pfn, || {
            Evidence::at(self.mapping.addr())
                .frames(task.pfn, now)
                .detail(format!("collapse: {collapsed}"))
        });
        Ok(met)
    }
}
