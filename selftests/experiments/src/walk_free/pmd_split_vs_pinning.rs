// SPDX-License-Identifier: GPL-2.0
//! The PMD of a huge page is split while another page of it is pinned: the folio is not touched.
//!
//! ```text
//! CPU 0: pin_user_pages_fast()                 CPU 1: mprotect(), MADV_DONTNEED or munmap()
//!
//! gup_fast_pmd_leaf():
//! orig = pmdp_get_lockless()
//!                                              split_huge_pmd_locked():
//!                                              anon: pmdp_invalidate(), TLB flush: waits for
//!                                                the walk; 512 PTEs; pmd_populate()
//!                                              file: pmdp_huge_clear_flush(); a fault will
//!                                                map it again
//! try_grab_folio_fast(): + n references
//! the pmd is read again:
//!   changed: give them back; then PTEs are walked, or a fault maps the same page
//! ```
//!
//! This is what the thread of 2013 is about: on x86 the walk holds back the flush, and so the
//! split; an architecture that flushes without interrupts has only the second look at the PMD.
//!
//! Whoever wins: the page is the one that it was, before and after.

use guplab::oracle::{Evidence, SAME_DATA, SAME_PAGE};
use guplab::{Duel, Kind, Mapping, Pin, Span, page_size, split};

use super::aiming::{pin_flags, pin_page, walk_against};
use super::provenance::{Moves, New, Provenance, judge_pin};
use crate::trial::Context;
use crate::{Experiment, Family, Point, Stop, Trial, Whom, Window};

const WINDOW: Window = walk_against(
    Point::SplitHugePmdLocked,
    Whom::Process,
    "the PMD becomes a page table between the walker's two reads of it",
);

/// The experiment.
pub const EXPERIMENT: Experiment = Experiment {
    family: Family::WalkFree,
    name: "pmd_split_vs_pinning",
    about: "a page that is pinned while its PMD is split is the page that was and stays mapped",
    hit: "fast GUP took its reference while split_huge_pmd_locked() was at work",
    windows: &[WINDOW],
    fits,
    run,
};

fn fits(kind: Kind) -> Result<(), &'static str> {
    match kind {
        Kind::AnonThp | Kind::ShmemThp => Ok(()),
        Kind::Hugetlb => Err("a PMD of hugetlb is never split"),
        _ => Err("no PMD maps it"),
    }
}

/// What splits the PMD.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum By {
    /// mprotect() of a page, and back.
    Protect,
    /// MADV_DONTNEED of a page.
    DontNeed,
    /// munmap() of a page.
    Unmap,
}

#[derive(Clone, Copy)]
struct Task {
    by: By,
    /// The page that it is done to.
    other: usize,
    /// The page that is pinned.
    page: usize,
    flags: u32,
}

struct SplitAgainstPin<'t, 's> {
    trial: &'t mut Trial<'s>,
    mapping: &'t Mapping,
    known: Provenance,
    moves: Moves,
}

fn run(trial: &mut Trial<'_>) -> Result<(), Stop> {
    let mapping = trial.mapping(1)?;
    trial.aim(&mapping)?;
    let session = trial.session;
    let gate = trial.gate(Point::SplitHugePmdLocked).id();
    let ring = trial.ring();
    let mut sides = SplitAgainstPin {
        trial,
        mapping: &mapping,
        known: Provenance::default(),
        moves: Moves::watch(),
    };
    ring.duel(&mut sides, |task: &Task| {
        pin_page(session, mapping.page_addr(task.page), task.flags, gate)
    })
}

impl<'s> Duel for SplitAgainstPin<'_, 's> {
    type Task = Task;
    type Left = guplab::Result<()>;
    type Right = guplab::Result<Pin<'s>>;
    type Error = Stop;

    fn prepare(&mut self) -> Result<Option<Task>, Stop> {
        let (trial, mapping) = (&mut *self.trial, self.mapping);
        if !trial.next_round() {
            return Ok(None);
        }
        let all = mapping.pages();
        if trial.round() > 1 {
            // Where a page was unmapped, the mapping consists of several; one takes their place.
            mapping
                .remap_pages(0, all)
                .context("mapping it at its address")?;
            mapping.renew(trial.session)?;
        }
        self.known = Provenance::fresh(trial, mapping, (0, all))?;
        let rng = &mut trial.rng;
        let (other, distance) = (rng.usize(0..all), rng.usize(1..all));
        let task = Task {
            by: [By::Protect, By::DontNeed, By::Unmap][rng.usize(0..3)],
            other,
            page: (other + distance) % all,
            flags: pin_flags(rng),
        };
        trial.variant(format!(
            "{:?} of page {other}, page {} is pinned, flags {:#x}",
            task.by, task.page, task.flags
        ));
        Ok(Some(task))
    }

    fn left(&mut self, task: &Task) -> (guplab::Result<()>, Span) {
        Span::of(|| match task.by {
            By::Protect => split::split_pmd(self.mapping, task.other),
            By::DontNeed => split::unmap_partially(self.mapping, task.other),
            By::Unmap => self.mapping.unmap_pages(task.other, 1),
        })
    }

    fn judge(
        &mut self,
        task: Task,
        (split, split_span): (guplab::Result<()>, Span),
        (pinned, pin_span): (guplab::Result<Pin<'s>>, Span),
    ) -> Result<bool, Stop> {
        split.context("splitting")?;
        let pin = pinned.context("PIN")?;
        let (trial, mapping) = (&mut *self.trial, self.mapping);
        let met = trial.met(&split_span, &pin_span);
        let (known, moves) = (&self.known, &mut self.moves);
        judge_pin(trial, mapping, &pin, known, New::Impossible, moves)?;

        let offset = task.page * page_size();
        // Of a file, a split leaves nothing mapped.
        let _mapped = mapping.read(offset);
        let seen = pin.pages().context("INSPECT of a pin")?[0];
        let (pinned, mapped) = (seen.0.pfn, seen.mapped());
        trial.oracle.decide(SAME_PAGE, mapped == Some(pinned), || {
            Evidence::at(mapping.page_addr(task.page))
                .frames(Some(pinned), mapped)
                .detail(seen.to_string())
        });
        let value = trial.rng.u64(..);
        mapping.write(offset + 8, value);
        let read = pin.read_word(8).context("DMA from the pages")?;
        let addr = mapping.page_addr(task.page) + 8;
        trial.same(
            SAME_DATA,
            addr,
            "a store, read through the pin",
            value,
            read,
        );
        Ok(met)
    }
}
