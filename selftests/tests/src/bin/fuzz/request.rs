// SPDX-License-Identifier: GPL-2.0
//! Requests at random.

use guplab::{Rng, Way, page_size, sys};
use guplab_tests::ground::KERNEL_ADDRESS;

use crate::zoo::Zoo;
use crate::{compare, delay, hint, walk};

/// A request of one command.
#[derive(Clone, Copy, Debug)]
#[expect(
    clippy::large_enum_variant,
    reason = "a forked child makes them, and may not allocate"
)]
pub(crate) enum Request {
    Info(sys::guplab_info),
    Pin(sys::guplab_pin),
    Unpin(sys::guplab_unpin),
    Dma(sys::guplab_dma),
    Inspect(sys::guplab_inspect),
    Check(sys::guplab_check),
    Hammer(sys::guplab_hammer),
    Collapse(sys::guplab_collapse),
    Stats(sys::guplab_stats),
    Delay(sys::guplab_delay),
    Hint(sys::guplab_hint),
    Walk(sys::guplab_walk),
    Explain(sys::guplab_explain),
    Compare(sys::guplab_compare),
}

/// Where the kernel finds the request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Passed {
    /// In ordinary memory.
    Plainly,
    /// Where it can't write the reply.
    ReadOnly,
    /// Nowhere.
    Null,
    /// In ordinary memory, but with the number of no command.
    AsUnknown,
}

/// What requests are made of.
pub(crate) struct Ingredients<'a> {
    pub(crate) zoo: &'a Zoo,
    /// The address of a buffer with room for the largest DMA.
    pub(crate) buffer: u64,
    /// A process with the same addresses.
    pub(crate) pid: i32,
    /// The newest handle of the session.
    pub(crate) newest: u64,
    /// A delay that the session has armed once, or 0.
    pub(crate) armed: u32,
}

const WAYS: u32 = Way::ALL.len() as u32;
pub(crate) const KNOWN_PIN_FLAGS: u32 = 0x7f;
const WRITING: u32 = sys::GUPLAB_PIN_WRITE | sys::GUPLAB_PIN_FORCE;
pub(crate) const SLOW_ONLY: u32 = sys::GUPLAB_PIN_INTERRUPTIBLE | sys::GUPLAB_PIN_SPLIT_PMD;
const HAMMER_WORK: u32 = sys::GUPLAB_HAMMER_WRITE | sys::GUPLAB_HAMMER_CHECK_DATA;
/// Bytes of one page's description.
pub(crate) const PAGE: u64 = size_of::<sys::guplab_page>() as u64;

pub(crate) fn one_in(rng: &mut Rng, n: u32) -> bool {
    rng.u32(0..n) == 0
}

/// Whether the header rules out these flags for this way.
pub(crate) fn bad_mode(way: u32, flags: u32) -> bool {
    let Some(way) = Way::of(way) else {
        return true;
    };
    let slow = matches!(way, Way::Pin | Way::PinRemote);
    flags & !KNOWN_PIN_FLAGS != 0
        || (flags & sys::GUPLAB_PIN_LONGTERM != 0 && !way.pins())
        || (flags & SLOW_ONLY != 0 && !slow)
}

pub(crate) fn bad_address(rng: &mut Rng, addr: u64) -> u64 {
    [
        addr + rng.u64(1..4096),
        KERNEL_ADDRESS,
        u64::MAX - 4095,
        1 << 63,
    ][rng.usize(0..4)]
}

pub(crate) fn unknown(rng: &mut Rng, first: u32) -> u32 {
    1 << rng.u32(first..32)
}

fn handle(rng: &mut Rng, newest: u64) -> u64 {
    match rng.u32(0..32) {
        0 => rng.u64(..),
        1 => newest + 1,
        _ => newest.saturating_sub(rng.u64(0..48)).max(1),
    }
}

impl Ingredients<'_> {
    pub(crate) fn pid(&self, rng: &mut Rng) -> i32 {
        if one_in(rng, 3) { self.pid } else { 0 }
    }

    fn buffer(&self, rng: &mut Rng) -> u64 {
        match rng.u32(0..16) {
            0 => 0,
            1 => KERNEL_ADDRESS,
            2..=4 => match self.zoo.place(rng) {
                place if place.untouchable => self.buffer,
                place => place.addr,
            },
            _ => self.buffer,
        }
    }

    pub(crate) fn mode(&self, rng: &mut Rng, untouchable: bool) -> (u32, u32) {
        let way = rng.u32(0..WAYS);
        let mut flags = rng.u32(..) & rng.u32(..) & KNOWN_PIN_FLAGS;
        if one_in(rng, 2) {
            flags |= sys::GUPLAB_PIN_WRITE;
        }
        if flags & sys::GUPLAB_PIN_LONGTERM != 0 {
            // Long-term and for reading, on a private mapping of a file's huge page, the kernel
            // faults for ever: the fault that is to unshare splits the PMD, finds no PTE, and maps
            // the PMD again.
            flags |= sys::GUPLAB_PIN_WRITE;
        }
        if untouchable {
            flags &= !(WRITING | sys::GUPLAB_PIN_LONGTERM);
        }
        if bad_mode(way, flags) && !one_in(rng, 8) {
            flags &= !(SLOW_ONLY | sys::GUPLAB_PIN_LONGTERM);
        }
        (way, flags)
    }

    /// Rarely one, for a gate can stay closed for long.
    pub(crate) fn gate(&self, rng: &mut Rng) -> u32 {
        if one_in(rng, 48) { self.armed } else { 0 }
    }

    fn pin(&self, rng: &mut Rng) -> Request {
        let place = self.zoo.place(rng);
        let (way, flags) = self.mode(rng, place.untouchable);
        let remote = way == sys::GUPLAB_WAY_PIN_REMOTE && !place.untouchable;
        Request::Pin(sys::guplab_pin {
            addr: place.addr,
            nr_pages: place.nr_pages,
            way,
            flags,
            pid: if remote { self.pid(rng) } else { 0 },
            gate: self.gate(rng),
            ..Default::default()
        })
    }

    fn dma(&self, rng: &mut Rng) -> Request {
        let most = 4096 << rng.u32(0..9);
        Request::Dma(sys::guplab_dma {
            handle: handle(rng, self.newest),
            offset: if one_in(rng, 2) {
                0
            } else {
                rng.u64(0..1 << 17)
            },
            buf: self.buffer(rng),
            len: rng.u32(1..=most),
            flags: rng.u32(0..=sys::GUPLAB_DMA_TO_PAGES),
        })
    }

    fn inspect(&self, rng: &mut Rng) -> Request {
        let place = self.zoo.place(rng);
        let mut request = sys::guplab_inspect {
            nr_pages: place.nr_pages.min(sys::GUPLAB_MAX_INSPECT),
            page_size: PAGE as u32,
            buf: self.buffer(rng),
            ..Default::default()
        };
        if one_in(rng, 2) {
            request.handle = handle(rng, self.newest);
            (request.first, request.nr_pages) = (rng.u32(0..8), rng.u32(1..8));
        } else {
            (request.addr, request.pid) = (place.addr, self.pid(rng));
        }
        Request::Inspect(request)
    }

    fn hammer(&self, rng: &mut Rng) -> Request {
        let place = self.zoo.place(rng);
        let (way, mut pin_flags) = self.mode(rng, place.untouchable);
        if !one_in(rng, 8) {
            pin_flags &= !sys::GUPLAB_PIN_LONGTERM;
        }
        let mut flags = rng.u32(0..128);
        if pin_flags & sys::GUPLAB_PIN_WRITE == 0 || flags & sys::GUPLAB_HAMMER_WRITE == 0 {
            flags &= !HAMMER_WORK;
        }
        let in_time = one_in(rng, 8);
        let times = flags & sys::GUPLAB_HAMMER_TIME_CALLS != 0;
        Request::Hammer(sys::guplab_hammer {
            addr: place.addr,
            nr_pages: place.nr_pages,
            batch: rng.u32(1..=place.nr_pages.min(64)),
            way,
            pin_flags,
            flags,
            offset: if flags & HAMMER_WORK != 0 {
                8 * rng.u32(0..512)
            } else {
                0
            },
            seed: if flags & sys::GUPLAB_HAMMER_RANDOM != 0 {
                rng.u64(..)
            } else {
                0
            },
            max_calls: if in_time { 0 } else { rng.u64(1..48) },
            max_ns: if in_time { rng.u64(1..2_000_000) } else { 0 },
            hold: rng.u32(0..16),
            gate: self.gate(rng),
            // Not a bad address: what was done then is counted, but not told.
            times: if times { self.buffer } else { 0 },
            nr_times: if times { rng.u32(1..64) } else { 0 },
            ..Default::default()
        })
    }

    fn collapse(&self, rng: &mut Rng) -> Request {
        let place = self.zoo.place(rng);
        Request::Collapse(sys::guplab_collapse {
            addr: place.addr,
            len: u64::from(place.nr_pages) * page_size() as u64,
            pid: if place.untouchable { 0 } else { self.pid(rng) },
            gate: self.gate(rng),
            ..Default::default()
        })
    }

    /// Makes a request, one in five of which is spoiled in one field.
    pub(crate) fn request(&self, rng: &mut Rng) -> Request {
        let mut request = match rng.u32(0..42) {
            0 => Request::Info(Default::default()),
            1..=10 => self.pin(rng),
            11..=17 => Request::Unpin(sys::guplab_unpin {
                handle: handle(rng, self.newest),
                flags: rng.u32(0..=sys::GUPLAB_UNPIN_DIRTY),
                ..Default::default()
            }),
            18..=20 => self.dma(rng),
            21..=23 => self.inspect(rng),
            24 | 25 => Request::Check(sys::guplab_check {
                handle: handle(rng, self.newest),
                flags: rng.u32(0..=sys::GUPLAB_CHECK_EXPECT_SAME),
                ..Default::default()
            }),
            26..=29 => self.hammer(rng),
            30 => self.collapse(rng),
            31 | 32 => self.delay(rng),
            33 => self.hint(rng),
            34 => Request::Walk(walk::walk(rng)),
            35..=38 => self.explain(rng),
            39 | 40 => self.compare(rng),
            _ => Request::Stats(sys::guplab_stats {
                scope: rng.u32(0..=sys::GUPLAB_STATS_MODULE),
                ..Default::default()
            }),
        };
        if one_in(rng, 5) {
            request.spoil(rng);
        }
        request
    }
}

impl Request {
    /// The command, as an index of [`sys::COMMANDS`], and where the request is.
    pub(crate) fn parts(&mut self) -> (usize, *mut u8) {
        match self {
            Request::Info(r) => (0, std::ptr::from_mut(r).cast()),
            Request::Pin(r) => (1, std::ptr::from_mut(r).cast()),
            Request::Unpin(r) => (2, std::ptr::from_mut(r).cast()),
            Request::Dma(r) => (3, std::ptr::from_mut(r).cast()),
            Request::Inspect(r) => (4, std::ptr::from_mut(r).cast()),
            Request::Check(r) => (5, std::ptr::from_mut(r).cast()),
            Request::Hammer(r) => (6, std::ptr::from_mut(r).cast()),
            Request::Collapse(r) => (7, std::ptr::from_mut(r).cast()),
            Request::Stats(r) => (8, std::ptr::from_mut(r).cast()),
            Request::Delay(r) => (9, std::ptr::from_mut(r).cast()),
            Request::Hint(r) => (10, std::ptr::from_mut(r).cast()),
            Request::Walk(r) => (11, std::ptr::from_mut(r).cast()),
            Request::Explain(r) => (12, std::ptr::from_mut(r).cast()),
            Request::Compare(r) => (13, std::ptr::from_mut(r).cast()),
        }
    }

    /// Whether what it did is known without its reply.
    pub(crate) fn is_known_without_reply(&self) -> bool {
        matches!(
            self,
            Request::Info(_)
                | Request::Pin(_)
                | Request::Check(_)
                | Request::Stats(_)
                | Request::Delay(_)
                | Request::Walk(_)
                | Request::Explain(_)
        )
    }

    /// Whether it is counted also where a signal ended it.
    pub(crate) fn counts_when_interrupted(&self) -> bool {
        matches!(self, Request::Hammer(_) | Request::Collapse(_))
    }

    fn spoil(&mut self, rng: &mut Rng) {
        let which = rng.u32(0..7);
        match self {
            Request::Info(_) => {}
            Request::Pin(r) => match which {
                0 | 1 => r.addr = bad_address(rng, r.addr),
                2 => r.nr_pages = [0, sys::GUPLAB_MAX_PAGES + 1, u32::MAX][rng.usize(0..3)],
                3 => r.way = rng.u32(WAYS..),
                4 => r.flags |= unknown(rng, 7),
                5 => r.pid = [-1, i32::MIN][rng.usize(0..2)],
                _ => r.gate = rng.u32(1..),
            },
            Request::Unpin(r) if which < 4 => r.flags |= unknown(rng, 1),
            Request::Unpin(r) => r.reserved = rng.u32(1..),
            Request::Dma(r) => match which {
                0 | 1 => r.flags |= unknown(rng, 1),
                2 | 3 => r.len = [0, sys::GUPLAB_MAX_DMA + 1, u32::MAX][rng.usize(0..3)],
                _ => r.offset = rng.u64(..),
            },
            Request::Inspect(r) => match which {
                0 => r.page_size ^= unknown(rng, 0),
                1 => r.reserved = rng.u64(1..),
                2 => r.nr_pages = [0, sys::GUPLAB_MAX_INSPECT + 1, u32::MAX][rng.usize(0..3)],
                3 => r.first = rng.u32(1..),
                4 => r.pid = [-1, i32::MIN, i32::MAX][rng.usize(0..3)],
                _ => r.addr = bad_address(rng, r.addr),
            },
            Request::Check(r) => r.flags |= unknown(rng, 1),
            Request::Hammer(r) => match rng.u32(0..15) {
                0 => r.addr = bad_address(rng, r.addr),
                1 => r.nr_pages = [0, sys::GUPLAB_MAX_PAGES + 1, u32::MAX][rng.usize(0..3)],
                2 => r.batch = [0, r.nr_pages + 1, u32::MAX][rng.usize(0..3)],
                3 => r.way = rng.u32(WAYS..),
                4 => r.pin_flags |= unknown(rng, 7),
                5 => r.flags |= unknown(rng, 7),
                6 => r.offset = [4, 4096, u32::MAX - 7][rng.usize(0..3)],
                7 => r.seed = rng.u64(..),
                8 => (r.max_calls, r.max_ns) = (0, 0),
                9 => r.max_ns = rng.u64(sys::GUPLAB_MAX_NS + 1..),
                10 => r.hold = rng.u32(sys::GUPLAB_MAX_BATCH + 1..),
                11 => r.nr_times = [0, sys::GUPLAB_MAX_TIMES + 1, u32::MAX][rng.usize(0..3)],
                12 => r.flags ^= sys::GUPLAB_HAMMER_TIME_CALLS,
                13 => r.reserved = rng.u32(1..),
                _ => r.gate = rng.u32(1..),
            },
            Request::Collapse(r) => match which {
                0 | 1 => r.addr = bad_address(rng, r.addr),
                2 => {
                    r.len =
                        [0, r.len + 1, u64::from(sys::GUPLAB_MAX_COLLAPSE) + 4096][rng.usize(0..3)]
                }
                3 | 4 => r.pid = [-1, i32::MIN, i32::MAX][rng.usize(0..3)],
                5 => r.flags = rng.u32(1..),
                _ => r.gate = rng.u32(1..),
            },
            Request::Stats(r) if which < 4 => r.scope = rng.u32(2..),
            Request::Stats(r) => r.reserved = rng.u32(1..),
            Request::Delay(r) => delay::spoil(r, rng),
            Request::Walk(r) => walk::spoil_walk(r, rng),
            Request::Explain(r) => walk::spoil_explain(r, rng),
            Request::Compare(r) => compare::spoil(r, rng),
            Request::Hint(r) => hint::spoil(r, rng),
        }
    }
}
