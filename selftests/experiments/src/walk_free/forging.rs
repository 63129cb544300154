// SPDX-License-Identifier: GPL-2.0
//! Bait for a walker of a freed page table: memory that is taken as soon as something is freed,
//! full of words that look like page-table entries.
//!
//! A page table that is freed too early is soon used again: as ordinary memory, as another page
//! table, or as a page of the kernel's own. So a pipe is written to, and new memory is touched in
//! places that need new page tables. Both are filled with entries that all map one page, the canary,
//! which is mapped nowhere else, or with entries that make a page fault fail.

use guplab::address::Range;
use guplab::oracle::Evidence;
use guplab::{Pin, PinRequest, Session, Way, page_size, sys};

use super::pipes::Pipe;
use crate::trial::Context;
use crate::{Stop, Trial};

/// Decided about every pin.
pub(super) const NO_CANARY: &str = "no pin returns a page that only forged entries map";

/// Decided about every round: nobody but this process has the pipe.
const PIPE_KEEPS: &str = "a pipe gives back what was written into it";

/// New page tables that are taken each time.
const TABLES: usize = 4;
/// Pages that are taken for each of them.
const PAGES: usize = 4;

/// What the words are, were they entries of a page table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Forged {
    /// They map the canary for everybody: a walk takes it.
    Canary,
    /// The same, but nobody has used them yet: a page fault notes in them that it has.
    Unused,
    /// Memory that was lost: a page fault fails.
    Poison,
    /// They map what is behind all memory: who looks for the page of it finds nothing there.
    Nowhere,
}

impl Forged {
    fn word(self, canary: u64) -> u64 {
        let unused = canary << 12 | BITS.entry;
        match self {
            Forged::Canary => unused | BITS.used,
            Forged::Nowhere => BITS.nowhere | BITS.entry | BITS.used,
            Forged::Unused => unused,
            Forged::Poison => BITS.poison.unwrap_or(unused),
        }
    }
}

/// What entries are made of, apart from the page frame.
struct Bits {
    /// Present, a page or a table, writable, for users.
    entry: u64,
    /// Accessed and dirty.
    used: u64,
    /// A PTE marker: a swap entry of the last type, 31, with PTE_MARKER_POISONED for its offset. A
    /// fault takes it as it is, and doesn't look at the page table again (handle_pte_marker()).
    poison: Option<u64>,
    /// An address behind all memory.
    nowhere: u64,
}

const BITS: Bits = if cfg!(target_arch = "x86_64") {
    Bits {
        entry: 0x7,
        used: 0x60,
        poison: Some(31 << 59 | !2 << 14 >> 5),
        nowhere: 1 << 45,
    }
} else if cfg!(target_arch = "aarch64") {
    Bits {
        // PTE_TYPE_PAGE, PTE_USER, PTE_SHARED, PTE_NG, PTE_WRITE, PTE_PXN, PTE_UXN
        entry: 0x3 | 1 << 6 | 3 << 8 | 1 << 11 | 1 << 51 | 3 << 53,
        // PTE_AF, PTE_DIRTY
        used: 1 << 10 | 1 << 55,
        poison: Some(31 << 6 | 2 << 12),
        nowhere: 1 << 45,
    }
} else if cfg!(target_arch = "arm") {
    Bits {
        // Of LPAE: L_PTE_PRESENT, L_PTE_MT_WRITEALLOC, L_PTE_USER, L_PTE_SHARED, PTE_EXT_NG, L_PTE_XN
        entry: 0x3 | 7 << 2 | 1 << 6 | 3 << 8 | 1 << 11 | 1 << 54,
        // L_PTE_YOUNG, L_PTE_DIRTY
        used: 1 << 10 | 1 << 55,
        poison: Some(31 << 2 | 2 << 8),
        // The last that has an address.
        nowhere: 1 << 39,
    }
} else {
    // A word that nobody else writes.
    Bits {
        entry: 0x7,
        used: 0x60,
        poison: None,
        nowhere: 1 << 45,
    }
};

/// The memory, the pipe, and the canary.
#[derive(Debug)]
pub(super) struct Forger<'s> {
    pipe: Pipe,
    bait: Range,
    pmd_size: usize,
    canary: u64,
    // It must stay where it is, or somebody else could rightly get its page frame.
    _held: Pin<'s>,
    _canary: Range,
}

impl<'s> Forger<'s> {
    pub(super) fn new(session: &'s Session) -> Result<Forger<'s>, Stop> {
        let private = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;
        let pmd_size = session.pmd_size();
        let canary = Range::map(page_size(), page_size(), private, -1).context("a canary")?;
        let request = PinRequest::new(canary.addr(), 1, Way::PinFast, sys::GUPLAB_PIN_WRITE);
        let held = session.pin(&request).context("PIN of the canary")?;
        let frame = held.pages().context("INSPECT of the canary")?[0].0.pfn;
        let bait = Range::map(TABLES * pmd_size, pmd_size, private, -1).context("memory")?;
        // A huge page would need no new page table.
        bait.advise(0, bait.len(), libc::MADV_NOHUGEPAGE)
            .context("MADV_NOHUGEPAGE")?;
        Ok(Forger {
            pipe: Pipe::new().context("a pipe")?,
            bait,
            pmd_size,
            canary: frame,
            _held: held,
            _canary: canary,
        })
    }

    /// Takes memory and fills it, at the same place below each page table as `page`.
    pub(super) fn fill(&mut self, page: usize, forged: Forged) {
        let word = forged.word(self.canary);
        // First, while the page tables that were freed are what this CPU takes next.
        self.pipe.fill(word);
        let in_table = self.pmd_size / page_size();
        let first = (page % in_table).min(in_table - PAGES);
        for table in 0..TABLES {
            for page in first..first + PAGES {
                let at = table * self.pmd_size + page * page_size();
                for offset in (0..page_size()).step_by(8) {
                    let place = self.bait.word(at + offset);
                    place.store(word, std::sync::atomic::Ordering::Relaxed);
                }
            }
        }
    }

    /// Gives everything back.
    pub(super) fn clear(&self) -> Result<(), Stop> {
        self.bait
            .advise(0, self.bait.len(), libc::MADV_DONTNEED)
            .context("MADV_DONTNEED of the bait")
    }

    /// Decides about the pipe.
    pub(super) fn judge_pipe(&mut self, trial: &mut Trial<'_>) -> Result<(), Stop> {
        let changed = self.pipe.drain().context("reading from the pipe")?;
        trial.oracle.decide(PIPE_KEEPS, changed.is_none(), || {
            let (offset, written, seen) = changed.unwrap_or_default();
            Evidence::default().detail(format!(
                "word {offset}: {written:#x} was written, {seen:#x} read"
            ))
        });
        Ok(())
    }

    /// Decides about a pin.
    pub(super) fn judge(&self, trial: &mut Trial<'_>, pin: &Pin<'_>) -> Result<(), Stop> {
        for page in pin.pages().context("INSPECT of a pin")? {
            let well = page.0.pfn != self.canary;
            trial.oracle.decide(NO_CANARY, well, || {
                Evidence::at(page.0.addr as usize)
                    .frames(Some(page.0.pfn), page.mapped())
                    .detail(format!(
                        "the page frame of the canary is {:#x}",
                        self.canary
                    ))
            });
        }
        Ok(())
    }
}
