// SPDX-License-Identifier: GPL-2.0
//! INSPECT, CHECK, HAMMER, COLLAPSE and STATS.

use guplab::{Errno, Result, Way, sys};
use guplab_tests::ground::{Ground, KERNEL_ADDRESS, PINNED};

use crate::Case;

const CHECK_DATA: u32 = sys::GUPLAB_HAMMER_CHECK_DATA;
const CHECK_MAP: u32 = sys::GUPLAB_HAMMER_CHECK_MAP;
const RANDOM: u32 = sys::GUPLAB_HAMMER_RANDOM;

/// Makes the request; where the kernel can't collapse at all, that must be the error, and is
/// returned as the one that is expected elsewhere.
fn supported_or(
    ground: &Ground,
    expected: Option<Errno>,
    request: fn(&Ground) -> Result<()>,
) -> Result<()> {
    let done = request(ground);
    if ground.session.has(sys::GUPLAB_FEATURE_COLLAPSE) || done != Err(Errno::OPNOTSUPP) {
        return done;
    }
    expected.map_or(Ok(()), Err)
}

/// INSPECT.
pub(crate) const INSPECT: &[Case] = &[
    ("inspect an address", None, |g| g.inspect(|_| ())),
    ("inspect the most pages", None, |g| {
        g.inspect(|r| r.nr_pages = sys::GUPLAB_MAX_INSPECT)
    }),
    ("inspect memory without access", None, |g| {
        g.inspect(|r| r.addr -= 4096)
    }),
    ("inspect this process by its pid", None, |g| {
        g.inspect(|r| r.pid = std::process::id() as i32)
    }),
    ("inspect a pin", None, |g| g.inspect_pin(|_| ())),
    ("inspect the last page of a pin", None, |g| {
        g.inspect_pin(|r| r.first = PINNED - 1)
    }),
    ("inspect with null as request", Some(Errno::FAULT), |g| {
        g.call_at(sys::GUPLAB_IOC_INSPECT, 0)
    }),
    ("inspect no pages", Some(Errno::INVAL), |g| {
        g.inspect(|r| r.nr_pages = 0)
    }),
    ("inspect too many pages", Some(Errno::INVAL), |g| {
        g.inspect(|r| r.nr_pages = sys::GUPLAB_MAX_INSPECT + 1)
    }),
    ("inspect with page size 0", Some(Errno::INVAL), |g| {
        g.inspect(|r| r.page_size = 0)
    }),
    (
        "inspect with a smaller page size",
        Some(Errno::INVAL),
        |g| g.inspect(|r| r.page_size -= 1),
    ),
    ("inspect with a larger page size", Some(Errno::INVAL), |g| {
        g.inspect(|r| r.page_size += 8)
    }),
    ("inspect with reserved", Some(Errno::INVAL), |g| {
        g.inspect(|r| r.reserved = 1)
    }),
    ("inspect an unaligned address", Some(Errno::INVAL), |g| {
        g.inspect(|r| r.addr += 1)
    }),
    ("inspect a kernel address", Some(Errno::INVAL), |g| {
        g.inspect(|r| r.addr = KERNEL_ADDRESS)
    }),
    ("inspect a range that wraps", Some(Errno::INVAL), |g| {
        g.inspect(|r| (r.addr, r.nr_pages) = (u64::MAX - 4095, 2))
    }),
    ("inspect into null", Some(Errno::FAULT), |g| {
        g.inspect(|r| r.buf = 0)
    }),
    ("inspect into a kernel address", Some(Errno::FAULT), |g| {
        g.inspect(|r| r.buf = KERNEL_ADDRESS)
    }),
    ("inspect a stale handle", Some(Errno::NOENT), |g| {
        g.inspect_pin(|r| r.handle = g.stale)
    }),
    (
        "inspect another session's handle",
        Some(Errno::NOENT),
        |g| g.inspect_pin(|r| r.handle = g.foreign),
    ),
    ("inspect a pin and an address", Some(Errno::INVAL), |g| {
        g.inspect_pin(|r| r.addr = g.mapping.addr() as u64)
    }),
    ("inspect a pin of a process", Some(Errno::INVAL), |g| {
        g.inspect_pin(|r| r.pid = 1)
    }),
    ("inspect an address with first", Some(Errno::INVAL), |g| {
        g.inspect(|r| r.first = 1)
    }),
    (
        "inspect after the pages of a pin",
        Some(Errno::INVAL),
        |g| g.inspect_pin(|r| r.first = PINNED),
    ),
    ("inspect over the end of a pin", Some(Errno::INVAL), |g| {
        g.inspect_pin(|r| r.nr_pages = PINNED + 1)
    }),
    (
        "inspect a pin at a number that wraps",
        Some(Errno::INVAL),
        |g| g.inspect_pin(|r| r.first = u32::MAX),
    ),
    ("inspect no process", Some(Errno::SRCH), |g| {
        g.inspect(|r| r.pid = i32::MAX)
    }),
    ("inspect a negative pid", Some(Errno::INVAL), |g| {
        g.inspect(|r| r.pid = -1)
    }),
];

/// CHECK.
pub(crate) const CHECK: &[Case] = &[
    ("check", None, |g| g.check(|_| ())),
    ("check and expect the same", None, |g| {
        g.check(|r| r.flags = sys::GUPLAB_CHECK_EXPECT_SAME)
    }),
    ("check from null", Some(Errno::FAULT), |g| {
        g.call_at(sys::GUPLAB_IOC_CHECK, 0)
    }),
    ("check of handle 0", Some(Errno::NOENT), |g| {
        g.check(|r| r.handle = 0)
    }),
    ("check of handle ~0", Some(Errno::NOENT), |g| {
        g.check(|r| r.handle = u64::MAX)
    }),
    ("check of a stale handle", Some(Errno::NOENT), |g| {
        g.check(|r| r.handle = g.stale)
    }),
    (
        "check of another session's handle",
        Some(Errno::NOENT),
        |g| g.check(|r| r.handle = g.foreign),
    ),
    ("check with an unknown flag", Some(Errno::INVAL), |g| {
        g.check(|r| r.flags = 2)
    }),
];

/// HAMMER.
pub(crate) const HAMMER: &[Case] = &[
    ("hammer", None, |g| g.hammer(|_| ())),
    ("hammer for a time", None, |g| {
        g.hammer(|r| (r.max_calls, r.max_ns) = (0, 1_000_000))
    }),
    ("hammer with every check", None, |g| {
        g.hammer(|r| {
            r.flags = sys::GUPLAB_HAMMER_WRITE | CHECK_DATA | CHECK_MAP | sys::GUPLAB_HAMMER_STOP
        })
    }),
    ("hammer at random", None, |g| {
        g.hammer(|r| (r.flags, r.seed) = (RANDOM, 7))
    }),
    ("hammer by get_user_pages_fast", None, |g| {
        g.hammer(|r| r.way = sys::GUPLAB_WAY_GET_FAST)
    }),
    ("hammer by pin_user_pages_unlocked", None, |g| {
        g.hammer(|r| r.way = sys::GUPLAB_WAY_PIN)
    }),
    ("hammer that holds pins", None, |g| {
        g.hammer(|r| (r.hold, r.max_calls) = (3, 7))
    }),
    ("hammer that holds the most pages", None, |g| {
        g.hammer(|r| r.hold = sys::GUPLAB_MAX_BATCH)
    }),
    (
        "hammer that holds too many pages",
        Some(Errno::INVAL),
        |g| g.hammer(|r| r.hold = sys::GUPLAB_MAX_BATCH + 1),
    ),
    (
        "hammer that holds too many batches",
        Some(Errno::INVAL),
        |g| g.hammer(|r| (r.batch, r.hold) = (4, sys::GUPLAB_MAX_BATCH / 4 + 1)),
    ),
    (
        "hammer that holds all that a number holds",
        Some(Errno::INVAL),
        |g| g.hammer(|r| (r.batch, r.hold) = (4, u32::MAX)),
    ),
    ("hammer from null", Some(Errno::FAULT), |g| {
        g.call_at(sys::GUPLAB_IOC_HAMMER, 0)
    }),
    ("hammer without a bound", Some(Errno::INVAL), |g| {
        g.hammer(|r| r.max_calls = 0)
    }),
    ("hammer for too long", Some(Errno::INVAL), |g| {
        g.hammer(|r| r.max_ns = sys::GUPLAB_MAX_NS + 1)
    }),
    ("hammer in batches of 0", Some(Errno::INVAL), |g| {
        g.hammer(|r| r.batch = 0)
    }),
    (
        "hammer in batches larger than the range",
        Some(Errno::INVAL),
        |g| g.hammer(|r| r.batch = r.nr_pages + 1),
    ),
    (
        "hammer in batches that are too large",
        Some(Errno::INVAL),
        |g| g.hammer(|r| (r.nr_pages, r.batch) = (1 << 15, sys::GUPLAB_MAX_BATCH + 1)),
    ),
    ("hammer at an unaligned offset", Some(Errno::INVAL), |g| {
        g.hammer(|r| r.offset = 4)
    }),
    (
        "hammer at an offset after the page",
        Some(Errno::INVAL),
        |g| g.hammer(|r| r.offset = 4096),
    ),
    ("hammer at the last word of each page", None, |g| {
        g.hammer(|r| r.offset = 4088)
    }),
    (
        "hammer at an offset that is not written",
        Some(Errno::INVAL),
        |g| g.hammer(|r| (r.flags, r.offset) = (0, 8)),
    ),
    ("hammer by pin_user_pages_remote", Some(Errno::INVAL), |g| {
        g.hammer(|r| r.way = sys::GUPLAB_WAY_PIN_REMOTE)
    }),
    ("hammer by an unknown way", Some(Errno::INVAL), |g| {
        g.hammer(|r| r.way = Way::ALL.len() as u32)
    }),
    ("hammer longterm", Some(Errno::INVAL), |g| {
        g.hammer(|r| r.pin_flags |= sys::GUPLAB_PIN_LONGTERM)
    }),
    ("hammer fast with SPLIT_PMD", Some(Errno::INVAL), |g| {
        g.hammer(|r| r.pin_flags |= sys::GUPLAB_PIN_SPLIT_PMD)
    }),
    ("hammer with an unknown pin flag", Some(Errno::INVAL), |g| {
        g.hammer(|r| r.pin_flags |= 1 << 31)
    }),
    ("hammer with an unknown flag", Some(Errno::INVAL), |g| {
        g.hammer(|r| r.flags |= 1 << 7)
    }),
    ("hammer with an unknown gate", Some(Errno::NOENT), |g| {
        g.hammer(|r| r.gate = 64)
    }),
    (
        "hammer that writes with pins for reading",
        Some(Errno::INVAL),
        |g| g.hammer(|r| r.pin_flags = 0),
    ),
    (
        "hammer that checks data without writing",
        Some(Errno::INVAL),
        |g| g.hammer(|r| r.flags = CHECK_DATA),
    ),
    (
        "hammer with a seed for no random order",
        Some(Errno::INVAL),
        |g| g.hammer(|r| r.seed = 1),
    ),
    ("hammer at an unaligned address", Some(Errno::INVAL), |g| {
        g.hammer(|r| r.addr += 1)
    }),
    ("hammer of no pages", Some(Errno::INVAL), |g| {
        g.hammer(|r| r.nr_pages = 0)
    }),
    ("hammer of too many pages", Some(Errno::INVAL), |g| {
        g.hammer(|r| r.nr_pages = sys::GUPLAB_MAX_PAGES + 1)
    }),
    ("hammer of a kernel address", Some(Errno::INVAL), |g| {
        g.hammer(|r| r.addr = KERNEL_ADDRESS)
    }),
    ("hammer of a range that wraps", Some(Errno::INVAL), |g| {
        g.hammer(|r| r.addr = u64::MAX - 4095)
    }),
];

/// COLLAPSE.
pub(crate) const COLLAPSE: &[Case] = &[
    ("collapse", None, |g| {
        supported_or(g, None, |g| g.collapse(|_| ()))
    }),
    ("collapse of this process by its pid", None, |g| {
        supported_or(g, None, |g| {
            g.collapse(|r| r.pid = std::process::id() as i32)
        })
    }),
    ("collapse from null", Some(Errno::FAULT), |g| {
        g.call_at(sys::GUPLAB_IOC_COLLAPSE, 0)
    }),
    (
        "collapse of an unaligned address",
        Some(Errno::INVAL),
        |g| g.collapse(|r| r.addr += 8),
    ),
    ("collapse of no bytes", Some(Errno::INVAL), |g| {
        g.collapse(|r| r.len = 0)
    }),
    ("collapse of part of a page", Some(Errno::INVAL), |g| {
        g.collapse(|r| r.len -= 1)
    }),
    ("collapse of too many bytes", Some(Errno::INVAL), |g| {
        g.collapse(|r| r.len = u64::from(sys::GUPLAB_MAX_COLLAPSE) + 4096)
    }),
    (
        "collapse of all bytes that a number holds",
        Some(Errno::INVAL),
        |g| g.collapse(|r| r.len = u64::MAX - 4095),
    ),
    ("collapse with a flag", Some(Errno::INVAL), |g| {
        g.collapse(|r| r.flags = 1)
    }),
    ("collapse with an unknown gate", Some(Errno::NOENT), |g| {
        supported_or(g, Some(Errno::NOENT), |g| g.collapse(|r| r.gate = 64))
    }),
    ("collapse of a kernel address", Some(Errno::INVAL), |g| {
        g.collapse(|r| r.addr = KERNEL_ADDRESS)
    }),
    ("collapse of a range that wraps", Some(Errno::INVAL), |g| {
        g.collapse(|r| r.addr = u64::MAX - 4095)
    }),
    ("collapse of no process", Some(Errno::SRCH), |g| {
        supported_or(g, Some(Errno::SRCH), |g| g.collapse(|r| r.pid = i32::MAX))
    }),
    ("collapse of a negative pid", Some(Errno::INVAL), |g| {
        supported_or(g, Some(Errno::INVAL), |g| g.collapse(|r| r.pid = -1))
    }),
];

/// STATS.
pub(crate) const STATS: &[Case] = &[
    ("stats of the session", None, |g| g.stats(|_| ())),
    ("stats of the module", None, |g| {
        g.stats(|r| r.scope = sys::GUPLAB_STATS_MODULE)
    }),
    ("stats from null", Some(Errno::FAULT), |g| {
        g.call_at(sys::GUPLAB_IOC_STATS, 0)
    }),
    ("stats of an unknown scope", Some(Errno::INVAL), |g| {
        g.stats(|r| r.scope = 2)
    }),
    ("stats of scope ~0", Some(Errno::INVAL), |g| {
        g.stats(|r| r.scope = u32::MAX)
    }),
    ("stats with reserved", Some(Errno::INVAL), |g| {
        g.stats(|r| r.reserved = 1)
    }),
];
