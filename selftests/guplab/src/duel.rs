// SPDX-License-Identifier: GPL-2.0
//! Two actors on two CPUs, brought together round by round.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::thread;

use rustix::thread::futex;
use rustix::time::{ClockId, clock_gettime};

use crate::cpu;
use crate::offsets::Offsets;
use crate::rng::Rng;

/// CLOCK_MONOTONIC in nanoseconds, the clock of the module's time stamps.
pub fn now_ns() -> u64 {
    let now = clock_gettime(ClockId::Monotonic);
    now.tv_sec as u64 * 1_000_000_000 + now.tv_nsec as u64
}

/// A span of time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Span {
    /// When it began, in nanoseconds.
    pub start: u64,
    /// When it ended.
    pub end: u64,
}

impl Span {
    /// Runs something, and tells when.
    pub fn of<T>(what: impl FnOnce() -> T) -> (T, Span) {
        let start = now_ns();
        let value = what();
        let end = now_ns();
        (value, Span { start, end })
    }

    /// Whether the two have a moment in common.
    pub fn overlaps(&self, other: &Span) -> bool {
        self.start <= other.end && other.start <= self.end
    }

    /// How long it is.
    pub(crate) fn len(&self) -> u64 {
        self.end.saturating_sub(self.start)
    }
}

/// What two actors do, and who judges it.
pub trait Duel {
    /// What both are told at the start of a round.
    type Task: Copy + Send;
    /// What the left actor brings back.
    type Left;
    /// What the right actor brings back.
    type Right: Send;
    /// Why the duel can't go on.
    type Error;

    /// Makes ready for a round while nobody else runs; none ends the duel.
    fn prepare(&mut self) -> Result<Option<Self::Task>, Self::Error>;

    /// What the left actor does, with the time that it took.
    fn left(&mut self, task: &Self::Task) -> (Self::Left, Span);

    /// Judges a round, when both are through and nobody runs. Returns whether both met, which later
    /// rounds are steered by.
    fn judge(
        &mut self,
        task: Self::Task,
        left: (Self::Left, Span),
        right: (Self::Right, Span),
    ) -> Result<bool, Self::Error>;
}

fn delay(ns: u64) {
    let end = now_ns() + ns;
    while now_ns() < end {
        std::hint::spin_loop();
    }
}

/// A point where two threads wait for each other.
#[derive(Debug, Default)]
struct Meeting {
    arrived: AtomicU32,
    broken: AtomicBool,
}

/// How a thread waits for the other.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Waiting {
    /// It sleeps. A thread that polled would keep its CPU busy, and each TLB flush of what the
    /// other one does would have to wait for it to answer.
    Asleep,
    /// It polls at first, so that both go on at the same moment.
    Awake,
}

/// How long a thread polls before it falls asleep nevertheless: the other one may need this very
/// CPU.
const POLL_NS: u64 = 5_000_000;

impl Meeting {
    /// Waits for the other side; false if there won't be one any more.
    fn wait(&self, how: Waiting) -> bool {
        let before = self.arrived.fetch_add(1, Ordering::AcqRel);
        if before % 2 == 1 {
            self.wake();
            return true;
        }
        let asleep_from = match how {
            Waiting::Awake => now_ns() + POLL_NS,
            Waiting::Asleep => 0,
        };
        loop {
            let arrived = self.arrived.load(Ordering::Acquire);
            if self.broken.load(Ordering::Acquire) {
                return false;
            }
            if arrived != before.wrapping_add(1) {
                return true;
            }
            if asleep_from > now_ns() {
                std::hint::spin_loop();
                continue;
            }
            // However it ends, the counter is looked at again.
            let _ended = futex::wait(&self.arrived, futex::Flags::PRIVATE, arrived, None);
        }
    }

    fn wake(&self) {
        // Without anybody who sleeps there is nobody to wake.
        let _nobody = futex::wake(&self.arrived, futex::Flags::PRIVATE, 1);
    }
}

/// Tells the other side that this one is gone, however it goes.
struct Leave<'a>(&'a Meeting);

impl Drop for Leave<'_> {
    fn drop(&mut self) {
        self.0.broken.store(true, Ordering::Release);
        // Who falls asleep from now on sees another number than it expects.
        self.0.arrived.fetch_add(2, Ordering::AcqRel);
        self.0.wake();
    }
}

/// Runs a duel: the left actor and the judge on the first CPU in the calling thread, the right
/// actor on the second in a thread of its own.
pub fn duel<D: Duel>(
    cpus: (usize, usize),
    rng: &mut Rng,
    sides: &mut D,
    mut right: impl FnMut(&D::Task) -> (D::Right, Span) + Send,
) -> Result<(), D::Error> {
    // A CPU that can't be bound to costs hits, never correctness.
    let _unbound = cpu::bind(cpus.0);
    let meeting = Meeting::default();
    let task: Mutex<Option<(D::Task, u64)>> = Mutex::new(None);
    let answer: Mutex<Option<(D::Right, Span)>> = Mutex::new(None);

    thread::scope(|scope| {
        scope.spawn(|| {
            let _unbound = cpu::bind(cpus.1);
            let _leave = Leave(&meeting);
            while meeting.wait(Waiting::Asleep) {
                let Some((task, offset)) = lock(&task).take() else {
                    return;
                };
                if !meeting.wait(Waiting::Awake) {
                    return;
                }
                delay(offset);
                let done = right(&task);
                *lock(&answer) = Some(done);
                if !meeting.wait(Waiting::Asleep) {
                    return;
                }
            }
        });

        let _leave = Leave(&meeting);
        let mut offsets = Offsets::default();
        while let Some(next) = sides.prepare()? {
            let offset = offsets.draw(rng);
            *lock(&task) = Some((next, offset.right_ns));
            // The first meeting hands the task over, the second is the start, the third the end.
            if !(meeting.wait(Waiting::Asleep) && meeting.wait(Waiting::Awake)) {
                break;
            }
            delay(offset.left_ns);
            let left = sides.left(&next);
            if !meeting.wait(Waiting::Asleep) {
                break;
            }
            let Some(right) = lock(&answer).take() else {
                break;
            };
            let spans = (left.1, right.1);
            let met = sides.judge(next, left, right)?;
            offsets.learn(&offset, spans, met);
        }
        Ok(())
    })
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(|e| e.into_inner())
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Count {
        rounds: u32,
        overlaps: u32,
        sum: u64,
    }

    impl Duel for Count {
        type Task = u32;
        type Left = u32;
        type Right = u32;
        type Error = ();

        fn prepare(&mut self) -> Result<Option<u32>, ()> {
            self.rounds += 1;
            Ok((self.rounds <= 50).then_some(self.rounds))
        }

        fn left(&mut self, task: &u32) -> (u32, Span) {
            Span::of(|| {
                delay(50_000);
                *task
            })
        }

        fn judge(&mut self, task: u32, left: (u32, Span), right: (u32, Span)) -> Result<bool, ()> {
            assert_eq!(left.0, task);
            assert_eq!(right.0, task + 1);
            self.sum += u64::from(task);
            let met = left.1.overlaps(&right.1);
            self.overlaps += u32::from(met);
            Ok(met)
        }
    }

    fn count() -> Count {
        Count {
            rounds: 0,
            overlaps: 0,
            sum: 0,
        }
    }

    #[test]
    fn every_round_has_both_answers() {
        let cpus = cpu::allowed().expect("readable");
        let pair = (cpus[0], *cpus.last().expect("at least one"));
        let mut sides = count();
        let done = duel(pair, &mut Rng::with_seed(1), &mut sides, |task: &u32| {
            Span::of(|| {
                delay(50_000);
                task + 1
            })
        });
        assert_eq!(done, Ok(()));
        assert_eq!(sides.sum, 50 * 51 / 2);
    }

    #[test]
    fn spans_overlap_or_not() {
        let span = |start, end| Span { start, end };
        assert!(span(1, 5).overlaps(&span(5, 9)));
        assert!(span(1, 9).overlaps(&span(3, 4)));
        assert!(!span(1, 2).overlaps(&span(3, 4)));
    }
}
