// SPDX-License-Identifier: GPL-2.0
//! Where a pinned page comes from: told by what is in it, and by its page frame.
//!
//! Before a race every page of interest gets content of its own, and its page frame is noted. Of a
//! page that was pinned during the race nothing can be freed, reused or moved until it is unpinned.
//! So when all are through, it tells where it came from: content and page frame are those from
//! before the race, or it is a new page full of zeroes, and then it is the one that is mapped.

use guplab::khugepaged::pages_collapsed;
use guplab::oracle::Evidence;
use guplab::vmstat::Vmstat;
use guplab::{Mapping, Page, Pin, Session, page_size};

use crate::trial::Context;
use crate::{Stop, Trial};

/// Decided by content.
pub(super) const MAPPED_HERE: &str = "a pinned page was mapped at its address during the call";
/// Decided by page frame.
pub(super) const KNOWN_FRAME: &str =
    "the pinned page is the one mapped before the race, or the one mapped after it";

/// The content of a page that was touched and not written since: no page of ours has it else.
const ZERO: u64 = 0;

/// What the kernel counts when it moves pages for reasons of its own, besides the small folios that
/// khugepaged collapses.
const MOVES: [&str; 3] = [
    "pgmigrate_success",
    "thp_collapse_alloc",
    "thp_migration_success",
];

/// Content and page frames from before a race.
#[derive(Clone, Debug, Default)]
pub(super) struct Provenance {
    seed: u64,
    first: usize,
    frames: Vec<Option<u64>>,
}

/// Whether a page may be one that was mapped after the old one was dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum New {
    /// Yes: it is full of zeroes.
    Possible,
    /// Yes, and it may have been dropped since: then nothing tells its page frame.
    Fleeting,
    /// No: whoever looks finds the old one.
    Impossible,
}

/// The content of a page: never zero, and no entry of a page table that is present.
fn content(seed: u64, page: usize) -> u64 {
    let mixed = (seed ^ page as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    (mixed | 1 << 63) & !1
}

/// How many pages are there at all, where few are quicker to drop or to copy.
pub(super) const AROUND: usize = 16;

/// So many of the first `all` pages, a certain one among them: the first of them, and how many.
pub(super) fn around(page: usize, all: usize) -> (usize, usize) {
    (page.saturating_sub(AROUND / 2).min(all - AROUND), AROUND)
}

impl Provenance {
    /// Gives pages new content, and notes their page frames.
    pub(super) fn fresh(
        trial: &mut Trial<'_>,
        mapping: &Mapping,
        pages: (usize, usize),
    ) -> Result<Provenance, Stop> {
        let seed = trial.rng.u64(..);
        Provenance::write(mapping, pages, seed);
        Provenance::look(trial.session, mapping, pages, seed)
    }

    /// Gives pages their content.
    pub(super) fn write(mapping: &Mapping, (first, nr_pages): (usize, usize), seed: u64) {
        for page in first..first + nr_pages {
            mapping.write(page * page_size(), content(seed, page));
        }
    }

    /// Gives pages of the mapping's file their content, and has them mapped by reading them. Of a
    /// mapping for reading only the entries are clean then, and a zap of them needs no flush of the
    /// TLB on its way.
    pub(super) fn write_clean(
        mapping: &Mapping,
        (first, nr_pages): (usize, usize),
        seed: u64,
    ) -> guplab::Result<()> {
        let Some(file) = mapping.file() else {
            Provenance::write(mapping, (first, nr_pages), seed);
            return Ok(());
        };
        for page in first..first + nr_pages {
            file.write(page * page_size(), content(seed, page))?;
        }
        for page in first..first + nr_pages {
            let _mapped = mapping.read(page * page_size());
        }
        Ok(())
    }

    /// Notes the page frames of pages with content.
    pub(super) fn look(
        session: &Session,
        mapping: &Mapping,
        (first, nr_pages): (usize, usize),
        seed: u64,
    ) -> Result<Provenance, Stop> {
        let pages = session
            .inspect(0, mapping.page_addr(first), nr_pages as u32)
            .context("INSPECT before the race")?;
        Ok(Provenance {
            seed,
            first,
            frames: pages.iter().map(Page::mapped).collect(),
        })
    }

    /// The content that a page was given.
    pub(super) fn content(&self, page: usize) -> u64 {
        content(self.seed, page)
    }

    /// The page frame that was mapped.
    pub(super) fn frame(&self, page: usize) -> Option<u64> {
        self.frames
            .get(page.checked_sub(self.first)?)
            .copied()
            .flatten()
    }

    /// The first page that doesn't show its content any more, with what it shows.
    pub(super) fn lost(&self, mapping: &Mapping) -> Option<(usize, u64)> {
        self.lost_of(mapping, |_| true)
    }

    /// The same of those pages only that are of interest. No other one is touched.
    pub(super) fn lost_of(
        &self,
        mapping: &Mapping,
        of_interest: impl Fn(usize) -> bool,
    ) -> Option<(usize, u64)> {
        (self.first..self.first + self.frames.len())
            .filter(|&page| of_interest(page))
            .map(|page| (page, mapping.read(page * page_size())))
            .find(|&(page, seen)| seen != self.content(page))
    }
}

/// Tells whether the kernel has moved pages for reasons of its own.
#[derive(Debug, Default)]
pub(super) struct Moves(Vec<Option<i64>>);

impl Moves {
    /// Begins to watch.
    pub(super) fn watch() -> Moves {
        let now = Vmstat::fresh().unwrap_or_default();
        let mut moves: Vec<Option<i64>> = MOVES.iter().map(|name| now.get(name)).collect();
        moves.push(pages_collapsed().ok().and_then(|n| n.try_into().ok()));
        Moves(moves)
    }

    /// Whether pages were moved since it was asked last, or may have been, as nothing is counted.
    fn happened(&mut self) -> bool {
        let now = Moves::watch();
        let same = now.0 == self.0 && now.0.iter().any(Option::is_some);
        *self = now;
        !same
    }
}

/// Decides about every page of a pin that was made during the race, when all are through. Nobody
/// may have written to the pages since they got their content. Returns how many of them are old.
pub(super) fn judge_pin(
    trial: &mut Trial<'_>,
    mapping: &Mapping,
    pin: &Pin<'_>,
    known: &Provenance,
    new: New,
    moves: &mut Moves,
) -> Result<usize, Stop> {
    let first = (pin.addr() - mapping.addr()) / page_size();
    let mut old_pages = 0;
    for (at, seen) in pin.pages().context("INSPECT of a pin")?.iter().enumerate() {
        let page = first + at;
        let word = pin
            .read_word((at * page_size()) as u64)
            .context("DMA from the pages")?;
        let is_old = word == known.content(page);
        old_pages += usize::from(is_old);
        let (before, now) = (known.frame(page), seen.mapped());
        let evidence = || {
            Evidence::at(mapping.page_addr(page))
                .frames(before, Some(seen.0.pfn))
                .detail(format!(
                    "the pinned page has {word:#x}, the page had {:#x}",
                    known.content(page)
                ))
                .detail(seen.to_string())
        };
        let well = is_old || (new != New::Impossible && word == ZERO);
        trial.oracle.decide(MAPPED_HERE, well, evidence);
        if !is_old && new == New::Fleeting {
            continue;
        }
        let pinned = Some(seen.0.pfn);
        if pinned == before || pinned == now || !moves.happened() {
            let well = pinned == before || pinned == now;
            trial.oracle.decide(KNOWN_FRAME, well, evidence);
        } else {
            trial.count("moved_meanwhile", 1);
        }
    }
    Ok(old_pages)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn content_is_neither_zero_nor_an_entry() {
        for seed in [0, 1, u64::MAX] {
            for page in 0..512 {
                let word = content(seed, page);
                assert!(word != ZERO && word & 1 == 0);
                assert_ne!(word, content(seed, page + 1));
            }
        }
    }

    #[test]
    fn a_page_is_among_those_around_it() {
        for page in 0..512 {
            let (first, nr_pages) = around(page, 512);
            assert!((first..first + nr_pages).contains(&page) && first + nr_pages <= 512);
        }
    }

    #[test]
    fn frames_are_those_of_the_pages_that_were_looked_at() {
        let known = Provenance {
            seed: 1,
            first: 7,
            frames: vec![Some(5), None],
        };
        assert_eq!(known.frame(7), Some(5));
        assert_eq!([6, 8, 9].map(|page| known.frame(page)), [None; 3]);
    }
}
