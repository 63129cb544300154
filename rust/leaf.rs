// SPDX-License-Identifier: GPL-2.0

//! What the page table of an address space holds at an address.
//!
//! The walk is lockless and protected as fast GUP's is: with interrupts off, a page table that is
//! unlinked is not freed before the walk ends.

use crate::{
    bindings,
    folio::FolioRef,
    irq::IrqsOff,
    pgtable::{
        at_pud,
        At,
        Pmd,
        Pte,
        Pud, //
    },
    uapi, //
};
use kernel::mm::MmWithUser;

/// The entry that maps an address, or the one at which the walk ended.
#[derive(Clone, Copy)]
pub(crate) struct Leaf {
    /// `enum guplab_level`
    pub(crate) level: u32,
    /// `enum guplab_leaf_flag` bits
    pub(crate) flags: u32,
    /// The page frame that is mapped at the address, if the flags have `GUPLAB_LEAF_MAPPED`.
    pub(crate) pfn: usize,
    /// The entry itself, as the architecture defines it.
    pub(crate) entry: u64,
}

/// How often [`Leaf::with_folio`] starts again when the entry changes under it.
const RETRIES: u32 = 16;

impl Leaf {
    fn empty(level: u32) -> Self {
        Self {
            level,
            flags: 0,
            pfn: 0,
            entry: 0,
        }
    }

    fn nonpresent(level: u32, entry: u64) -> Self {
        Self {
            flags: uapi::GUPLAB_LEAF_NONPRESENT,
            entry,
            ..Self::empty(level)
        }
    }

    fn mapped(level: u32, entry: u64, pfn: usize, tests: &[(u32, bool)]) -> Self {
        let flags = tests
            .iter()
            .filter(|(_, is_set)| *is_set)
            .fold(uapi::GUPLAB_LEAF_MAPPED, |flags, (flag, _)| flags | flag);
        Self {
            level,
            flags,
            pfn,
            entry,
        }
    }

    /// Reads the entry for `addr`.
    pub(crate) fn read(mm: &MmWithUser, addr: usize) -> Self {
        Self::walk(mm, addr, &IrqsOff::new())
    }

    /// Reads the entry for `addr` and takes a reference to the folio that it maps, if it maps one
    /// that has a `struct page`.
    pub(crate) fn with_folio(mm: &MmWithUser, addr: usize) -> (Self, Option<FolioRef>) {
        for _ in 0..RETRIES {
            let irqs = IrqsOff::new();
            let leaf = Self::walk(mm, addr, &irqs);
            if !leaf.has_page() {
                return (leaf, None);
            }
            // As in fast GUP: the reference counts only if the entry is still the same after it
            // was taken. Otherwise the folio may have been freed and used for something else.
            let Some(folio) = FolioRef::try_get(leaf.pfn, &irqs) else {
                continue;
            };
            let again = Self::walk(mm, addr, &irqs);
            drop(irqs);
            if again.is_mapped() && again.pfn == leaf.pfn {
                return (again, Some(folio));
            }
        }
        (Self::read(mm, addr), None)
    }

    /// Returns whether the entry is present and maps a page frame.
    pub(crate) fn is_mapped(&self) -> bool {
        self.flags & uapi::GUPLAB_LEAF_MAPPED != 0
    }

    /// Returns whether what is mapped has a `struct page` that may be referenced. The zero page
    /// has one, though its PTE is special.
    fn has_page(&self) -> bool {
        if !self.is_mapped() {
            return false;
        }
        if self.flags & uapi::GUPLAB_LEAF_SPECIAL != 0 {
            // SAFETY: Has no preconditions.
            return unsafe { bindings::guplab_is_zero_pfn(self.pfn) };
        }
        // SAFETY: Has no preconditions.
        unsafe { bindings::guplab_pfn_valid(self.pfn) }
    }

    fn walk(mm: &MmWithUser, addr: usize, irqs: &IrqsOff) -> Self {
        at_pud(mm, addr, irqs, |pudp| Self::walk_pud(pudp, addr))
            .unwrap_or(Self::empty(uapi::GUPLAB_LEVEL_TOP))
    }

    fn walk_pud(pudp: At<'_, Pud>, addr: usize) -> Self {
        let mut pud = pudp.read();
        if !pud.present() {
            return Self::empty(uapi::GUPLAB_LEVEL_PUD);
        }
        if pud.leaf() {
            return Self::from_pud(pud, addr);
        }
        Self::walk_pmd(pudp.down(&mut pud, addr), addr)
    }

    fn walk_pmd(pmdp: At<'_, Pmd>, addr: usize) -> Self {
        let level = uapi::GUPLAB_LEVEL_PMD;
        let pmd = pmdp.read();
        if pmd.none() {
            return Self::empty(level);
        }
        if !pmd.present() {
            return Self::nonpresent(level, pmd.value());
        }
        if pmd.leaf() {
            return Self::from_pmd(pmd, addr);
        }
        Self::from_pte(pmdp.down(pmd, addr).first().read())
    }

    fn from_pud(pud: Pud, addr: usize) -> Self {
        let tests = [
            (uapi::GUPLAB_LEAF_WRITE, pud.write()),
            (uapi::GUPLAB_LEAF_DIRTY, pud.dirty()),
            (uapi::GUPLAB_LEAF_YOUNG, pud.young()),
            (uapi::GUPLAB_LEAF_SPECIAL, pud.special()),
        ];
        let pfn = pud.pfn(addr);
        Self::mapped(uapi::GUPLAB_LEVEL_PUD, pud.value(), pfn, &tests)
    }

    fn from_pmd(pmd: Pmd, addr: usize) -> Self {
        let tests = [
            (uapi::GUPLAB_LEAF_WRITE, pmd.write()),
            (uapi::GUPLAB_LEAF_DIRTY, pmd.dirty()),
            (uapi::GUPLAB_LEAF_YOUNG, pmd.young()),
            (uapi::GUPLAB_LEAF_PROTNONE, pmd.protnone()),
            (uapi::GUPLAB_LEAF_SPECIAL, pmd.special()),
            (uapi::GUPLAB_LEAF_UFFD_WP, pmd.uffd_wp()),
            (uapi::GUPLAB_LEAF_SOFT_DIRTY, pmd.soft_dirty()),
        ];
        let pfn = pmd.pfn(addr);
        Self::mapped(uapi::GUPLAB_LEVEL_PMD, pmd.value(), pfn, &tests)
    }

    fn from_pte(pte: Pte) -> Self {
        let level = uapi::GUPLAB_LEVEL_PTE;
        if pte.none() {
            return Self::empty(level);
        }
        if !pte.present() {
            return Self::nonpresent(level, pte.value());
        }
        let tests = [
            (uapi::GUPLAB_LEAF_WRITE, pte.write()),
            (uapi::GUPLAB_LEAF_DIRTY, pte.dirty()),
            (uapi::GUPLAB_LEAF_YOUNG, pte.young()),
            (uapi::GUPLAB_LEAF_PROTNONE, pte.protnone()),
            (uapi::GUPLAB_LEAF_SPECIAL, pte.special()),
            (uapi::GUPLAB_LEAF_UFFD_WP, pte.uffd_wp()),
            (uapi::GUPLAB_LEAF_SOFT_DIRTY, pte.soft_dirty()),
        ];
        Self::mapped(level, pte.value(), pte.pfn(), &tests)
    }
}
