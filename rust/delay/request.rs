// SPDX-License-Identifier: GPL-2.0

//! Requests for delay points, checked.

use super::point::{
    Kind,
    Number, //
};
use crate::{
    range::UserRange,
    symbol::unsupported,
    uapi::{
        self,
        guplab_delay, //
    }, //
};
use kernel::prelude::*;

/// How an armed point is to behave, checked.
#[derive(Clone, Copy)]
pub(super) struct Config {
    pub(super) point: Number,
    pub(super) any_task: bool,
    /// First address and the one behind the last.
    pub(super) range: (usize, usize),
    /// Longest delay, at entry and at return.
    pub(super) wait_ns: [u32; 2],
    /// Longest stay after a meeting, likewise.
    pub(super) linger_ns: [u32; 2],
}

/// Tells what a point can take.
pub(super) fn query(request: &mut guplab_delay) -> Result {
    let number = Number::try_from(request.point)?;
    let expected = guplab_delay {
        op: request.op,
        point: request.point,
        ..Default::default()
    };
    if !same(request, &expected) {
        return Err(EINVAL);
    }
    if !number.exists() {
        return Err(unsupported());
    }
    request.flags = number.flags();
    Ok(())
}

/// Whether the inputs are the same.
fn same(a: &guplab_delay, b: &guplab_delay) -> bool {
    let inputs = |d: &guplab_delay| {
        let words = [d.op, d.point, d.id, d.flags, d.partner];
        let times = [
            d.entry_ns,
            d.return_ns,
            d.entry_linger_ns,
            d.return_linger_ns,
        ];
        (words, d.pid, d.addr, d.len, times)
    };
    inputs(a) == inputs(b)
}

/// Nothing but the id may be given.
pub(super) fn only_id(request: &guplab_delay) -> Result {
    let expected = guplab_delay {
        op: request.op,
        id: request.id,
        ..Default::default()
    };
    if same(request, &expected) {
        Ok(())
    } else {
        Err(EINVAL)
    }
}

impl TryFrom<&guplab_delay> for Config {
    type Error = Error;

    fn try_from(request: &guplab_delay) -> Result<Self> {
        let point = Number::try_from(request.point)?;
        let wait_ns = [request.entry_ns, request.return_ns];
        let linger_ns = [request.entry_linger_ns, request.return_linger_ns];
        if request.id != 0 || request.flags & !point.flags() != 0 {
            return Err(EINVAL);
        }
        let too_long = |ns: [u32; 2]| ns.iter().any(|&ns| ns > uapi::GUPLAB_MAX_DELAY_NS);
        if too_long(wait_ns) || too_long(linger_ns) {
            return Err(EINVAL);
        }
        let range = if request.flags & uapi::GUPLAB_DELAY_ADDR != 0 {
            let range = UserRange::from_bytes(request.addr, request.len, u64::MAX)?;
            (range.addr(), range.end())
        } else if request.addr == 0 && request.len == 0 {
            (0, usize::MAX)
        } else {
            return Err(EINVAL);
        };
        Ok(Config {
            point,
            any_task: matches!(point.kind(), Kind::Notifier)
                || request.flags & uapi::GUPLAB_DELAY_ANY_TASK != 0,
            range,
            wait_ns,
            linger_ns,
        })
    }
}

#[kunit_tests(guplab_delay_request)]
mod tests {
    use super::*;

    fn error_of(point: u32, spoil: impl FnOnce(&mut guplab_delay)) -> Option<Error> {
        let mut request = guplab_delay {
            point,
            ..Default::default()
        };
        spoil(&mut request);
        Config::try_from(&request).err()
    }

    #[test]
    fn times_are_bounded() {
        let most = uapi::GUPLAB_MAX_DELAY_NS;
        assert_eq!(error_of(0, |r| r.entry_ns = most), None);
        assert_eq!(error_of(0, |r| r.entry_ns = most + 1), Some(EINVAL));
        assert_eq!(error_of(0, |r| r.return_linger_ns = u32::MAX), Some(EINVAL));
    }

    #[test]
    fn flags_are_for_points_that_are_told() {
        // Number 0 is told nothing.
        let any_task = |r: &mut guplab_delay| r.flags = uapi::GUPLAB_DELAY_ANY_TASK;
        assert_eq!(error_of(uapi::GUPLAB_POINT_NOTIFIER, any_task), None);
        assert_eq!(error_of(0, any_task), Some(EINVAL));
        assert_eq!(error_of(uapi::GUPLAB_NR_POINTS, |_| ()), Some(EINVAL));
    }

    #[test]
    fn an_address_needs_its_flag() {
        let point = uapi::GUPLAB_POINT_NOTIFIER;
        let flag = uapi::GUPLAB_DELAY_ADDR;
        let page = |r: &mut guplab_delay| (r.flags, r.addr, r.len) = (flag, 4096, 4096);
        assert_eq!(error_of(point, page), None);
        assert_eq!(error_of(point, |r| r.addr = 4096), Some(EINVAL));
        assert_eq!(error_of(point, |r| r.flags = flag), Some(EINVAL));
    }
}
