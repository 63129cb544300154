// SPDX-License-Identifier: GPL-2.0
//! One actor drops pages and, with them, page tables; the other one pins. The experiments that use
//! it differ in what is mapped, and so in what is freed.

use guplab::oracle::Evidence;
use guplab::{Duel, Errno, Kind, Mapping, Pin, PinRequest, Protection, Span, Way, page_size, sys};

use super::aiming::Lead;
use super::forging::{Forged, Forger};
use super::provenance::{AROUND, Moves, New, Provenance, around, judge_pin};
use crate::trial::Context;
use crate::{Point, Stop, Trial};

/// How the pages are dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Drop {
    /// madvise(MADV_DONTNEED)
    DontNeed,
    /// munmap(), and mmap() at the same address, both by mmap(MAP_FIXED).
    Unmap,
}

/// What an experiment drops.
#[derive(Clone, Copy, Debug)]
pub(super) struct Style {
    /// All of it in every round, else mostly a few pages.
    pub(super) whole: bool,
    /// Pages of a file are only read before, so that nothing has to be flushed when they go.
    pub(super) clean: bool,
    /// Where the other side is when the walk begins; none where it has to begin before that.
    pub(super) gate: Option<Point>,
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Task {
    how: Drop,
    dropped: (usize, usize),
    request: PinRequest,
    page: usize,
}

struct Zapping<'t, 's> {
    trial: &'t mut Trial<'s>,
    mapping: &'t Mapping,
    forger: Forger<'s>,
    style: Style,
    known: Provenance,
    moves: Moves,
    /// The last round has cut the VMA into several.
    is_cut: bool,
}

const DROPPED: &str = "what is dropped is gone, and nothing else is";

/// The pages that are pinned, and those around them that are there at all.
const PINNED: usize = 4;
/// Runs it.
pub(super) fn zap(trial: &mut Trial<'_>, style: Style) -> Result<(), Stop> {
    let mapping = trial.mapping(1)?;
    let forger = Forger::new(trial.session)?;
    if style.clean && trial.kind == Kind::Shmem {
        // The kernel makes an entry dirty that is writable and maps a dirty page.
        let all = mapping.pages();
        mapping
            .protect(0, all, Protection::Read)
            .and_then(|()| mapping.discard_pages(0, all))
            .context("mapping it for reading only")?;
    }
    let lead = style.gate.is_none().then(|| Lead::arm(trial, &mapping));
    trial.aim(&mapping)?;
    let session = trial.session;
    let gate = match (&lead, style.gate) {
        (None, Some(point)) => trial.gate(point).id(),
        (lead, _) => lead.as_ref().map_or(0, Lead::gate),
    };
    let ring = trial.ring();
    let mut sides = Zapping {
        trial,
        mapping: &mapping,
        forger,
        style,
        known: Provenance::default(),
        moves: Moves::watch(),
        is_cut: false,
    };
    ring.duel(&mut sides, |task: &Task| {
        let request = task.request.after(gate);
        Span::of(|| session.pin(&request))
    })
}

impl Zapping<'_, '_> {
    /// Makes the memory anew, with content. Returns the pages that are there: of base pages only
    /// some, so that it takes no time to drop them.
    fn renew(&mut self, page: usize) -> Result<(usize, usize), Stop> {
        let reads_only = self.reads_only();
        let (trial, mapping) = (&mut *self.trial, self.mapping);
        self.forger.clear()?;
        let all = mapping.pages();
        let seed = trial.rng.u64(..);
        let is_small = matches!(trial.kind, Kind::Anon4k | Kind::Shmem | Kind::PrivateShmem);
        if self.is_cut && !is_small {
            mapping
                .remap_pages(0, all)
                .context("mapping it at its address")?;
        }
        let there = if is_small {
            around(page, all)
        } else {
            if trial.round() > 1 {
                mapping.renew(trial.session)?;
            }
            (0, all)
        };
        if reads_only {
            Provenance::write_clean(mapping, there, seed).context("writing to the file")?;
        } else {
            Provenance::write(mapping, there, seed);
        }
        self.known = Provenance::look(trial.session, mapping, there, seed)?;
        Ok(there)
    }

    /// Whether the mapping is for reading only.
    fn reads_only(&self) -> bool {
        self.style.clean && self.trial.kind == Kind::Shmem
    }

    /// Looks at the addresses around the one that was pinned.
    fn judge_rest(&mut self, task: &Task) {
        // Without a free huge page a touch of what was dropped would end this process.
        let is_hugetlb = self.trial.kind == Kind::Hugetlb;
        let (first, nr_pages) = task.dropped;
        let dropped = |page| (first..first + nr_pages).contains(&page);
        let wrong = (task.page.saturating_sub(AROUND / 2)..task.page + AROUND / 2)
            .filter(|&page| self.known.frame(page).is_some())
            .filter(|&page| !(is_hugetlb && dropped(page)))
            .map(|page| {
                let expected = match dropped(page) && self.trial.kind.is_private() {
                    true => 0,
                    false => self.known.content(page),
                };
                (page, expected, self.mapping.read(page * page_size()))
            })
            .find(|&(_, expected, seen)| expected != seen);
        self.trial.oracle.decide(DROPPED, wrong.is_none(), || {
            let (page, expected, seen) = wrong.unwrap_or_default();
            Evidence::at(self.mapping.page_addr(page)).detail(format!(
                "page {page}: expected {expected:#x}, seen {seen:#x}"
            ))
        });
    }

    /// Whether a pin that failed is no more than that.
    fn may_fail(&self, task: &Task, error: Errno) -> bool {
        match error {
            // It has no slow path; and of hugetlb pages there may be none left.
            Errno::FAULT => {
                task.request.way == Way::GetFastOnly || self.trial.kind == Kind::Hugetlb
            }
            Errno::NOMEM => true,
            _ => false,
        }
    }
}

impl<'s> Duel for Zapping<'_, 's> {
    type Task = Task;
    type Left = guplab::Result<()>;
    type Right = guplab::Result<Pin<'s>>;
    type Error = Stop;

    fn prepare(&mut self) -> Result<Option<Task>, Stop> {
        if !self.trial.next_round() {
            return Ok(None);
        }
        let all = self.mapping.pages();
        let page = self.trial.rng.usize(0..=all - PINNED);
        let there = self.renew(page)?;
        let reads_only = self.reads_only();
        let rng = &mut self.trial.rng;
        let is_hugetlb = self.trial.kind == Kind::Hugetlb;
        let dropped = match rng.u8(0..4) {
            1.. if !self.style.whole && !is_hugetlb => {
                let nr_pages = rng.usize(1..=8);
                (page.min(all - nr_pages), nr_pages)
            }
            _ => (0, all),
        };
        // A new mapping of hugetlb pages needs a reservation before the old one's is given back,
        // and one of a file is writable again.
        let how = match rng.bool() && !is_hugetlb && !reads_only {
            true => Drop::Unmap,
            false => Drop::DontNeed,
        };
        self.is_cut = how == Drop::Unmap;
        let (way, flags) = match rng.u8(0..8) {
            0 => (Way::PinFast, 0),
            1 => (Way::GetFast, sys::GUPLAB_PIN_WRITE),
            2 => (Way::GetFastOnly, 0),
            _ => (Way::PinFast, sys::GUPLAB_PIN_WRITE),
        };
        let (way, flags) = match reads_only {
            true => (Way::PinFast, 0),
            false => (way, flags),
        };
        let end = there.0 + there.1;
        let nr_pages = rng.usize(1..=PINNED).min(end - page);
        let addr = self.mapping.page_addr(page);
        let request = PinRequest::new(addr, nr_pages as u32, way, flags);
        self.trial.variant(format!(
            "{how:?} of pages {}+{}, {} of {page}+{nr_pages}, flags {flags:#x}",
            dropped.0,
            dropped.1,
            way.name()
        ));
        Ok(Some(Task {
            how,
            dropped,
            request,
            page,
        }))
    }

    fn left(&mut self, task: &Task) -> (guplab::Result<()>, Span) {
        let (first, nr_pages) = task.dropped;
        Span::of(|| {
            let dropped = match task.how {
                Drop::DontNeed => self.mapping.discard_pages(first, nr_pages),
                Drop::Unmap => self.mapping.remap_pages(first, nr_pages),
            };
            self.forger.fill(task.page, Forged::Canary);
            dropped
        })
    }

    fn judge(
        &mut self,
        task: Task,
        (dropped, drop_span): (guplab::Result<()>, Span),
        (pinned, pin_span): (guplab::Result<Pin<'s>>, Span),
    ) -> Result<bool, Stop> {
        dropped.context("dropping pages")?;
        let met = self.trial.met(&drop_span, &pin_span);
        self.forger.judge_pipe(self.trial)?;
        match pinned {
            Ok(pin) => {
                self.forger.judge(self.trial, &pin)?;
                // What is in the page cache stays there.
                let new = match self.trial.kind.is_private() {
                    true => New::Possible,
                    false => New::Impossible,
                };
                let (known, moves) = (&self.known, &mut self.moves);
                let old = judge_pin(self.trial, self.mapping, &pin, known, new, moves)?;
                self.trial.count("old_pages", old as u64);
                self.trial
                    .count("new_pages", u64::from(pin.pinned()) - old as u64);
            }
            Err(error) if self.may_fail(&task, error) => self.trial.count("pin_failed", 1),
            Err(error) => return Err(Stop::Error(format!("PIN: {error}"))),
        }
        self.judge_rest(&task);
        Ok(met)
    }
}
