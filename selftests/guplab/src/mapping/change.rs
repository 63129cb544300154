// SPDX-License-Identifier: GPL-2.0
//! System calls that change a part of a mapping.
//!
//! None of them allocates or locks: they may be called in a forked child, which changes its own
//! copy.

use std::sync::atomic::{AtomicU64, Ordering};

use libc::c_int;

use crate::address::Range;
use crate::mapping::Mapping;
use crate::mapping::kind::LOSES_INACCESSIBLE_PMDS;
use crate::{Result, page_size};

/// Advice that is given with madvise(2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Advice {
    /// Drops pages at once; what is in a file stays there.
    DontNeed,
    /// Drops pages when memory is short, unless they are written before.
    Free,
    /// Takes pages out of the file, too.
    Remove,
    /// Makes pages inactive.
    Cold,
    /// Reclaims pages.
    PageOut,
    /// Makes huge pages now.
    Collapse,
    /// Lets page faults and khugepaged make huge pages.
    HugePage,
    /// Lets them not.
    NoHugePage,
    /// Lets KSM merge pages.
    Mergeable,
    /// Takes merged pages apart.
    Unmergeable,
    /// Maps pages for reading.
    PopulateRead,
    /// Maps pages for writing.
    PopulateWrite,
    /// Makes every access raise SIGSEGV.
    GuardInstall,
    /// Takes that back.
    GuardRemove,
    /// Gives a forked child no mapping.
    DontFork,
    /// Gives it one again.
    DoFork,
    /// Gives a forked child zeroes. For private anonymous memory only.
    WipeOnFork,
    /// Gives it a copy again.
    KeepOnFork,
}

impl Advice {
    pub(crate) fn raw(self) -> c_int {
        match self {
            Advice::DontNeed => libc::MADV_DONTNEED,
            Advice::Free => libc::MADV_FREE,
            Advice::Remove => libc::MADV_REMOVE,
            Advice::Cold => libc::MADV_COLD,
            Advice::PageOut => libc::MADV_PAGEOUT,
            Advice::Collapse => libc::MADV_COLLAPSE,
            Advice::HugePage => libc::MADV_HUGEPAGE,
            Advice::NoHugePage => libc::MADV_NOHUGEPAGE,
            Advice::Mergeable => libc::MADV_MERGEABLE,
            Advice::Unmergeable => libc::MADV_UNMERGEABLE,
            Advice::PopulateRead => libc::MADV_POPULATE_READ,
            Advice::PopulateWrite => libc::MADV_POPULATE_WRITE,
            Advice::GuardInstall => linux_raw_sys::general::MADV_GUARD_INSTALL as c_int,
            Advice::GuardRemove => linux_raw_sys::general::MADV_GUARD_REMOVE as c_int,
            Advice::DontFork => libc::MADV_DONTFORK,
            Advice::DoFork => libc::MADV_DOFORK,
            Advice::WipeOnFork => libc::MADV_WIPEONFORK,
            Advice::KeepOnFork => libc::MADV_KEEPONFORK,
        }
    }
}

/// What may be done with pages. An access that isn't allowed raises SIGSEGV.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protection {
    /// Nothing.
    None,
    /// Reading.
    Read,
    /// Reading and writing.
    ReadWrite,
}

impl Protection {
    /// The least that memory of any kind may be given: nothing, or, with a kernel that loses huge pages
    /// then, reading.
    pub const LEAST: Protection = match LOSES_INACCESSIBLE_PMDS {
        true => Protection::Read,
        false => Protection::None,
    };

    /// As mprotect(2) takes it.
    pub const fn raw(self) -> c_int {
        match self {
            Protection::None => libc::PROT_NONE,
            Protection::Read => libc::PROT_READ,
            Protection::ReadWrite => libc::PROT_READ | libc::PROT_WRITE,
        }
    }
}

impl Mapping {
    /// Offset and bytes of pages that lie in it.
    fn part(&self, first: usize, nr_pages: usize) -> (usize, usize) {
        assert!(first <= self.pages() && nr_pages <= self.pages() - first);
        (first * page_size(), nr_pages * page_size())
    }

    /// Calls madvise(2) for some of its pages.
    pub fn advise(&self, first: usize, nr_pages: usize, advice: Advice) -> Result<()> {
        let (at, len) = self.part(first, nr_pages);
        self.range.advise(at, len, advice.raw())
    }

    /// Calls mprotect(2) for some of its pages.
    pub fn protect(&self, first: usize, nr_pages: usize, allow: Protection) -> Result<()> {
        let (at, len) = self.part(first, nr_pages);
        self.range.protect(at, len, allow.raw())
    }

    /// Drops some of its pages with MADV_DONTNEED: the next access brings zeroes, or what the
    /// file has.
    pub fn discard_pages(&self, first: usize, nr_pages: usize) -> Result<()> {
        self.advise(first, nr_pages, Advice::DontNeed)
    }

    /// Calls madvise(MADV_COLLAPSE) for the whole mapping.
    pub fn madvise_collapse(&self) -> Result<()> {
        self.advise(0, self.pages(), Advice::Collapse)
    }

    /// Calls madvise(MADV_COLLAPSE) for what one PMD maps.
    pub fn collapse_pmd(&self, pmd: usize) -> Result<()> {
        let pages = self.pmd_size / page_size();
        self.advise(pmd * pages, pages, Advice::Collapse)
    }

    /// Unmaps some of its pages, as munmap(2) does, but at once with a hole of no access in their
    /// place: the addresses stay the mapping's own. [`Mapping::remap_pages`] brings memory back.
    pub fn unmap_pages(&self, first: usize, nr_pages: usize) -> Result<()> {
        let (at, len) = self.part(first, nr_pages);
        self.range.unmap(at, len)
    }

    /// Maps some of its pages anew at the same addresses, as with mmap(MAP_FIXED): memory of the
    /// same sort with no pages yet. What is in a file stays there; advice and protection go.
    pub fn remap_pages(&self, first: usize, nr_pages: usize) -> Result<()> {
        let (at, len) = self.part(first, nr_pages);
        self.range.replace(at, len, self.flags, self.raw_file())
    }

    /// Moves some of its pages, with their page-table entries, to another address, with mremap(2).
    /// Until they are back, an access at the old address finds memory with no pages yet. Not for
    /// hugetlb (EINVAL).
    pub fn move_aside(&self, first: usize, nr_pages: usize) -> Result<Aside<'_>> {
        let (at, len) = self.part(first, nr_pages);
        // At the same distance from what a PMD maps, else whole page tables wouldn't be moved.
        let skew = at % self.pmd_size;
        let place = Range::reserve(skew + len, self.pmd_size)?;
        self.range.move_to(at, len, &place, skew)?;
        Ok(Aside {
            mapping: self,
            place,
            skew,
            at,
            len,
            is_back: false,
        })
    }

    /// Has two runs of its pages change places, with their page-table entries, with mremap(2). Not
    /// for hugetlb (EINVAL). Where it fails on the way, some of these pages are dropped.
    pub fn exchange_pages(&self, first: usize, second: usize, nr_pages: usize) -> Result<()> {
        assert!(first.abs_diff(second) >= nr_pages);
        let (first, len) = self.part(first, nr_pages);
        let (second, _) = self.part(second, nr_pages);
        let skew = first % self.pmd_size;
        let place = Range::reserve(skew + len, self.pmd_size)?;
        self.range.move_to(first, len, &place, skew)?;
        self.range.move_to(second, len, &self.range, first)?;
        place.move_to(skew, len, &self.range, second)
    }

    pub(super) fn raw_file(&self) -> c_int {
        self.file.as_ref().map_or(-1, |file| file.raw())
    }
}

/// Pages of a mapping that are at another address for now. They are back when this is dropped.
#[derive(Debug)]
pub struct Aside<'a> {
    mapping: &'a Mapping,
    place: Range,
    skew: usize,
    at: usize,
    len: usize,
    is_back: bool,
}

impl Aside<'_> {
    /// Where they are.
    pub fn addr(&self) -> usize {
        self.place.addr() + self.skew
    }

    /// The word at an offset from the first of them.
    pub fn word(&self, offset: usize) -> &AtomicU64 {
        self.place.word(self.skew + offset)
    }

    /// Drops one of them with MADV_DONTNEED, and stores a word to the page that comes instead.
    pub fn renew_page(&self, page: usize, word: u64) -> Result<()> {
        let at = self.skew + page * page_size();
        self.place.advise(at, page_size(), Advice::DontNeed.raw())?;
        self.place.word(at).store(word, Ordering::SeqCst);
        Ok(())
    }

    /// Moves them back. What is at their old address is dropped.
    pub fn back(mut self) -> Result<()> {
        self.move_back()
    }

    fn move_back(&mut self) -> Result<()> {
        self.is_back = true;
        self.place
            .move_to(self.skew, self.len, &self.mapping.range, self.at)
    }
}

impl Drop for Aside<'_> {
    fn drop(&mut self) {
        if !self.is_back {
            // The mapping stays a mapping, though without these pages.
            let _stay = self.move_back();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mapping::Kind;

    #[test]
    fn pages_come_back_from_aside() {
        for kind in [Kind::Anon4k, Kind::Shmem, Kind::PrivateShmem] {
            let mapping = Mapping::unverified(kind);
            let at = 7 * page_size();
            mapping.write(at, 7);
            let aside = mapping.move_aside(7, 3).expect("moved");
            assert_eq!(aside.addr() % mapping.pmd_size(), at);
            assert_eq!(aside.word(0).load(Ordering::SeqCst), 7);
            aside.renew_page(2, 8).expect("dropped");
            drop(aside);
            assert_eq!([7, 9].map(|page| mapping.read(page * page_size())), [7, 8]);
        }
    }

    #[test]
    fn pages_change_places() {
        for kind in [Kind::Anon4k, Kind::Shmem] {
            let mapping = Mapping::unverified(kind);
            let at = |page| page * page_size();
            for page in [5, 6, 700, 701] {
                mapping.write(at(page), page as u64);
            }
            mapping.exchange_pages(5, 700, 2).expect("exchanged");
            let seen = [5, 6, 700, 701].map(|page| mapping.read(at(page)));
            assert_eq!(seen, [700, 701, 5, 6]);
        }
    }

    #[test]
    fn what_is_mapped_anew_is_of_the_same_file() {
        let mapping = Mapping::unverified(Kind::Shmem);
        let at = 9 * page_size();
        mapping.write(at, 7);
        mapping.unmap_pages(9, 1).expect("unmapped");
        mapping.remap_pages(9, 1).expect("mapped");
        assert_eq!(mapping.read(at), 7);

        let mapping = Mapping::unverified(Kind::PrivateShmem);
        let file = mapping.file().expect("it has one");
        mapping.write(at, 7);
        file.write(at, 8).expect("written");
        mapping.remap_pages(9, 1).expect("mapped");
        assert_eq!(mapping.read(at), 8);
    }

    #[test]
    #[should_panic(expected = "assertion failed")]
    fn nothing_behind_the_end_is_advised() {
        let mapping = Mapping::unverified(Kind::Anon4k);
        let _never = mapping.advise(mapping.pages() - 1, 2, Advice::DontNeed);
    }
}
