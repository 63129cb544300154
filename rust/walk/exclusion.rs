// SPDX-License-Identifier: GPL-2.0

//! What keeps page tables in place while a walk reads them: `enum guplab_exclusion`.
//!
//! The readers' counter is Will Deacon's of October 2013 (linux-arm-kernel, in answer to "ARM: mm:
//! implement get_user_pages_fast"):
//!
//! ```text
//! CPU 0 walks                             CPU 1 unlinks a page table, or splits
//!   preempt_disable()
//!   READERS++
//!   smp_mb()                                clears the PMD
//!   pmd = READ_ONCE(*pmdp)                  smp_mb()
//!   ...                                     while (READERS) cpu_relax()
//!   smp_mb()                                frees the table
//!   READERS--
//! ```
//!
//! Either the walk sees the PMD cleared, or the writer sees the reader. The mail has no
//! `preempt_disable()`: here the writers are hooked by probes, which wait with preemption disabled,
//! so a reader that was preempted by its writer would never end.

use crate::{
    bindings,
    irq::IrqsOff,
    pgtable::KeepsTables,
    uapi, //
};
use core::marker::PhantomData;
use kernel::{
    prelude::*,
    sync::atomic::{
        Atomic,
        Full, //
    }, //
};

/// The walks that are under way with [`Exclusion::Readers`], of all address spaces.
static READERS: Atomic<i32> = Atomic::new(0);

/// Returns whether nobody walks. The caller has changed a page table, and probes are full barriers.
pub(crate) fn no_readers() -> bool {
    READERS.fetch_add(0, Full) == 0
}

/// How a walk excludes others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Exclusion {
    /// As fast GUP does.
    IrqsOff,
    /// An RCU read-side section.
    Rcu,
    /// A counter of readers.
    Readers,
    /// Nothing.
    None,
}

impl TryFrom<u32> for Exclusion {
    type Error = Error;

    fn try_from(number: u32) -> Result<Self> {
        match number {
            uapi::GUPLAB_EXCLUSION_IRQS_OFF => Ok(Self::IrqsOff),
            uapi::GUPLAB_EXCLUSION_RCU => Ok(Self::Rcu),
            uapi::GUPLAB_EXCLUSION_READERS => Ok(Self::Readers),
            uapi::GUPLAB_EXCLUSION_NONE => Ok(Self::None),
            _ => Err(EINVAL),
        }
    }
}

impl Exclusion {
    /// Its number in the ABI.
    pub(crate) fn number(self) -> u32 {
        match self {
            Self::IrqsOff => uapi::GUPLAB_EXCLUSION_IRQS_OFF,
            Self::Rcu => uapi::GUPLAB_EXCLUSION_RCU,
            Self::Readers => uapi::GUPLAB_EXCLUSION_READERS,
            Self::None => uapi::GUPLAB_EXCLUSION_NONE,
        }
    }

    /// Begins it.
    pub(super) fn begin(self) -> Excluded {
        match self {
            Self::IrqsOff => Excluded::IrqsOff {
                _irqs: IrqsOff::new(),
            },
            Self::Rcu => Excluded::Rcu { _rcu: Rcu::new() },
            Self::Readers => Excluded::Readers {
                _readers: Reader::new(),
            },
            Self::None => Excluded::None,
        }
    }
}

/// What is in force as long as this lives.
pub(super) enum Excluded {
    IrqsOff { _irqs: IrqsOff },
    Rcu { _rcu: Rcu },
    Readers { _readers: Reader },
    None,
}

impl KeepsTables for Excluded {}

/// An RCU read-side section.
pub(super) struct Rcu(PhantomData<*mut ()>);

impl Rcu {
    pub(super) fn new() -> Self {
        // SAFETY: Undone in `drop()`, by the same task: the type is not `Send`.
        unsafe { bindings::guplab_rcu_read_lock() };
        Self(PhantomData)
    }
}

impl Drop for Rcu {
    fn drop(&mut self) {
        // SAFETY: `new()` began it.
        unsafe { bindings::guplab_rcu_read_unlock() };
    }
}

/// One of [`READERS`], on a CPU that nobody else gets meanwhile.
pub(super) struct Reader(PhantomData<*mut ()>);

impl Reader {
    fn new() -> Self {
        // SAFETY: Undone in `drop()`, by the same task: the type is not `Send`.
        unsafe { bindings::guplab_preempt_disable() };
        READERS.fetch_add(1, Full);
        Self(PhantomData)
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        READERS.fetch_sub(1, Full);
        // SAFETY: `new()` disabled it.
        unsafe { bindings::guplab_preempt_enable() };
    }
}
