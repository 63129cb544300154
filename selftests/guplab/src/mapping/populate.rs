// SPDX-License-Identifier: GPL-2.0
//! How memory comes to be of its kind, and how that is verified.

use std::sync::atomic::Ordering;

use crate::device::Session;
use crate::knob::Knob;
use crate::mapping::kind::{Kind, MTHP_SIZE};
use crate::mapping::{Mapping, Unavailable};
use crate::page::Page;
use crate::page_size;

const POLICY: &str = "/sys/kernel/mm/transparent_hugepage";

/// What the THP policy is where no advice is given.
fn thp_is_always() -> bool {
    std::fs::read_to_string(format!("{POLICY}/enabled")).is_ok_and(|text| text.contains("[always]"))
}

/// Lets page faults use huge pages of [`MTHP_SIZE`] where advised. Without advice nothing changes
/// for anybody, so it does no harm if it stays.
pub(super) fn allow_mthp() -> Result<Option<Knob>, String> {
    let path = format!("{POLICY}/hugepages-{}kB/enabled", MTHP_SIZE >> 10);
    let now = std::fs::read_to_string(&path).map_err(|e| format!("{path}: {e}"))?;
    if now.contains("[always]") || now.contains("[madvise]") {
        return Ok(None);
    }
    let knob = Knob::set(path, "madvise").map_err(|e| e.to_string())?;
    Ok(Some(knob))
}

impl Mapping {
    pub(super) fn populate(&self, session: &Session) -> Result<(), Unavailable> {
        let all = self.len();
        let always = thp_is_always();
        match self.kind {
            // Only the population must not use huge pages: later a collapse is allowed to.
            Kind::Anon4k if always => {
                self.advise_bytes(0, all, libc::MADV_NOHUGEPAGE)?;
                self.advise_bytes(0, all, libc::MADV_POPULATE_WRITE)?;
                self.advise_bytes(0, all, libc::MADV_HUGEPAGE)?;
            }
            Kind::AnonThp | Kind::AnonPteThp => {
                self.advise_bytes(0, all, libc::MADV_HUGEPAGE)?;
                self.advise_bytes(0, all, libc::MADV_POPULATE_WRITE)?;
                self.make_huge(session)?;
                if self.kind == Kind::AnonPteThp {
                    self.split_pmds()?;
                }
            }
            Kind::AnonMthp => self.populate_halves()?,
            Kind::ShmemThp => {
                self.advise_bytes(0, all, libc::MADV_POPULATE_WRITE)?;
                self.make_huge(session)?;
                // A collapse of page cache leaves the PMD to the next fault.
                self.advise_bytes(0, all, libc::MADV_POPULATE_WRITE)?;
            }
            _ => self.advise_bytes(0, all, libc::MADV_POPULATE_WRITE)?,
        }
        Ok(())
    }

    /// Populates half of what a PMD maps at a time, the only part of its VMA then: else the fault
    /// would take a huge page of the PMD's size, where that policy is `madvise`.
    fn populate_halves(&self) -> Result<(), Unavailable> {
        let half = self.pmd_size / 2;
        self.advise_bytes(0, self.len(), libc::MADV_NOHUGEPAGE)?;
        for at in (0..self.len()).step_by(half) {
            self.advise_bytes(at, half, libc::MADV_HUGEPAGE)?;
            self.advise_bytes(at, half, libc::MADV_POPULATE_WRITE)?;
            self.advise_bytes(at, half, libc::MADV_NOHUGEPAGE)?;
        }
        self.advise_bytes(0, self.len(), libc::MADV_HUGEPAGE)
    }

    /// Collapses what the page fault has not made huge, for want of a free huge page at that time
    /// or because no policy lets it.
    fn make_huge(&self, session: &Session) -> Result<(), Unavailable> {
        for at in (0..self.len()).step_by(self.pmd_size) {
            if !self.look(session, at)?.is_pmd_leaf() {
                self.advise_bytes(at, self.pmd_size, libc::MADV_COLLAPSE)?;
            }
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

    fn advise_bytes(&self, at: usize, len: usize, advice: libc::c_int) -> Result<(), Unavailable> {
        let what = match advice {
            libc::MADV_HUGEPAGE => "MADV_HUGEPAGE",
            libc::MADV_NOHUGEPAGE => "MADV_NOHUGEPAGE",
            libc::MADV_COLLAPSE => "MADV_COLLAPSE",
            _ => "MADV_POPULATE_WRITE",
        };
        self.range
            .advise(at, len, advice)
            .map_err(|e| self.unavailable(format!("{what}: {e}")))
    }

    fn look(&self, session: &Session, at: usize) -> Result<Page, Unavailable> {
        session
            .inspect(0, self.addr() + at, 1)
            .map(|pages| pages[0])
            .map_err(|e| self.unavailable(format!("INSPECT: {e}")))
    }

    /// Looks at the first `pages` pages of each PMD, and at the last one.
    pub(super) fn verify(&self, session: &Session, pages: u32) -> Result<(), Unavailable> {
        let order = session.pmd_order();
        for at in (0..self.len()).step_by(self.pmd_size) {
            let mut seen = session
                .inspect(0, self.addr() + at, pages)
                .map_err(|e| self.unavailable(format!("INSPECT: {e}")))?;
            seen.push(self.look(session, at + self.pmd_size - page_size())?);
            if let Some(page) = seen.iter().find(|page| !self.kind.has(page, order)) {
                return Err(self.unavailable(format!("the kernel gave something else: {page}")));
            }
        }
        Ok(())
    }
}
