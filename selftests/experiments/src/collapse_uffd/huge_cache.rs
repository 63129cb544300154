// SPDX-License-Identifier: GPL-2.0
//! Memory whose page cache is one huge page, under a page table that is nearly empty.

use std::ops::Range;

use guplab::uffd::{Faults, Feature, Uffd};
use guplab::{Advice, Kind, Mapping, Protection, Rng, page_size};

use crate::trial::Context;
use crate::{Stop, Trial};

/// Pages that a read fault maps at a time: fault_around_bytes is 64 KiB.
pub(super) const AROUND: usize = 16;

/// The kinds for what userfaultfd puts into a private mapping.
pub(super) fn private_shmem(kind: Kind) -> Result<(), &'static str> {
    match kind {
        Kind::PrivateShmem => Ok(()),
        Kind::Shmem | Kind::ShmemThp => {
            Err("in a shared mapping userfaultfd fills the page cache, which is full here")
        }
        Kind::Hugetlb => Err("hugetlb pages are never collapsed"),
        _ => {
            Err("userfaultfd x collapse_pte_mapped_thp needs a private mapping of huge page cache")
        }
    }
}

/// The kinds for what goes into the page table of a file.
pub(super) fn huge_shmem(kind: Kind) -> Result<(), &'static str> {
    match kind {
        Kind::PrivateShmem | Kind::ShmemThp => Ok(()),
        Kind::Shmem => Err("it has base pages; shmem-thp is the same with a huge page"),
        Kind::Hugetlb => Err("hugetlb pages are never collapsed"),
        _ => Err("collapse_pte_mapped_thp is for files whose page cache is huge"),
    }
}

/// The words of a page that carry content: its first, one in the middle, its last.
pub(super) fn words() -> [usize; 3] {
    [0, page_size() / 2 + 8, page_size() - 8]
}

/// What the file has in a word: never what is put there, and never zero.
pub(super) fn file_word(offset: usize) -> u64 {
    0x6669_6c65_0000_0000 | offset as u64
}

/// A mapping of a memfd, and a userfaultfd on it where one is needed.
#[derive(Debug)]
pub(super) struct HugeCache {
    pub(super) mapping: Mapping,
    pub(super) uffd: Option<Uffd>,
}

/// A userfaultfd that is told of nothing yet.
pub(super) fn open_uffd(features: &[Feature]) -> Result<Uffd, Stop> {
    Uffd::open(features).map_err(|reason| Stop::Skip(reason.to_string()))
}

/// Which pages a round is about.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pages {
    /// The page that something is put into.
    pub(super) target: usize,
    /// The first of those that are mapped from the file before.
    first: usize,
    /// How many [`AROUND`]s of them there are.
    arounds: usize,
}

impl Pages {
    /// At random: the target is one of the pages that are mapped, or one that isn't. The first
    /// [`AROUND`] pages are neither.
    pub(super) fn draw(rng: &mut Rng, pages: usize, target_is_mapped: bool) -> Pages {
        let blocks = pages / AROUND;
        let arounds = rng.usize(1..=3);
        let block = rng.usize(1..blocks - arounds);
        let of_target = match target_is_mapped {
            true => block + rng.usize(0..arounds),
            false => {
                // From behind the mapped ones on, round the end, past the first block.
                let after = block + arounds + rng.usize(0..blocks - 1 - arounds);
                1 + (after - 1) % (blocks - 1)
            }
        };
        Pages {
            target: of_target * AROUND + rng.usize(0..AROUND),
            first: block * AROUND,
            arounds,
        }
    }

    /// The same for a given target, which isn't mapped.
    pub(super) fn draw_around(rng: &mut Rng, pages: usize, target: usize) -> Pages {
        loop {
            let drawn = Pages::draw(rng, pages, false);
            if !drawn.mapped().contains(&target) {
                return Pages { target, ..drawn };
            }
        }
    }

    /// The pages that are mapped from the file.
    pub(super) fn mapped(&self) -> Range<usize> {
        self.first..self.first + self.arounds * AROUND
    }
}

impl HugeCache {
    /// A huge page of page cache with content, and the trial's mapping of it, which maps nothing.
    pub(super) fn new(trial: &Trial<'_>) -> Result<HugeCache, Stop> {
        let mapping = trial.mapping(1)?;
        let cache = HugeCache {
            mapping,
            uffd: None,
        };
        cache.forget()?;
        for page in 0..cache.mapping.pages() {
            cache.write_file(page)?;
        }
        let huge = cache.file()?.make_huge();
        huge.map_err(|e| Stop::Skip(format!("no huge page of page cache: MADV_COLLAPSE: {e}")))?;
        cache.forget()?;
        Ok(cache)
    }

    /// Has a userfaultfd told of faults in all of it.
    pub(super) fn watched_by(mut self, uffd: Uffd, faults: Faults) -> Result<HugeCache, Stop> {
        match uffd.register(&self.mapping, 0, self.mapping.pages(), faults) {
            Ok(()) => {}
            Err(e) => return Err(Stop::Skip(format!("UFFDIO_REGISTER {faults:?}: {e}"))),
        }
        self.uffd = Some(uffd);
        Ok(self)
    }

    pub(super) fn file(&self) -> Result<&guplab::mapping::MemFile, Stop> {
        let file = self.mapping.file();
        file.ok_or_else(|| Stop::Error("memory without a file".into()))
    }

    /// Gives a page of the file its content.
    fn write_file(&self, page: usize) -> Result<(), Stop> {
        for word in words() {
            let offset = page * page_size() + word;
            let written = self.file()?.write(offset, file_word(offset));
            written.context("writing to the memfd")?;
        }
        Ok(())
    }

    /// Takes everything out of the page table; what the file has stays.
    fn forget(&self) -> Result<(), Stop> {
        let (mapping, pages) = (&self.mapping, self.mapping.pages());
        if let Some(uffd) = &self.uffd {
            // Without write protection there is none to take away.
            let _none = uffd.unprotect(mapping, 0, pages);
        }
        // As above, on kernels without guard regions.
        let _none = mapping.advise(0, pages, Advice::GuardRemove);
        mapping.discard_pages(0, pages).context("MADV_DONTNEED")
    }

    /// Makes ready for a round: a page table that maps a few pages of the huge page, and nothing
    /// else. Without one, the first access would map the huge page by its PMD.
    pub(super) fn reset(&self, pages: &Pages) -> Result<(), Stop> {
        self.forget()?;
        let mapping = &self.mapping;
        // As long as there are several VMAs in what the PMD maps, a fault can't map it as a whole.
        let protect = |allow| mapping.protect(0, 1, allow).context("mprotect");
        protect(Protection::Read)?;
        self.map_from_file(pages)?;
        protect(Protection::ReadWrite)
    }

    /// The same for page cache of base pages, under a VMA that never had anonymous pages.
    pub(super) fn reset_small(&self, pages: &Pages) -> Result<(), Stop> {
        let (mapping, file, all) = (&self.mapping, self.file()?, self.mapping.pages());
        file.punch(0, all).context("emptying the memfd")?;
        mapping.remap_pages(0, all).context("mmap")?;
        file.allocate(0, all).context("filling the memfd")?;
        self.write_file(pages.target)?;
        for page in pages.mapped() {
            self.write_file(page)?;
        }
        self.map_from_file(pages)
    }

    fn map_from_file(&self, pages: &Pages) -> Result<(), Stop> {
        for page in pages.mapped().step_by(AROUND) {
            self.mapping.read(page * page_size());
        }
        if pages.mapped().contains(&pages.target) {
            return Ok(());
        }
        // The fault may have mapped all of the huge page.
        let dropped = self.mapping.discard_pages(pages.target, 1);
        dropped.context("MADV_DONTNEED")
    }

    /// The first word of these pages that isn't what the file has, with its offset.
    pub(super) fn unlike_file(
        &self,
        mut pages: impl Iterator<Item = usize>,
    ) -> Option<(usize, u64)> {
        pages.find_map(|page| {
            let offsets = words().map(|word| page * page_size() + word);
            offsets
                .map(|offset| (offset, self.mapping.read(offset)))
                .into_iter()
                .find(|&(offset, seen)| seen != file_word(offset))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn targets_are_where_they_are_wanted() {
        let mut rng = Rng::with_seed(1);
        for round in 0..4000 {
            let mapped = round % 2 == 0;
            let pages = Pages::draw(&mut rng, 512, mapped);
            assert_eq!(pages.mapped().contains(&pages.target), mapped, "{pages:?}");
            assert!((AROUND..512).contains(&pages.target), "{pages:?}");
            assert!(pages.mapped().start >= AROUND && pages.mapped().end <= 512);
        }
    }

    #[test]
    fn the_file_never_has_zeroes() {
        assert!(words().iter().all(|&word| file_word(word) >> 63 == 0));
        assert!(words().iter().all(|&word| file_word(word) != 0));
    }
}
