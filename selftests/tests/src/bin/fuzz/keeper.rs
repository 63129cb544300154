// SPDX-License-Identifier: GPL-2.0
//! Who keeps the kernel's code as it is.

use std::os::fd::AsFd;
use std::time::Duration;

use guplab::device::raw_ioctl;
use guplab::{Child, Errno, Result, fork_child, sys};
use rustix::fd::OwnedFd;

use crate::worker::open;

/// Longer than the fuzz takes.
const LONG: Duration = Duration::from_secs(3600);

/// Keeps every point armed, for a process that never comes to any.
///
/// The first delay of a point, and the end of the last one, change the code of its function, which
/// other CPUs run at this moment. Under QEMU without KVM (TCG) that can crash the guest: without a
/// keeper, two CPUs once jumped to address 0 where a function should have been entered, in 8 runs.
/// So there all code is changed while nobody else is at work yet, and the fuzz arms further delays
/// at points that have one.
pub(crate) struct Keeper {
    _sessions: Vec<OwnedFd>,
    _idle: Child,
}

fn is_emulated() -> bool {
    let cpus = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    cpus.contains("TCG")
}

impl Keeper {
    /// None is needed on real CPUs.
    pub(crate) fn hire() -> Result<Option<Keeper>> {
        if !is_emulated() {
            return Ok(None);
        }
        let idle = fork_child(|| {
            std::thread::sleep(LONG);
            0
        })?;
        let mut sessions = Vec::new();
        for point in 0..sys::GUPLAB_NR_POINTS {
            if point % sys::GUPLAB_MAX_DELAYS == 0 {
                sessions.push(open()?);
            }
            let mut request = sys::guplab_delay {
                op: sys::GUPLAB_DELAY_ARM,
                point,
                pid: idle.pid(),
                ..Default::default()
            };
            let arg = std::ptr::from_mut(&mut request) as usize;
            let session = sessions.last().ok_or(Errno::NOENT)?.as_fd();
            // SAFETY: The request is live, and names no other memory.
            match unsafe { raw_ioctl(session, sys::GUPLAB_IOC_DELAY, arg) } {
                // What isn't there won't be armed by anybody.
                Ok(()) | Err(Errno::OPNOTSUPP) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(Some(Keeper {
            _sessions: sessions,
            _idle: idle,
        }))
    }
}
