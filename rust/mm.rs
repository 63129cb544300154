// SPDX-License-Identifier: GPL-2.0

//! Whose memory: the caller's, or, with the right, another process's.

use core::ptr::NonNull;
use kernel::{
    bindings,
    mm::{
        Mm,
        MmWithUser, //
    },
    prelude::*,
    sync::aref::ARef,
    task::Task, //
};

/// Returns the address space of process `pid`, 0 for the caller.
pub(crate) fn mm_of(pid: i32) -> Result<ARef<MmWithUser>> {
    if pid == 0 {
        return kernel::current!().mm().map(ARef::from).ok_or(ESRCH);
    }
    if pid < 0 {
        return Err(EINVAL);
    }
    if !is_admin() {
        return Err(EPERM);
    }
    mm_of_task(&*task_of(pid)?)
}

/// Returns whether the caller has `CAP_SYS_ADMIN`.
pub(crate) fn is_admin() -> bool {
    // SAFETY: The capability exists.
    unsafe { bindings::capable(bindings::CAP_SYS_ADMIN as i32) }
}

fn task_of(pid: i32) -> Result<ARef<Task>> {
    // SAFETY: Has no preconditions; it looks in the caller's pid namespace.
    let pid = unsafe { bindings::find_get_pid(pid) };
    // SAFETY: `pid` is null or was referenced by the line above.
    let task = unsafe { bindings::get_pid_task(pid, bindings::pid_type_PIDTYPE_PID) };
    // SAFETY: As above; the reference is given up here.
    unsafe { bindings::put_pid(pid) };
    let task = NonNull::new(task).ok_or(ESRCH)?;
    // SAFETY: `get_pid_task()` took the reference that is handed over.
    Ok(unsafe { ARef::from_raw(task.cast()) })
}

fn mm_of_task(task: &Task) -> Result<ARef<MmWithUser>> {
    // SAFETY: The task is referenced.
    let mm = unsafe { bindings::get_task_mm(task.as_ptr()) };
    let mm = NonNull::new(mm).ok_or(ESRCH)?;
    // SAFETY: `get_task_mm()` took the mmget reference that is handed over.
    Ok(unsafe { ARef::from_raw(mm.cast()) })
}

/// Returns a reference to the address space that does not keep its memory.
pub(crate) fn grab(mm: &MmWithUser) -> ARef<Mm> {
    let mm: &Mm = mm;
    mm.into()
}
