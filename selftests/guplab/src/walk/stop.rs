// SPDX-License-Identifier: GPL-2.0
//! Where a walk ends, and why.

use std::fmt;

use crate::page::Page;
use crate::sys;

named! {
    /// The level of a page-table entry.
    Level (sys::GUPLAB_NR_LEVELS):
    Pte GUPLAB_LEVEL_PTE "pte" "a PTE",
    Pmd GUPLAB_LEVEL_PMD "pmd" "a PMD: it maps a huge page, or has no PTE table below it",
    Pud GUPLAB_LEVEL_PUD "pud" "a PUD: it maps a huge page, or has no PMD table below it",
    Top GUPLAB_LEVEL_TOP "top" "an entry above the PUD",
}

named! {
    /// Why a walk ended at an entry.
    Stop (sys::GUPLAB_NR_STOPS):
    None GUPLAB_STOP_NONE "none" "the page is taken",
    Fork GUPLAB_STOP_FORK "fork" "fork() is write-protecting the address space",
    Forked GUPLAB_STOP_FORKED "forked" "fork() began to write-protect during the walk: all is given back",
    Limit GUPLAB_STOP_LIMIT "limit" "the range is not one that can be walked",
    Empty GUPLAB_STOP_EMPTY "empty" "the entry is empty",
    Nonpresent GUPLAB_STOP_NONPRESENT "nonpresent" "the entry is swap, migration or a marker",
    Protnone GUPLAB_STOP_PROTNONE "protnone" "the entry is PROT_NONE or a NUMA hint",
    Permission GUPLAB_STOP_PERMISSION "permission" "the entry doesn't permit the access",
    Special GUPLAB_STOP_SPECIAL "special" "the entry is special: no struct page that could be pinned",
    NoPage GUPLAB_STOP_NO_PAGE "no-page" "no struct page behind the page frame, or the table can't be reached",
    P2pdma GUPLAB_STOP_P2PDMA "p2pdma" "the page is memory of a PCI device",
    FolioGone GUPLAB_STOP_FOLIO_GONE "folio-gone" "the folio had no reference any more",
    Placement GUPLAB_STOP_PLACEMENT "placement" "the folio may not stay where it is for a long-term pin",
    PmdChanged GUPLAB_STOP_PMD_CHANGED "pmd-changed" "the PMD above the PTE was another one when it was read again",
    Changed GUPLAB_STOP_CHANGED "changed" "the entry was another one when it was read again",
    File GUPLAB_STOP_FILE "file" "a long-term pin for writing of a page of a file, or secret memory",
    Unshare GUPLAB_STOP_UNSHARE "unshare" "the page is not exclusive, and would have to be made so",
}

/// What a walk would do at an address.
#[derive(Clone, Copy, Debug)]
pub struct Explanation(pub sys::guplab_explain);

impl Explanation {
    /// The first step that would refuse; nothing if the module is newer than this program.
    pub fn stop(&self) -> Option<Stop> {
        Stop::of(self.0.stop)
    }

    /// The level of the entry at which the walk ends.
    pub fn level(&self) -> Option<Level> {
        Level::of(self.0.level)
    }

    /// Whether the page would be taken.
    pub fn is_taken(&self) -> bool {
        self.0.stop == sys::GUPLAB_STOP_NONE
    }

    /// The page as far as it was seen, for what is the same as in INSPECT: names of flags above all.
    pub fn page(&self) -> Page {
        Page(sys::guplab_page {
            addr: self.0.addr,
            pfn: self.0.pfn,
            map_pfn: self.0.pfn,
            order: self.0.order,
            flags: self.0.page_flags,
            leaf_flags: self.0.leaf_flags,
            level: self.0.level,
            ..Default::default()
        })
    }
}

impl fmt::Display for Explanation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.stop() {
            Some(Stop::None) => write!(f, "taken, {} at once", self.0.run),
            Some(stop) => write!(f, "{stop}: {}", stop.about()),
            None => write!(f, "stop {}", self.0.stop),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stops_and_levels_have_the_numbers_of_their_order() {
        for (number, stop) in Stop::ALL.into_iter().enumerate() {
            assert_eq!(stop.number() as usize, number, "{stop}");
        }
        for (number, level) in Level::ALL.into_iter().enumerate() {
            assert_eq!(level.number() as usize, number, "{level}");
        }
    }

    #[test]
    fn an_explanation_says_why() {
        let of = |stop| {
            Explanation(sys::guplab_explain {
                stop,
                run: 16,
                ..Default::default()
            })
        };
        assert_eq!(of(sys::GUPLAB_STOP_NONE).to_string(), "taken, 16 at once");
        let text = of(sys::GUPLAB_STOP_EMPTY).to_string();
        assert_eq!(text, "empty: the entry is empty");
        assert_eq!(of(99).to_string(), "stop 99");
    }
}
