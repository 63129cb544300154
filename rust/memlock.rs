// SPDX-License-Identifier: GPL-2.0

//! Long-term pins are charged to `RLIMIT_MEMLOCK`, as by other drivers (see `ib_umem_get()`).

use crate::bindings;
use kernel::{
    mm::Mm,
    page::PAGE_SIZE,
    prelude::*,
    sync::aref::ARef, //
};

/// Pages charged to an address space.
///
/// # Invariants
///
/// `nr_pages` were added to the `pinned_vm` of `mm`.
pub(crate) struct MemlockCharge {
    mm: ARef<Mm>,
    nr_pages: usize,
}

impl MemlockCharge {
    /// Charges `nr_pages` to `mm`. Returns `ENOMEM` where the caller's limit is below that, unless
    /// it has `CAP_IPC_LOCK`.
    pub(crate) fn new(mm: ARef<Mm>, nr_pages: usize) -> Result<Self> {
        // SAFETY: The mm is referenced.
        let total = unsafe { bindings::guplab_pinned_vm_add(mm.as_raw(), nr_pages) };
        // INVARIANT: The line above added them; dropping this takes them off again.
        let charge = Self { mm, nr_pages };

        // SAFETY: Has no preconditions.
        let limit = unsafe { bindings::guplab_rlimit_memlock() } / PAGE_SIZE;
        if total > limit as u64 && !may_exceed() {
            return Err(ENOMEM);
        }
        Ok(charge)
    }

    /// Gives back what is charged above `nr_pages`.
    pub(crate) fn shrink_to(&mut self, nr_pages: usize) {
        let surplus = self.nr_pages.saturating_sub(nr_pages);
        // SAFETY: The mm is referenced, and by the type invariant this much was added.
        unsafe { bindings::guplab_pinned_vm_sub(self.mm.as_raw(), surplus) };
        self.nr_pages -= surplus;
    }
}

fn may_exceed() -> bool {
    // SAFETY: The capability exists.
    unsafe { kernel::bindings::capable(kernel::bindings::CAP_IPC_LOCK as i32) }
}

impl Drop for MemlockCharge {
    fn drop(&mut self) {
        self.shrink_to(0);
    }
}
