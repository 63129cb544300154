// SPDX-License-Identifier: GPL-2.0
//! WALK and EXPLAIN. No protocol is asked for that is less than safe: a walk that leaves something
//! out may do anything to this kernel.

use guplab::{Errno, Rng, page_size, sys};

use crate::answer::bad_range;
use crate::request::{
    Ingredients, KNOWN_PIN_FLAGS, Request, SLOW_ONLY, bad_address, bad_mode, one_in, unknown,
};

/// The first bit that names no step, and the first that names no flag.
const STEPS: u32 = 11;
const FLAGS: u32 = 1;

pub(crate) fn walk(rng: &mut Rng) -> sys::guplab_walk {
    let op = rng.u32(0..=sys::GUPLAB_WALK_GET);
    sys::guplab_walk {
        op,
        flags: match op {
            sys::GUPLAB_WALK_SET => rng.u32(0..=sys::GUPLAB_WALK_SINGLY),
            _ => 0,
        },
        ..Default::default()
    }
}

pub(crate) fn spoil_walk(r: &mut sys::guplab_walk, rng: &mut Rng) {
    match rng.u32(0..5) {
        0 => r.op = rng.u32(2..),
        1 => r.exclusion = rng.u32(sys::GUPLAB_NR_EXCLUSIONS..),
        2 => r.steps_off |= unknown(rng, STEPS),
        3 => r.flags |= unknown(rng, FLAGS),
        _ => r.reserved[rng.usize(0..2)] = rng.u64(1..),
    }
}

pub(crate) fn is_walk_malformed(r: &sys::guplab_walk) -> bool {
    let bad_set = r.exclusion >= sys::GUPLAB_NR_EXCLUSIONS
        || r.steps_off >> STEPS != 0
        || r.flags >> FLAGS != 0;
    let bad_get = r.exclusion != 0 || r.steps_off != 0 || r.flags != 0;
    r.reserved != [0; 2]
        || match r.op {
            sys::GUPLAB_WALK_SET => bad_set,
            sys::GUPLAB_WALK_GET => bad_get,
            _ => true,
        }
}

/// What GET tells is what SET was asked for, here and by everyone.
pub(crate) fn is_walk_sound(r: &sys::guplab_walk) -> bool {
    r.exclusion == 0
        && r.steps_off == 0
        && r.flags <= sys::GUPLAB_WALK_SINGLY
        && r.unsafe_walks == 0
}

impl Ingredients<'_> {
    pub(crate) fn explain(&self, rng: &mut Rng) -> Request {
        let slow_only = if one_in(rng, 16) { SLOW_ONLY } else { 0 };
        let flags = rng.u32(..) & KNOWN_PIN_FLAGS & (!SLOW_ONLY | slow_only);
        Request::Explain(sys::guplab_explain {
            addr: self.zoo.place(rng).addr,
            pid: self.pid(rng),
            flags,
            get: rng.u32(0..=1),
            ..Default::default()
        })
    }
}

pub(crate) fn spoil_explain(r: &mut sys::guplab_explain, rng: &mut Rng) {
    match rng.u32(0..6) {
        0 | 1 => r.addr = bad_address(rng, r.addr),
        2 => r.pid = [-1, i32::MIN, i32::MAX][rng.usize(0..3)],
        3 => r.flags |= unknown(rng, 7),
        4 => r.get = rng.u32(2..),
        _ => r.reserved = rng.u32(1..),
    }
}

pub(crate) fn is_explain_malformed(r: &sys::guplab_explain) -> bool {
    let page = page_size() as u64;
    let way = match r.get {
        0 => sys::GUPLAB_WAY_WALK_ONLY,
        _ => sys::GUPLAB_WAY_WALK_GET_ONLY,
    };
    bad_range(r.addr, page, page)
        || r.pid < 0
        || r.get > 1
        || r.reserved != 0
        || bad_mode(way, r.flags)
}

pub(crate) fn explain_may_bring(r: &sys::guplab_explain, error: Errno) -> bool {
    // A child may be killed meanwhile.
    r.pid != 0 && matches!(error, Errno::SRCH | Errno::PERM)
}

pub(crate) fn is_explain_sound(r: &sys::guplab_explain) -> bool {
    r.stop < sys::GUPLAB_NR_STOPS
        && r.level < sys::GUPLAB_NR_LEVELS
        && (r.stop == sys::GUPLAB_STOP_NONE) == (r.run > 0)
}
