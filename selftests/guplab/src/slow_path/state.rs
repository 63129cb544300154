// SPDX-License-Identifier: GPL-2.0
//! The page-table entry, as one fault after the other leaves it.

use crate::pagemap::Entry;
use crate::slow_path::{Known, Which};
use crate::sys;
use crate::walk::{Explanation, Level, Stop};

/// An entry that is neither empty nor present.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Nonpresent {
    /// The page is in swap.
    Swap {
        /// userfaultfd write-protects it.
        uffd_wp: bool,
    },
    /// A guard region (MADV_GUARD_INSTALL).
    Guard,
    /// userfaultfd's write protection of a page that isn't there.
    UffdWp,
    /// Memory that is broken, and was not copied by UFFDIO_POISON or by fork().
    Poisoned,
    /// Migration, or a page of a device, or broken memory: pagemap doesn't tell which.
    Other,
}

/// Swap areas have smaller types than this in every configuration of the kernel.
const MOST_SWAP_AREAS: u8 = 23;

/// SWP_PTE_MARKER
const MARKER: u8 = 31;

impl Nonpresent {
    /// What the entry is, as pagemap tells it.
    pub fn of(pagemap: Option<Entry>) -> Nonpresent {
        let Some(entry) = pagemap else {
            return Nonpresent::Other;
        };
        match entry.swap_type() {
            _ if entry.is_guard() => Nonpresent::Guard,
            Some(area) if area < MOST_SWAP_AREAS => Nonpresent::Swap {
                uffd_wp: entry.is_uffd_wp(),
            },
            Some(MARKER) if entry.is_uffd_wp() => Nonpresent::UffdWp,
            Some(MARKER) => Nonpresent::Poisoned,
            // hugetlb has no swap, and pagemap tells no types there.
            None if entry.is_uffd_wp() => Nonpresent::UffdWp,
            _ => Nonpresent::Other,
        }
    }
}

/// Whether an anonymous page is exclusive (PageAnonExclusive()).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Exclusive {
    Yes,
    /// Not, but nobody else refers to it.
    Last,
    /// Not, though it may be that nobody else has it.
    No,
    /// Not, for others have mapped it.
    Shared,
    /// Not, for KSM has merged it.
    Ksm,
    /// It will turn out when the page is there.
    Unknown,
}

/// What is mapped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Memory {
    Anon(Exclusive),
    File,
    Zero,
    /// Nothing with a struct page.
    Pfn,
    P2pdma,
}

/// An entry that maps something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Mapped {
    pub(super) memory: Memory,
    pub(super) is_writable: bool,
    pub(super) is_protnone: bool,
    pub(super) is_uffd_wp: bool,
    pub(super) is_soft_dirty: bool,
    /// The folio may not stay where it is for a long-term pin.
    pub(super) is_movable: bool,
    /// A PMD or PUD maps it.
    pub(super) is_huge: bool,
    /// A PMD may map it: the page cache decides.
    pub(super) may_be_huge: bool,
    /// Whether it is what is mapped now.
    pub(super) origin: Which,
}

impl Mapped {
    /// A page that a fault has mapped.
    pub(super) fn new(memory: Memory, is_writable: bool) -> Mapped {
        Mapped {
            memory,
            is_writable,
            is_protnone: false,
            is_uffd_wp: false,
            is_soft_dirty: true,
            is_movable: false,
            is_huge: false,
            may_be_huge: false,
            origin: Which::Another,
        }
    }

    /// The page that is taken if this is.
    pub(super) fn which(self) -> Which {
        match self.memory {
            Memory::Zero => Which::Zero,
            _ => self.origin,
        }
    }
}

/// The entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    Empty {
        /// There is no PTE table.
        huge: bool,
        /// userfaultfd's write protection is to come with the page.
        uffd_wp: bool,
    },
    Nonpresent(Nonpresent),
    Mapped(Mapped),
}

impl State {
    /// As it was seen.
    pub(super) fn of(known: &Known<'_>) -> State {
        let seen = known.seen;
        let has = |flag| seen.0.leaf_flags & flag != 0;
        let huge = seen.level() != Some(Level::Pte);
        if has(sys::GUPLAB_LEAF_NONPRESENT) {
            return State::Nonpresent(Nonpresent::of(known.pagemap));
        }
        if !has(sys::GUPLAB_LEAF_MAPPED) {
            return State::Empty {
                huge,
                uffd_wp: false,
            };
        }
        let page = known.page_flags();
        let there = page & sys::GUPLAB_PAGE_PRESENT != 0;
        State::Mapped(Mapped {
            memory: memory(known, seen),
            is_writable: has(sys::GUPLAB_LEAF_WRITE),
            is_protnone: has(sys::GUPLAB_LEAF_PROTNONE),
            is_uffd_wp: has(sys::GUPLAB_LEAF_UFFD_WP),
            is_soft_dirty: has(sys::GUPLAB_LEAF_SOFT_DIRTY),
            is_movable: there && page & sys::GUPLAB_PAGE_LONGTERM_OK == 0,
            is_huge: huge,
            may_be_huge: false,
            origin: Which::Mapped,
        })
    }
}

/// Whether others have a page that isn't exclusive, as far as counters tell.
fn sharing(page: &sys::guplab_page, huge: bool) -> Exclusive {
    let has = |flag| page.flags & flag != 0;
    if has(sys::GUPLAB_PAGE_HUGETLB) {
        // hugetlb_wp() asks for mappings only.
        return match page.mapcount {
            1 => Exclusive::Last,
            _ => Exclusive::Shared,
        };
    }
    // Those of a folio say nothing of one page of it.
    if has(sys::GUPLAB_PAGE_LARGE) && !huge {
        return Exclusive::No;
    }
    match (page.mapcount, page.refcount) {
        (2.., _) => Exclusive::Shared,
        (1, 1) => Exclusive::Last,
        // The swap cache, or an LRU batch, gives its reference back, or somebody keeps his.
        _ => Exclusive::No,
    }
}

fn memory(known: &Known<'_>, seen: &Explanation) -> Memory {
    let has = |flag| known.page_flags() & flag != 0;
    let special = seen.0.leaf_flags & sys::GUPLAB_LEAF_SPECIAL != 0;
    let huge = seen.level() != Some(Level::Pte);
    if seen.stop() == Some(Stop::P2pdma) {
        return Memory::P2pdma;
    }
    if has(sys::GUPLAB_PAGE_ANON) {
        return Memory::Anon(match known.page {
            _ if has(sys::GUPLAB_PAGE_EXCLUSIVE) => Exclusive::Yes,
            _ if has(sys::GUPLAB_PAGE_KSM) => Exclusive::Ksm,
            Some(page) => sharing(&page.0, huge),
            None => Exclusive::No,
        });
    }
    // The huge zero page is the only other page that a PMD maps in an anonymous VMA.
    let zero = huge && known.vma.is_some_and(|vma| vma.is_anonymous());
    if has(sys::GUPLAB_PAGE_ZERO) || zero {
        return Memory::Zero;
    }
    if special || !has(sys::GUPLAB_PAGE_PRESENT) {
        return Memory::Pfn;
    }
    Memory::File
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pagemap_tells_what_is_not_present() {
        let of = |bits| Nonpresent::of(Some(Entry(bits)));
        let swap = 1 << 62;
        let swapped = |uffd_wp| Nonpresent::Swap { uffd_wp };
        assert_eq!(of(swap), swapped(false));
        assert_eq!(of(swap | 7 << 5 | 2), swapped(false));
        assert_eq!(of(swap | 1 << 58 | 31), Nonpresent::Guard);
        assert_eq!(of(swap | 1 << 57 | 31), Nonpresent::UffdWp);
        assert_eq!(of(swap | 1 << 57 | 2), swapped(true));
        assert_eq!(of(swap | 31), Nonpresent::Poisoned);
        assert_eq!(of(swap | 27), Nonpresent::Other);
        assert_eq!(of(1 << 57), Nonpresent::UffdWp);
        assert_eq!(Nonpresent::of(None), Nonpresent::Other);
    }
}
