// SPDX-License-Identifier: GPL-2.0
//! HINT.

use guplab::{Rng, page_size, sys};

use crate::request::{Ingredients, Request, bad_address};

impl Ingredients<'_> {
    pub(crate) fn hint(&self, rng: &mut Rng) -> Request {
        let place = self.zoo.place(rng);
        // This program runs on what is untouchable.
        let (addr, nr_pages) = match place.untouchable {
            true => (self.buffer, 1),
            false => (place.addr, place.nr_pages),
        };
        Request::Hint(sys::guplab_hint {
            addr,
            len: u64::from(nr_pages) * page_size() as u64,
            pid: self.pid(rng),
            gate: self.gate(rng),
            ..Default::default()
        })
    }
}

pub(crate) fn spoil(r: &mut sys::guplab_hint, rng: &mut Rng) {
    match rng.u32(0..7) {
        0 | 1 => r.addr = bad_address(rng, r.addr),
        2 | 3 => r.len = [0, r.len + 1, u64::from(sys::GUPLAB_MAX_HINT) + 4096][rng.usize(0..3)],
        4 | 5 => r.pid = [-1, i32::MIN, i32::MAX][rng.usize(0..3)],
        _ => r.gate = rng.u32(1..),
    }
}
