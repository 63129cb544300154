// SPDX-License-Identifier: GPL-2.0

//! Counters of a session and of the module.

use crate::{
    decimal::Decimal,
    uapi::guplab_stats, //
};
use kernel::{
    fmt,
    prelude::*,
    sync::atomic::{
        Atomic,
        Relaxed, //
    }, //
};

/// The counters of all sessions since the module was loaded.
pub(crate) static TOTALS: Counters = Counters::new();

macro_rules! counters {
    ($($name:ident,)*) => {
        /// What was done. Every field is named as in `struct guplab_stats`.
        pub(crate) struct Counters {
            $(pub(crate) $name: Counter,)*
        }

        impl Counters {
            /// Returns counters that stand at 0.
            pub(crate) const fn new() -> Self {
                Self { $($name: Counter::new(),)* }
            }

            /// Copies the counters into a reply.
            pub(crate) fn fill(&self, out: &mut guplab_stats) {
                $(out.$name = self.$name.get();)*
            }

            /// Writes one line for each counter.
            pub(crate) fn show(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                $(f.write_fmt(fmt!("{} {}\n", stringify!($name), self.$name.decimal()))?;)*
                Ok(())
            }
        }

    };
}

counters! {
    sessions,
    handles,
    held_pages,
    pin_calls,
    pin_pages,
    pin_short,
    pin_failed,
    unpin_pages,
    dma_bytes,
    checks,
    violations,
    hammer_calls,
    hammer_pages,
    collapses,
    collapsed,
    walk_stops,
    unsafe_walks,
}

/// One counter.
pub(crate) struct Counter(Atomic<i64>);

impl Counter {
    /// Returns a counter that stands at 0.
    pub(crate) const fn new() -> Self {
        Self(Atomic::new(0))
    }

    /// Counts `n` more.
    pub(crate) fn add(&self, n: u64) {
        // CAST: Wraps after 2^63 events, as the kernel's own counters do.
        self.0.add(n as i64, Relaxed);
    }

    /// Counts `n` less.
    pub(crate) fn sub(&self, n: u64) {
        // CAST: As above.
        self.0.add((n as i64).wrapping_neg(), Relaxed);
    }

    /// Returns the count, to be printed.
    pub(crate) fn decimal(&self) -> Decimal {
        Decimal(self.get())
    }

    /// Returns the count.
    pub(crate) fn get(&self) -> u64 {
        // CAST: As above.
        self.0.load(Relaxed) as u64
    }
}
