// SPDX-License-Identifier: GPL-2.0
//! Two processes that have one page table for the same hugetlb memory.
//!
//! The kernel shares the table of PMDs where a shared mapping covers all that a PUD maps, aligned.
//! Only two pages of it are ever touched, and none is reserved (MAP_NORESERVE).

use std::fs::read_to_string;
use std::os::fd::{AsRawFd, OwnedFd};
use std::sync::atomic::Ordering;

use guplab::address::Range;
use guplab::{Errno, Page, Peer, Session, SharedPage, cpu, page_size};
use rustix::fs::{MemfdFlags, ftruncate, memfd_create};

use crate::aim::Gated;
use crate::trial::Context;
use crate::{Stop, Trial};

/// Huge pages that are in use.
const PAGES: usize = 2;

/// What the peer writes into memory of its own, where the shared page table mapped the file.
pub(super) const OWN_WORD: u64 = 0x5045_4552_5045_4552;

/// The mapping, in this process or, after a fork, in the peer.
#[derive(Debug)]
pub(super) struct Arena {
    file: OwnedFd,
    range: Range,
    huge: usize,
}

/// Huge pages that nobody has.
fn free_pages(huge: usize) -> Result<usize, Stop> {
    let path = format!(
        "/sys/kernel/mm/hugepages/hugepages-{}kB/free_hugepages",
        huge >> 10
    );
    let text = read_to_string(&path).map_err(|e| Stop::Skip(format!("{path}: {e}")))?;
    text.trim().parse().context(&path)
}

impl Arena {
    /// Maps it, and touches nothing.
    pub(super) fn new(session: &Session) -> Result<Arena, Stop> {
        let huge = session.pmd_size();
        let free = free_pages(huge)?;
        if free < PAGES {
            return Err(Stop::Skip(format!(
                "{free} huge pages are free, and {PAGES} are needed: \
                 echo {PAGES} > /proc/sys/vm/nr_hugepages"
            )));
        }
        // A PMD is an entry of 8 bytes in a table of one page, and so is what maps that table.
        let len = huge * (page_size() / 8);
        let size = MemfdFlags::from_bits_retain(huge.trailing_zeros() << libc::MFD_HUGE_SHIFT);
        let flags = MemfdFlags::CLOEXEC | MemfdFlags::HUGETLB | size;
        let file = memfd_create("guplab", flags)
            .map_err(|e| Stop::Skip(format!("memfd_create(MFD_HUGETLB): {e}")))?;
        ftruncate(&file, len as u64).context("ftruncate")?;
        let range = Range::reserve(len, len)
            .map_err(|e| Stop::Skip(format!("{len} bytes of address space: {e}")))?;
        let arena = Arena { file, range, huge };
        arena.map_anew().context("mmap(MAP_HUGETLB)")?;
        Ok(arena)
    }

    /// Its address and its bytes.
    pub(super) fn place(&self) -> (usize, usize) {
        (self.range.addr(), self.range.len())
    }

    /// The address of a base page in the two huge pages.
    pub(super) fn page_addr(&self, page: usize) -> usize {
        assert!(page < PAGES * self.base_pages());
        self.range.addr() + page * page_size()
    }

    /// Base pages in a huge page.
    pub(super) fn base_pages(&self) -> usize {
        self.huge / page_size()
    }

    /// Maps the file in the place of whatever is there, as one VMA: only such a one shares.
    pub(super) fn map_anew(&self) -> guplab::Result<()> {
        let flags = libc::MAP_SHARED | libc::MAP_NORESERVE;
        let (at, len) = (0, self.range.len());
        self.range.replace(at, len, flags, self.file.as_raw_fd())
    }

    /// Has both pages mapped, and returns the first word.
    pub(super) fn touch(&self) -> u64 {
        let _second = self.range.word(self.huge).load(Ordering::SeqCst);
        self.read(0)
    }

    /// Reads the first word of a base page.
    pub(super) fn read(&self, page: usize) -> u64 {
        self.range.word(page * page_size()).load(Ordering::SeqCst)
    }

    /// Writes it.
    pub(super) fn write(&self, page: usize, word: u64) {
        let at = page * page_size();
        self.range.word(at).store(word, Ordering::SeqCst);
    }

    /// Lets the second page be read only: that cuts the VMA in three.
    pub(super) fn protect_second(&self) -> guplab::Result<()> {
        self.range.protect(self.huge, self.huge, libc::PROT_READ)
    }

    /// Lets all of it be read only.
    pub(super) fn protect_all(&self) -> guplab::Result<()> {
        self.range.protect(0, self.range.len(), libc::PROT_READ)
    }

    /// Drops the second page's mapping.
    pub(super) fn drop_second(&self) -> guplab::Result<()> {
        self.range.advise(self.huge, self.huge, libc::MADV_DONTNEED)
    }

    /// Maps memory of its own in the place of the first page, and writes to every page of it.
    fn make_own(&self) -> guplab::Result<()> {
        let private = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;
        self.range.replace(0, self.huge, private, -1)?;
        for page in 0..self.base_pages() {
            self.write(page, OWN_WORD);
        }
        Ok(())
    }

    /// The same in the place of the second page, where it writes to the first base page.
    fn make_second_own(&self) -> guplab::Result<()> {
        let private = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;
        self.range.replace(self.huge, self.huge, private, -1)?;
        // A huge page takes long to clear.
        self.range
            .advise(self.huge, self.huge, libc::MADV_NOHUGEPAGE)?;
        self.write(self.base_pages(), OWN_WORD);
        Ok(())
    }
}

/// Counts whether a page is mapped by a shared table; a skip if the very first one isn't.
pub(super) fn count_shared(trial: &mut Trial<'_>, seen: &Page) -> Result<(), Stop> {
    // Two processes use it, and it is mapped once.
    let is_shared = seen.0.mapcount == 1;
    trial.count("shared", u64::from(is_shared));
    if !is_shared && trial.round() == 1 {
        return Err(Stop::Skip(format!(
            "the kernel does not share page tables of hugetlb memory here: {seen}"
        )));
    }
    Ok(())
}

const MAP_AND_TOUCH: usize = 0;
const MAKE_OWN: usize = 1;
const MAKE_SECOND_OWN: usize = 2;

/// The other process.
#[derive(Debug)]
pub(super) struct Sharer<'a>(Peer<'a>);

fn code(result: guplab::Result<()>) -> u64 {
    result.err().map_or(0, |error| error.raw_os_error() as u64)
}

impl<'a> Sharer<'a> {
    /// Forks it. Where it has to hurry, in [`Sharer::start_second`], it waits for the gate, on a CPU
    /// of its own.
    pub(super) fn fork(
        shared: &'a SharedPage,
        arena: &Arena,
        (gate, home): (Gated<'_>, Option<usize>),
    ) -> Result<Sharer<'a>, Stop> {
        let map = |_| {
            let done = code(arena.map_anew());
            arena.touch();
            done
        };
        let own = |_| code(arena.make_own());
        let second = |_| {
            if let Some(home) = home {
                // Elsewhere it costs hits, never correctness.
                let _unbound = cpu::bind(home);
            }
            gate.wait();
            code(arena.make_second_own())
        };
        Peer::fork(shared, &[&map, &own, &second])
            .map(Sharer)
            .context("forking a peer")
    }

    fn call(&self, op: usize) -> Result<(), Stop> {
        self.0.start(op, 0).context("the peer")?;
        self.finish()
    }

    /// Waits for what it was told to start with.
    pub(super) fn finish(&self) -> Result<(), Stop> {
        match self.0.finish().context("the peer")? {
            0 => Ok(()),
            error => Err(Errno::from_raw_os_error(error as i32)).context("mmap in the peer"),
        }
    }

    /// Has both processes map the file anew, and touch both pages, by one page table.
    pub(super) fn share(&self, arena: &Arena) -> Result<(), Stop> {
        // The peer's table first: then the own one is that.
        self.call(MAP_AND_TOUCH)?;
        arena.map_anew().context("mmap")?;
        arena.touch();
        Ok(())
    }

    /// Has it put memory of its own in the place of the second page, as soon as the gate opens.
    pub(super) fn start_second(&self) -> Result<(), Stop> {
        self.0.start(MAKE_SECOND_OWN, 0).context("the peer")
    }

    /// Puts memory of its own into what was shared.
    pub(super) fn make_own(&self) -> Result<(), Stop> {
        self.call(MAKE_OWN)
    }
}
