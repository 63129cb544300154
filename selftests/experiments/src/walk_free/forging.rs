// SPDX-License-Identifier: GPL-2.0
//! Bait for a walker of a freed page table: memory that is taken as soon as something is freed,
//! full of words that look like page-table entries.
//!
//! A page table that is freed too early is soon used again: as ordinary memory, or as another page
//! table. So new memory is touched in places that need new page tables, and filled with entries
//! that all map one page, the canary, which is mapped nowhere else.

use guplab::address::Range;
use guplab::oracle::Evidence;
use guplab::{Pin, PinRequest, Session, Way, page_size, sys};

use crate::trial::Context;
use crate::{Stop, Trial};

/// Decided about every pin.
pub(super) const NO_CANARY: &str = "no pin returns a page that only forged entries map";

/// New page tables that are taken each time.
const TABLES: usize = 4;
/// Pages that are taken for each of them.
const PAGES: usize = 4;

/// The memory, and the canary.
#[derive(Debug)]
pub(super) struct Forger<'s> {
    bait: Range,
    pmd_size: usize,
    canary: u64,
    // It must stay where it is, or somebody else could rightly get its page frame.
    _held: Pin<'s>,
    _canary: Range,
}

/// A word that maps a page for everybody, were it an entry of a page table.
fn entry(frame: u64) -> u64 {
    // Present, writable, for users, accessed and dirty on x86; elsewhere it is just a word that
    // nobody else writes.
    frame << 12 | 0x67
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
            bait,
            pmd_size,
            canary: frame,
            _held: held,
            _canary: canary,
        })
    }

    /// Takes memory and fills it, at the same place below each page table as `page`.
    pub(super) fn fill(&self, page: usize) {
        let in_table = self.pmd_size / page_size();
        let first = (page % in_table).min(in_table - PAGES);
        for table in 0..TABLES {
            for page in first..first + PAGES {
                let at = table * self.pmd_size + page * page_size();
                for word in (0..page_size()).step_by(8) {
                    let word = self.bait.word(at + word);
                    word.store(entry(self.canary), std::sync::atomic::Ordering::Relaxed);
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
