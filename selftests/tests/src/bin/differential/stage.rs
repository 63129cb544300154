// SPDX-License-Identifier: GPL-2.0
//! A mapping with all that operations need to change it.

use std::os::fd::AsRawFd;

use guplab::mapping::Advice;
use guplab::split::Splitter;
use guplab::uffd::{Feature, Uffd};
use guplab::{Errno, Mapping, Peer, Result, Rng, Session, SharedPage, page_size};
use rustix::fd::OwnedFd;
use rustix::fs::{MemfdFlags, ftruncate, memfd_create};

use crate::comparer::Window;

/// The most forked processes that share the memory.
pub(crate) const PEERS: usize = 3;

/// A mapping, who shares it, and what changes it.
pub(crate) struct Stage<'a> {
    pub(crate) session: &'a Session,
    pub(crate) mapping: &'a Mapping,
    pub(crate) rng: Rng,
    pub(crate) uffd: Option<Uffd>,
    pub(crate) splitter: Option<Splitter>,
    /// Whether userfaultfd has write-protected something since the memory was made.
    pub(crate) is_uffd_protected: bool,
    shared: &'a [SharedPage; PEERS],
    peers: [Option<Peer<'a>>; PEERS],
    /// A page to copy from and to.
    buffer: OwnedFd,
    /// What was changed last.
    last: (usize, usize),
}

/// What a peer does with its copy of the memory.
#[derive(Clone, Copy)]
pub(crate) enum PeerDoes {
    /// It writes to pages.
    Write,
    /// It drops them.
    Drop,
}

impl<'a> Stage<'a> {
    pub(crate) fn new(
        session: &'a Session,
        mapping: &'a Mapping,
        shared: &'a [SharedPage; PEERS],
        rng: Rng,
    ) -> Result<Stage<'a>> {
        let buffer = memfd_create("guplab", MemfdFlags::CLOEXEC)?;
        ftruncate(&buffer, page_size() as u64)?;
        // What is written goes through at once, so nobody has to serve the faults.
        let features = [Feature::WpAsync, Feature::WpUnpopulated, Feature::WpShmem];
        Ok(Stage {
            session,
            mapping,
            rng,
            uffd: Uffd::open(&features).ok(),
            splitter: Splitter::open().ok(),
            is_uffd_protected: false,
            shared,
            peers: [const { None }; PEERS],
            buffer,
            last: (0, mapping.pages()),
        })
    }

    /// Pages that hugetlb memory can be changed in, which is whole huge pages only.
    pub(crate) fn step(&self) -> usize {
        match self.mapping.kind() {
            guplab::Kind::Hugetlb => self.session.pmd_pages(),
            _ => 1,
        }
    }

    /// Pages at random: one, some, or whole page tables.
    pub(crate) fn part(&mut self) -> (usize, usize) {
        let pages = self.mapping.pages();
        let (align, most) = match self.rng.u32(0..4) {
            0 => (self.session.pmd_pages(), self.session.pmd_pages()),
            1 => (1, 1),
            2 => (1, 16),
            _ => (1, 200),
        };
        let align = align.max(self.step());
        let nr_pages = self.rng.usize(1..=most).next_multiple_of(align);
        let first = self.rng.usize(0..=pages - nr_pages) / align * align;
        self.last = (first, nr_pages);
        self.last
    }

    /// What was changed last, with some pages around it.
    pub(crate) fn last(&mut self) -> Window {
        let (first, nr_pages) = self.last;
        let around = self.rng.usize(1..40);
        let start = first.saturating_sub(around);
        let end = (first + nr_pages + around).min(self.mapping.pages());
        Window {
            addr: self.mapping.page_addr(start),
            nr_pages: end - start,
        }
    }

    pub(crate) fn advise(&mut self, advice: Advice) -> Result<()> {
        let (first, nr_pages) = self.part();
        self.mapping.advise(first, nr_pages, advice)
    }

    /// Has the CPU store to pages, or load from them: copying between user memory and a file never
    /// raises a signal.
    pub(crate) fn touch(&mut self, first: usize, nr_pages: usize, is_store: bool) -> Result<()> {
        let mut done = Ok(());
        for page in first..first + nr_pages {
            let (fd, at) = (self.buffer.as_raw_fd(), self.mapping.page_addr(page));
            let copied = match is_store {
                // SAFETY: The page is one of the mapping under test, which no reference leads into.
                true => unsafe { libc::pread(fd, at as *mut libc::c_void, 8, 0) },
                // SAFETY: As above.
                false => unsafe { libc::pwrite(fd, at as *const libc::c_void, 8, 0) },
            };
            if copied != 8 {
                done = Err(Errno::FAULT);
            }
        }
        done
    }

    /// Forks one more process. EAGAIN where there are enough.
    pub(crate) fn fork(&mut self) -> Result<()> {
        let free = self.peers.iter().position(Option::is_none);
        let free = free.ok_or(Errno::AGAIN)?;
        let mapping = self.mapping;
        let part = |arg: u64| ((arg >> 32) as usize, (arg & u64::from(u32::MAX)) as usize);
        let advise = |arg, advice| {
            let (first, nr_pages) = part(arg);
            u64::from(mapping.advise(first, nr_pages, advice).is_ok())
        };
        let write = |arg| advise(arg, Advice::PopulateWrite);
        let drop_pages = |arg| advise(arg, Advice::DontNeed);
        self.peers[free] = Some(Peer::fork(&self.shared[free], &[&write, &drop_pages])?);
        Ok(())
    }

    fn some_peer(&mut self) -> Result<usize> {
        let first = self.rng.usize(0..PEERS);
        let order = (0..PEERS).map(|number| (first + number) % PEERS);
        let mut there = order.filter(|&number| self.peers[number].is_some());
        there.next().ok_or(Errno::SRCH)
    }

    /// Has one of them change its copy.
    pub(crate) fn have_peer(&mut self, does: PeerDoes) -> Result<()> {
        let number = self.some_peer()?;
        let (first, nr_pages) = self.part();
        let arg = (first as u64) << 32 | nr_pages as u64;
        let Some(peer) = &self.peers[number] else {
            return Err(Errno::SRCH);
        };
        let answer = peer.call(does as usize, arg);
        if answer.is_err() {
            // It may have found no huge page.
            self.peers[number] = None;
        }
        match answer? {
            0 => Err(Errno::FAULT),
            _ => Ok(()),
        }
    }

    /// Ends one of them.
    pub(crate) fn end_peer(&mut self) -> Result<()> {
        let number = self.some_peer()?;
        self.peers[number] = None;
        Ok(())
    }

    /// Ends all of them, and prepares for memory made anew.
    pub(crate) fn be_alone(&mut self) {
        self.peers = [const { None }; PEERS];
        self.is_uffd_protected = false;
    }
}
