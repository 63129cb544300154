// SPDX-License-Identifier: GPL-2.0

//! The walker: lockless get_user_pages_fast(), in Rust, on the real page tables.
//!
//! It does what gup_fast() in mm/gup.c does, step by step, so that a page it pinned is like any
//! other that is pinned. Every protective step can be left out ([`protocol`]), and what keeps the
//! page tables in place can be chosen ([`exclusion`]). The levels are in [`levels`], PTEs in
//! [`ptes`], and what is taken on the strength of an entry is a [`grab::Grabbed`].

use crate::{
    bindings,
    delay,
    pin::Slot,
    range::UserRange,
    session::Account,
    trace,
    uapi, //
};
use core::mem;
use kernel::{
    bindings::page,
    mm::MmWithUser,
    sync::atomic::{
        Atomic,
        Relaxed, //
    }, //
};

pub(crate) mod exclusion;
mod explain;
mod folio;
mod grab;
mod levels;
mod protocol;
mod ptes;
mod stop;

pub(crate) use explain::Explain;
pub(crate) use protocol::{
    unsafe_walks,
    Protocol, //
};
pub(crate) use stop::Stop;

use grab::{
    Acquired,
    Grabbed,
    Kept,
    Place, //
};
use protocol::{
    Steps,
    STOCK,
    STOCK_ONE,
    STOCK_SINGLY, //
};
use stop::{
    stop,
    Counts,
    Walked, //
};

/// What a walk is to take.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Want {
    /// Pins (`FOLL_PIN`), not references (`FOLL_GET`).
    pub(crate) pin: bool,
    /// `FOLL_WRITE`
    pub(crate) write: bool,
    /// `FOLL_LONGTERM`
    pub(crate) longterm: bool,
}

/// How a session walks, and how its walks ended.
pub(crate) struct Walks {
    protocol: Atomic<u64>,
    counts: Counts,
}

impl Walks {
    /// Returns the stock protocol, and nothing counted.
    pub(crate) const fn new() -> Self {
        Self {
            protocol: Atomic::new(Protocol::STOCK_PACKED),
            counts: Counts::new(),
        }
    }

    /// Has walks that begin from now on use `protocol`.
    pub(crate) fn set(&self, protocol: Protocol) {
        self.protocol.store(protocol.pack(), Relaxed);
    }

    /// Tells how walks work and what was counted.
    pub(crate) fn fill(&self, out: &mut uapi::guplab_walk) {
        Protocol::unpack(self.protocol.load(Relaxed)).fill(out);
        self.counts.fill(out);
    }
}

/// Takes the pages of `range`, from the first on as far as that goes without a lock. Returns how
/// many were taken, into the first `slots`, of which there are enough. `mm` is the caller's.
pub(crate) fn walk(
    mm: &MmWithUser,
    range: UserRange,
    want: Want,
    account: &Account,
    slots: &mut [Slot],
) -> usize {
    let walks = &account.walks;
    let packed = walks.protocol.load(Relaxed);
    let watched = delay::walks_are_watched() || trace::walks_are_traced();
    let (taken, stop) = match packed {
        Protocol::STOCK_PACKED if !watched && range.nr_pages() == 1 => {
            run(mm, range, want, STOCK_ONE, walks, slots)
        }
        Protocol::STOCK_PACKED if !watched => run(mm, range, want, STOCK, walks, slots),
        Protocol::SINGLY_PACKED if !watched => run(mm, range, want, STOCK_SINGLY, walks, slots),
        _ => {
            let protocol = Protocol::unpack(packed);
            if protocol.is_unsafe() {
                account.count(|c| &c.unsafe_walks, 1);
            }
            let (taken, stop) = run(mm, range, want, protocol, walks, slots);
            trace::walk(range, protocol, taken, stop);
            (taken, stop)
        }
    };
    if let Some(stop) = stop {
        walks.counts.stop(stop);
        account.count(|c| &c.walk_stops, 1);
    }
    taken
}

/// What a walk knows from the beginning.
#[derive(Clone, Copy)]
struct Task<'a, S: Steps> {
    mm: &'a MmWithUser,
    want: Want,
    steps: S,
    counts: &'a Counts,
}

/// One walk.
struct Walk<'a, S: Steps> {
    task: Task<'a, S>,
    slots: &'a mut [Slot],
    /// Pages that were taken, into the first slots.
    taken: usize,
    acquired: Acquired,
}

/// Walks. Returns how many pages were taken, and what ended that early. Compiled for each kind of
/// protocol; all but what is cold is inlined, so that a [`Walk`] need not be in memory.
#[inline(never)]
fn run<S: Steps>(
    mm: &MmWithUser,
    range: UserRange,
    want: Want,
    steps: S,
    walks: &Walks,
    slots: &mut [Slot],
) -> (usize, Option<Stop>) {
    let mut walk = Walk {
        task: Task {
            mm,
            want,
            steps,
            counts: &walks.counts,
        },
        slots,
        taken: 0,
        acquired: Acquired::none(),
    };
    let ended = walk.walk(range);
    (walk.taken, ended.err())
}

impl<S: Steps> Walk<'_, S> {
    /// gup_fast() of mm/gup.c, with what gup_fast_fallback() does before it.
    ///
    /// ```text
    /// CPU 0                                   CPU 1: fork(), copy_page_range()
    ///   seq = write_protect_seq, even
    ///   entry = READ_ONCE(), writable
    ///                                           write_protect_seq++, odd
    ///                                           is the folio pinned? No: it is shared
    ///   the folio is pinned
    ///   the entry is the same
    ///                                           write-protects the entry
    ///   write_protect_seq is another
    ///   gives everything back
    /// ```
    #[inline(always)]
    fn walk(&mut self, range: UserRange) -> Walked {
        let task = self.task;
        let raw = task.mm.as_raw();
        if task.want.pin && task.steps.takes(uapi::GUPLAB_STEP_HAS_PINNED) {
            // SAFETY: The mm has users.
            unsafe { bindings::guplab_mm_set_has_pinned(raw) };
        }
        let seq = task.begin(range)?;

        let excluded = task.steps.exclude();
        let inside = task.enter(uapi::GUPLAB_POINT_WALK, range.addr());
        let ended = self.all(range, &excluded);
        task.steps.leave(inside);
        drop(excluded);

        self.acquired.tell();
        let inside = task.enter(uapi::GUPLAB_POINT_WALK_RETRY, range.addr());
        // SAFETY: As above.
        let retry = |seq| unsafe { bindings::guplab_write_protect_retry(raw, seq) };
        let forked = seq.is_some_and(retry);
        task.steps.leave(inside);
        if forked {
            let inside = task.enter(uapi::GUPLAB_POINT_WALK_BACK_OFF, range.addr());
            give_back(self.slots, mem::take(&mut self.taken), task.want);
            task.steps.leave(inside);
            return Err(Stop::before(uapi::GUPLAB_STOP_FORKED));
        }
        ended
    }

    /// Takes the whole range, one entry after the other.
    #[inline(always)]
    fn all(&mut self, range: UserRange, kept: &S::Excluded) -> Walked {
        let (mut addr, end) = (range.addr(), range.end());
        while addr != end {
            addr = self.down(addr, end, kept)?;
            if self.task.steps.one() {
                break;
            }
        }
        Ok(())
    }

    /// Has pages that were kept be the walk's.
    #[inline(always)]
    fn add(&mut self, kept: Kept, pages: usize) {
        self.taken += pages;
        self.acquired.add(&kept);
    }

    /// The slots that are free.
    #[inline(always)]
    fn free(&mut self) -> &mut [Slot] {
        self.slots.get_mut(self.taken..).unwrap_or_default()
    }
}

impl<S: Steps> Task<'_, S> {
    /// Begins, if the range can be walked and fork() isn't at work. Returns its sequence count where
    /// that is watched.
    #[inline(always)]
    fn begin(self, range: UserRange) -> Walked<Option<u32>> {
        // SAFETY: It calculates.
        if !unsafe { bindings::guplab_gup_fast_permitted(range.addr(), range.end()) } {
            return Err(Stop::before(uapi::GUPLAB_STOP_LIMIT));
        }
        if !self.want.pin || !self.steps.takes(uapi::GUPLAB_STEP_SEQCOUNT) {
            return Ok(None);
        }
        // SAFETY: The mm has users.
        let seq = unsafe { bindings::guplab_write_protect_seq(self.mm.as_raw()) };
        if seq % 2 != 0 {
            return Err(Stop::before(uapi::GUPLAB_STOP_FORK));
        }
        Ok(Some(seq))
    }

    /// Where it is, for what comes to delay points by itself.
    #[inline(always)]
    fn place(self, addr: usize) -> Place {
        (self.mm.as_raw(), addr)
    }

    /// Comes to a delay point.
    #[inline(always)]
    fn enter(self, point: u32, addr: usize) -> S::Inside {
        self.steps.enter(point, self.mm.as_raw(), addr)
    }

    /// Gives back what was grabbed, for a reason.
    #[inline(always)]
    fn back_off<T>(self, grabbed: Grabbed, reason: u32, level: u32, addr: usize) -> Walked<T> {
        let inside = self.enter(uapi::GUPLAB_POINT_WALK_BACK_OFF, addr);
        let_go(grabbed);
        self.steps.leave(inside);
        stop(reason, level)
    }

    /// Keeps `pages` pages from `page` on, of what was grabbed, in the first `slots`.
    #[inline(always)]
    fn keep(self, grabbed: Grabbed, page: *mut page, pages: usize, slots: &mut [Slot]) -> Kept {
        folio::set_referenced(grabbed.folio());
        let pages = if self.steps.one() { 1 } else { pages };
        fill(slots.get_mut(..pages).unwrap_or_default(), page);
        grabbed.keep(pages)
    }
}

/// Fills slots with pages that follow each other.
#[inline(always)]
fn fill(slots: &mut [Slot], mut page: *mut page) {
    // By hand, for the compiler would not unroll it any more when it is inlined.
    let mut eights = slots.chunks_exact_mut(8);
    for eight in &mut eights {
        for (index, slot) in eight.iter_mut().enumerate() {
            *slot = page.wrapping_add(index);
        }
        page = page.wrapping_add(8);
    }
    for slot in eights.into_remainder() {
        *slot = page;
        page = page.wrapping_add(1);
    }
}

/// Gives back what was grabbed. Never where a walk goes on.
#[cold]
#[inline(never)]
fn let_go(grabbed: Grabbed) {
    drop(grabbed);
}

/// Gives back everything that was taken.
#[cold]
#[inline(never)]
fn give_back(slots: &[Slot], taken: usize, want: Want) {
    for &page in slots.iter().take(taken) {
        // SAFETY: It was taken, and nobody gets to know it.
        drop(unsafe { Grabbed::again(page, want.pin) }.released());
    }
}
