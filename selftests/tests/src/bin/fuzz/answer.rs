// SPDX-License-Identifier: GPL-2.0
//! Which answers the header allows to a request.

use guplab::{Errno, Result, page_size, sys};

use crate::compare;
use crate::delay;
use crate::request::{PAGE, Passed, Request, bad_mode};
use crate::walk;

/// Addresses from here on are the kernel's. None is made between those of user space and this one.
const KERNEL: u64 = if usize::BITS > 32 {
    1 << 62
} else {
    0xc000_0000
};

pub(crate) fn bad_range(addr: u64, len: u64, max: u64) -> bool {
    let page = page_size() as u64;
    addr % page != 0 || len == 0 || len % page != 0 || len > max || addr >= KERNEL
}

pub(crate) fn bad_pages(addr: u64, nr_pages: u32, max: u32) -> bool {
    let page = page_size() as u64;
    bad_range(addr, u64::from(nr_pages) * page, u64::from(max) * page)
}

impl Request {
    /// Whether the header calls it malformed, whatever is pinned and mapped.
    fn is_malformed(&self) -> bool {
        match self {
            Request::Info(_) => false,
            Request::Pin(r) => {
                bad_pages(r.addr, r.nr_pages, sys::GUPLAB_MAX_PAGES)
                    || bad_mode(r.way, r.flags)
                    || r.pid < 0
                    || (r.pid != 0 && r.way != sys::GUPLAB_WAY_PIN_REMOTE)
            }
            Request::Unpin(r) => r.flags > sys::GUPLAB_UNPIN_DIRTY || r.reserved != 0,
            Request::Dma(r) => {
                r.flags > sys::GUPLAB_DMA_TO_PAGES || !(1..=sys::GUPLAB_MAX_DMA).contains(&r.len)
            }
            Request::Inspect(r) => {
                u64::from(r.page_size) != PAGE
                    || r.reserved != 0
                    || !(1..=sys::GUPLAB_MAX_INSPECT).contains(&r.nr_pages)
                    || r.pid < 0
                    || match r.handle {
                        0 => r.first != 0 || bad_pages(r.addr, r.nr_pages, r.nr_pages),
                        _ => r.addr != 0 || r.pid != 0,
                    }
            }
            Request::Check(r) => r.flags > sys::GUPLAB_CHECK_EXPECT_SAME,
            Request::Hammer(r) => bad_hammer(r),
            Request::Collapse(r) => {
                bad_range(r.addr, r.len, sys::GUPLAB_MAX_COLLAPSE.into())
                    || r.pid < 0
                    || r.flags != 0
            }
            Request::Stats(r) => r.scope > sys::GUPLAB_STATS_MODULE || r.reserved != 0,
            Request::Delay(r) => delay::is_malformed(r),
            Request::Walk(r) => walk::is_walk_malformed(r),
            Request::Explain(r) => walk::is_explain_malformed(r),
            Request::Compare(r) => compare::is_malformed(r),
            Request::Hint(r) => bad_range(r.addr, r.len, sys::GUPLAB_MAX_HINT.into()) || r.pid < 0,
        }
    }

    /// Whether the header allows this answer, and a reply like this. Others change mappings and
    /// release pins at any time.
    pub(crate) fn allows(&self, passed: Passed, answer: Result<()>, reply: &Request) -> bool {
        match passed {
            Passed::Null => return answer == Err(Errno::FAULT),
            Passed::AsUnknown => return answer == Err(Errno::NOTTY),
            Passed::ReadOnly if answer == Err(Errno::FAULT) => return true,
            Passed::ReadOnly if answer.is_ok() => return false,
            _ => {}
        }
        match answer {
            Ok(()) => !self.is_malformed() && reply.is_sound(),
            // What is wrong besides may be told instead, but nothing may have been tried.
            Err(error) if self.is_malformed() => matches!(
                error,
                Errno::INVAL | Errno::NOENT | Errno::NOSPC | Errno::OPNOTSUPP
            ),
            Err(error) => self.may_fail_with(error),
        }
    }

    fn may_fail_with(&self, error: Errno) -> bool {
        const MEMORY: [Errno; 2] = [Errno::NOMEM, Errno::INTR];
        const PROCESS: [Errno; 2] = [Errno::SRCH, Errno::PERM];
        match self {
            Request::Info(_) | Request::Stats(_) | Request::Walk(_) => false,
            Request::Pin(r) => {
                matches!(error, Errno::FAULT | Errno::NOSPC | Errno::AGAIN)
                    || MEMORY.contains(&error)
                    || (r.gate != 0 && error == Errno::NOENT)
                    || (r.pid != 0 && PROCESS.contains(&error))
                    || (r.way == sys::GUPLAB_WAY_PIN_FAST_ONLY && error == Errno::OPNOTSUPP)
                    || (r.flags & (sys::GUPLAB_PIN_SPLIT_PMD | sys::GUPLAB_PIN_LONGTERM) != 0
                        && error == Errno::OPNOTSUPP)
            }
            Request::Unpin(r) => error == Errno::NOENT || (error == Errno::PERM && r.flags != 0),
            Request::Dma(r) => {
                matches!(
                    error,
                    Errno::NOENT | Errno::INVAL | Errno::FAULT | Errno::NOMEM
                ) || (error == Errno::PERM && r.flags != 0)
            }
            Request::Inspect(r) => {
                matches!(error, Errno::FAULT | Errno::NOMEM)
                    || (r.handle != 0 && matches!(error, Errno::NOENT | Errno::INVAL))
                    || (r.pid != 0 && PROCESS.contains(&error))
            }
            Request::Check(_) => error == Errno::NOENT,
            Request::Hammer(r) => {
                MEMORY.contains(&error)
                    || (r.gate != 0 && error == Errno::NOENT)
                    || (r.way == sys::GUPLAB_WAY_PIN_FAST_ONLY && error == Errno::OPNOTSUPP)
            }
            Request::Delay(r) => delay::may_bring(r, error),
            Request::Explain(r) => walk::explain_may_bring(r, error),
            Request::Compare(_) => MEMORY.contains(&error) || error == Errno::OPNOTSUPP,
            Request::Hint(r) => {
                // The range may leave its VMA, or what is mapped there.
                matches!(
                    error,
                    Errno::FAULT | Errno::INVAL | Errno::INTR | Errno::OPNOTSUPP
                ) || (r.gate != 0 && error == Errno::NOENT)
                    || (r.pid != 0 && PROCESS.contains(&error))
            }
            Request::Collapse(r) => {
                matches!(error, Errno::INTR | Errno::OPNOTSUPP)
                    || (r.gate != 0 && error == Errno::NOENT)
                    || (r.pid != 0 && PROCESS.contains(&error))
            }
        }
    }

    fn is_sound(&self) -> bool {
        match self {
            Request::Pin(r) => {
                r.handle != 0 && (1..=r.nr_pages).contains(&r.pinned) && r.start_ns <= r.end_ns
            }
            Request::Check(r) => r.same + r.differs + r.absent > 0,
            Request::Hammer(r) => {
                r.calls > 0
                    && (r.max_calls == 0 || r.calls <= r.max_calls)
                    && r.short_calls + r.failed_calls <= r.calls
                    && r.pages <= r.calls * u64::from(r.batch)
            }
            Request::Collapse(r) => r.result <= 0 && r.start_ns <= r.end_ns,
            Request::Delay(r) if r.op == sys::GUPLAB_DELAY_ARM => r.id != 0,
            Request::Walk(r) => walk::is_walk_sound(r),
            Request::Explain(r) => walk::is_explain_sound(r),
            Request::Compare(r) => compare::is_sound(r),
            Request::Delay(r) => r.point < sys::GUPLAB_NR_POINTS,
            _ => true,
        }
    }
}

fn bad_hammer(r: &sys::guplab_hammer) -> bool {
    let writes = r.flags & sys::GUPLAB_HAMMER_WRITE != 0;
    let times = r.flags & sys::GUPLAB_HAMMER_TIME_CALLS != 0;
    bad_pages(r.addr, r.nr_pages, sys::GUPLAB_MAX_PAGES)
        || bad_mode(r.way, r.pin_flags)
        || r.way == sys::GUPLAB_WAY_PIN_REMOTE
        || r.pin_flags & sys::GUPLAB_PIN_LONGTERM != 0
        || r.flags >= 1 << 7
        || !(1..=r.nr_pages).contains(&r.batch)
        || u64::from(r.batch) * u64::from(r.hold.max(1)) > sys::GUPLAB_MAX_BATCH.into()
        || r.offset % 8 != 0
        || r.offset as usize >= page_size()
        || (writes && r.pin_flags & sys::GUPLAB_PIN_WRITE == 0)
        || (!writes && (r.offset != 0 || r.flags & sys::GUPLAB_HAMMER_CHECK_DATA != 0))
        || (r.seed != 0 && r.flags & sys::GUPLAB_HAMMER_RANDOM == 0)
        || (r.max_calls == 0 && r.max_ns == 0)
        || r.max_ns > sys::GUPLAB_MAX_NS
        || r.nr_times > sys::GUPLAB_MAX_TIMES
        || times != (r.nr_times != 0)
        || (!times && r.times != 0)
        || r.reserved != 0
}
