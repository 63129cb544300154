// SPDX-License-Identifier: GPL-2.0

//! Time stamps that userspace can compare with its own.

use crate::bindings;

/// Returns the same time where nothing may be waited for, as in a probe: it can be off by a tick's
/// worth of clock adjustment.
#[inline]
pub(crate) fn now_anywhere() -> u64 {
    // SAFETY: Has no preconditions, and is safe in any context.
    unsafe { kernel::bindings::ktime_get_mono_fast_ns() }
}

/// Returns the time of `CLOCK_MONOTONIC` in nanoseconds.
#[inline]
pub(crate) fn now() -> u64 {
    // SAFETY: Has no preconditions once timekeeping runs, which it does before modules load.
    let now = unsafe { kernel::bindings::ktime_get() };
    // CAST: Monotonic time is not negative.
    now as u64
}

/// Returns nanoseconds as whole microseconds.
pub(crate) fn micros(ns: u64) -> u64 {
    // CAST: No time is that long.
    // SAFETY: It calculates.
    unsafe { bindings::guplab_ktime_to_us(ns as i64) as u64 }
}
