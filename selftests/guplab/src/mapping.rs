// SPDX-License-Identifier: GPL-2.0
//! Memory of a kind, verified.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};

use rustix::fd::{AsRawFd, OwnedFd};
use rustix::fs::{MemfdFlags, ftruncate, memfd_create};

use crate::address::Range;
use crate::device::Session;
use crate::page::Page;
use crate::{Errno, page_size, sys};

/// What memory is made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// Private anonymous memory in base pages.
    #[serde(rename = "anon-4k")]
    Anon4k,
    /// A transparent huge page mapped by a PMD.
    AnonThp,
    /// A transparent huge page mapped by PTEs.
    AnonPteThp,
    /// A memfd, mapped shared, in base pages.
    Shmem,
    /// A private hugetlb mapping with pages of the PMD's size.
    Hugetlb,
}

impl Kind {
    /// All of them.
    pub const ALL: [Kind; 5] = [
        Kind::Anon4k,
        Kind::AnonThp,
        Kind::AnonPteThp,
        Kind::Shmem,
        Kind::Hugetlb,
    ];

    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Kind::Anon4k => "anon-4k",
            Kind::AnonThp => "anon-thp",
            Kind::AnonPteThp => "anon-pte-thp",
            Kind::Shmem => "shmem",
            Kind::Hugetlb => "hugetlb",
        }
    }

    /// Whether a forked child gets memory of its own.
    pub fn is_private(self) -> bool {
        self != Kind::Shmem
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// Why a mapping of a kind can't be had here and now: a reason to skip, not a failure.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no {kind} memory: {reason}")]
pub struct Unavailable {
    /// The kind that was asked for.
    pub kind: Kind,
    /// What stands in the way.
    pub reason: String,
}

/// Memory of a verified [`Kind`], aligned to and a multiple of what a PMD maps.
#[derive(Debug)]
pub struct Mapping {
    range: Range,
    kind: Kind,
    pmd_size: usize,
    // Keeps the shmem file; it is reached through the mapping only.
    _file: Option<OwnedFd>,
}

/// What the THP policy is where no advice is given.
fn thp_is_always() -> bool {
    std::fs::read_to_string("/sys/kernel/mm/transparent_hugepage/enabled")
        .is_ok_and(|text| text.contains("[always]"))
}

impl Mapping {
    /// Makes memory of `pmds` times the PMD's size, populates it, and looks at every page of it to
    /// see that it is of the kind.
    pub fn new(session: &Session, kind: Kind, pmds: usize) -> Result<Mapping, Unavailable> {
        let fail = |reason: String| Unavailable { kind, reason };
        let pmd_size = session.pmd_size();
        let len = pmds * pmd_size;
        let mut file = None;
        let flags = match kind {
            Kind::Anon4k | Kind::AnonThp | Kind::AnonPteThp => {
                libc::MAP_PRIVATE | libc::MAP_ANONYMOUS
            }
            Kind::Shmem => {
                let fd = memfd_create("guplab", MemfdFlags::CLOEXEC)
                    .and_then(|fd| ftruncate(&fd, len as u64).map(|()| fd))
                    .map_err(|e| fail(format!("memfd: {e}")))?;
                file = Some(fd);
                libc::MAP_SHARED
            }
            Kind::Hugetlb => {
                let shift = pmd_size.trailing_zeros() as i32;
                libc::MAP_PRIVATE
                    | libc::MAP_ANONYMOUS
                    | libc::MAP_HUGETLB
                    | (shift << libc::MAP_HUGE_SHIFT)
            }
        };
        let fd = file.as_ref().map_or(-1, |fd| fd.as_raw_fd());
        let range = Range::map(len, pmd_size, flags, fd).map_err(|e| {
            fail(match kind {
                Kind::Hugetlb => format!(
                    "mmap(MAP_HUGETLB): {e}. Reserve huge pages: echo {} > /proc/sys/vm/nr_hugepages",
                    16 * pmds
                ),
                _ => format!("mmap: {e}"),
            })
        })?;
        let mapping = Mapping {
            range,
            kind,
            pmd_size,
            _file: file,
        };
        mapping.populate(session)?;
        mapping.verify(session, session.pmd_pages() as u32)?;
        Ok(mapping)
    }

    /// Throws the content away and makes the memory anew, of the same kind at the same address.
    /// Nobody may use the mapping meanwhile.
    pub fn renew(&self, session: &Session) -> Result<(), Unavailable> {
        self.discard()
            .map_err(|e| self.unavailable(format!("dropping the old content: {e}")))?;
        self.populate(session)?;
        self.verify(session, 1)
    }

    /// Throws the content away: nothing is mapped until the next access.
    pub fn discard(&self) -> crate::Result<()> {
        let advice = match self.kind {
            Kind::Shmem => libc::MADV_REMOVE,
            _ => libc::MADV_DONTNEED,
        };
        self.range.advise(0, self.len(), advice)
    }

    fn unavailable(&self, reason: String) -> Unavailable {
        Unavailable {
            kind: self.kind,
            reason,
        }
    }

    fn populate(&self, session: &Session) -> Result<(), Unavailable> {
        let advise = |advice, what: &str| {
            self.range
                .advise(0, self.len(), advice)
                .map_err(|e| self.unavailable(format!("{what}: {e}")))
        };
        let always = thp_is_always();
        match self.kind {
            Kind::Anon4k if always => advise(libc::MADV_NOHUGEPAGE, "MADV_NOHUGEPAGE")?,
            Kind::AnonThp | Kind::AnonPteThp => advise(libc::MADV_HUGEPAGE, "MADV_HUGEPAGE")?,
            _ => {}
        }
        advise(libc::MADV_POPULATE_WRITE, "MADV_POPULATE_WRITE")?;
        match self.kind {
            // Only the population must not use huge pages: later a collapse is allowed to.
            Kind::Anon4k if always => advise(libc::MADV_HUGEPAGE, "MADV_HUGEPAGE")?,
            Kind::AnonThp => self.make_huge(session)?,
            Kind::AnonPteThp => {
                self.make_huge(session)?;
                self.split_pmds()?;
            }
            _ => {}
        }
        Ok(())
    }

    /// Collapses what the page fault has not made huge, for want of a free huge page at that time.
    fn make_huge(&self, session: &Session) -> Result<(), Unavailable> {
        for at in (0..self.len()).step_by(self.pmd_size) {
            if self.look(session, at)?.is_pmd_leaf() {
                continue;
            }
            self.range
                .advise(at, self.pmd_size, libc::MADV_COLLAPSE)
                .map_err(|e| self.unavailable(format!("MADV_COLLAPSE: {e}")))?;
        }
        Ok(())
    }

    /// Maps every huge page by PTEs: a change of protection for one page of it splits the PMD.
    fn split_pmds(&self) -> Result<(), Unavailable> {
        for at in (0..self.len()).step_by(self.pmd_size) {
            for protection in [libc::PROT_READ, libc::PROT_READ | libc::PROT_WRITE] {
                self.range
                    .protect(at, page_size(), protection)
                    .map_err(|e| self.unavailable(format!("mprotect: {e}")))?;
            }
            let word = self.word(at);
            word.store(word.load(Ordering::Relaxed), Ordering::Relaxed);
        }
        Ok(())
    }

    fn look(&self, session: &Session, at: usize) -> Result<Page, Unavailable> {
        session
            .inspect(0, self.addr() + at, 1)
            .map(|pages| pages[0])
            .map_err(|e| self.unavailable(format!("INSPECT: {e}")))
    }

    /// Looks at the first `pages` pages of each PMD, and at the last one.
    fn verify(&self, session: &Session, pages: u32) -> Result<(), Unavailable> {
        for at in (0..self.len()).step_by(self.pmd_size) {
            let mut seen = session
                .inspect(0, self.addr() + at, pages)
                .map_err(|e| self.unavailable(format!("INSPECT: {e}")))?;
            seen.push(self.look(session, at + self.pmd_size - page_size())?);
            if let Some(page) = seen.iter().find(|page| !self.is_of_kind(session, page)) {
                return Err(self.unavailable(format!("the kernel gave something else: {page}")));
            }
        }
        Ok(())
    }

    fn is_of_kind(&self, session: &Session, page: &Page) -> bool {
        let (order, anon) = (page.0.order, page.has(sys::GUPLAB_PAGE_ANON));
        let hugetlb = page.has(sys::GUPLAB_PAGE_HUGETLB);
        let pte = page.mapped().is_some() && page.0.level == sys::GUPLAB_LEVEL_PTE;
        let huge = order == session.pmd_order();
        page.present()
            && match self.kind {
                Kind::Anon4k => pte && order == 0 && anon,
                Kind::AnonThp => page.is_pmd_leaf() && huge && anon && !hugetlb,
                Kind::AnonPteThp => pte && huge && anon,
                Kind::Shmem => pte && order == 0 && !anon,
                Kind::Hugetlb => page.is_pmd_leaf() && huge && hugetlb,
            }
    }

    /// Its kind.
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// Where it starts.
    pub fn addr(&self) -> usize {
        self.range.addr()
    }

    /// Its bytes.
    pub fn len(&self) -> usize {
        self.range.len()
    }

    /// Whether it has no bytes, which it never has.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Its base pages.
    pub fn pages(&self) -> usize {
        self.len() / page_size()
    }

    /// The address of a page.
    pub fn page_addr(&self, page: usize) -> usize {
        assert!(page < self.pages());
        self.addr() + page * page_size()
    }

    /// Whether the address lies in it.
    pub fn contains(&self, addr: usize) -> bool {
        (self.addr()..self.addr() + self.len()).contains(&addr)
    }

    /// The 64-bit word at an offset, a multiple of 8. Pins write to it as well: every access is
    /// an atomic one.
    pub fn word(&self, offset: usize) -> &AtomicU64 {
        self.range.word(offset)
    }

    /// Reads a word.
    pub fn read(&self, offset: usize) -> u64 {
        self.word(offset).load(Ordering::SeqCst)
    }

    /// Writes a word.
    pub fn write(&self, offset: usize, value: u64) {
        self.word(offset).store(value, Ordering::SeqCst);
    }

    /// Calls madvise(MADV_COLLAPSE) for the whole mapping.
    pub fn madvise_collapse(&self) -> crate::Result<()> {
        self.range.advise(0, self.len(), libc::MADV_COLLAPSE)
    }

    /// The page frame that /proc/self/pagemap tells for a page; none where it may not be seen.
    pub fn pagemap_pfn(&self, page: usize) -> Option<u64> {
        use std::os::unix::fs::FileExt;
        const PRESENT: u64 = 1 << 63;
        const PFN: u64 = (1 << 55) - 1;

        let file = std::fs::File::open("/proc/self/pagemap").ok()?;
        let mut entry = [0; 8];
        let at = self.page_addr(page) / page_size() * entry.len();
        file.read_exact_at(&mut entry, at as u64).ok()?;
        let entry = u64::from_ne_bytes(entry);
        (entry & PRESENT != 0 && entry & PFN != 0).then_some(entry & PFN)
    }
}

/// Errors of fork() and mmap() that mean that memory is short, not that something is wrong.
pub fn is_shortage(error: Errno) -> bool {
    matches!(error, Errno::NOMEM | Errno::AGAIN)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_distinct() {
        let mut names: Vec<&str> = Kind::ALL.iter().map(|kind| kind.name()).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), 5);
    }
}
