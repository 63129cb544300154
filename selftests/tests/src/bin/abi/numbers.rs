// SPDX-License-Identifier: GPL-2.0
//! Numbers of commands, and INFO.

use guplab::{Errno, sys};
use guplab_tests::ground::KERNEL_ADDRESS;

use crate::Case;

/// The parts of a number: direction, size, and the rest.
const DIRECTION: u32 = 3 << 30;
const SIZE: u32 = 0x3fff << 16;
const READ: u32 = 2 << 30;
const WRITE: u32 = 1 << 30;
const ONE_BYTE: u32 = 1 << 16;

/// A request larger than any, so that a command of a wrong size finds memory.
fn call(ground: &guplab_tests::ground::Ground, number: u32) -> guplab::Result<()> {
    ground.call(number, &mut [0u64; 128])
}

/// The cases.
pub(crate) const CASES: &[Case] = &[
    ("info", None, |g| {
        g.call(sys::GUPLAB_IOC_INFO, &mut sys::guplab_info::default())
    }),
    ("info to null", Some(Errno::FAULT), |g| {
        g.call_at(sys::GUPLAB_IOC_INFO, 0)
    }),
    ("info to a kernel address", Some(Errno::FAULT), |g| {
        g.call_at(sys::GUPLAB_IOC_INFO, KERNEL_ADDRESS)
    }),
    ("number 0", Some(Errno::NOTTY), |g| call(g, 0)),
    ("unknown number", Some(Errno::NOTTY), |g| {
        call(g, sys::GUPLAB_IOC_COMPARE + 1)
    }),
    ("number before the first", Some(Errno::NOTTY), |g| {
        call(g, sys::GUPLAB_IOC_INFO - 1)
    }),
    ("other magic", Some(Errno::NOTTY), |g| {
        call(g, sys::GUPLAB_IOC_PIN ^ (1 << 8))
    }),
    ("pin of a larger size", Some(Errno::NOTTY), |g| {
        call(g, sys::GUPLAB_IOC_PIN + 8 * ONE_BYTE)
    }),
    ("pin of a smaller size", Some(Errno::NOTTY), |g| {
        call(g, sys::GUPLAB_IOC_PIN - ONE_BYTE)
    }),
    ("hammer of size 0", Some(Errno::NOTTY), |g| {
        call(g, sys::GUPLAB_IOC_HAMMER & !SIZE)
    }),
    ("delay of a larger size", Some(Errno::NOTTY), |g| {
        call(g, sys::GUPLAB_IOC_DELAY + 8 * ONE_BYTE)
    }),
    ("delay that only writes", Some(Errno::NOTTY), |g| {
        call(g, sys::GUPLAB_IOC_DELAY & !DIRECTION | WRITE)
    }),
    ("walk of a smaller size", Some(Errno::NOTTY), |g| {
        call(g, sys::GUPLAB_IOC_WALK - 8 * ONE_BYTE)
    }),
    ("explain that only writes", Some(Errno::NOTTY), |g| {
        call(g, sys::GUPLAB_IOC_EXPLAIN & !DIRECTION | WRITE)
    }),
    ("pin that only reads", Some(Errno::NOTTY), |g| {
        call(g, sys::GUPLAB_IOC_PIN & !DIRECTION | READ)
    }),
    ("unpin that also writes", Some(Errno::NOTTY), |g| {
        call(g, sys::GUPLAB_IOC_UNPIN | DIRECTION)
    }),
    ("info without direction", Some(Errno::NOTTY), |g| {
        call(g, sys::GUPLAB_IOC_INFO & !DIRECTION)
    }),
];
