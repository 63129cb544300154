// SPDX-License-Identifier: GPL-2.0
//! DELAY: requests at random, and which answers the header allows.

use guplab::{Errno, Rng, page_size, sys};

use crate::answer::bad_range;
use crate::request::{Ingredients, Request, bad_address, one_in, unknown};

/// Mostly short, so that the others get on.
fn time(rng: &mut Rng) -> u32 {
    match rng.u32(0..64) {
        0 => rng.u32(..=sys::GUPLAB_MAX_DELAY_NS),
        1..=31 => rng.u32(..200_000),
        _ => 0,
    }
}

impl Ingredients<'_> {
    /// A request that is right, unless the point can't be told what the flags ask for.
    pub(crate) fn delay(&self, rng: &mut Rng) -> Request {
        let op = match rng.u32(0..16) {
            0 => sys::GUPLAB_DELAY_QUERY,
            1..=6 => sys::GUPLAB_DELAY_ARM,
            7..=12 => sys::GUPLAB_DELAY_DISARM,
            13 => sys::GUPLAB_DELAY_READ,
            14 if rng.bool() => sys::GUPLAB_DELAY_PAUSE,
            14 => sys::GUPLAB_DELAY_RESUME,
            _ => sys::GUPLAB_DELAY_WAIT,
        };
        let mut request = sys::guplab_delay {
            op,
            ..Default::default()
        };
        match op {
            sys::GUPLAB_DELAY_QUERY => request.point = rng.u32(0..sys::GUPLAB_NR_POINTS),
            sys::GUPLAB_DELAY_ARM => self.arm(rng, &mut request),
            _ => {
                request.id = if one_in(rng, 16) {
                    rng.u32(..)
                } else if op >= sys::GUPLAB_DELAY_PAUSE && rng.bool() {
                    0
                } else {
                    self.armed
                }
            }
        }
        if op == sys::GUPLAB_DELAY_WAIT {
            request.entry_ns = time(rng);
        }
        Request::Delay(request)
    }

    fn arm(&self, rng: &mut Rng, request: &mut sys::guplab_delay) {
        request.point = rng.u32(0..sys::GUPLAB_NR_POINTS);
        request.pid = self.pid(rng);
        if one_in(rng, 2) {
            request.partner = self.armed;
        }
        if one_in(rng, 2) {
            request.flags |= sys::GUPLAB_DELAY_ANY_TASK;
        }
        if one_in(rng, 2) {
            let place = self.zoo.place(rng);
            request.flags |= sys::GUPLAB_DELAY_ADDR;
            request.addr = place.addr;
            request.len = u64::from(place.nr_pages) * page_size() as u64;
        }
        request.entry_ns = time(rng);
        request.return_ns = time(rng);
        request.entry_linger_ns = time(rng);
        request.return_linger_ns = time(rng);
    }
}

/// Spoils one field.
pub(crate) fn spoil(r: &mut sys::guplab_delay, rng: &mut Rng) {
    match rng.u32(0..12) {
        0 => r.op = rng.u32(sys::GUPLAB_DELAY_RESUME + 1..),
        1 => r.point = rng.u32(sys::GUPLAB_NR_POINTS..),
        2 => r.id = rng.u32(..),
        3 => r.flags |= unknown(rng, 2),
        4 => r.pid = [-1, i32::MIN, i32::MAX][rng.usize(0..3)],
        5 => r.partner = rng.u32(..),
        6 => r.addr = bad_address(rng, r.addr),
        7 => r.len = [0, r.len + 1, u64::MAX - 4095][rng.usize(0..3)],
        8 => r.entry_ns = rng.u32(sys::GUPLAB_MAX_DELAY_NS + 1..),
        9 => r.return_ns = rng.u32(sys::GUPLAB_MAX_DELAY_NS + 1..),
        10 => r.entry_linger_ns = rng.u32(sys::GUPLAB_MAX_DELAY_NS + 1..),
        _ => r.return_linger_ns = rng.u32(sys::GUPLAB_MAX_DELAY_NS + 1..),
    }
}

/// Whether fields are used that only ARM has.
fn is_more_than_named(r: &sys::guplab_delay) -> bool {
    let words = [
        r.flags,
        r.partner,
        r.return_ns,
        r.entry_linger_ns,
        r.return_linger_ns,
    ];
    words != [0; 5] || r.pid != 0 || (r.addr, r.len) != (0, 0)
}

/// Whether the header calls it malformed, whatever is armed.
pub(crate) fn is_malformed(r: &sys::guplab_delay) -> bool {
    const MOST: u32 = sys::GUPLAB_MAX_DELAY_NS;
    let times = [
        r.entry_ns,
        r.return_ns,
        r.entry_linger_ns,
        r.return_linger_ns,
    ];
    let bad_point = r.point >= sys::GUPLAB_NR_POINTS;
    match r.op {
        sys::GUPLAB_DELAY_QUERY => {
            bad_point || r.id != 0 || r.entry_ns != 0 || is_more_than_named(r)
        }
        sys::GUPLAB_DELAY_ARM => {
            bad_point
                || r.id != 0
                || r.flags >= 1 << 2
                || r.pid < 0
                || times.iter().any(|&ns| ns > MOST)
                || match r.flags & sys::GUPLAB_DELAY_ADDR {
                    0 => (r.addr, r.len) != (0, 0),
                    _ => bad_range(r.addr, r.len, 1 << 46),
                }
        }
        sys::GUPLAB_DELAY_WAIT => r.point != 0 || r.entry_ns > MOST || is_more_than_named(r),
        sys::GUPLAB_DELAY_DISARM
        | sys::GUPLAB_DELAY_READ
        | sys::GUPLAB_DELAY_PAUSE
        | sys::GUPLAB_DELAY_RESUME => r.point != 0 || r.entry_ns != 0 || is_more_than_named(r),
        _ => true,
    }
}

/// Whether the header allows this error for a request that isn't malformed.
pub(crate) fn may_bring(r: &sys::guplab_delay, error: Errno) -> bool {
    match r.op {
        sys::GUPLAB_DELAY_QUERY => error == Errno::OPNOTSUPP,
        sys::GUPLAB_DELAY_ARM => match error {
            Errno::NOSPC | Errno::OPNOTSUPP | Errno::NOMEM | Errno::INTR => true,
            Errno::NOENT => r.partner != 0,
            Errno::SRCH => r.pid != 0,
            // Not every point is told what the flags ask for.
            Errno::INVAL => r.flags != 0,
            _ => false,
        },
        sys::GUPLAB_DELAY_WAIT => matches!(error, Errno::NOENT | Errno::TIMEDOUT | Errno::INTR),
        _ => error == Errno::NOENT,
    }
}
