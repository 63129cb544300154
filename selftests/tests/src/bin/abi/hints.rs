// SPDX-License-Identifier: GPL-2.0
//! HINT.

use guplab::{Errno, Result, sys};
use guplab_tests::ground::{Ground, KERNEL_ADDRESS};

use crate::Case;

/// Where the kernel can't set hints at all, that must be the error, and is returned as the one that
/// is expected elsewhere.
fn hint(
    ground: &Ground,
    expected: Option<Errno>,
    spoil: impl FnOnce(&mut sys::guplab_hint),
) -> Result<()> {
    let done = ground.hint(spoil);
    if ground.session.has(sys::GUPLAB_FEATURE_HINT) || done != Err(Errno::OPNOTSUPP) {
        return done;
    }
    expected.map_or(Ok(()), Err)
}

/// The cases.
pub(crate) const HINT: &[Case] = &[
    ("hint", None, |g| hint(g, None, |_| ())),
    ("hint in this process by its pid", None, |g| {
        hint(g, None, |r| r.pid = std::process::id() as i32)
    }),
    ("hint from null", Some(Errno::FAULT), |g| {
        g.call_at(sys::GUPLAB_IOC_HINT, 0)
    }),
    ("hint at an unaligned address", Some(Errno::INVAL), |g| {
        g.hint(|r| r.addr += 8)
    }),
    ("hint in no bytes", Some(Errno::INVAL), |g| {
        g.hint(|r| r.len = 0)
    }),
    ("hint in part of a page", Some(Errno::INVAL), |g| {
        g.hint(|r| r.len -= 1)
    }),
    ("hint in too many bytes", Some(Errno::INVAL), |g| {
        g.hint(|r| r.len = u64::from(sys::GUPLAB_MAX_HINT) + 4096)
    }),
    ("hint at a kernel address", Some(Errno::INVAL), |g| {
        g.hint(|r| r.addr = KERNEL_ADDRESS)
    }),
    ("hint in a range that wraps", Some(Errno::INVAL), |g| {
        g.hint(|r| r.addr = u64::MAX - 4095)
    }),
    ("hint beyond the end of a VMA", Some(Errno::INVAL), |g| {
        hint(g, Some(Errno::INVAL), |r| {
            r.len = u64::from(sys::GUPLAB_MAX_HINT)
        })
    }),
    ("hint where nothing is mapped", Some(Errno::FAULT), |g| {
        hint(g, Some(Errno::FAULT), |r| (r.addr, r.len) = (4096, 4096))
    }),
    ("hint at an unknown gate", Some(Errno::NOENT), |g| {
        hint(g, Some(Errno::NOENT), |r| r.gate = 64)
    }),
    ("hint in no process", Some(Errno::SRCH), |g| {
        hint(g, Some(Errno::SRCH), |r| r.pid = i32::MAX)
    }),
    ("hint of a negative pid", Some(Errno::INVAL), |g| {
        hint(g, Some(Errno::INVAL), |r| r.pid = -1)
    }),
];
