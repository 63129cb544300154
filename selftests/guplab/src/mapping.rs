// SPDX-License-Identifier: GPL-2.0
//! Memory of a kind, verified.

mod change;
mod file;
mod kind;
mod populate;

use std::sync::atomic::{AtomicU64, Ordering};

use libc::c_int;

use crate::address::Range;
use crate::device::Session;
use crate::knob::Knob;
use crate::pagemap::Entry;
use crate::{Errno, page_size};

pub use change::{Advice, Aside, Protection};
pub use file::MemFile;
pub use kind::Kind;

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
    flags: c_int,
    file: Option<MemFile>,
    // Lets the memory be made anew as often as is liked.
    _policy: Option<Knob>,
}

fn map_flags(kind: Kind, pmd_size: usize) -> c_int {
    match kind {
        Kind::Shmem | Kind::ShmemThp => libc::MAP_SHARED,
        Kind::PrivateShmem => libc::MAP_PRIVATE,
        Kind::Anon4k | Kind::AnonThp | Kind::AnonPteThp | Kind::AnonMthp => {
            libc::MAP_PRIVATE | libc::MAP_ANONYMOUS
        }
        Kind::Hugetlb => {
            let shift = pmd_size.trailing_zeros() as c_int;
            libc::MAP_PRIVATE
                | libc::MAP_ANONYMOUS
                | libc::MAP_HUGETLB
                | (shift << libc::MAP_HUGE_SHIFT)
        }
    }
}

impl Mapping {
    /// Makes memory of `pmds` times the PMD's size, populates it, and looks at every page of it to
    /// see that it is of the kind.
    pub fn new(session: &Session, kind: Kind, pmds: usize) -> Result<Mapping, Unavailable> {
        let fail = |reason: String| Unavailable { kind, reason };
        let pmd_size = session.pmd_size();
        let len = pmds * pmd_size;
        let flags = map_flags(kind, pmd_size);
        let mut file = None;
        if kind.has_file() {
            let new = MemFile::new(len, pmd_size).map_err(|e| fail(format!("memfd: {e}")))?;
            file = Some(new);
        }
        if let (Kind::PrivateShmem, Some(file)) = (kind, &file) {
            file.allocate(0, len / page_size())
                .map_err(|e| fail(format!("fallocate: {e}")))?;
        }
        let policy = match kind {
            Kind::AnonMthp => populate::allow_mthp().map_err(fail)?,
            _ => None,
        };
        let fd = file.as_ref().map_or(-1, |file| file.raw());
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
            flags,
            file,
            _policy: policy,
        };
        mapping.populate(session)?;
        mapping.verify(session, session.pmd_pages() as u32)?;
        Ok(mapping)
    }

    /// Memory of two huge pages for tests on any machine: nobody has looked what it is made of.
    #[cfg(test)]
    pub(crate) fn unverified(kind: Kind) -> Mapping {
        let pmd_size = 2 << 20;
        let len = 2 * pmd_size;
        let flags = map_flags(kind, pmd_size);
        let file = kind
            .has_file()
            .then(|| MemFile::new(len, pmd_size).expect("a memfd"));
        let fd = file.as_ref().map_or(-1, |file| file.raw());
        Mapping {
            range: Range::map(len, pmd_size, flags, fd).expect("memory"),
            kind,
            pmd_size,
            flags,
            file,
            _policy: None,
        }
    }

    /// Throws the content away and makes the memory anew, of the same kind at the same address.
    /// Nobody may use the mapping meanwhile, and every page of it must be mapped and writable.
    pub fn renew(&self, session: &Session) -> Result<(), Unavailable> {
        self.discard()
            .map_err(|e| self.unavailable(format!("dropping the old content: {e}")))?;
        self.populate(session)?;
        self.verify(session, 1)
    }

    /// Looks at some pages of each PMD, to see that they are still of its kind.
    pub fn check(&self, session: &Session) -> Result<(), Unavailable> {
        self.verify(session, 1)
    }

    /// Throws the content away: nothing is mapped until the next access. Of a private mapping of
    /// a file this drops the private copies, and the file keeps what it has.
    pub fn discard(&self) -> crate::Result<()> {
        let advice = match self.kind {
            Kind::Shmem | Kind::ShmemThp => Advice::Remove,
            _ => Advice::DontNeed,
        };
        self.advise(0, self.pages(), advice)
    }

    fn unavailable(&self, reason: String) -> Unavailable {
        Unavailable {
            kind: self.kind,
            reason,
        }
    }

    /// Its kind.
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// The file under it, if there is one.
    pub fn file(&self) -> Option<&MemFile> {
        self.file.as_ref()
    }

    /// Bytes that one PMD maps.
    pub fn pmd_size(&self) -> usize {
        self.pmd_size
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

    /// What /proc/self/pagemap tells about a page.
    pub fn pagemap(&self, page: usize) -> crate::Result<Entry> {
        Entry::read(self.page_addr(page))
    }

    /// The page frame that /proc/self/pagemap tells for a page; none where it may not be seen.
    pub fn pagemap_pfn(&self, page: usize) -> Option<u64> {
        self.pagemap(page).ok()?.pfn()
    }
}

/// Errors of fork() and mmap() that mean that memory is short, not that something is wrong.
pub fn is_shortage(error: Errno) -> bool {
    matches!(error, Errno::NOMEM | Errno::AGAIN)
}
