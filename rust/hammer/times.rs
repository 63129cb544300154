// SPDX-License-Identifier: GPL-2.0

//! How long each call took, for those who want percentiles.

use crate::{
    clock,
    uapi::{
        self,
        guplab_hammer, //
    }, //
};
use kernel::{
    prelude::*,
    transmute::AsBytes,
    uaccess::{
        UserPtr,
        UserSlice, //
    }, //
};

/// Where the times go, checked.
#[derive(Clone, Copy)]
pub(super) struct TimesRequest {
    addr: usize,
    len: usize,
}

impl TimesRequest {
    pub(super) fn new(request: &guplab_hammer) -> Result<Option<Self>> {
        let wanted = request.flags & uapi::GUPLAB_HAMMER_TIME_CALLS != 0;
        if request.reserved != 0
            || request.nr_times > uapi::GUPLAB_MAX_TIMES
            || wanted != (request.nr_times != 0)
            || (!wanted && request.times != 0)
        {
            return Err(EINVAL);
        }
        Ok(wanted.then_some(Self {
            addr: usize::try_from(request.times)?,
            len: usize::try_from(request.nr_times)?,
        }))
    }
}

/// The times of the first calls. Without a request there is room for none.
pub(super) struct Times {
    addr: usize,
    max: usize,
    ns: KVVec<u32>,
}

impl Times {
    pub(super) fn new(request: Option<TimesRequest>) -> Result<Self> {
        let (addr, max) = request.map_or((0, 0), |request| (request.addr, request.len));
        Ok(Self {
            addr,
            max,
            ns: KVVec::with_capacity(max, GFP_KERNEL)?,
        })
    }

    /// Makes a call, and keeps how long it took as long as there is room.
    pub(super) fn of<T>(&mut self, call: impl FnOnce() -> T) -> T {
        if self.ns.len() == self.max {
            return call();
        }
        let start_ns = clock::now();
        let result = call();
        let ns = u32::try_from(clock::now() - start_ns).unwrap_or(u32::MAX);
        // There is room.
        let _ = self.ns.push_within_capacity(ns);
        result
    }

    /// Copies the times to userspace.
    pub(super) fn copy_out(&self) -> Result {
        if self.ns.is_empty() {
            return Ok(());
        }
        let to = UserSlice::new(UserPtr::from_addr(self.addr), size_of_val(&self.ns[..]));
        to.writer().write_slice(AsBytes::as_bytes(&self.ns[..]))
    }
}
