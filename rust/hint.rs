// SPDX-License-Identifier: GPL-2.0

//! NUMA hints on demand.
//!
//! `change_prot_numa()` is not exported. It is looked up once, when the module is loaded, and
//! called as `task_numa_work()` in kernel/sched/fair.c calls it: under the mmap lock, held for
//! reading, for a VMA in which an access would take the hint away again.

use crate::{
    range::UserRange,
    symbol,
    uapi::{
        self,
        guplab_hint, //
    }, //
};
use core::mem;
use kernel::{
    bindings::vm_area_struct,
    ffi::c_ulong,
    mm::{
        virt::{
            flags,
            VmaRef, //
        },
        MmWithUser, //
    },
    prelude::*,
    sync::SetOnce, //
};

type ChangeProtNuma = unsafe extern "C" fn(*mut vm_area_struct, c_ulong, c_ulong) -> c_ulong;

static CHANGE_PROT_NUMA: SetOnce<Option<ChangeProtNuma>> = SetOnce::new();

/// Looks the function up. Called when the module is loaded.
pub(crate) fn init() {
    let found = cfg!(CONFIG_NUMA_BALANCING)
        .then(|| symbol::address(c"change_prot_numa"))
        .flatten();
    let function = found.map(|found| {
        // SAFETY: This is the address of `change_prot_numa()`, which has this type
        // (include/linux/mm.h), and which is never unloaded.
        unsafe { mem::transmute::<usize, ChangeProtNuma>(found) }
    });
    CHANGE_PROT_NUMA.populate(function);
}

/// Returns whether HINT works on this kernel.
pub(crate) fn is_supported() -> bool {
    CHANGE_PROT_NUMA.as_ref().is_some_and(Option::is_some)
}

/// A checked request to hint a range.
pub(crate) struct Hint {
    range: UserRange,
    change_prot_numa: ChangeProtNuma,
}

impl TryFrom<&guplab_hint> for Hint {
    type Error = Error;

    fn try_from(request: &guplab_hint) -> Result<Self> {
        let range = UserRange::from_bytes(request.addr, request.len, uapi::GUPLAB_MAX_HINT.into())?;
        let found = CHANGE_PROT_NUMA.as_ref().copied().flatten();
        Ok(Self {
            range,
            change_prot_numa: found.ok_or_else(symbol::unsupported)?,
        })
    }
}

impl Hint {
    /// Hints the range in `mm`, and returns how many pages were.
    pub(crate) fn run(&self, mm: &MmWithUser) -> Result<u64> {
        let (start, end) = (self.range.addr(), self.range.end());
        let lock = mm.mmap_read_lock();
        let vma = lock.vma_lookup(start).ok_or(EFAULT)?;
        if end > vma.end() {
            return Err(EINVAL);
        }
        if !is_hinted_ever(vma) {
            return Ok(0);
        }
        // SAFETY: The range lies in the VMA, the VMA is locked against changes, and a fault in it
        // can make its entries present again.
        Ok(unsafe { (self.change_prot_numa)(vma.as_ptr(), start, end) } as u64)
    }
}

/// Returns whether NUMA balancing may hint what is in a VMA. Nothing would ever take away a hint in
/// hugetlb memory: `hugetlb_fault()` knows none, and the access would fault forever.
fn is_hinted_ever(vma: &VmaRef) -> bool {
    let never = flags::HUGETLB | flags::IO | flags::PFNMAP | flags::MIXEDMAP;
    let access = flags::READ | flags::WRITE | flags::EXEC;
    vma.flags() & never == 0 && vma.flags() & access != 0
}
