// SPDX-License-Identifier: GPL-2.0

//! The order in which HAMMER takes the batches of its range.

use crate::random::Random;
use kernel::prelude::*;

/// The order of the batches: one after the other, or a random one that is the same for the same
/// seed.
pub(crate) struct Order {
    batches: usize,
    next: usize,
    random: Option<Random>,
}

impl Order {
    /// Makes an order of so many batches; with a seed it is random.
    pub(crate) fn new(batches: usize, seed: Option<u64>) -> Self {
        Self {
            batches,
            next: 0,
            random: seed.map(Random::new),
        }
    }

    /// Returns the batch that is next, one after the other.
    pub(crate) fn peek(&self) -> usize {
        self.next
    }

    /// Passes over so many batches, which don't go beyond the last one.
    pub(crate) fn skip(&mut self, batches: usize) {
        self.next += batches;
        if self.next >= self.batches {
            self.next = 0;
        }
    }

    /// Returns the number of the next batch and passes over it.
    pub(crate) fn next(&mut self) -> usize {
        let Some(random) = &mut self.random else {
            let number = self.next;
            self.skip(1);
            return number;
        };
        // CAST: Below a number that came from this type.
        random.below(self.batches as u64) as usize
    }
}

#[kunit_tests(guplab_order)]
mod tests {
    use super::*;

    #[test]
    fn equal_seeds_give_equal_orders() {
        let (mut a, mut b) = (Order::new(512, Some(7)), Order::new(512, Some(7)));
        for _ in 0..100 {
            assert_eq!(a.next(), b.next());
        }
    }

    #[test]
    fn an_order_reaches_everything_and_nothing_else() {
        for seed in [None, Some(0), Some(u64::MAX)] {
            let mut seen = [false; 16];
            let mut order = Order::new(seen.len(), seed);
            for _ in 0..1000 {
                seen[order.next()] = true;
            }
            assert!(seen.iter().all(|seen| *seen));
        }
    }

    #[test]
    fn without_a_seed_it_is_one_after_the_other() {
        let mut order = Order::new(3, None);
        assert_eq!(
            [order.next(), order.next(), order.next(), order.next()],
            [0, 1, 2, 0]
        );
        order.skip(2);
        assert_eq!(order.peek(), 0);
    }
}
