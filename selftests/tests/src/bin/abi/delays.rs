// SPDX-License-Identifier: GPL-2.0
//! DELAY.

use guplab::{Errno, Point, Result, page_size, sys};
use guplab_tests::Test;
use guplab_tests::ground::{Ground, KERNEL_ADDRESS};

use crate::points::ensure_there_is;
use crate::{Case, judge};

const QUERY: u32 = sys::GUPLAB_DELAY_QUERY;
const ARM: u32 = sys::GUPLAB_DELAY_ARM;
const DISARM: u32 = sys::GUPLAB_DELAY_DISARM;
const READ: u32 = sys::GUPLAB_DELAY_READ;
const WAIT: u32 = sys::GUPLAB_DELAY_WAIT;
const PAUSE: u32 = sys::GUPLAB_DELAY_PAUSE;
const RESUME: u32 = sys::GUPLAB_DELAY_RESUME;

/// Is told neither memory nor address.
const BLIND: u32 = sys::GUPLAB_POINT_TRY_GRAB_FOLIO_FAST;
/// Is told both, and is no function.
const NOTIFIER: u32 = sys::GUPLAB_POINT_NOTIFIER;

const ANY_TASK: u32 = sys::GUPLAB_DELAY_ANY_TASK;
const ADDR: u32 = sys::GUPLAB_DELAY_ADDR;
const TOO_LONG: u32 = sys::GUPLAB_MAX_DELAY_NS + 1;

type Spoil = fn(&mut sys::guplab_delay);

fn arm(ground: &Ground, spoil: impl FnOnce(&mut sys::guplab_delay)) -> Result<()> {
    ground.delay(ARM, spoil).map(|_| ())
}

/// Arms for the first page of the mapping, unless it is spoiled.
fn arm_at(ground: &Ground, spoil: Spoil) -> Result<()> {
    arm(ground, |r| {
        (r.point, r.flags) = (NOTIFIER, ADDR);
        (r.addr, r.len) = (ground.mapping.addr() as u64, page_size() as u64);
        spoil(r);
    })
}

/// Everything that no command but ARM uses, used: EINVAL unless one of these is let pass.
fn every_unused_field(ground: &Ground, op: u32, id: u32) -> Result<()> {
    const FIELDS: [Spoil; 9] = [
        |r| r.flags = ANY_TASK,
        |r| r.pid = 1,
        |r| r.partner = 1,
        |r| r.addr = 4096,
        |r| r.len = 4096,
        |r| r.return_ns = 1,
        |r| r.entry_linger_ns = 1,
        |r| r.return_linger_ns = 1,
        |r| r.flags = 1 << 31,
    ];
    for spoil in FIELDS {
        let done = ground.delay(op, |r| {
            r.id = id;
            spoil(r);
        });
        if done != Err(Errno::INVAL) {
            return done.map(|_| ());
        }
    }
    Err(Errno::INVAL)
}

/// What is refused before anybody looks at what the kernel has.
pub(crate) const MALFORMED: &[Case] = &[
    ("delay from null", Some(Errno::FAULT), |g| {
        g.call_at(sys::GUPLAB_IOC_DELAY, 0)
    }),
    ("delay from a kernel address", Some(Errno::FAULT), |g| {
        g.call_at(sys::GUPLAB_IOC_DELAY, KERNEL_ADDRESS)
    }),
    ("delay with the first unknown op", Some(Errno::INVAL), |g| {
        g.delay(RESUME + 1, |_| ()).map(|_| ())
    }),
    ("delay with op ~0", Some(Errno::INVAL), |g| {
        g.delay(u32::MAX, |_| ()).map(|_| ())
    }),
    ("query of an unknown point", Some(Errno::INVAL), |g| {
        let point = sys::GUPLAB_NR_POINTS;
        g.delay(QUERY, |r| r.point = point).map(|_| ())
    }),
    ("query of point ~0", Some(Errno::INVAL), |g| {
        g.delay(QUERY, |r| r.point = u32::MAX).map(|_| ())
    }),
    ("query with an id", Some(Errno::INVAL), |g| {
        g.delay(QUERY, |r| r.id = 1).map(|_| ())
    }),
    ("query with a time", Some(Errno::INVAL), |g| {
        g.delay(QUERY, |r| r.entry_ns = 1).map(|_| ())
    }),
    ("query with an unused field", Some(Errno::INVAL), |g| {
        every_unused_field(g, QUERY, 0)
    }),
    ("arm an unknown point", Some(Errno::INVAL), |g| {
        arm(g, |r| r.point = sys::GUPLAB_NR_POINTS)
    }),
    ("arm point ~0", Some(Errno::INVAL), |g| {
        arm(g, |r| r.point = u32::MAX)
    }),
    ("arm with an id", Some(Errno::INVAL), |g| {
        arm(g, |r| r.id = 1)
    }),
    ("arm with the first unknown flag", Some(Errno::INVAL), |g| {
        arm(g, |r| (r.point, r.flags) = (NOTIFIER, 1 << 2))
    }),
    ("arm with the last unknown flag", Some(Errno::INVAL), |g| {
        arm(g, |r| (r.point, r.flags) = (NOTIFIER, 1 << 31))
    }),
    (
        "arm for any task where memory is not told",
        Some(Errno::INVAL),
        |g| arm(g, |r| (r.point, r.flags) = (BLIND, ANY_TASK)),
    ),
    (
        "arm for addresses where none is told",
        Some(Errno::INVAL),
        |g| arm_at(g, |r| r.point = BLIND),
    ),
    ("arm with an address, unflagged", Some(Errno::INVAL), |g| {
        arm_at(g, |r| (r.flags, r.len) = (0, 0))
    }),
    ("arm with a length, unflagged", Some(Errno::INVAL), |g| {
        arm_at(g, |r| (r.flags, r.addr) = (0, 0))
    }),
    ("arm at an unaligned address", Some(Errno::INVAL), |g| {
        arm_at(g, |r| r.addr += 8)
    }),
    ("arm for part of a page", Some(Errno::INVAL), |g| {
        arm_at(g, |r| r.len -= 1)
    }),
    ("arm for no bytes", Some(Errno::INVAL), |g| {
        arm_at(g, |r| r.len = 0)
    }),
    ("arm at a kernel address", Some(Errno::INVAL), |g| {
        arm_at(g, |r| r.addr = KERNEL_ADDRESS)
    }),
    ("arm for a range that wraps", Some(Errno::INVAL), |g| {
        arm_at(g, |r| r.addr = u64::MAX - 4095)
    }),
    (
        "arm for all bytes that a number holds",
        Some(Errno::INVAL),
        |g| arm_at(g, |r| r.len = u64::MAX - 4095),
    ),
    ("arm with a long delay at entry", Some(Errno::INVAL), |g| {
        arm(g, |r| r.entry_ns = TOO_LONG)
    }),
    ("arm with a long delay at return", Some(Errno::INVAL), |g| {
        arm(g, |r| r.return_ns = TOO_LONG)
    }),
    ("arm with a long stay at entry", Some(Errno::INVAL), |g| {
        arm(g, |r| r.entry_linger_ns = TOO_LONG)
    }),
    ("arm with a long stay at return", Some(Errno::INVAL), |g| {
        arm(g, |r| r.return_linger_ns = TOO_LONG)
    }),
    (
        "arm with the longest time that a number holds",
        Some(Errno::INVAL),
        |g| arm(g, |r| r.entry_ns = u32::MAX),
    ),
    ("arm of a negative pid", Some(Errno::INVAL), |g| {
        arm(g, |r| r.pid = -1)
    }),
    ("arm of no process", Some(Errno::SRCH), |g| {
        arm(g, |r| r.pid = i32::MAX)
    }),
    ("arm with an unknown partner", Some(Errno::NOENT), |g| {
        arm(g, |r| r.partner = 64)
    }),
    ("disarm id 0", Some(Errno::NOENT), |g| {
        g.delay(DISARM, |_| ()).map(|_| ())
    }),
    ("disarm id ~0", Some(Errno::NOENT), |g| {
        g.delay(DISARM, |r| r.id = u32::MAX).map(|_| ())
    }),
    ("read id 0", Some(Errno::NOENT), |g| {
        g.delay(READ, |_| ()).map(|_| ())
    }),
    ("read id ~0", Some(Errno::NOENT), |g| {
        g.delay(READ, |r| r.id = u32::MAX).map(|_| ())
    }),
    ("pause id ~0", Some(Errno::NOENT), |g| {
        g.delay(PAUSE, |r| r.id = u32::MAX).map(|_| ())
    }),
    ("resume id ~0", Some(Errno::NOENT), |g| {
        g.delay(RESUME, |r| r.id = u32::MAX).map(|_| ())
    }),
    ("pause nothing", None, |g| {
        g.delay(PAUSE, |_| ()).map(|_| ())
    }),
    ("wait for id 0", Some(Errno::NOENT), |g| {
        g.delay(WAIT, |r| r.entry_ns = 1).map(|_| ())
    }),
];

/// What needs a point that can be armed.
const ARMED: &[Case] = &[
    ("query", None, |g| g.delay(QUERY, |_| ()).map(|_| ())),
    ("arm", None, |g| arm(g, |_| ())),
    ("arm with the longest times", None, |g| {
        let longest = sys::GUPLAB_MAX_DELAY_NS;
        arm(g, |r| {
            (r.entry_ns, r.return_ns) = (longest, longest);
            (r.entry_linger_ns, r.return_linger_ns) = (longest, longest);
        })
    }),
    ("arm of this process by its pid", None, |g| {
        arm(g, |r| r.pid = std::process::id() as i32)
    }),
    ("arm with a partner", None, |g| {
        let partner = g.delay(ARM, |_| ())?;
        arm(g, |r| r.partner = partner)
    }),
    ("arm with a partner twice", None, |g| {
        let partner = g.delay(ARM, |_| ())?;
        arm(g, |r| r.partner = partner)?;
        arm(g, |r| r.partner = partner)
    }),
    ("disarm", None, |g| {
        let id = g.delay(ARM, |_| ())?;
        g.delay(DISARM, |r| r.id = id).map(|_| ())
    }),
    ("read", None, |g| {
        let id = g.delay(ARM, |_| ())?;
        g.delay(READ, |r| r.id = id).map(|_| ())
    }),
    ("pause and resume", None, |g| {
        let id = g.delay(ARM, |_| ())?;
        for op in [PAUSE, PAUSE, RESUME, RESUME] {
            g.delay(op, |r| r.id = id)?;
        }
        Ok(())
    }),
    ("wait where nobody comes", Some(Errno::TIMEDOUT), |g| {
        let id = g.delay(ARM, |_| ())?;
        g.delay(WAIT, |r| (r.id, r.entry_ns) = (id, 1000))
            .map(|_| ())
    }),
    ("wait for too long", Some(Errno::INVAL), |g| {
        let id = g.delay(ARM, |_| ())?;
        g.delay(WAIT, |r| (r.id, r.entry_ns) = (id, TOO_LONG))
            .map(|_| ())
    }),
    ("disarm twice", Some(Errno::NOENT), |g| {
        let id = g.delay(ARM, |_| ())?;
        g.delay(DISARM, |r| r.id = id)?;
        g.delay(DISARM, |r| r.id = id).map(|_| ())
    }),
    ("read what was disarmed", Some(Errno::NOENT), |g| {
        let id = g.delay(ARM, |_| ())?;
        g.delay(DISARM, |r| r.id = id)?;
        g.delay(READ, |r| r.id = id).map(|_| ())
    }),
    ("wait for what was disarmed", Some(Errno::NOENT), |g| {
        let id = g.delay(ARM, |_| ())?;
        g.delay(DISARM, |r| r.id = id)?;
        g.delay(WAIT, |r| r.id = id).map(|_| ())
    }),
    ("arm with a partner that is gone", Some(Errno::NOENT), |g| {
        let partner = g.delay(ARM, |_| ())?;
        g.delay(DISARM, |r| r.id = partner)?;
        arm(g, |r| r.partner = partner)
    }),
    ("disarm with an unused field", Some(Errno::INVAL), |g| {
        let id = g.delay(ARM, |_| ())?;
        every_unused_field(g, DISARM, id)
    }),
    ("disarm with a point", Some(Errno::INVAL), |g| {
        let id = g.delay(ARM, |_| ())?;
        g.delay(DISARM, |r| (r.id, r.point) = (id, 1)).map(|_| ())
    }),
    ("disarm with a time", Some(Errno::INVAL), |g| {
        let id = g.delay(ARM, |_| ())?;
        g.delay(DISARM, |r| (r.id, r.entry_ns) = (id, 1))
            .map(|_| ())
    }),
    ("read with an unused field", Some(Errno::INVAL), |g| {
        let id = g.delay(ARM, |_| ())?;
        every_unused_field(g, READ, id)
    }),
    ("read with a time", Some(Errno::INVAL), |g| {
        let id = g.delay(ARM, |_| ())?;
        g.delay(READ, |r| (r.id, r.entry_ns) = (id, 1)).map(|_| ())
    }),
    ("pause with an unused field", Some(Errno::INVAL), |g| {
        every_unused_field(g, PAUSE, 0)
    }),
    ("resume with a time", Some(Errno::INVAL), |g| {
        g.delay(RESUME, |r| r.entry_ns = 1).map(|_| ())
    }),
    ("wait with an unused field", Some(Errno::INVAL), |g| {
        let id = g.delay(ARM, |_| ())?;
        every_unused_field(g, WAIT, id)
    }),
    ("pin at a gate to which nobody comes", None, |g| {
        let gate = g.delay(ARM, |_| ())?;
        g.pin(|r| r.gate = gate)
    }),
    ("pin at a gate that is gone", Some(Errno::NOENT), |g| {
        let gate = g.delay(ARM, |_| ())?;
        g.delay(DISARM, |r| r.id = gate)?;
        g.pin(|r| r.gate = gate)
    }),
    ("pin at another session's gate", Some(Errno::NOENT), |g| {
        of_another_session(|gate| g.pin(|r| r.gate = gate).map(|()| 0))
    }),
    ("one delay too many", Some(Errno::NOSPC), |g| {
        for _ in 0..sys::GUPLAB_MAX_DELAYS {
            g.delay(ARM, |_| ())?;
        }
        arm(g, |_| ())
    }),
    (
        "disarm what another session armed",
        Some(Errno::NOENT),
        |g| of_another_session(|id| g.delay(DISARM, |r| r.id = id)),
    ),
    ("read what another session armed", Some(Errno::NOENT), |g| {
        of_another_session(|id| g.delay(READ, |r| r.id = id))
    }),
    (
        "pause what another session armed",
        Some(Errno::NOENT),
        |g| of_another_session(|id| g.delay(PAUSE, |r| r.id = id)),
    ),
    (
        "wait for what another session armed",
        Some(Errno::NOENT),
        |g| of_another_session(|id| g.delay(WAIT, |r| r.id = id)),
    ),
    (
        "arm with another session's partner",
        Some(Errno::NOENT),
        |g| of_another_session(|id| g.delay(ARM, |r| r.partner = id)),
    ),
];

/// What needs MMU notifiers.
const NOTIFIED: &[Case] = &[
    ("arm for MMU notifiers", None, |g| {
        arm(g, |r| r.point = NOTIFIER)
    }),
    ("arm for MMU notifiers of any task", None, |g| {
        arm(g, |r| (r.point, r.flags) = (NOTIFIER, ANY_TASK))
    }),
    ("arm for addresses", None, |g| arm_at(g, |_| ())),
];

/// Makes a request for a delay that another session has armed.
fn of_another_session(make: impl FnOnce(u32) -> Result<u32>) -> Result<()> {
    let other = Ground::new().map_err(|_| Errno::NODEV)?;
    let id = other.delay(ARM, |_| ())?;
    make(id).map(|_| ())
}

pub(crate) fn tests() -> Vec<Test> {
    let of = |cases: &'static [Case], point: Point| {
        cases.iter().map(move |&(name, expected, request)| {
            Test::new(name, move || {
                ensure_there_is(point)?;
                judge(expected, request)
            })
        })
    };
    of(ARMED, Point::TryGrabFolioFast)
        .chain(of(NOTIFIED, Point::Notifier))
        .collect()
}
