// SPDX-License-Identifier: GPL-2.0

//! Writers of page tables who wait until nobody walks: the other side of the readers' counter of
//! [`crate::walk::exclusion`].

use super::{
    point::Number,
    slot,
    REGISTER, //
};
use crate::{
    bindings,
    clock,
    symbol::unsupported,
    uapi,
    walk::exclusion::no_readers, //
};
use kernel::{
    prelude::*,
    sync::atomic::{
        Atomic,
        Relaxed, //
    }, //
};

/// An end of a writer's function.
#[derive(Clone, Copy, PartialEq)]
enum End {
    Entry,
    Return,
}

/// Where the page table has been changed and nothing freed yet. Linux 7.2.
const WRITERS: [(u32, End); 4] = [
    // The PMD is cleared and the TLB flushed.
    (uapi::GUPLAB_POINT_PMDP_COLLAPSE_FLUSH, End::Return),
    // What asks for it has unlinked a table.
    (uapi::GUPLAB_POINT_TLB_REMOVE_TABLE_SYNC_ONE, End::Entry),
    (uapi::GUPLAB_POINT_TLB_REMOVE_TABLE, End::Entry),
    (uapi::GUPLAB_POINT_PTE_FREE_DEFER, End::Entry),
];

/// Sessions that walk with the counter.
static HOOKS: Atomic<i32> = Atomic::new(0);

fn wait(number: Number, end: End) {
    if HOOKS.load(Relaxed) == 0 || !WRITERS.contains(&(number.get(), end)) {
        return;
    }
    let start = clock::now_anywhere();
    // SAFETY: Has no preconditions.
    let limit = u64::from(if unsafe { bindings::guplab_irqs_disabled() } {
        uapi::GUPLAB_MAX_IRQS_OFF_NS
    } else {
        uapi::GUPLAB_MAX_GATE_NS
    });
    while !no_readers() && clock::now_anywhere().saturating_sub(start) < limit {
        // SAFETY: Has no preconditions.
        unsafe { bindings::guplab_cpu_relax() };
    }
}

/// A probe was entered. Returns whether its return matters.
pub(super) fn entered(number: Number) -> bool {
    wait(number, End::Entry);
    HOOKS.load(Relaxed) != 0 && WRITERS.contains(&(number.get(), End::Return))
}

/// The function returns.
pub(super) fn left(number: Number) {
    wait(number, End::Return);
}

/// A bit for each point that is watched for the readers' sake. Only whoever holds the lock of all
/// armed points changes it.
static WATCHED: Atomic<u64> = Atomic::new(0);

/// Returns whether a point is.
pub(super) fn watches(number: Number) -> bool {
    WATCHED.load(Relaxed) & bit(number) != 0
}

fn bit(number: Number) -> u64 {
    1 << number.get()
}

/// Writers wait for readers as long as this lives.
pub(crate) struct Writers(());

impl Writers {
    /// Has the writers wait. Returns `EOPNOTSUPP` where none can be hooked; those that a kernel
    /// lacks or has inlined don't wait.
    pub(crate) fn hook() -> Result<Self> {
        let _register = REGISTER.lock();
        if HOOKS.load(Relaxed) == 0 {
            WATCHED.store(watch_each(), Relaxed);
        }
        if WATCHED.load(Relaxed) == 0 {
            return Err(unsupported());
        }
        HOOKS.add(1, Relaxed);
        Ok(Self(()))
    }
}

impl Drop for Writers {
    fn drop(&mut self) {
        let _register = REGISTER.lock();
        HOOKS.add(-1, Relaxed);
        if HOOKS.load(Relaxed) == 0 {
            let watched = WATCHED.xchg(0, Relaxed);
            let is_ours = |number: &Number| watched & bit(*number) != 0;
            for number in points().filter(is_ours) {
                if !slot::is_armed(number) {
                    // Waits for those who are in it.
                    number.unwatch();
                }
            }
        }
    }
}

fn points() -> impl Iterator<Item = Number> {
    WRITERS
        .iter()
        .filter_map(|&(point, _)| Number::try_from(point).ok())
}

/// Watches what can be watched, and returns the bits of that.
fn watch_each() -> u64 {
    points()
        .filter(|&number| slot::is_armed(number) || number.watch().is_ok())
        .fold(0, |bits, number| bits | bit(number))
}
