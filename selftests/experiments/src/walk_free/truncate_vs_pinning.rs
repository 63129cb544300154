// SPDX-License-Identifier: GPL-2.0
//! Pages are taken out of a file while they are pinned.
//!
//! ```text
//! CPU 0: pin_user_pages_fast()                 CPU 1: ftruncate(), fallocate(PUNCH_HOLE)
//!
//! pte = ptep_get_lockless()
//!                                              unmap_mapping_range(): the PTE, or the PMD, is
//!                                                cleared; TLB flush
//! try_grab_folio_fast(): + 1 reference
//!                                              truncate_inode_folio(): out of the page cache
//!                                              part of a huge page: truncate_inode_partial_folio()
//!                                                writes zeroes, and splits it unless somebody
//!                                                has a reference
//! the pte is read again: changed, give it
//!   back; a fault finds a new page, or the
//!   end of the file (EFAULT)
//! ```
//!
//! What a pin got is the page that was there or a new one, and never one that somebody else has by
//! now. What was not taken out must be there afterwards.

use guplab::mapping::MemFile;
use guplab::oracle::Evidence;
use guplab::{Duel, Errno, Kind, Mapping, Pin, Span};

use super::aiming::{pin_flags, pin_page, walk_against};
use super::forging::{Forged, Forger};
use super::provenance::{MAPPED_HERE, Moves, New, Provenance, judge_pin};
use crate::trial::Context;
use crate::{Experiment, Family, Point, Stop, Trial, Whom, Window};

const KEPT: &str = "only what is truncated loses its content";

const WINDOW: Window = walk_against(
    Point::Notifier,
    Whom::Mm,
    "the page leaves the file between the walker's two reads of the page table",
);

/// The experiment.
pub const EXPERIMENT: Experiment = Experiment {
    family: Family::WalkFree,
    name: "truncate_vs_pinning",
    about: MAPPED_HERE,
    hit: "fast GUP took its reference while the file was being truncated",
    windows: &[WINDOW],
    fits,
    run,
};

fn fits(kind: Kind) -> Result<(), &'static str> {
    match kind.has_file() {
        true => Ok(()),
        false => Err("there is no file to truncate"),
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum How {
    /// fallocate(PUNCH_HOLE) of these pages.
    Punch,
    /// ftruncate() to the first of these pages, and back: they are the last ones.
    Truncate,
}

#[derive(Clone, Copy)]
struct Task {
    how: How,
    gone: (usize, usize),
    page: usize,
    flags: u32,
}

struct TruncateAgainstPin<'t, 's> {
    trial: &'t mut Trial<'s>,
    mapping: &'t Mapping,
    file: &'t MemFile,
    forger: Forger<'s>,
    known: Provenance,
    moves: Moves,
}

fn run(trial: &mut Trial<'_>) -> Result<(), Stop> {
    let mapping = trial.mapping(1)?;
    let file = mapping.file().ok_or("it has none").context("the file")?;
    let forger = Forger::new(trial.session)?;
    trial.aim(&mapping)?;
    let session = trial.session;
    let gate = trial.gate(Point::Notifier).id();
    let ring = trial.ring();
    let mut sides = TruncateAgainstPin {
        trial,
        mapping: &mapping,
        file,
        forger,
        known: Provenance::default(),
        moves: Moves::watch(),
    };
    ring.duel(&mut sides, |task: &Task| {
        pin_page(session, mapping.page_addr(task.page), task.flags, gate)
    })
}

impl<'s> Duel for TruncateAgainstPin<'_, 's> {
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
        self.forger.clear()?;
        if trial.round() > 1 {
            if trial.kind == Kind::PrivateShmem {
                self.file.allocate(0, all).context("fallocate")?;
            }
            mapping.renew(trial.session)?;
        }
        self.known = Provenance::fresh(trial, mapping, (0, all))?;
        let rng = &mut trial.rng;
        let page = rng.usize(0..all);
        let how = match rng.bool() {
            true => How::Truncate,
            false => How::Punch,
        };
        // The page that is pinned is among those that go.
        let first = [0, page, rng.usize(0..=page)][rng.usize(0..3)];
        let end = match how {
            How::Truncate => all,
            How::Punch => [all, page + 1, rng.usize(page + 1..=all)][rng.usize(0..3)],
        };
        let task = Task {
            how,
            gone: (first, end - first),
            page,
            flags: pin_flags(rng),
        };
        trial.variant(format!(
            "{how:?} of pages {first}+{}, page {page} is pinned, flags {:#x}",
            end - first,
            task.flags
        ));
        Ok(Some(task))
    }

    fn left(&mut self, task: &Task) -> (guplab::Result<()>, Span) {
        let (first, nr_pages) = task.gone;
        Span::of(|| {
            let done = match task.how {
                How::Punch => self.file.punch(first, nr_pages),
                How::Truncate => self
                    .file
                    .truncate(first)
                    .and_then(|()| self.file.truncate(self.mapping.pages())),
            };
            self.forger.fill(task.page, Forged::Canary);
            done
        })
    }

    fn judge(
        &mut self,
        task: Task,
        (done, span): (guplab::Result<()>, Span),
        (pinned, pin_span): (guplab::Result<Pin<'s>>, Span),
    ) -> Result<bool, Stop> {
        done.context("taking pages out of the file")?;
        let (trial, mapping) = (&mut *self.trial, self.mapping);
        let met = trial.met(&span, &pin_span);
        self.forger.judge_pipe(trial)?;
        // A hole in the file leaves private copies alone.
        let is_private = mapping.kind() == Kind::PrivateShmem;
        let copies_stay = is_private && task.how == How::Punch;
        match pinned {
            Ok(pin) => {
                self.forger.judge(trial, &pin)?;
                let new = match copies_stay {
                    true => New::Impossible,
                    false => New::Fleeting,
                };
                let old = judge_pin(trial, mapping, &pin, &self.known, new, &mut self.moves)?;
                trial.count(if old > 0 { "old_pages" } else { "new_pages" }, 1);
            }
            // Behind the end of the file there is nothing.
            Err(Errno::FAULT) if task.how == How::Truncate => trial.count("behind_the_end", 1),
            Err(error) => return Err(Stop::Error(format!("PIN: {error}"))),
        }
        let gone = task.gone.0..task.gone.0 + task.gone.1;
        let stays = |page: usize| copies_stay || !gone.contains(&page);
        let lost = self.known.lost_of(mapping, stays);
        trial.oracle.decide(KEPT, lost.is_none(), || {
            let (page, seen) = lost.unwrap_or_default();
            let expected = self.known.content(page);
            Evidence::at(mapping.page_addr(page)).detail(format!(
                "page {page}: expected {expected:#x}, seen {seen:#x}"
            ))
        });
        Ok(met)
    }
}
