// SPDX-License-Identifier: GPL-2.0

//! What the page table of an address space holds at an address.
//!
//! The walk is lockless, as fast GUP's, and is protected as it is (mm/gup.c, "Fast GUP"): with
//! interrupts off, a page table that is unlinked is not freed before the walk ends, because its
//! freeing waits for an IPI or for an RCU grace period.
//!
//! ```text
//! CPU 0: Leaf::read()                     CPU 1: unmaps, frees the table
//!   local_irq_save()
//!   pmd = READ_ONCE(*pmdp)
//!                                           clears *pmdp
//!                                           sends an IPI, or call_rcu()   ... waits
//!   pte = READ_ONCE(table[i])
//!   local_irq_restore()
//!                                           ... frees the table
//! ```

use crate::{
    bindings,
    folio::FolioRef,
    irq::IrqsOff,
    uapi, //
};
use kernel::{
    bindings::{
        pmd_t,
        pud_t, //
    },
    mm::MmWithUser,
    page::PAGE_SHIFT, //
};

/// The entry that maps an address, or the one at which the walk ended.
#[derive(Clone, Copy)]
pub(crate) struct Leaf {
    /// `enum guplab_level`
    pub(crate) level: u32,
    /// `enum guplab_leaf_flag` bits
    pub(crate) flags: u32,
    /// The page frame that is mapped at the address, if the flags have `GUPLAB_LEAF_MAPPED`.
    pub(crate) pfn: usize,
}

/// How often [`Leaf::with_folio`] starts again when the entry changes under it.
const RETRIES: u32 = 16;

impl Leaf {
    fn empty(level: u32) -> Self {
        Self {
            level,
            flags: 0,
            pfn: 0,
        }
    }

    fn nonpresent(level: u32) -> Self {
        Self {
            flags: uapi::GUPLAB_LEAF_NONPRESENT,
            ..Self::empty(level)
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
        let top = Self::empty(uapi::GUPLAB_LEVEL_TOP);

        // SAFETY: The mm has users, so it has a top-level table.
        let pgdp = unsafe { bindings::guplab_pgd_offset(mm.as_raw(), addr) };
        // SAFETY: `pgdp` points into that table.
        let mut pgd = unsafe { bindings::guplab_pgdp_get(pgdp) };
        // SAFETY: Has no preconditions.
        if !unsafe { bindings::guplab_pgd_present(pgd) } {
            return top;
        }
        // SAFETY: `pgd` was read from `pgdp`, is present, and outlives the use of the result.
        let p4dp = unsafe { bindings::guplab_p4d_offset(pgdp, &mut pgd, addr) };
        // SAFETY: `p4dp` points to `pgd`, or into a table that stays while interrupts are off.
        let mut p4d = unsafe { bindings::guplab_p4dp_get(p4dp) };
        // SAFETY: Has no preconditions.
        if !unsafe { bindings::guplab_p4d_present(p4d) } {
            return top;
        }
        // SAFETY: `p4d` was read from `p4dp`, is present, and outlives the use of the result.
        let pudp = unsafe { bindings::guplab_pud_offset(p4dp, &mut p4d, addr) };
        // SAFETY: `pudp` points to `p4d`, or into a table that stays while interrupts are off.
        let pud = unsafe { bindings::guplab_pudp_get(pudp) };
        Self::walk_pud(pudp, pud, addr, irqs)
    }

    fn walk_pud(pudp: *mut pud_t, mut pud: pud_t, addr: usize, irqs: &IrqsOff) -> Self {
        // SAFETY: Has no preconditions.
        let value = unsafe { bindings::guplab_pud_val(pud) };
        // SAFETY: Has no preconditions.
        if !unsafe { bindings::guplab_pud_present(value) } {
            return Self::empty(uapi::GUPLAB_LEVEL_PUD);
        }
        // SAFETY: Has no preconditions.
        if unsafe { bindings::guplab_pud_leaf(value) } {
            return Self::from_pud(value, addr);
        }
        // SAFETY: `pud` was read from `pudp`, points to a table, and outlives the result's use.
        let pmdp = unsafe { bindings::guplab_pmd_offset(pudp, &mut pud, addr) };
        Self::walk_pmd(pmdp, addr, irqs)
    }

    fn walk_pmd(pmdp: *mut pmd_t, addr: usize, _irqs: &IrqsOff) -> Self {
        // SAFETY: `pmdp` points into a table that stays while interrupts are off.
        let pmd = unsafe { bindings::guplab_pmdp_get_lockless(pmdp) };
        // SAFETY: Has no preconditions.
        if unsafe { bindings::guplab_pmd_none(pmd) } {
            return Self::empty(uapi::GUPLAB_LEVEL_PMD);
        }
        // SAFETY: Has no preconditions.
        if !unsafe { bindings::guplab_pmd_present(pmd) } {
            return Self::nonpresent(uapi::GUPLAB_LEVEL_PMD);
        }
        // SAFETY: Has no preconditions.
        if unsafe { bindings::guplab_pmd_leaf(pmd) } {
            return Self::from_pmd(pmd, addr);
        }
        // SAFETY: `pmd` points to a table, and tables stay while interrupts are off.
        let ptep = unsafe { bindings::guplab_pte_offset(pmd, addr) };
        // SAFETY: `ptep` points into that table.
        let pte = unsafe { bindings::guplab_ptep_get_lockless(ptep) };
        // SAFETY: Has no preconditions.
        if unsafe { bindings::guplab_pte_none(pte) } {
            return Self::empty(uapi::GUPLAB_LEVEL_PTE);
        }
        // SAFETY: Has no preconditions.
        if !unsafe { bindings::guplab_pte_present(pte) } {
            return Self::nonpresent(uapi::GUPLAB_LEVEL_PTE);
        }
        Self::from_pte(pte)
    }

    fn from_pud(pud: u64, addr: usize) -> Self {
        // SAFETY: `pud` is a leaf.
        let pfn = unsafe { bindings::guplab_pud_pfn(pud) };
        Self {
            level: uapi::GUPLAB_LEVEL_PUD,
            flags: uapi::GUPLAB_LEAF_MAPPED | flags_of(pud, &PUD_TESTS),
            pfn: pfn + pages_into(addr, bindings::GUPLAB_PUD_SIZE),
        }
    }

    fn from_pmd(pmd: u64, addr: usize) -> Self {
        // SAFETY: `pmd` is a leaf.
        let pfn = unsafe { bindings::guplab_pmd_pfn(pmd) };
        Self {
            level: uapi::GUPLAB_LEVEL_PMD,
            flags: uapi::GUPLAB_LEAF_MAPPED | flags_of(pmd, &PMD_TESTS),
            pfn: pfn + pages_into(addr, bindings::GUPLAB_PMD_SIZE),
        }
    }

    fn from_pte(pte: u64) -> Self {
        // SAFETY: `pte` is present.
        let pfn = unsafe { bindings::guplab_pte_pfn(pte) };
        Self {
            level: uapi::GUPLAB_LEVEL_PTE,
            flags: uapi::GUPLAB_LEAF_MAPPED | flags_of(pte, &PTE_TESTS),
            pfn,
        }
    }
}

/// A question asked of the value of an entry; it has no preconditions.
type Test = unsafe extern "C" fn(u64) -> bool;

const PUD_TESTS: [(u32, Test); 3] = [
    (uapi::GUPLAB_LEAF_WRITE, bindings::guplab_pud_write),
    (uapi::GUPLAB_LEAF_DIRTY, bindings::guplab_pud_dirty),
    (uapi::GUPLAB_LEAF_YOUNG, bindings::guplab_pud_young),
];

const PMD_TESTS: [(u32, Test); 7] = [
    (uapi::GUPLAB_LEAF_WRITE, bindings::guplab_pmd_write),
    (uapi::GUPLAB_LEAF_DIRTY, bindings::guplab_pmd_dirty),
    (uapi::GUPLAB_LEAF_YOUNG, bindings::guplab_pmd_young),
    (uapi::GUPLAB_LEAF_PROTNONE, bindings::guplab_pmd_protnone),
    (uapi::GUPLAB_LEAF_SPECIAL, bindings::guplab_pmd_special),
    (uapi::GUPLAB_LEAF_UFFD_WP, bindings::guplab_pmd_uffd_wp),
    (
        uapi::GUPLAB_LEAF_SOFT_DIRTY,
        bindings::guplab_pmd_soft_dirty,
    ),
];

const PTE_TESTS: [(u32, Test); 7] = [
    (uapi::GUPLAB_LEAF_WRITE, bindings::guplab_pte_write),
    (uapi::GUPLAB_LEAF_DIRTY, bindings::guplab_pte_dirty),
    (uapi::GUPLAB_LEAF_YOUNG, bindings::guplab_pte_young),
    (uapi::GUPLAB_LEAF_PROTNONE, bindings::guplab_pte_protnone),
    (uapi::GUPLAB_LEAF_SPECIAL, bindings::guplab_pte_special),
    (uapi::GUPLAB_LEAF_UFFD_WP, bindings::guplab_pte_uffd_wp),
    (
        uapi::GUPLAB_LEAF_SOFT_DIRTY,
        bindings::guplab_pte_soft_dirty,
    ),
];

fn flags_of(entry: u64, tests: &[(u32, Test)]) -> u32 {
    tests
        .iter()
        // SAFETY: A test has no preconditions.
        .filter(|(_, test)| unsafe { test(entry) })
        .fold(0, |flags, (flag, _)| flags | flag)
}

/// Returns how many pages `addr` is into an entry that maps `size` bytes.
fn pages_into(addr: usize, size: usize) -> usize {
    (addr & (size - 1)) >> PAGE_SHIFT
}

#[kernel::macros::kunit_tests(guplab_leaf)]
mod tests {
    use super::*;

    #[test]
    fn a_huge_entry_maps_page_after_page() {
        let size = 512 << PAGE_SHIFT;
        assert_eq!(pages_into(0, size), 0);
        assert_eq!(pages_into(size + (3 << PAGE_SHIFT), size), 3);
        assert_eq!(pages_into(size - 1, size), 511);
    }
}
