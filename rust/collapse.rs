// SPDX-License-Identifier: GPL-2.0

//! `MADV_COLLAPSE` from the kernel.
//!
//! `do_madvise()` is not exported. It is looked up once, when the module is loaded, and called as
//! madvise(2) and process_madvise(2) call it.

use crate::{
    bindings,
    clock,
    range::UserRange,
    symbol,
    trace,
    uapi::{
        self,
        guplab_collapse, //
    }, //
};
use core::mem;
use kernel::{
    bindings::mm_struct,
    ffi::{
        c_int,
        c_ulong, //
    },
    mm::MmWithUser,
    prelude::*,
    sync::SetOnce, //
};

type DoMadvise = unsafe extern "C" fn(*mut mm_struct, c_ulong, usize, c_int) -> c_int;

static DO_MADVISE: SetOnce<Option<DoMadvise>> = SetOnce::new();

/// One call is made for so many huge pages; a fatal signal is noticed between two.
const HUGE_PAGES_PER_CALL: usize = 16;

/// Looks the function up. Called when the module is loaded.
pub(crate) fn init() {
    let found = cfg!(CONFIG_TRANSPARENT_HUGEPAGE)
        .then(|| symbol::address(c"do_madvise"))
        .flatten();
    let function = found.map(|found| {
        // SAFETY: This is the address of `do_madvise()`, which has this type (mm/madvise.c), and
        // which is never unloaded.
        unsafe { mem::transmute::<usize, DoMadvise>(found) }
    });
    DO_MADVISE.populate(function);
}

/// Returns whether COLLAPSE works on this kernel.
pub(crate) fn is_supported() -> bool {
    DO_MADVISE.as_ref().is_some_and(Option::is_some)
}

/// A checked request to collapse a range.
pub(crate) struct Collapse {
    range: UserRange,
    do_madvise: DoMadvise,
}

impl TryFrom<&guplab_collapse> for Collapse {
    type Error = Error;

    fn try_from(request: &guplab_collapse) -> Result<Self> {
        let range =
            UserRange::from_bytes(request.addr, request.len, uapi::GUPLAB_MAX_COLLAPSE.into())?;
        if request.flags != 0 {
            return Err(EINVAL);
        }
        let do_madvise = DO_MADVISE.as_ref().copied().flatten();
        Ok(Self {
            range,
            do_madvise: do_madvise.ok_or_else(symbol::unsupported)?,
        })
    }
}

impl Collapse {
    /// Collapses the range in `mm` and fills in the results. Returns `EINTR` where a fatal signal
    /// ended that early.
    pub(crate) fn run(&self, mm: &MmWithUser, out: &mut guplab_collapse) -> Result {
        out.start_ns = clock::now();
        let ended = self.run_with(mm, &mut out.result);
        out.end_ns = clock::now();
        trace::collapse(
            self.range.addr(),
            self.range.end() - self.range.addr(),
            out.result,
            out.end_ns - out.start_ns,
        );
        ended
    }

    fn run_with(&self, mm: &MmWithUser, result: &mut i32) -> Result {
        let step = HUGE_PAGES_PER_CALL * bindings::GUPLAB_PMD_SIZE;
        let mut addr = self.range.addr();
        *result = 0;
        while addr < self.range.end() {
            // Every step but the first starts at a huge page.
            let end = (addr - addr % step)
                .saturating_add(step)
                .min(self.range.end());
            // SAFETY: The mm has users, and an ioctl may sleep and holds no mmap lock.
            let ret = unsafe {
                (self.do_madvise)(
                    mm.as_raw(),
                    addr,
                    end - addr,
                    bindings::GUPLAB_MADV_COLLAPSE,
                )
            };
            if ret != 0 {
                *result = ret;
            }
            addr = end;
            // SAFETY: Has no preconditions.
            if unsafe { bindings::guplab_fatal_signal_pending() } {
                return Err(EINTR);
            }
        }
        Ok(())
    }
}
