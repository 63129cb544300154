// SPDX-License-Identifier: GPL-2.0
//! Memory that can be made again exactly as it was.

use std::os::fd::AsRawFd;
use std::sync::atomic::Ordering;

use guplab::address::Range;
use guplab::mapping::Protection;
use guplab::{Errno, Result, Rng, Session, page_size, sys};
use libc::c_int;
use rustix::fd::OwnedFd;
use rustix::fs::{FallocateFlags, MemfdFlags, Mode, OFlags, fallocate, memfd_create, open};

/// What memory is made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sort {
    /// Private anonymous memory in base pages.
    Anon4k,
    /// Transparent huge pages that PMDs map.
    AnonThp,
    /// Transparent huge pages that PTEs map.
    AnonPteThp,
    /// A memfd, mapped shared.
    Shmem,
    /// A private hugetlb mapping.
    Hugetlb,
    /// A memfd that is open for reading only, mapped private and for reading only.
    ReadOnlyFile,
}

impl Sort {
    pub(crate) const ALL: [Sort; 6] = [
        Sort::Anon4k,
        Sort::AnonThp,
        Sort::AnonPteThp,
        Sort::Shmem,
        Sort::Hugetlb,
        Sort::ReadOnlyFile,
    ];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Sort::Anon4k => "anon-4k",
            Sort::AnonThp => "anon-thp",
            Sort::AnonPteThp => "anon-pte-thp",
            Sort::Shmem => "shmem",
            Sort::Hugetlb => "hugetlb",
            Sort::ReadOnlyFile => "read-only-file",
        }
    }

    pub(crate) fn is_huge(self) -> bool {
        matches!(self, Sort::AnonThp | Sort::AnonPteThp | Sort::Hugetlb)
    }

    fn has_file(self) -> bool {
        matches!(self, Sort::Shmem | Sort::ReadOnlyFile)
    }

    fn map_flags(self, pmd_size: usize) -> c_int {
        let anonymous = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;
        match self {
            Sort::Shmem => libc::MAP_SHARED,
            Sort::ReadOnlyFile => libc::MAP_PRIVATE,
            Sort::Hugetlb => {
                let shift = pmd_size.trailing_zeros() as c_int;
                anonymous | libc::MAP_HUGETLB | (shift << libc::MAP_HUGE_SHIFT)
            }
            _ => anonymous,
        }
    }
}

/// What is done to a part of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Change {
    Hole,
    NoAccess,
    ReadOnly,
    Discard,
    /// Populated for reading: anonymous memory gets the shared zero page.
    Read,
}

const CHANGES: [Change; 5] = [
    Change::Hole,
    Change::NoAccess,
    Change::ReadOnly,
    Change::Discard,
    Change::Read,
];

/// How memory is prepared: what is done to which bytes of it.
#[derive(Clone, Debug)]
pub(crate) struct Plan(Vec<(Change, usize, usize)>);

/// Memory of a sort.
pub(crate) struct Scene {
    sort: Sort,
    range: Range,
    flags: c_int,
    /// Bytes in which it can be changed.
    step: usize,
    file: Option<OwnedFd>,
}

/// Bytes of what PMDs map, and of what they don't.
const HUGE_PMDS: usize = 2;
const PAGES: usize = 256;

fn file(sort: Sort, len: usize) -> Result<OwnedFd> {
    let file = memfd_create("guplab", MemfdFlags::CLOEXEC)?;
    // All of it is there from the start: no request leaves more behind for the next one.
    fallocate(&file, FallocateFlags::empty(), 0, len as u64)?;
    if sort == Sort::Shmem {
        return Ok(file);
    }
    let path = format!("/proc/self/fd/{}", file.as_raw_fd());
    open(path, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())
}

impl Scene {
    /// Reserves room for it. [`Scene::prepare`] has to come before anything else.
    pub(crate) fn new(session: &Session, sort: Sort) -> Result<Scene> {
        let len = match sort.is_huge() {
            true => HUGE_PMDS * session.pmd_size(),
            false => PAGES * page_size(),
        };
        let step = match sort {
            Sort::Hugetlb => session.pmd_size(),
            _ => page_size(),
        };
        Ok(Scene {
            sort,
            // Behind it is a hole of the alignment.
            range: Range::reserve(len, session.pmd_size())?,
            flags: sort.map_flags(session.pmd_size()),
            step,
            file: sort.has_file().then(|| file(sort, len)).transpose()?,
        })
    }

    pub(crate) fn addr(&self) -> usize {
        self.range.addr()
    }

    pub(crate) fn pages(&self) -> usize {
        self.range.len() / page_size()
    }

    /// Makes a plan at random.
    pub(crate) fn plan(&self, rng: &mut Rng) -> Plan {
        let steps = self.range.len() / self.step;
        let changes = (0..rng.usize(0..4)).map(|_| {
            let change = CHANGES[rng.usize(0..CHANGES.len())];
            let most = [1, 8, steps][rng.usize(0..3)].min(steps);
            let nr_steps = rng.usize(1..=most);
            let first = rng.usize(0..=steps - nr_steps);
            (change, first * self.step, nr_steps * self.step)
        });
        Plan(changes.collect())
    }

    /// Whether GUP can bring the shared zero page, if memory was prepared like this.
    pub(crate) fn may_bring_zero_page(&self, plan: &Plan) -> bool {
        let anon = matches!(self.sort, Sort::Anon4k | Sort::AnonThp | Sort::AnonPteThp);
        plan.0.iter().any(|&(change, _, _)| match change {
            // A later change may let it be read.
            Change::Hole => true,
            Change::Discard | Change::Read => anon,
            Change::NoAccess | Change::ReadOnly => false,
        })
    }

    /// Maps the memory anew, and does as planned.
    pub(crate) fn prepare(&self, plan: &Plan) -> Result<()> {
        let len = self.range.len();
        let fd = self.file.as_ref().map_or(-1, |file| file.as_raw_fd());
        self.range.replace(0, len, self.flags, fd)?;
        match self.sort {
            Sort::Hugetlb => {}
            Sort::AnonThp | Sort::AnonPteThp => self.range.advise(0, len, libc::MADV_HUGEPAGE)?,
            // Faults by the kernel's choice of pages would not be the same twice. And with a huge
            // page of a file a long-term pin for reading can last for ever.
            _ => self.range.advise(0, len, libc::MADV_NOHUGEPAGE)?,
        }
        let populate = match self.sort {
            Sort::ReadOnlyFile => libc::MADV_POPULATE_READ,
            _ => libc::MADV_POPULATE_WRITE,
        };
        self.range.advise(0, len, populate)?;
        match self.sort {
            Sort::AnonPteThp => self.split()?,
            Sort::ReadOnlyFile => self.range.protect(0, len, libc::PROT_READ)?,
            _ => {}
        }
        plan.0
            .iter()
            .try_for_each(|&(change, at, len)| self.change(change, at, len))
    }

    /// A change of protection for one page splits the PMD.
    fn split(&self) -> Result<()> {
        for at in (0..self.range.len()).step_by(self.range.len() / HUGE_PMDS) {
            self.range.protect(at, page_size(), libc::PROT_READ)?;
            let both = libc::PROT_READ | libc::PROT_WRITE;
            self.range.protect(at, page_size(), both)?;
            self.range.word(at).store(1, Ordering::Relaxed);
        }
        Ok(())
    }

    fn change(&self, change: Change, at: usize, len: usize) -> Result<()> {
        match change {
            Change::Hole => self.range.unmap(at, len),
            Change::NoAccess => self.range.protect(at, len, Protection::LEAST.raw()),
            Change::ReadOnly => self.range.protect(at, len, libc::PROT_READ),
            Change::Discard => self.range.advise(at, len, libc::MADV_DONTNEED),
            Change::Read => {
                self.range.advise(at, len, libc::MADV_DONTNEED)?;
                match self.range.advise(at, len, libc::MADV_POPULATE_READ) {
                    // Where an earlier change has left nothing to read.
                    Err(Errno::FAULT | Errno::INVAL | Errno::NOMEM) => Ok(()),
                    done => done,
                }
            }
        }
    }

    /// How every page is mapped now: the bits of its leaf that GUP can change for good.
    pub(crate) fn leaves(&self, session: &Session) -> Result<Vec<u32>> {
        const BITS: u32 = sys::GUPLAB_LEAF_MAPPED | sys::GUPLAB_LEAF_WRITE;
        let mut leaves = Vec::with_capacity(self.pages());
        while leaves.len() < self.pages() {
            let nr = (self.pages() - leaves.len()).min(sys::GUPLAB_MAX_INSPECT as usize);
            let addr = self.addr() + leaves.len() * page_size();
            let pages = session.inspect(0, addr, nr as u32)?;
            leaves.extend(pages.iter().map(|page| page.0.leaf_flags & BITS));
        }
        Ok(leaves)
    }

    /// Whether the memory is what its sort says: the kernel may have had no huge page.
    pub(crate) fn is_of_its_sort(&self, session: &Session) -> Result<bool> {
        self.prepare(&Plan(Vec::new()))?;
        let page = session.inspect(0, self.addr(), 1)?[0];
        let huge = page.0.order == session.pmd_order();
        Ok(page.present()
            && match self.sort {
                Sort::AnonThp | Sort::Hugetlb => huge && page.is_pmd_leaf(),
                Sort::AnonPteThp => huge && !page.is_pmd_leaf(),
                _ => page.0.order == 0,
            })
    }
}
