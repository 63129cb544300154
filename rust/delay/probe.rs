// SPDX-License-Identifier: GPL-2.0

//! Probes on kernel functions: where those of watch_function.c call, and what it is called for.

use super::{
    point::{
        self,
        Kind,
        Number, //
    },
    slot,
    writers, //
};
use crate::{
    bindings,
    symbol::unsupported, //
};
use kernel::{
    error::to_result,
    ffi::{
        c_uint,
        c_ulong, //
    },
    prelude::*,
    str::CStrExt, //
};

impl Number {
    /// Whether it can be armed on this kernel.
    pub(super) fn exists(self) -> bool {
        match self.kind() {
            // SAFETY: The name is a C string.
            Kind::Function(point) => unsafe {
                bindings::guplab_function_exists(point.function.as_char_ptr())
            },
            Kind::Notifier => cfg!(CONFIG_MMU_NOTIFIER),
            Kind::Walk(_) => true,
        }
    }

    /// Calls that could not be watched.
    pub(super) fn missed(self) -> u64 {
        match self.function() {
            // SAFETY: There is a probe for each function.
            Some(_) => unsafe { bindings::guplab_missed_calls(self.get()) as u64 },
            None => 0,
        }
    }

    /// Has the function call the slots in which it is armed.
    pub(super) fn watch(self) -> Result {
        let Some(point) = self.function() else {
            return Ok(());
        };
        // SAFETY: The name is a C string that is never freed, and this probe isn't in use.
        let ret =
            unsafe { bindings::guplab_watch_function(self.get(), point.function.as_char_ptr()) };
        // Inlined, absent, or in a part of the kernel that can't be probed.
        to_result(ret).map_err(|error| {
            if error == ENOMEM {
                error
            } else {
                unsupported()
            }
        })
    }

    /// Undoes that. Nobody is in a slot by way of this function when it returns.
    pub(super) fn unwatch(self) {
        if self.function().is_some() {
            // SAFETY: The probe was registered by `watch()`.
            unsafe { bindings::guplab_unwatch_function(self.get()) };
        }
    }
}

/// Called by the probe when a function is entered.
///
/// # Safety
///
/// `args` and `ids` are arrays of the sizes in helpers.h, and `args` holds what the function of the
/// point was called with.
#[no_mangle]
unsafe extern "C" fn guplab_point_entered(
    point: c_uint,
    args: *const c_ulong,
    ids: *mut u32,
) -> bool {
    // SAFETY: The caller passes an array of this size.
    let args = unsafe { &*args.cast::<point::Args>() };
    // SAFETY: As above.
    let ids = unsafe { &mut *ids.cast::<[u32; bindings::GUPLAB_POINT_WATCHERS]>() };
    let Ok(number) = Number::try_from(point) else {
        return false;
    };
    let Some(function) = number.function() else {
        return false;
    };
    // SAFETY: The function was called with these arguments and hasn't begun.
    let call = unsafe { function.call(args) };
    let inside = slot::enter(number, &call, ids);
    writers::entered(number) | inside
}

/// Called by the probe when the function returns, if [`guplab_point_entered`] said true.
///
/// # Safety
///
/// `ids` is what [`guplab_point_entered`] filled in for this call.
#[no_mangle]
unsafe extern "C" fn guplab_point_left(point: c_uint, ids: *const u32) {
    if let Ok(number) = Number::try_from(point) {
        writers::left(number);
    }
    // SAFETY: The caller passes an array of this size.
    let ids = unsafe { &*ids.cast::<[u32; bindings::GUPLAB_POINT_WATCHERS]>() };
    for &id in ids {
        slot::leave(id);
    }
}
