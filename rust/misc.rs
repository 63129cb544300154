// SPDX-License-Identifier: GPL-2.0

//! Registering a misc device that keeps its module loaded while it is open.
//!
//! Up to Linux 7.2 [`MiscDeviceRegistration`](kernel::miscdevice::MiscDeviceRegistration) leaves
//! `file_operations::owner` empty (<https://github.com/Rust-for-Linux/linux/issues/1182>): the
//! module could be removed under an open file, and the close that follows would run freed code.
//! This registers a copy of its operations that has an owner.

use core::marker::PhantomData;
use kernel::{
    bindings,
    error::to_result,
    miscdevice::{
        MiscDevice,
        MiscDeviceOptions, //
    },
    prelude::*,
    types::Opaque, //
};

/// A registered misc device.
///
/// # Invariants
///
/// `misc` is registered, and its `fops` points to the field `fops`, whose owner is this module.
#[pin_data(PinnedDrop)]
pub(crate) struct Registration<T: MiscDevice> {
    #[pin]
    misc: Opaque<bindings::miscdevice>,
    #[pin]
    fops: Opaque<bindings::file_operations>,
    _device: PhantomData<T>,
}

// SAFETY: `misc_deregister()` may be called on any thread.
unsafe impl<T: MiscDevice> Send for Registration<T> {}
// SAFETY: There are no `&self` methods.
unsafe impl<T: MiscDevice> Sync for Registration<T> {}

impl<T: MiscDevice> Registration<T> {
    /// Registers a misc device.
    pub(crate) fn new(options: MiscDeviceOptions) -> impl PinInit<Self, Error> {
        try_pin_init!(&this in Self {
            fops <- Opaque::ffi_init(move |slot: *mut bindings::file_operations| {
                // SAFETY: The vtable is a `static`, and `slot` is valid for writes.
                unsafe { slot.write(options.into_raw::<T>().fops.read()) };
                // SAFETY: Has no preconditions.
                let owner = unsafe { crate::bindings::guplab_this_module() };
                // SAFETY: `slot` was initialised above.
                unsafe { (*slot).owner = owner };
            }),
            misc <- Opaque::try_ffi_init(move |slot: *mut bindings::miscdevice| {
                // SAFETY: `slot` is valid for writes.
                unsafe { slot.write(options.into_raw::<T>()) };
                // SAFETY: `this` is the struct being initialised, and `fops` precedes this field.
                unsafe { (*slot).fops = Opaque::cast_into(&raw const (*this.as_ptr()).fops) };
                // SAFETY: `slot` is fully initialised, and pinned until it is deregistered.
                // INVARIANT: If this succeeds, the device is registered with `fops`.
                to_result(unsafe { bindings::misc_register(slot) })
            }),
            _device: PhantomData,
        })
    }
}

#[pinned_drop]
impl<T: MiscDevice> PinnedDrop for Registration<T> {
    fn drop(self: Pin<&mut Self>) {
        // SAFETY: By the type invariant the device is registered.
        unsafe { bindings::misc_deregister(self.misc.get()) };
    }
}
