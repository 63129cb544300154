// SPDX-License-Identifier: GPL-2.0
//! A forked process, with an mm of its own, that does on request what it was told at its start.

use std::sync::atomic::Ordering;
use std::time::Duration;

use rustix::process::getppid;

use crate::child::{Child, fork_child};
use crate::shared::SharedPage;
use crate::{Errno, Result};

/// What a peer can do: it is given an argument, and gives a result.
pub type Op<'a> = &'a dyn Fn(u64) -> u64;

/// How long a call may take.
pub const LIMIT: Duration = Duration::from_secs(20);

/// How often a side that waits looks whether the other one still lives.
const LOOK: Duration = Duration::from_millis(200);

/// A forked process that waits asleep for calls. It is killed and reaped when dropped.
#[derive(Debug)]
pub struct Peer<'a> {
    shared: &'a SharedPage,
    child: Child,
}

impl<'a> Peer<'a> {
    /// Forks. The page stays free for whatever the operations report; only one peer at a time can
    /// use it for its calls (EBUSY).
    ///
    /// The operations run in the child, on its copy of everything. As after any fork they must
    /// neither allocate, lock nor print (see [`fork_child`]).
    pub fn fork(shared: &'a SharedPage, ops: &[Op<'_>]) -> Result<Peer<'a>> {
        let calls = shared.calls();
        if calls.taken.swap(1, Ordering::AcqRel) != 0 {
            return Err(Errno::BUSY);
        }
        calls.made.store(0, Ordering::Release);
        calls.answered.store(0, Ordering::Release);
        let parent = rustix::process::getpid();
        let forked = fork_child(|| {
            // A parent that was killed can't end its child.
            while getppid() == Some(parent) {
                serve(shared, ops);
            }
            0
        });
        match forked {
            Ok(child) => Ok(Peer { shared, child }),
            Err(error) => {
                calls.taken.store(0, Ordering::Release);
                Err(error)
            }
        }
    }

    /// Its process id.
    pub fn pid(&self) -> i32 {
        self.child.pid()
    }

    /// Has it do something, and waits asleep until it is done.
    pub fn call(&self, op: usize, arg: u64) -> Result<u64> {
        self.start(op, arg)?;
        self.finish()
    }

    /// Has it start with something. EBUSY before the last call is finished.
    pub fn start(&self, op: usize, arg: u64) -> Result<()> {
        let calls = self.shared.calls();
        if calls.made.load(Ordering::Acquire) != calls.answered.load(Ordering::Acquire) {
            return Err(Errno::BUSY);
        }
        calls.op.store(op as u64, Ordering::Relaxed);
        calls.arg.store(arg, Ordering::Relaxed);
        calls.made.fetch_add(1, Ordering::Release);
        self.shared.wake();
        Ok(())
    }

    /// Waits asleep until what was started is done, and returns its result. ETIMEDOUT if that
    /// takes longer than [`LIMIT`], ESRCH if the process is gone, EINVAL if it has no such
    /// operation.
    pub fn finish(&self) -> Result<u64> {
        let calls = self.shared.calls();
        let made = calls.made.load(Ordering::Acquire);
        let done = || calls.answered.load(Ordering::Acquire) == made;
        let mut left = LIMIT;
        while !self.shared.wait_until(LOOK.min(left), done) {
            left = left.saturating_sub(LOOK);
            if left.is_zero() {
                return Err(Errno::TIMEDOUT);
            }
            // It may have answered and ended since.
            if self.child.has_ended()? && !done() {
                return Err(Errno::SRCH);
            }
        }
        match calls.op.load(Ordering::Acquire) {
            NO_SUCH_OP => Err(Errno::INVAL),
            _ => Ok(calls.answer.load(Ordering::Acquire)),
        }
    }
}

impl Drop for Peer<'_> {
    fn drop(&mut self) {
        self.child.kill();
        self.shared.calls().taken.store(0, Ordering::Release);
    }
}

/// What a peer makes of an operation that it doesn't have.
const NO_SUCH_OP: u64 = u64::MAX;

/// Waits for one call, not for long, and answers it.
fn serve(shared: &SharedPage, ops: &[Op<'_>]) {
    let calls = shared.calls();
    let answered = calls.answered.load(Ordering::Relaxed);
    let called = || calls.made.load(Ordering::Acquire) != answered;
    if !shared.wait_until(LOOK, called) {
        return;
    }
    match ops.get(calls.op.load(Ordering::Relaxed) as usize) {
        Some(op) => {
            let answer = op(calls.arg.load(Ordering::Relaxed));
            calls.answer.store(answer, Ordering::Relaxed);
        }
        None => calls.op.store(NO_SUCH_OP, Ordering::Relaxed),
    }
    calls.answered.store(answered + 1, Ordering::Release);
    shared.wake();
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::AtomicU64;

    #[test]
    fn calls_are_answered_from_another_mm() {
        let shared = SharedPage::new().expect("memory");
        let mine = AtomicU64::new(1);
        let peer = Peer::fork(
            &shared,
            &[&|arg| mine.fetch_add(arg, Ordering::Relaxed), &|_| {
                u64::from(std::process::id())
            }],
        )
        .expect("fork works");
        assert_eq!(peer.call(0, 5), Ok(1));
        assert_eq!(peer.call(0, 5), Ok(6));
        assert_eq!(mine.load(Ordering::Relaxed), 1);
        assert_eq!(peer.call(1, 0), Ok(peer.pid() as u64));
        assert_eq!(peer.call(2, 0), Err(Errno::INVAL));
        shared.clear();
        assert_eq!(peer.call(0, 1), Ok(11));
    }

    #[test]
    fn the_caller_can_work_meanwhile() {
        let shared = SharedPage::new().expect("memory");
        let wait = |arg| u64::from(shared.wait_for(0, arg, LIMIT));
        let peer = Peer::fork(&shared, &[&wait]).expect("fork works");
        peer.start(0, 7).expect("it is free");
        assert_eq!(peer.start(0, 7), Err(Errno::BUSY));
        shared.set(0, 7);
        assert_eq!(peer.finish(), Ok(1));
    }

    #[test]
    fn one_peer_at_a_time_and_it_dies_with_its_owner() {
        let shared = SharedPage::new().expect("memory");
        let peer = Peer::fork(&shared, &[]).expect("fork works");
        assert_eq!(Peer::fork(&shared, &[]).err(), Some(Errno::BUSY));
        drop(peer);
        assert!(Peer::fork(&shared, &[]).is_ok());
    }

    #[test]
    fn a_peer_that_is_gone_is_told() {
        let shared = SharedPage::new().expect("memory");
        let die = |_| std::process::abort();
        let peer = Peer::fork(&shared, &[&die]).expect("fork works");
        assert_eq!(peer.call(0, 0), Err(Errno::SRCH));
    }
}
