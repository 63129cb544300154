// SPDX-License-Identifier: GPL-2.0
//! From what passes took to nanoseconds for a page.

use super::pinner::Took;
use super::report::{Cell, Contestant, Row};
use super::statistics::median;

/// gup_test tells whole microseconds. What it cuts off each time is half of one on average, if it
/// is anything between nothing and a whole one with the same probability. It may be either of these
/// each time, as passes may all take the same.
const CUT_OFF_NS: f64 = 500.0;

/// A figure that may be wrong by more than this, in one direction or the other, is left out.
const MOST_UNSURE: f64 = 0.05;

/// What was left out, and why.
pub(super) const TOO_SHORT: &str = "whole microseconds are told, and a pass has fewer than 10";

/// Getting or putting, in each repeat.
#[derive(Debug, Default)]
struct Phase {
    /// Nanoseconds for a page, over all threads.
    page_ns: Vec<f64>,
    /// Nanoseconds of a pass, of the thread with the shortest ones.
    pass_ns: Vec<f64>,
}

impl Phase {
    /// Takes in one repeat: a pass of each thread.
    fn add(&mut self, passes_ns: impl Iterator<Item = f64>, pages: f64) {
        let passes_ns: Vec<f64> = passes_ns.collect();
        let rate: f64 = passes_ns.iter().map(|ns| pages / ns).sum();
        self.page_ns.push(1.0 / rate);
        let shortest = passes_ns.iter().copied().fold(f64::INFINITY, f64::min);
        self.pass_ns.push(shortest);
    }

    fn is_unsure(&self) -> bool {
        median(&self.pass_ns).is_none_or(|ns| CUT_OFF_NS / ns > MOST_UNSURE)
    }
}

/// The figures of one contestant in one cell.
#[derive(Debug)]
pub(super) struct Figures {
    pub(super) contestant: Contestant,
    cell: Cell,
    get: Phase,
    put: Phase,
}

impl Figures {
    pub(super) fn new(cell: Cell, contestant: Contestant) -> Figures {
        Figures {
            contestant,
            cell,
            get: Phase::default(),
            put: Phase::default(),
        }
    }

    fn cut_off(&self) -> f64 {
        match self.contestant {
            Contestant::InTree | Contestant::GupTest => CUT_OFF_NS,
            Contestant::Hammer | Contestant::Walk => 0.0,
        }
    }

    /// Takes in one repeat: the passes of each thread, of which there is at least one. The median
    /// counts: a hypervisor that lets others run for a while lengthens single passes.
    pub(super) fn add(&mut self, threads: &[Vec<Took>]) {
        let pages = self.cell.bytes as f64 / guplab::page_size() as f64;
        let cut_off = self.cut_off();
        for (phase, of) in [
            (&mut self.get, (|took| took.get_ns) as fn(&Took) -> u64),
            (&mut self.put, |took| took.put_ns),
        ] {
            let typical = |passes: &Vec<Took>| {
                let ns: Vec<f64> = passes.iter().map(|took| of(took) as f64).collect();
                // A clock that stands still between two looks must not make a rate without bounds.
                (median(&ns).unwrap_or(f64::INFINITY) + cut_off).max(1.0)
            };
            phase.add(threads.iter().map(typical), pages);
        }
    }

    /// The row, and which of "get" and "put" is left out of it.
    pub(super) fn finish(self) -> (Row, Vec<&'static str>) {
        let tells_all = self.cut_off() == 0.0;
        let mut row = Row::new(self.cell, self.contestant);
        let mut left_out = Vec::new();
        for (name, phase, figures) in [
            ("get", self.get, &mut row.get_ns),
            ("put", self.put, &mut row.put_ns),
        ] {
            if tells_all || !phase.is_unsure() {
                *figures = phase.page_ns;
            } else {
                left_out.push(name);
            }
        }
        (row, left_out)
    }
}

#[cfg(test)]
mod tests {
    use guplab::Kind;

    use super::super::report::Ranges;
    use super::*;

    fn figures(contestant: Contestant, threads: u32, passes: &[Took]) -> (Row, Vec<&'static str>) {
        let cell = Cell {
            kind: Kind::Anon4k,
            pages_per_call: 512,
            threads,
            ranges: Ranges::One,
            bytes: 100 * guplab::page_size() as u64,
        };
        let mut figures = Figures::new(cell, contestant);
        figures.add(&vec![passes.to_vec(); threads as usize]);
        figures.finish()
    }

    const TOOK: Took = Took {
        get_ns: 20_000,
        put_ns: 5_000,
    };

    #[test]
    fn a_pass_that_was_interrupted_counts_little() {
        let interrupted = Took {
            get_ns: 4_000_000,
            ..TOOK
        };
        let (row, _) = figures(Contestant::Hammer, 1, &[TOOK, interrupted, TOOK]);
        assert_eq!(row.get_ns, vec![200.0]);
    }

    #[test]
    fn rates_of_threads_add_up() {
        let (row, left_out) = figures(Contestant::Hammer, 1, &[TOOK]);
        assert_eq!((row.get_ns, row.put_ns), (vec![200.0], vec![50.0]));
        assert!(left_out.is_empty());
        let (row, _) = figures(Contestant::Walk, 4, &[TOOK, TOOK]);
        assert_eq!((row.get_ns, row.put_ns), (vec![50.0], vec![12.5]));
    }

    #[test]
    fn what_gup_test_cuts_off_is_added_or_the_figure_left_out() {
        for contestant in [Contestant::InTree, Contestant::GupTest] {
            let (row, left_out) = figures(contestant, 1, &[TOOK]);
            assert_eq!(row.get_ns, vec![205.0]);
            assert!(row.put_ns.is_empty());
            assert_eq!(left_out, ["put"]);
        }
    }
}
