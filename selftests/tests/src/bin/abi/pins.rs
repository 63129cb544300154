// SPDX-License-Identifier: GPL-2.0
//! PIN, UNPIN and DMA.

use guplab::{Errno, Way, sys};
use guplab_tests::ground::{KERNEL_ADDRESS, PINNED};

use crate::Case;

const FAST: u32 = sys::GUPLAB_WAY_PIN_FAST;
const SLOW: u32 = sys::GUPLAB_WAY_PIN;
const REMOTE: u32 = sys::GUPLAB_WAY_PIN_REMOTE;
const GET: u32 = sys::GUPLAB_WAY_GET_FAST;
const GET_ONLY: u32 = sys::GUPLAB_WAY_GET_FAST_ONLY;

const WRITE: u32 = sys::GUPLAB_PIN_WRITE;
const LONGTERM: u32 = sys::GUPLAB_PIN_LONGTERM;
const FORCE: u32 = sys::GUPLAB_PIN_FORCE;
const NOFAULT: u32 = sys::GUPLAB_PIN_NOFAULT;
const HONOR: u32 = sys::GUPLAB_PIN_HONOR_NUMA_FAULT;
const INTERRUPTIBLE: u32 = sys::GUPLAB_PIN_INTERRUPTIBLE;
const SPLIT: u32 = sys::GUPLAB_PIN_SPLIT_PMD;
const TO_PAGES: u32 = sys::GUPLAB_DMA_TO_PAGES;

/// PIN.
pub(crate) const PIN: &[Case] = &[
    ("pin", None, |g| g.pin(|_| ())),
    ("pin by pin_user_pages_unlocked", None, |g| {
        g.pin_by(SLOW, WRITE)
    }),
    ("pin by pin_user_pages_remote", None, |g| {
        g.pin_by(REMOTE, WRITE)
    }),
    ("pin by get_user_pages_fast", None, |g| g.pin_by(GET, WRITE)),
    ("pin by get_user_pages_fast_only", None, |g| {
        g.pin_by(GET_ONLY, 0)
    }),
    ("pin longterm", None, |g| g.pin_by(FAST, LONGTERM | WRITE)),
    ("pin with FORCE", None, |g| g.pin_by(FAST, FORCE)),
    ("pin with NOFAULT", None, |g| g.pin_by(FAST, NOFAULT)),
    ("pin with HONOR_NUMA_FAULT", None, |g| g.pin_by(SLOW, HONOR)),
    ("pin interruptibly", None, |g| g.pin_by(SLOW, INTERRUPTIBLE)),
    ("pin with SPLIT_PMD", None, |g| g.pin_by(REMOTE, SPLIT)),
    ("pin of this process by its pid", None, |g| {
        g.pin(|r| (r.way, r.pid) = (REMOTE, std::process::id() as i32))
    }),
    ("pin from null", Some(Errno::FAULT), |g| {
        g.call_at(sys::GUPLAB_IOC_PIN, 0)
    }),
    ("pin from a kernel address", Some(Errno::FAULT), |g| {
        g.call_at(sys::GUPLAB_IOC_PIN, KERNEL_ADDRESS)
    }),
    ("pin of an unaligned address", Some(Errno::INVAL), |g| {
        g.pin(|r| r.addr += 8)
    }),
    ("pin of no pages", Some(Errno::INVAL), |g| {
        g.pin(|r| r.nr_pages = 0)
    }),
    ("pin of too many pages", Some(Errno::INVAL), |g| {
        g.pin(|r| r.nr_pages = sys::GUPLAB_MAX_PAGES + 1)
    }),
    (
        "pin of the most pages that a number holds",
        Some(Errno::INVAL),
        |g| g.pin(|r| r.nr_pages = u32::MAX),
    ),
    ("pin of a kernel address", Some(Errno::INVAL), |g| {
        g.pin(|r| r.addr = KERNEL_ADDRESS)
    }),
    ("pin of a range that wraps", Some(Errno::INVAL), |g| {
        g.pin(|r| r.addr = u64::MAX - 4095)
    }),
    ("pin beyond the user addresses", Some(Errno::INVAL), |g| {
        g.pin(|r| r.addr = 1 << 62)
    }),
    ("pin of memory without access", Some(Errno::FAULT), |g| {
        g.pin(|r| r.addr -= 4096)
    }),
    (
        "pin without fault of memory without access",
        Some(Errno::FAULT),
        |g| g.pin(|r| (r.addr, r.flags) = (r.addr - 4096, NOFAULT)),
    ),
    ("pin by an unknown way", Some(Errno::INVAL), |g| {
        g.pin_by(Way::ALL.len() as u32, 0)
    }),
    ("pin by way ~0", Some(Errno::INVAL), |g| {
        g.pin_by(u32::MAX, 0)
    }),
    ("pin with the first unknown flag", Some(Errno::INVAL), |g| {
        g.pin_by(SLOW, 1 << 7)
    }),
    ("pin with the last unknown flag", Some(Errno::INVAL), |g| {
        g.pin_by(FAST, 1 << 31)
    }),
    ("pin with an unknown gate", Some(Errno::NOENT), |g| {
        g.pin(|r| r.gate = 64)
    }),
    ("pin fast of another process", Some(Errno::INVAL), |g| {
        g.pin(|r| r.pid = 1)
    }),
    ("pin of a negative pid", Some(Errno::INVAL), |g| {
        g.pin(|r| (r.way, r.pid) = (REMOTE, -1))
    }),
    ("pin of no process", Some(Errno::SRCH), |g| {
        g.pin(|r| (r.way, r.pid) = (REMOTE, i32::MAX))
    }),
    ("get longterm", Some(Errno::INVAL), |g| {
        g.pin_by(GET, LONGTERM)
    }),
    ("get only longterm", Some(Errno::INVAL), |g| {
        g.pin_by(GET_ONLY, LONGTERM)
    }),
    ("pin fast interruptibly", Some(Errno::INVAL), |g| {
        g.pin_by(FAST, INTERRUPTIBLE)
    }),
    ("pin fast with SPLIT_PMD", Some(Errno::INVAL), |g| {
        g.pin_by(FAST, SPLIT)
    }),
    ("get with SPLIT_PMD", Some(Errno::INVAL), |g| {
        g.pin_by(GET, SPLIT)
    }),
    ("get only interruptibly", Some(Errno::INVAL), |g| {
        g.pin_by(GET_ONLY, INTERRUPTIBLE)
    }),
];

/// UNPIN.
pub(crate) const UNPIN: &[Case] = &[
    ("unpin", None, |g| g.unpin(|_| ())),
    ("unpin dirty", None, |g| {
        g.unpin(|r| r.flags = sys::GUPLAB_UNPIN_DIRTY)
    }),
    ("unpin from null", Some(Errno::FAULT), |g| {
        g.call_at(sys::GUPLAB_IOC_UNPIN, 0)
    }),
    ("unpin of handle 0", Some(Errno::NOENT), |g| {
        g.unpin(|r| r.handle = 0)
    }),
    ("unpin of handle ~0", Some(Errno::NOENT), |g| {
        g.unpin(|r| r.handle = u64::MAX)
    }),
    ("unpin of a stale handle", Some(Errno::NOENT), |g| {
        g.unpin(|r| r.handle = g.stale)
    }),
    (
        "unpin of another session's handle",
        Some(Errno::NOENT),
        |g| g.unpin(|r| r.handle = g.foreign),
    ),
    ("unpin with an unknown flag", Some(Errno::INVAL), |g| {
        g.unpin(|r| r.flags = 2)
    }),
    ("unpin with reserved", Some(Errno::INVAL), |g| {
        g.unpin(|r| r.reserved = 1)
    }),
    ("unpin dirty of a pin for reading", Some(Errno::PERM), |g| {
        g.unpin(|r| (r.handle, r.flags) = (g.read_only, sys::GUPLAB_UNPIN_DIRTY))
    }),
];

/// DMA.
pub(crate) const DMA: &[Case] = &[
    ("dma from the pages", None, |g| g.dma(|_| ())),
    ("dma to the pages", None, |g| g.dma(|r| r.flags = TO_PAGES)),
    ("dma over pages at an odd offset", None, |g| {
        g.dma(|r| (r.offset, r.len) = (4093, 4099))
    }),
    ("dma of all that is pinned", None, |g| {
        g.dma(|r| r.len = PINNED * 4096)
    }),
    ("dma with null as request", Some(Errno::FAULT), |g| {
        g.call_at(sys::GUPLAB_IOC_DMA, 0)
    }),
    ("dma of handle 0", Some(Errno::NOENT), |g| {
        g.dma(|r| r.handle = 0)
    }),
    ("dma of a stale handle", Some(Errno::NOENT), |g| {
        g.dma(|r| r.handle = g.stale)
    }),
    ("dma of another session's handle", Some(Errno::NOENT), |g| {
        g.dma(|r| r.handle = g.foreign)
    }),
    ("dma with an unknown flag", Some(Errno::INVAL), |g| {
        g.dma(|r| r.flags = 2)
    }),
    ("dma of no bytes", Some(Errno::INVAL), |g| {
        g.dma(|r| r.len = 0)
    }),
    ("dma of too many bytes", Some(Errno::INVAL), |g| {
        g.dma(|r| r.len = sys::GUPLAB_MAX_DMA + 1)
    }),
    ("dma after the pages", Some(Errno::INVAL), |g| {
        g.dma(|r| r.offset = u64::from(PINNED) * 4096)
    }),
    ("dma over the end of the pages", Some(Errno::INVAL), |g| {
        g.dma(|r| r.offset = u64::from(PINNED) * 4096 - 4)
    }),
    ("dma at an offset that wraps", Some(Errno::INVAL), |g| {
        g.dma(|r| r.offset = u64::MAX - 3)
    }),
    ("dma to null", Some(Errno::FAULT), |g| g.dma(|r| r.buf = 0)),
    ("dma to a kernel address", Some(Errno::FAULT), |g| {
        g.dma(|r| r.buf = KERNEL_ADDRESS)
    }),
    ("dma from a kernel address", Some(Errno::FAULT), |g| {
        g.dma(|r| (r.buf, r.flags) = (KERNEL_ADDRESS, TO_PAGES))
    }),
    ("dma to a pin for reading", Some(Errno::PERM), |g| {
        g.dma(|r| (r.handle, r.flags) = (g.read_only, TO_PAGES))
    }),
];
