// SPDX-License-Identifier: GPL-2.0
//! Children made by other calls than fork().

use libc::{c_int, c_long, c_void};
use linux_raw_sys::general::clone_args;
use rustix::process::Pid;

use super::{Child, Ended, ExitOnUnwind, exit_child};
use crate::{Errno, Result};
use std::time::Duration;

fn last_error() -> Errno {
    Errno::from_io_error(&std::io::Error::last_os_error()).unwrap_or(Errno::AGAIN)
}

fn child(pid: c_long) -> Result<Child> {
    let pid = i32::try_from(pid).ok().and_then(Pid::from_raw);
    Ok(Child {
        pid: pid.ok_or(Errno::SRCH)?,
        reaped: false,
    })
}

/// As [`fork_child`](super::fork_child), by clone3(2) without any flag: no part of the C library
/// gets to know.
pub fn clone3_child(body: impl FnOnce() -> i32) -> Result<Child> {
    // SAFETY: Zero is a valid value of every field: no flag, and the caller's stack.
    let mut args: clone_args = unsafe { std::mem::zeroed() };
    args.exit_signal = libc::SIGCHLD as u64;
    let args = std::ptr::from_mut(&mut args);
    // SAFETY: The child has a copy of all memory, so it can go on with its copy of this stack. It
    // runs `body` only, which keeps to what may be done after fork, and never returns from here.
    match unsafe { libc::syscall(libc::SYS_clone3, args, size_of::<clone_args>()) } {
        0 => {
            let _guard = ExitOnUnwind;
            exit_child(body())
        }
        pid @ 1.. => child(pid),
        _ => Err(last_error()),
    }
}

/// How a process is made that shares this one's memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SharedMm {
    /// clone(CLONE_VM): both run.
    Clone,
    /// clone(CLONE_VM | CLONE_VFORK), which is vfork(): the caller waits for its end.
    Vfork,
}

impl SharedMm {
    fn flags(self) -> c_int {
        match self {
            SharedMm::Clone => libc::CLONE_VM | libc::SIGCHLD,
            SharedMm::Vfork => libc::CLONE_VM | libc::CLONE_VFORK | libc::SIGCHLD,
        }
    }
}

/// Bytes of the child's stack.
const STACK: usize = 64 << 10;

extern "C" fn run<F: Fn() -> i32>(body: *mut c_void) -> c_int {
    let _guard = ExitOnUnwind;
    // SAFETY: It points to the `F` that the caller of clone() keeps until this process has ended.
    let body = unsafe { &*body.cast::<F>() };
    exit_child(body())
}

/// Runs `body` in a process that shares this one's memory, and waits for its end. It is killed if
/// that takes longer than `limit`.
///
/// The process shares also what belongs to the calling thread: `body` must do nothing but read and
/// write atomics.
pub fn in_shared_mm<F: Fn() -> i32 + Sync>(
    how: SharedMm,
    limit: Duration,
    body: &F,
) -> Result<Ended> {
    // An array of what a stack is aligned to.
    let mut stack = vec![0u128; STACK / size_of::<u128>()];
    let top = stack.as_mut_ptr_range().end.cast::<c_void>();
    let arg = std::ptr::from_ref(body).cast_mut().cast::<c_void>();
    // SAFETY: The stack and `body` are there until the child has ended, which is waited for below.
    // What it runs is bound to atomics, and it never returns.
    let pid = unsafe { libc::clone(run::<F>, top, how.flags(), arg) };
    if pid <= 0 {
        return Err(last_error());
    }
    child(pid.into())?.wait(limit)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicU64, Ordering};

    const LIMIT: Duration = Duration::from_secs(20);

    #[test]
    fn clone3_copies_memory() {
        let word = AtomicU64::new(1);
        let child = clone3_child(|| {
            word.store(2, Ordering::SeqCst);
            7
        })
        .expect("clone3 works");
        assert_eq!(child.wait(LIMIT), Ok(Ended::Code(7)));
        assert_eq!(word.load(Ordering::SeqCst), 1);
    }

    #[test]
    fn a_shared_mm_is_the_same_memory() {
        for how in [SharedMm::Clone, SharedMm::Vfork] {
            let word = AtomicU64::new(1);
            let ended = in_shared_mm(how, LIMIT, &|| {
                word.store(2, Ordering::SeqCst);
                7
            });
            assert_eq!(ended, Ok(Ended::Code(7)), "{how:?}");
            assert_eq!(word.load(Ordering::SeqCst), 2);
        }
    }
}
