// SPDX-License-Identifier: GPL-2.0
//! Forked children.

mod clone;

use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fd::OwnedFd;
use rustix::process::{Pid, PidfdFlags, Signal, WaitOptions, kill_process, pidfd_open, waitpid};

use crate::{Errno, Result};

pub use clone::{SharedMm, clone3_child, in_shared_mm};

/// The signal that ends a process for which no huge page is left.
pub const SIGBUS: i32 = libc::SIGBUS;

/// A forked child. It is killed and reaped when dropped, whatever happened before.
#[derive(Debug)]
pub struct Child {
    pid: Pid,
    reaped: bool,
}

/// How a child ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// It called _exit() with this code.
    Code(i32),
    /// It was ended by this signal.
    Signal(i32),
    /// It had not ended in time, and was killed.
    TimedOut,
}

/// The code with which a child exits whose closure panicked.
const PANICKED: i32 = 101;

struct ExitOnUnwind;

impl Drop for ExitOnUnwind {
    fn drop(&mut self) {
        exit_child(PANICKED);
    }
}

fn exit_child(code: i32) -> ! {
    // SAFETY: _exit() ends the process and runs nothing of it.
    unsafe { libc::_exit(code) }
}

/// Forks. The child runs `body`, and exits with what that returns.
///
/// Other threads of this process may hold locks at this moment, the allocator's among them, and in
/// the child nobody is left to release them: unless this process has one thread only, `body` must
/// neither allocate, lock nor print.
pub fn fork_child(body: impl FnOnce() -> i32) -> Result<Child> {
    // SAFETY: The child runs `body` only, which keeps to what may be done after fork (see above),
    // and never returns from here.
    let pid = unsafe { libc::fork() };
    match pid {
        0 => {
            let _guard = ExitOnUnwind;
            exit_child(body())
        }
        1.. => Ok(Child {
            pid: Pid::from_raw(pid).ok_or(Errno::SRCH)?,
            reaped: false,
        }),
        _ => {
            let error = std::io::Error::last_os_error();
            Err(Errno::from_io_error(&error).unwrap_or(Errno::AGAIN))
        }
    }
}

impl Child {
    /// Its process id.
    pub fn pid(&self) -> i32 {
        self.pid.as_raw_nonzero().get()
    }

    /// Sends it a signal.
    pub fn signal(&self, signal: Signal) -> Result<()> {
        kill_process(self.pid, signal)
    }

    /// Waits for its end, and kills it if that takes longer than `limit`.
    pub fn wait(mut self, limit: Duration) -> Result<Ended> {
        let handle = pidfd_open(self.pid, PidfdFlags::empty())?;
        if !ended_within(&handle, limit)? {
            self.kill_and_reap()?;
            return Ok(Ended::TimedOut);
        }
        self.reap()
    }

    /// Whether it has ended. It can still be waited for.
    pub fn has_ended(&self) -> Result<bool> {
        if self.reaped {
            return Ok(true);
        }
        let handle = pidfd_open(self.pid, PidfdFlags::empty())?;
        ended_within(&handle, Duration::ZERO)
    }

    /// Ends it, now.
    pub fn kill(&mut self) {
        if !self.reaped {
            // Nothing is left to do for a child that is gone.
            let _gone = self.kill_and_reap();
        }
    }

    /// Reaps it if it has ended, and doesn't wait for that.
    pub fn try_wait(&mut self) -> Result<Option<Ended>> {
        self.wait_for_change(WaitOptions::NOHANG)
    }

    /// Never reaps it. For one that can't be killed: waiting for its end would hang as well.
    pub fn abandon(mut self) {
        self.reaped = true;
    }

    fn reap(&mut self) -> Result<Ended> {
        loop {
            if let Some(ended) = self.wait_for_change(WaitOptions::empty())? {
                return Ok(ended);
            }
        }
    }

    fn wait_for_change(&mut self, options: WaitOptions) -> Result<Option<Ended>> {
        let status = match waitpid(Some(self.pid), options) {
            Ok(Some((_, status))) => status,
            Ok(None) | Err(Errno::INTR) => return Ok(None),
            Err(error) => return Err(error),
        };
        let ended = match (status.exit_status(), status.terminating_signal()) {
            (Some(code), _) => Ended::Code(code),
            (_, Some(signal)) => Ended::Signal(signal),
            _ => return Ok(None),
        };
        self.reaped = true;
        Ok(Some(ended))
    }

    fn kill_and_reap(&mut self) -> Result<()> {
        kill_process(self.pid, Signal::KILL)?;
        self.reap().map(|_| ())
    }
}

fn ended_within(handle: &OwnedFd, limit: Duration) -> Result<bool> {
    let deadline = Instant::now() + limit;
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        let timeout = Timespec {
            tv_sec: left.as_secs() as i64,
            tv_nsec: i64::from(left.subsec_nanos()),
        };
        let mut fds = [PollFd::new(handle, PollFlags::IN)];
        match poll(&mut fds, Some(&timeout)) {
            Ok(0) => return Ok(false),
            Ok(_) => return Ok(true),
            Err(Errno::INTR) => {}
            Err(error) => return Err(error),
        }
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        self.kill();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::SharedPage;

    const LIMIT: Duration = Duration::from_secs(20);

    #[test]
    fn the_exit_code_comes_back() {
        let child = fork_child(|| 7).expect("fork works");
        assert_eq!(child.wait(LIMIT), Ok(Ended::Code(7)));
    }

    #[test]
    fn a_signal_is_told() {
        let child = fork_child(|| {
            loop {
                rustix::thread::sched_yield();
            }
        })
        .expect("fork works");
        child.signal(Signal::TERM).expect("it is alive");
        assert_eq!(child.wait(LIMIT), Ok(Ended::Signal(libc::SIGTERM)));
    }

    #[test]
    fn a_child_that_hangs_is_killed() {
        let child = fork_child(|| {
            loop {
                rustix::thread::sched_yield();
            }
        })
        .expect("fork works");
        assert_eq!(child.wait(Duration::from_millis(50)), Ok(Ended::TimedOut));
    }

    #[test]
    fn both_sides_see_the_shared_page() {
        let shared = SharedPage::new().expect("memory");
        let child = fork_child(|| {
            shared.set(0, 1);
            i32::from(!shared.wait_for(1, 2, LIMIT))
        })
        .expect("fork works");
        assert!(shared.wait_for(0, 1, LIMIT));
        shared.set(1, 2);
        assert_eq!(child.wait(LIMIT), Ok(Ended::Code(0)));
    }
}
