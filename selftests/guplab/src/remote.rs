// SPDX-License-Identifier: GPL-2.0
//! Advice about the memory of another process.

use std::io;
use std::os::fd::AsRawFd;

use rustix::process::{Pid, PidfdFlags, pidfd_open};

use crate::mapping::Advice;
use crate::{Errno, Result};

/// Calls process_madvise(2) for a range of another process, which needs CAP_SYS_NICE. The kernel
/// takes MADV_COLLAPSE, MADV_COLD, MADV_PAGEOUT and MADV_WILLNEED for others. Safe to call in a
/// forked child: it neither allocates nor locks.
pub fn process_madvise(pid: i32, addr: usize, len: usize, advice: Advice) -> Result<()> {
    let pid = Pid::from_raw(pid).ok_or(Errno::SRCH)?;
    let process = pidfd_open(pid, PidfdFlags::empty())?;
    let range = libc::iovec {
        iov_base: addr as *mut libc::c_void,
        iov_len: len,
    };
    // SAFETY: The one vector is live. The addresses in it are those of the other process, and what
    // is done there can break this one's memory as little as /proc/PID/mem can.
    let done = unsafe {
        libc::syscall(
            libc::SYS_process_madvise,
            process.as_raw_fd(),
            &raw const range,
            1usize,
            advice.raw(),
            0u32,
        )
    };
    match usize::try_from(done) {
        Ok(bytes) if bytes == len => Ok(()),
        Ok(_) => Err(Errno::AGAIN),
        Err(_) => Err(Errno::from_io_error(&io::Error::last_os_error()).unwrap_or(Errno::IO)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_has_to_be_a_process() {
        let no_process = process_madvise(i32::MAX, 0, 4096, Advice::Cold);
        assert_eq!(no_process, Err(Errno::SRCH));
        assert_eq!(process_madvise(0, 0, 4096, Advice::Cold), Err(Errno::SRCH));
    }
}
