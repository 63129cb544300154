// SPDX-License-Identifier: GPL-2.0

//! Page tables, read locklessly, as types.
//!
//! An entry is read once, into a value, and everything is asked of that value. A place in a table
//! ([`At`]) lasts as long as what keeps tables in place: interrupts off, or what a walk has chosen.
//!
//! ```text
//! CPU 0: walks                            CPU 1: unmaps, frees the table
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
    irq::IrqsOff, //
};
use core::marker::PhantomData;
use kernel::{
    bindings::{
        pmd_t,
        pte_t,
        pud_t, //
    },
    mm::MmWithUser,
    page::PAGE_SHIFT, //
};

/// Whether an entry has more than one word, which is read at once nevertheless.
pub(crate) const WIDE_ENTRIES: bool = size_of::<pte_t>() > size_of::<usize>();

/// A place in a page table of some level, which is there during `'w`.
///
/// # Invariants
///
/// `ptr` was derived from an entry that was read during `'w`, for an address below the limit of
/// user addresses, or points behind the last entry that may be read. Tables lie in the kernel's
/// direct map, or are mapped by a [`PteTable`], so that a read never faults; `'w` is what keeps them
/// from being used for anything else. Where a level is folded, `ptr` points to the value of the level
/// above.
pub(crate) struct At<'w, E: Entry> {
    ptr: *mut E::Raw,
    _tables: PhantomData<&'w E>,
}

/// An entry of some level. The kernel's types for the levels may be one and the same.
pub(crate) trait Entry {
    /// The kernel's type.
    type Raw;
}

impl Entry for Pud {
    type Raw = pud_t;
}

impl Entry for Pmd {
    type Raw = pmd_t;
}

impl Entry for Pte {
    type Raw = pte_t;
}

impl<E: Entry> Clone for At<'_, E> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<E: Entry> Copy for At<'_, E> {}

impl<E: Entry> At<'_, E> {
    #[inline(always)]
    fn new(ptr: *mut E::Raw) -> Self {
        // INVARIANT: Each caller has got it from the kernel's `*_offset()`.
        Self {
            ptr,
            _tables: PhantomData,
        }
    }

    /// Returns the place `n` entries further. It may only be read if the table has it.
    #[inline(always)]
    pub(crate) fn plus(self, n: usize) -> Self {
        Self::new(self.ptr.wrapping_add(n))
    }
}

/// Defines what can be asked of an entry's value: functions of C that look at nothing else.
macro_rules! questions {
    ($entry:ident: $($(#[$doc:meta])* $name:ident = $function:ident;)*) => {
        impl $entry {$(
            $(#[$doc])*
            #[inline(always)]
            pub(crate) fn $name(self) -> bool {
                // SAFETY: It looks at the value only.
                unsafe { bindings::$function(self.value()) }
            }
        )*}
    };
}

/// Defines where the part of a range ends that one entry of a level maps.
macro_rules! ends {
    ($($(#[$doc:meta])* $name:ident = $function:ident;)*) => {$(
        $(#[$doc])*
        #[inline(always)]
        pub(crate) fn $name(addr: usize, end: usize) -> usize {
            // SAFETY: It calculates.
            unsafe { bindings::$function(addr, end) }
        }
    )*};
}

ends! {
    /// Returns where the part of the range ends that the PUD entry of `addr` maps.
    pud_addr_end = guplab_pud_addr_end;
    /// The same of its PMD entry.
    pmd_addr_end = guplab_pmd_addr_end;
}

/// An entry that points to a table of PMDs, or maps memory.
#[derive(Clone, Copy)]
pub(crate) struct Pud(pud_t);

/// An entry that points to a table of PTEs, or maps memory.
#[derive(Clone, Copy, PartialEq)]
pub(crate) struct Pmd(u64);

/// An entry that maps one page.
#[derive(Clone, Copy, PartialEq)]
pub(crate) struct Pte(u64);

/// What keeps page tables in place as long as it lives, as well as it can.
pub(crate) trait KeepsTables {}

impl KeepsTables for IrqsOff {}

/// Goes down to the PUD entry for `addr`, and calls `then` with its place. Returns nothing where there
/// is no table of PUDs.
///
/// Where a level above is folded, that place is a value which was read on the way, and which lasts as
/// long as the call.
#[inline(always)]
pub(crate) fn at_pud<R>(
    mm: &MmWithUser,
    addr: usize,
    _kept: &impl KeepsTables,
    then: impl FnOnce(At<'_, Pud>) -> R,
) -> Option<R> {
    // SAFETY: The mm has users, so it has a top-level table.
    let pgdp = unsafe { bindings::guplab_pgd_offset(mm.as_raw(), addr) };
    // SAFETY: `pgdp` points into that table.
    let mut pgd = unsafe { bindings::guplab_pgdp_get(pgdp) };
    // SAFETY: It looks at the value only.
    if !unsafe { bindings::guplab_pgd_present(pgd) } {
        return None;
    }
    // SAFETY: `pgd` was read from `pgdp`, is present, and outlives the result's use.
    let p4dp = unsafe { bindings::guplab_p4d_offset(pgdp, &mut pgd, addr) };
    // SAFETY: `p4dp` points to `pgd`, or into a table that is kept.
    let mut p4d = unsafe { bindings::guplab_p4dp_get(p4dp) };
    // SAFETY: It looks at the value only.
    if !unsafe { bindings::guplab_p4d_present(p4d) } {
        return None;
    }
    // SAFETY: `p4d` was read from `p4dp`, is present, and outlives the result's use.
    let pudp = unsafe { bindings::guplab_pud_offset(p4dp, &mut p4d, addr) };
    Some(then(At::new(pudp)))
}

impl<'w> At<'w, Pud> {
    /// Reads the entry.
    #[inline(always)]
    pub(crate) fn read(self) -> Pud {
        // SAFETY: By the type invariant it can be read.
        Pud(unsafe { bindings::guplab_pudp_get(self.ptr) })
    }

    /// Returns the place below `pud`, which was read here and points to a table.
    #[inline(always)]
    pub(crate) fn down<'e>(self, pud: &'e mut Pud, addr: usize) -> At<'e, Pmd>
    where
        'w: 'e,
    {
        // SAFETY: `pud` was read from here, and outlives the result.
        At::new(unsafe { bindings::guplab_pmd_offset(self.ptr, &mut pud.0, addr) })
    }
}

questions! { Pud:
    /// Returns whether the entry is empty.
    none = guplab_pud_none;
    /// Returns whether the entry is present.
    present = guplab_pud_present;
    /// Returns whether the entry, which is present, maps memory.
    leaf = guplab_pud_leaf;
    /// Returns whether there is no page that could be pinned.
    special = guplab_pud_special;
    /// Returns whether the entry is writable.
    write = guplab_pud_write;
    /// Returns whether the entry is dirty.
    dirty = guplab_pud_dirty;
    /// Returns whether the entry was used.
    young = guplab_pud_young;
}

impl Pud {
    /// The entry as a number.
    #[inline(always)]
    pub(crate) fn value(self) -> u64 {
        // SAFETY: It looks at the value only.
        unsafe { bindings::guplab_pud_val(self.0) }
    }

    /// Returns whether the caller's access is permitted, for the leaf that this is.
    #[inline(always)]
    pub(crate) fn access_permitted(self, write: bool) -> bool {
        // SAFETY: It looks at the value, and at this CPU's protection keys.
        unsafe { bindings::guplab_pud_access_permitted(self.value(), write) }
    }

    /// Returns the page frame that the leaf maps at `addr`.
    #[inline(always)]
    pub(crate) fn pfn(self, addr: usize) -> usize {
        // SAFETY: It looks at the value only.
        let first = unsafe { bindings::guplab_pud_pfn(self.value()) };
        first + pages_into(addr, bindings::GUPLAB_PUD_SIZE)
    }
}

impl<'w> At<'w, Pmd> {
    /// Reads the entry.
    #[inline(always)]
    pub(crate) fn read(self) -> Pmd {
        // SAFETY: By the type invariant it can be read.
        Pmd(unsafe { bindings::guplab_pmdp_get_lockless(self.ptr) })
    }

    /// Returns the table below `pmd`, which was read here and points to one.
    #[inline(always)]
    pub(crate) fn down(self, pmd: Pmd, addr: usize) -> PteTable<'w> {
        // SAFETY: `pmd` points to a table. `PteTable` unmaps it.
        PteTable(At::new(unsafe {
            bindings::guplab_pte_map(pmd.value(), addr)
        }))
    }
}

/// A table of PTEs. With `CONFIG_HIGHPTE` it may lie outside of the kernel's direct map, and is mapped
/// as long as this lives.
pub(crate) struct PteTable<'w>(At<'w, Pte>);

impl PteTable<'_> {
    /// Returns the place for the address that it was looked up for.
    #[inline(always)]
    pub(crate) fn first(&self) -> At<'_, Pte> {
        self.0
    }
}

impl Drop for PteTable<'_> {
    #[inline(always)]
    fn drop(&mut self) {
        if cfg!(CONFIG_HIGHPTE) {
            // SAFETY: `At::down()` has mapped it, and what was mapped later is unmapped.
            unsafe { bindings::guplab_pte_unmap(self.0.ptr) };
        }
    }
}

questions! { Pmd:
    /// Returns whether the entry is empty.
    none = guplab_pmd_none;
    /// Returns whether the entry is present.
    present = guplab_pmd_present;
    /// Returns whether the entry, which is present, maps memory.
    leaf = guplab_pmd_leaf;
    /// Returns whether the leaf is PROT_NONE or a NUMA hint.
    protnone = guplab_pmd_protnone;
    /// Returns whether there is no page that could be pinned.
    special = guplab_pmd_special;
    /// Returns whether the leaf is writable.
    write = guplab_pmd_write;
    /// Returns whether the leaf is dirty.
    dirty = guplab_pmd_dirty;
    /// Returns whether the leaf was used.
    young = guplab_pmd_young;
    /// Returns whether the leaf has userfaultfd's bit.
    uffd_wp = guplab_pmd_uffd_wp;
    /// Returns whether the leaf is soft-dirty.
    soft_dirty = guplab_pmd_soft_dirty;
}

impl Pmd {
    /// The entry as a number.
    #[inline(always)]
    pub(crate) fn value(self) -> u64 {
        self.0
    }

    /// Returns whether the caller's access is permitted, for the leaf that this is.
    #[inline(always)]
    pub(crate) fn access_permitted(self, write: bool) -> bool {
        // SAFETY: It looks at the value, and at this CPU's protection keys.
        unsafe { bindings::guplab_pmd_access_permitted(self.value(), write) }
    }

    /// Returns the page frame that the leaf maps at `addr`.
    #[inline(always)]
    pub(crate) fn pfn(self, addr: usize) -> usize {
        // SAFETY: It looks at the value only.
        let first = unsafe { bindings::guplab_pmd_pfn(self.value()) };
        first + pages_into(addr, bindings::GUPLAB_PMD_SIZE)
    }
}

mod pte;

/// Returns how many pages `addr` is into an entry that maps `size` bytes.
#[inline(always)]
fn pages_into(addr: usize, size: usize) -> usize {
    (addr & (size - 1)) >> PAGE_SHIFT
}

#[kernel::macros::kunit_tests(guplab_pgtable)]
mod tests {
    use super::*;

    #[test]
    fn a_huge_entry_maps_page_after_page() {
        let size = 512 << PAGE_SHIFT;
        let pages = [0, size + (3 << PAGE_SHIFT), size - 1].map(|addr| pages_into(addr, size));
        assert_eq!(pages, [0, 3, 511]);
    }
}
