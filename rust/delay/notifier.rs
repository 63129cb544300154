// SPDX-License-Identifier: GPL-2.0

//! The delay point that is no function: the MMU notifiers of a process.

use super::{
    point::Call,
    slot::{
        Slot,
        TABLE, //
    }, //
};
use kernel::{
    bindings::{
        self,
        mmu_notifier,
        mmu_notifier_ops,
        mmu_notifier_range, //
    },
    error::to_result,
    ffi::c_int,
    mm::MmWithUser,
    prelude::*,
    sync::rcu,
    types::Opaque, //
};

/// A subscription to the MMU notifiers of one address space, for one armed point.
///
/// # Invariants
///
/// `notifier` is registered; the address space outlives it, as the registration refers to it.
/// `slot` is the number of a slot.
#[pin_data(PinnedDrop)]
#[repr(C)]
pub(super) struct Watch {
    // First, so that the kernel's pointer to it is one to the whole.
    #[pin]
    notifier: Opaque<mmu_notifier>,
    slot: usize,
}

// SAFETY: A subscription may be ended by any thread.
unsafe impl Send for Watch {}
// SAFETY: There are no `&self` methods.
unsafe impl Sync for Watch {}

static OPS: mmu_notifier_ops = mmu_notifier_ops {
    invalidate_range_start: Some(start),
    invalidate_range_end: Some(end),
    // SAFETY: Every other operation is optional, and none is given as a null pointer.
    ..unsafe { core::mem::zeroed() }
};

impl Watch {
    /// Subscribes for a slot.
    pub(super) fn new(mm: &MmWithUser, slot: usize) -> Result<Pin<KBox<Self>>> {
        KBox::try_pin_init(
            try_pin_init!(Self {
                slot,
                notifier <- Opaque::try_ffi_init(|slot: *mut mmu_notifier| {
                    // SAFETY: `slot` is valid for writes, and zeroes are a valid start.
                    unsafe { slot.write(core::mem::zeroed()) };
                    // SAFETY: `slot` was initialised above.
                    unsafe { (*slot).ops = &raw const OPS };
                    // SAFETY: The address space has users, and its lock is not held here.
                    // INVARIANT: If this succeeds, it is registered.
                    to_result(unsafe { bindings::mmu_notifier_register(slot, mm.as_raw()) })
                }),
            }),
            GFP_KERNEL,
        )
    }
}

#[pinned_drop]
impl PinnedDrop for Watch {
    fn drop(self: Pin<&mut Self>) {
        let notifier = self.notifier.get();
        // SAFETY: It is registered, and the registration keeps the address space.
        let mm = unsafe { (*notifier).mm };
        // SAFETY: As above. No callback runs any more when this returns.
        unsafe { bindings::mmu_notifier_unregister(notifier, mm) };
    }
}

/// The slot of a subscription, and what a callback of it is about.
///
/// # Safety
///
/// Both are what the kernel passes to a callback of [`OPS`].
unsafe fn called(
    subscription: *mut mmu_notifier,
    range: *const mmu_notifier_range,
) -> (&'static Slot, Call) {
    // SAFETY: It is the first field of a `Watch`, which is pinned and registered.
    let watch = unsafe { &*subscription.cast::<Watch>() };
    // SAFETY: The kernel passes a valid range.
    let range = unsafe { &*range };
    let call = Call {
        mm: Some(range.mm),
        range: Some((range.start, range.end)),
    };
    (&TABLE[watch.slot], call)
}

/// The kernel is about to change a range.
///
/// # Safety
///
/// Called by the kernel, as an operation of [`OPS`].
unsafe extern "C" fn start(
    subscription: *mut mmu_notifier,
    range: *const mmu_notifier_range,
) -> c_int {
    // SAFETY: These are the kernel's arguments.
    let (slot, call) = unsafe { called(subscription, range) };
    // Whoever disarms the partner waits for those who may look at it.
    let _reading = rcu::read_lock();
    slot.begin(&call);
    0
}

/// The kernel has changed it.
///
/// # Safety
///
/// As for [`start`].
unsafe extern "C" fn end(subscription: *mut mmu_notifier, range: *const mmu_notifier_range) {
    // SAFETY: These are the kernel's arguments.
    let (slot, call) = unsafe { called(subscription, range) };
    let _reading = rcu::read_lock();
    slot.end(&call);
}
