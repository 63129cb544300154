// SPDX-License-Identifier: GPL-2.0

//! Interrupts of this CPU, off for a while.

use crate::bindings;
use core::marker::PhantomData;

/// Interrupts are off on this CPU as long as this lives.
///
/// # Invariants
///
/// It was made on the CPU on which it is dropped: with interrupts off a task does not migrate, and
/// the type is not [`Send`].
pub(crate) struct IrqsOff {
    flags: usize,
    _not_send: PhantomData<*mut ()>,
}

impl IrqsOff {
    /// Disables interrupts.
    pub(crate) fn new() -> Self {
        Self {
            // SAFETY: Undone in `drop()`.
            flags: unsafe { bindings::guplab_local_irq_save() },
            _not_send: PhantomData,
        }
    }
}

impl Drop for IrqsOff {
    fn drop(&mut self) {
        // SAFETY: `flags` was returned by `local_irq_save()` on this CPU.
        unsafe { bindings::guplab_local_irq_restore(self.flags) };
    }
}
