// SPDX-License-Identifier: GPL-2.0
//! How far one actor of a duel starts after the other: learned from where they met.

use crate::duel::Span;
use crate::rng::Rng;

/// No actor is ever delayed for longer.
const MAX_OFFSET_NS: u64 = 20_000_000;
/// The range of offsets is cut into so many parts.
const PARTS: usize = 16;
/// How much one round changes what is known about a part.
const WEIGHT: f64 = 0.15;
/// A part that never met is tried now and then: what it takes to meet can change.
const LEAST: f64 = 0.05;

/// The offsets that can make the two spans meet, and how well each part of them did.
#[derive(Debug)]
pub(crate) struct Offsets {
    left_ns: u64,
    right_ns: u64,
    /// How often the two met lately, from 0 to 1. All start as hopeful.
    rates: [f64; PARTS],
}

/// One choice.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Offset {
    /// How long the left actor waits.
    pub(crate) left_ns: u64,
    /// How long the right actor waits. One of the two is 0.
    pub(crate) right_ns: u64,
    part: usize,
}

impl Default for Offsets {
    fn default() -> Offsets {
        Offsets {
            left_ns: 0,
            right_ns: 0,
            rates: [1.0; PARTS],
        }
    }
}

impl Offsets {
    /// Learns from a round. The lengths follow their median: one span that took long, because
    /// somebody else had the CPU, must not spoil the offsets of the rounds that come.
    pub(crate) fn learn(&mut self, offset: &Offset, spans: (Span, Span), met: bool) {
        let follow = |old: u64, new: u64| match old {
            0 => new.clamp(1, MAX_OFFSET_NS),
            _ if new > old => (old + old / 8 + 1).min(MAX_OFFSET_NS),
            _ => (old - old / 8).max(1),
        };
        self.left_ns = follow(self.left_ns, spans.0.len());
        self.right_ns = follow(self.right_ns, spans.1.len());
        let rate = &mut self.rates[offset.part];
        *rate += WEIGHT * (f64::from(u8::from(met)) - *rate);
    }

    /// Draws an offset, the more likely the more often its part met.
    pub(crate) fn draw(&self, rng: &mut Rng) -> Offset {
        // The same draws in any case: the schedule of what follows must not depend on time.
        let (choice, within) = (rng.f64(), rng.f64());
        let sum: f64 = self.rates.iter().map(|rate| rate + LEAST).sum();
        let mut left = choice * sum;
        let part = self.rates.iter().position(|rate| {
            left -= rate + LEAST;
            left < 0.0
        });
        let part = part.unwrap_or(PARTS - 1);
        let at = (part as f64 + within) / PARTS as f64;
        let at = (at * (self.left_ns + self.right_ns) as f64) as u64;
        let (left_ns, right_ns) = match at.checked_sub(self.right_ns) {
            Some(right) => (0, right),
            None => (self.right_ns - at, 0),
        };
        Offset {
            left_ns,
            right_ns,
            part,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spans(left: u64, right: u64) -> (Span, Span) {
        let span = |end| Span { start: 0, end };
        (span(left), span(right))
    }

    #[test]
    fn offsets_cover_what_can_meet() {
        let mut offsets = Offsets::default();
        let mut rng = Rng::with_seed(2);
        let first = offsets.draw(&mut rng);
        assert_eq!((first.left_ns, first.right_ns), (0, 0));
        offsets.learn(&first, spans(1000, 3000), true);
        let (mut most_left, mut most_right) = (0, 0);
        for _ in 0..1000 {
            let offset = offsets.draw(&mut rng);
            assert!(offset.left_ns == 0 || offset.right_ns == 0);
            most_left = most_left.max(offset.left_ns);
            most_right = most_right.max(offset.right_ns);
        }
        assert!((2900..=3000).contains(&most_left), "{most_left}");
        assert!((900..=1000).contains(&most_right), "{most_right}");
    }

    #[test]
    fn offsets_go_where_the_hits_are() {
        let mut offsets = Offsets::default();
        let mut rng = Rng::with_seed(3);
        let mut hits = [0; 2];
        for round in 0..2000 {
            let offset = offsets.draw(&mut rng);
            // Only a narrow range of offsets meets.
            let met = (700..900).contains(&offset.right_ns);
            hits[round / 1000] += u32::from(met);
            offsets.learn(&offset, spans(1000, 1000), met);
        }
        assert!(hits[1] > 300, "{hits:?}");
    }

    #[test]
    fn no_part_is_given_up() {
        let mut offsets = Offsets::default();
        let mut rng = Rng::with_seed(4);
        let mut seen = [0; PARTS];
        for _ in 0..5000 {
            let offset = offsets.draw(&mut rng);
            offsets.learn(&offset, spans(1000, 1000), offset.part == 3);
            seen[offset.part] += 1;
        }
        assert!(seen.iter().all(|&times| times > 10), "{seen:?}");
    }
}
