// SPDX-License-Identifier: GPL-2.0

//! PTEs: how they are read, and what is asked of one.

use super::{
    At,
    Pte, //
};
use crate::bindings;

impl At<'_, Pte> {
    /// Reads the entry.
    #[inline(always)]
    pub(crate) fn read(self) -> Pte {
        // SAFETY: By the type invariant it can be read.
        Pte(unsafe { bindings::guplab_ptep_get_lockless(self.ptr) })
    }

    /// Reads the half of the entry with the present bit, calls `between`, and reads the other half: the
    /// result may never have been an entry.
    #[cold]
    pub(crate) fn read_halves(self, between: impl FnOnce()) -> Pte {
        // SAFETY: By the type invariant it can be read.
        let low = unsafe { bindings::guplab_ptep_half(self.ptr, 0) };
        between();
        // SAFETY: As above.
        let high = unsafe { bindings::guplab_ptep_half(self.ptr, 1) };
        Pte(u64::from(low) | u64::from(high) << 32)
    }
}

questions! { Pte:
    /// Returns whether the entry is empty.
    none = guplab_pte_none;
    /// Returns whether the entry is present.
    present = guplab_pte_present;
    /// Returns whether the entry is PROT_NONE or a NUMA hint.
    protnone = guplab_pte_protnone;
    /// Returns whether there is no page that could be pinned.
    special = guplab_pte_special;
    /// Returns whether the entry is writable.
    write = guplab_pte_write;
    /// Returns whether the entry is dirty.
    dirty = guplab_pte_dirty;
    /// Returns whether the entry was used.
    young = guplab_pte_young;
    /// Returns whether the entry has userfaultfd's bit.
    uffd_wp = guplab_pte_uffd_wp;
    /// Returns whether the entry is soft-dirty.
    soft_dirty = guplab_pte_soft_dirty;
}

impl Pte {
    /// The entry as a number.
    #[inline(always)]
    pub(crate) fn value(self) -> u64 {
        self.0
    }

    /// Returns whether the caller's access is permitted.
    #[inline(always)]
    pub(crate) fn access_permitted(self, write: bool) -> bool {
        // SAFETY: It looks at the value, and at this CPU's protection keys.
        unsafe { bindings::guplab_pte_access_permitted(self.value(), write) }
    }

    /// Returns the page frame that the entry maps.
    #[inline(always)]
    pub(crate) fn pfn(self) -> usize {
        // SAFETY: It looks at the value only.
        unsafe { bindings::guplab_pte_pfn(self.value()) }
    }

    /// Returns the entry without what the MMU sets by itself (young, dirty), and without
    /// soft-dirty: two of these are equal if they map the same page with the same rights.
    #[inline(always)]
    pub(crate) fn untouched(self) -> Self {
        // SAFETY: It looks at the value only.
        Self(unsafe { bindings::guplab_pte_untouched(self.value()) })
    }

    /// Returns the entry that maps the next page with the same rights.
    #[inline(always)]
    pub(crate) fn next_pfn(self) -> Self {
        // SAFETY: It looks at the value only.
        Self(unsafe { bindings::guplab_pte_next_pfn(self.value()) })
    }
}
