// SPDX-License-Identifier: GPL-2.0
//! Two threads that do something at the same moment, again and again.

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::{Duration, Instant};

/// Which of the two a thread is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Side {
    Left,
    Right,
}

/// How long one waits for the other: as long as another task may have its CPU.
const LIMIT: Duration = Duration::from_secs(2);

/// Polls between two looks at the clock.
const BETWEEN_LOOKS: u32 = 1 << 16;

/// Where they wait for each other. They poll: a system call or another task on the CPU in between
/// could have its TLB forget the very entry that a round is about.
#[derive(Debug, Default)]
pub(crate) struct Lockstep {
    steps: [AtomicU32; 2],
    is_broken: AtomicBool,
}

impl Lockstep {
    /// Begins anew, while nobody waits.
    pub(crate) fn reset(&self) {
        for step in &self.steps {
            step.store(0, Ordering::SeqCst);
        }
        self.is_broken.store(false, Ordering::SeqCst);
    }

    /// Waits until the other one is here, too. False if it does not come; then neither waits again.
    pub(crate) fn meet(&self, me: Side) -> bool {
        let (mine, other) = match me {
            Side::Left => (&self.steps[0], &self.steps[1]),
            Side::Right => (&self.steps[1], &self.steps[0]),
        };
        let here = mine.fetch_add(1, Ordering::SeqCst) + 1;
        let (mut polls, mut end) = (0_u32, None);
        // The other one may be a step ahead already.
        while other.load(Ordering::SeqCst) < here {
            if self.is_broken.load(Ordering::SeqCst) {
                return false;
            }
            polls += 1;
            if polls % BETWEEN_LOOKS == 0 {
                let now = Instant::now();
                if now > *end.get_or_insert(now + LIMIT) {
                    self.is_broken.store(true, Ordering::SeqCst);
                }
                // The other one may need this very CPU.
                std::thread::yield_now();
            }
            std::hint::spin_loop();
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_is_ahead_by_more_than_a_step() {
        let (lockstep, count) = (Lockstep::default(), AtomicU32::new(0));
        let go = |me| {
            for step in 0..100 {
                assert!(lockstep.meet(me));
                count.fetch_add(1, Ordering::SeqCst);
                assert!(lockstep.meet(me));
                assert!((2 * step + 2..=2 * step + 3).contains(&count.load(Ordering::SeqCst)));
            }
        };
        std::thread::scope(|scope| {
            scope.spawn(|| go(Side::Right));
            go(Side::Left);
        });
    }

    #[test]
    fn who_waits_for_nobody_gives_up() {
        assert!(!Lockstep::default().meet(Side::Left));
    }
}
