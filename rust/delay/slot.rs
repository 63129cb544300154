// SPDX-License-Identifier: GPL-2.0

//! The armed points as a probe sees them: who is concerned, how long to wait, what to count.
//!
//! Everything here runs inside the kernel function that is watched, with whatever locks are held
//! there and perhaps with interrupts off. It neither sleeps, locks nor allocates, and it waits for
//! nobody without a limit: the partner may be waiting for an interrupt that this CPU has to answer.

use super::{
    counts::Counts,
    point::{
        Call,
        Number, //
    },
};
use crate::{
    bindings,
    clock,
    trace,
    uapi::{
        self,
        guplab_delay, //
    }, //
};
use kernel::{
    bindings::mm_struct,
    prelude::*,
    sync::atomic::{
        Acquire,
        Atomic,
        Full,
        Relaxed,
        Release, //
    },
    time::{
        delay::fsleep,
        Delta, //
    }, //
};

/// How often a gate looks whether it may open.
const GATE_POLL: Delta = Delta::from_micros(20);

mod arming;

pub(super) use arming::walks_are_watched;

/// Points that can be armed at the same time, in all sessions.
pub(super) const SLOTS: usize = 64;

/// The slots. A free one has the id 0.
pub(super) static TABLE: [Slot; SLOTS] = [const { Slot::new() }; SLOTS];

/// For each point, a bit for each slot in which it is armed.
static ARMED: [Atomic<u64>; Number::COUNT] = [const { Atomic::new(0) }; Number::COUNT];

/// One armed point.
pub(super) struct Slot {
    /// 0 where nothing is armed. The number of the slot is the remainder by [`SLOTS`].
    id: Atomic<u32>,
    session: Atomic<i64>,
    point: Atomic<u32>,
    // Compared only: the reference is kept by whoever armed it.
    mm: Atomic<*mut mm_struct>,
    any_task: Atomic<bool>,
    start: Atomic<usize>,
    end: Atomic<usize>,
    wait_ns: [Atomic<u32>; 2],
    linger_ns: [Atomic<u32>; 2],
    /// The number of the partner's slot, or [`SLOTS`].
    partner: Atomic<usize>,

    /// It delays nobody and counts nothing, apart from who is inside.
    paused: Atomic<bool>,
    /// Tasks that are inside.
    inside: Atomic<i32>,
    /// When somebody entered last, until the partner has taken notice.
    entered_ns: Atomic<u64>,
    /// Nobody is delayed before this time.
    rests_until: Atomic<u64>,
    counts: Counts,
}

#[derive(Clone, Copy)]
enum Side {
    Entry = 0,
    Return = 1,
}

fn irqs_disabled() -> bool {
    // SAFETY: Has no preconditions.
    unsafe { bindings::guplab_irqs_disabled() }
}

fn relax() {
    // SAFETY: Has no preconditions.
    unsafe { bindings::guplab_cpu_relax() };
}

/// A number from 0 up to `limit`, which is below 2^32; different every time.
fn random(now: u64, limit: u64) -> u64 {
    // The upper half is the better one. Not every machine divides 64 bits.
    let x = now.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32;
    (x * (limit + 1)) >> 32
}

/// The slots in which a point is armed.
fn armed(point: Number) -> impl Iterator<Item = &'static Slot> {
    let mut bits = ARMED[point.index()].load(Acquire);
    core::iter::from_fn(move || {
        // CAST: At most 64.
        let number = bits.trailing_zeros() as usize;
        bits &= bits.wrapping_sub(1);
        TABLE.get(number)
    })
}

/// Whether a point is armed by anybody.
pub(super) fn is_armed(point: Number) -> bool {
    ARMED[point.index()].load(Relaxed) != 0
}

/// A task enters the function of a point. Returns the ids of the slots that it is inside of now.
pub(super) fn enter(
    point: Number,
    call: &Call,
    ids: &mut [u32; bindings::GUPLAB_POINT_WATCHERS],
) -> bool {
    let mut free = ids.iter_mut();
    let mut any = false;
    for slot in armed(point).filter(|slot| slot.concerns(call)) {
        // A fifth watcher of one call has to do without.
        let Some(place) = free.next() else {
            slot.counts.miss();
            continue;
        };
        let inside = slot.matters_after_entry();
        slot.enter(call, inside);
        *place = if inside { slot.id.load(Relaxed) } else { 0 };
        any |= inside;
    }
    for place in free {
        *place = 0;
    }
    any
}

/// The task returns from the function.
pub(super) fn leave(id: u32) {
    let slot = &TABLE[id as usize % SLOTS];
    // What it entered may be disarmed by now, and another point be armed in its slot.
    if id != 0 && slot.id.load(Acquire) == id {
        slot.leave();
    }
}

impl Slot {
    const fn new() -> Self {
        Self {
            id: Atomic::new(0),
            session: Atomic::new(0),
            point: Atomic::new(0),
            mm: Atomic::new(core::ptr::null_mut()),
            any_task: Atomic::new(false),
            start: Atomic::new(0),
            end: Atomic::new(0),
            wait_ns: [Atomic::new(0), Atomic::new(0)],
            linger_ns: [Atomic::new(0), Atomic::new(0)],
            partner: Atomic::new(SLOTS),
            paused: Atomic::new(false),
            inside: Atomic::new(0),
            entered_ns: Atomic::new(0),
            rests_until: Atomic::new(0),
            counts: Counts::new(),
        }
    }

    /// Who armed it under which id; none if it is free.
    pub(super) fn owner(&self) -> Option<(i64, u32)> {
        let id = self.id.load(Acquire);
        (id != 0).then(|| (self.session.load(Relaxed), id))
    }

    fn concerns(&self, call: &Call) -> bool {
        // SAFETY: Has no preconditions.
        if !unsafe { bindings::guplab_in_task() } {
            return false;
        }
        let mm = self.mm.load(Relaxed);
        let concerned = if self.any_task.load(Relaxed) {
            call.mm == Some(mm)
        } else {
            kernel::current!()
                .mm()
                .is_some_and(|own| own.as_raw() == mm)
        };
        let (start, end) = (self.start.load(Relaxed), self.end.load(Relaxed));
        concerned && call.range.is_none_or(|(from, to)| from < end && start < to)
    }

    fn partner(&self) -> Option<&'static Slot> {
        TABLE.get(self.partner.load(Relaxed))
    }

    fn is_occupied(&self) -> bool {
        self.inside.load(Acquire) > 0
    }

    /// Waits until a task is inside, but not for longer than `limit` nanoseconds, nor if this is
    /// not armed as `id` any more.
    pub(super) fn wait_for_task(&self, id: u32, limit: u64) -> Result {
        let start = clock::now_anywhere();
        while !self.is_occupied() {
            if self.id.load(Acquire) != id {
                return Err(ENOENT);
            }
            if clock::now_anywhere().saturating_sub(start) > limit {
                return Err(ETIMEDOUT);
            }
            // SAFETY: Has no preconditions.
            if unsafe { bindings::guplab_fatal_signal_pending() } {
                return Err(EINTR);
            }
            // Asleep, the caller leaves its CPU to whoever it waits for. A system call may sleep.
            fsleep(GATE_POLL);
        }
        Ok(())
    }

    fn is_paused(&self) -> bool {
        self.paused.load(Relaxed)
    }

    /// Stops delaying and counting, or begins again as if it had just been armed, but for what was
    /// counted and who is inside.
    pub(super) fn pause(&self, paused: bool) {
        self.entered_ns.store(0, Relaxed);
        self.rests_until.store(0, Relaxed);
        self.paused.store(paused, Release);
    }

    /// Whether anybody wants to know how long a task is inside.
    fn matters_after_entry(&self) -> bool {
        self.partner().is_some() || self.wait_ns[Side::Return as usize].load(Relaxed) != 0
    }

    /// As [`enter`], for a call that ends with [`Slot::end`].
    pub(super) fn begin(&self, call: &Call) {
        if self.concerns(call) {
            self.enter(call, true);
        }
    }

    /// The end of a call that was told to [`Slot::begin`].
    pub(super) fn end(&self, call: &Call) {
        if self.concerns(call) {
            self.leave();
        }
    }

    fn enter(&self, call: &Call, inside: bool) {
        if inside {
            self.inside.fetch_add(1, Full);
        }
        if self.is_paused() {
            return;
        }
        self.counts.pass(irqs_disabled());
        let addr = call.range.map_or(0, |(from, _)| from);
        let partner = self.partner();
        if let Some(partner) = partner {
            self.meet(partner);
        }
        self.hold(Side::Entry, partner, addr);
    }

    /// Counts what this entry means to the partner.
    fn meet(&self, partner: &Slot) {
        let now = clock::now_anywhere();
        if partner.is_occupied() {
            partner.counts.meet();
        }
        let before = partner.entered_ns.xchg(0, Relaxed);
        if before != 0 {
            self.counts.gap(now.saturating_sub(before));
        }
        self.entered_ns.store(now, Relaxed);
    }

    fn leave(&self) {
        if !self.is_paused() {
            self.hold(Side::Return, self.partner(), 0);
        }
        self.inside.fetch_sub(1, Release);
    }

    /// Waits as it is configured.
    fn hold(&self, side: Side, partner: Option<&Slot>, addr: usize) {
        let limit = u64::from(self.wait_ns[side as usize].load(Relaxed));
        let start = clock::now_anywhere();
        let mut met = partner.is_some_and(Slot::is_occupied);
        if limit == 0 || start < self.rests_until.load(Relaxed) {
            self.record(side, (start, 0), met, addr);
            return;
        }
        let most = if irqs_disabled() {
            u64::from(uapi::GUPLAB_MAX_IRQS_OFF_NS)
        } else {
            u64::from(uapi::GUPLAB_MAX_DELAY_NS)
        };
        let limit = limit.min(most);
        let passed = || clock::now_anywhere().saturating_sub(start);
        while !met && passed() < limit && !self.is_paused() {
            relax();
            met = partner.is_some_and(Slot::is_occupied);
        }
        if met {
            let linger = u64::from(self.linger_ns[side as usize].load(Relaxed));
            let until = (passed() + random(start, linger)).min(most);
            while passed() < until && !self.is_paused() {
                relax();
            }
        }
        let held = passed();
        self.rests_until.store(start + 2 * held, Relaxed);
        self.counts.hold(held, partner.is_some() && !met);
        self.record(side, (start, held), met, addr);
    }

    fn record(&self, side: Side, times: (u64, u64), met: bool, addr: usize) {
        if let Ok(point) = Number::try_from(self.point.load(Relaxed)) {
            let is_return = matches!(side, Side::Return);
            trace::window(point.name(), is_return, times, met, addr);
        }
    }

    /// Copies the counters into a reply.
    pub(super) fn fill(&self, out: &mut guplab_delay) {
        out.point = self.point.load(Relaxed);
        self.counts.fill(out);
    }
}

#[kunit_tests(guplab_delay_slot)]
mod tests {
    use super::*;

    #[test]
    fn random_times_stay_below_their_limit() {
        for now in 0..1000 {
            assert!(random(now, 10) <= 10);
            assert_eq!(random(now, 0), 0);
        }
    }
}
