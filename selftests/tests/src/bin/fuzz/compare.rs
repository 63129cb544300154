// SPDX-License-Identifier: GPL-2.0
//! COMPARE. What it is asked to compare changes meanwhile, so any number of differences is allowed.

use guplab::{Rng, sys};

use crate::answer::bad_pages;
use crate::request::{Ingredients, Request, bad_address, bad_mode, one_in, unknown};

/// Flags that bring in nothing new if they are there or not.
const HARMLESS: u32 = sys::GUPLAB_PIN_NOFAULT | sys::GUPLAB_PIN_HONOR_NUMA_FAULT;

impl Ingredients<'_> {
    pub(crate) fn compare(&self, rng: &mut Rng) -> Request {
        let place = self.zoo.place(rng);
        let (any_way, pin_flags) = self.mode(rng, place.untouchable);
        let walk = rng.u32(sys::GUPLAB_WAY_WALK..=sys::GUPLAB_WAY_WALK_GET_ONLY);
        let way = if one_in(rng, 8) { any_way } else { walk };
        let mut request = sys::guplab_compare {
            addr: place.addr,
            nr_pages: place.nr_pages,
            max_pages: rng.u32(1..=64),
            way,
            pin_flags,
            random_flags: rng.u32(..) & HARMLESS & !pin_flags,
            count: rng.u32(1..16),
            seed: rng.u64(..),
            ..Default::default()
        };
        if bad_mode(way, pin_flags) && !one_in(rng, 8) {
            request.pin_flags &= sys::GUPLAB_PIN_WRITE;
        }
        Request::Compare(request)
    }
}

pub(crate) fn spoil(r: &mut sys::guplab_compare, rng: &mut Rng) {
    match rng.u32(0..9) {
        0 => r.addr = bad_address(rng, r.addr),
        1 => r.nr_pages = [0, sys::GUPLAB_MAX_PAGES + 1, u32::MAX][rng.usize(0..3)],
        2 => r.max_pages = [0, sys::GUPLAB_MAX_BATCH + 1, u32::MAX][rng.usize(0..3)],
        3 => r.way = rng.u32(sys::GUPLAB_WAY_WALK_GET_ONLY + 1..),
        4 => r.pin_flags |= unknown(rng, 7),
        5 => r.random_flags |= unknown(rng, 7),
        6 => r.count = 0,
        7 => {
            r.pin_flags |= sys::GUPLAB_PIN_NOFAULT;
            r.random_flags |= sys::GUPLAB_PIN_NOFAULT;
        }
        _ => r.reserved = rng.u32(1..),
    }
}

pub(crate) fn is_malformed(r: &sys::guplab_compare) -> bool {
    bad_pages(r.addr, r.nr_pages, sys::GUPLAB_MAX_PAGES)
        || !(1..=sys::GUPLAB_MAX_BATCH).contains(&r.max_pages)
        || r.way < sys::GUPLAB_WAY_WALK
        || bad_mode(r.way, r.pin_flags | r.random_flags)
        || r.pin_flags & r.random_flags != 0
        || r.count == 0
        || r.reserved != 0
}

pub(crate) fn is_sound(r: &sys::guplab_compare) -> bool {
    (1..=r.count).contains(&r.compared)
        && r.unsettled + r.differences <= r.compared
        && (r.differences == 0) == (r.difference == sys::GUPLAB_DIFFERENCE_NONE)
        && r.pages <= u64::from(r.compared) * u64::from(r.max_pages)
}
