// SPDX-License-Identifier: GPL-2.0

//! The delay point that is no function: the MMU notifiers of a process.

use super::{
    point::Call,
    slot::TABLE, //
};
use crate::bindings;
use core::ptr::NonNull;
use kernel::{
    bindings::mm_struct,
    error::from_err_ptr,
    ffi::{
        c_ulong,
        c_void, //
    },
    mm::MmWithUser,
    prelude::*,
    sync::rcu, //
};

/// A subscription to the MMU notifiers of one address space, for one armed point.
///
/// # Invariants
///
/// It is what `guplab_mmu_notifier_register()` has returned, for the number of a slot.
pub(super) struct Watch(NonNull<c_void>);

// SAFETY: A subscription may be ended by any thread.
unsafe impl Send for Watch {}
// SAFETY: There are no `&self` methods.
unsafe impl Sync for Watch {}

impl Watch {
    /// Subscribes for a slot.
    pub(super) fn new(mm: &MmWithUser, slot: usize) -> Result<Self> {
        // SAFETY: The address space has users, and its lock is not held here.
        let new = unsafe { bindings::guplab_mmu_notifier_register(mm.as_raw(), slot) };
        // INVARIANT: It is no error.
        Ok(Self(NonNull::new(from_err_ptr(new)?).ok_or(ENOMEM)?))
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        // SAFETY: By the type invariant it was registered.
        unsafe { bindings::guplab_mmu_notifier_unregister(self.0.as_ptr()) };
    }
}

/// What a callback is about.
fn call(mm: *mut mm_struct, start: c_ulong, end: c_ulong) -> Call {
    Call {
        mm: Some(mm),
        range: Some((start, end)),
    }
}

/// The kernel is about to change a range: invalidate_range_start().
#[no_mangle]
extern "C" fn guplab_range_started(slot: usize, mm: *mut mm_struct, start: c_ulong, end: c_ulong) {
    // Whoever disarms the partner waits for those who may look at it.
    let _reading = rcu::read_lock();
    if let Some(slot) = TABLE.get(slot) {
        slot.begin(&call(mm, start, end));
    }
}

/// The kernel has changed it: invalidate_range_end().
#[no_mangle]
extern "C" fn guplab_range_ended(slot: usize, mm: *mut mm_struct, start: c_ulong, end: c_ulong) {
    let _reading = rcu::read_lock();
    if let Some(slot) = TABLE.get(slot) {
        slot.end(&call(mm, start, end));
    }
}
