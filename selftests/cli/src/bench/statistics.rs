// SPDX-License-Identifier: GPL-2.0
//! What repeated measurements say: medians, spreads, and how two sides relate.

use std::fmt;

use serde::Serialize;

/// Of the ratios that are told with an interval.
pub(crate) const CONFIDENCE: f64 = 0.95;

/// The smallest, middle and largest of some figures.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub(crate) struct Spread {
    pub(crate) min: f64,
    pub(crate) median: f64,
    pub(crate) max: f64,
}

impl Spread {
    /// `None` if there are no figures, or what is none is among them.
    pub(crate) fn of(figures: &[f64]) -> Option<Spread> {
        let mut figures = figures.to_vec();
        figures.sort_by(f64::total_cmp);
        let (&min, &max) = (figures.first()?, figures.last()?);
        let middle = figures.len() / 2;
        let median = match figures.len() % 2 {
            1 => figures[middle],
            _ => figures[middle - 1] / 2.0 + figures[middle] / 2.0,
        };
        (min.is_finite() && max.is_finite()).then_some(Spread { min, median, max })
    }
}

/// The median; `None` as for [`Spread::of()`].
pub(crate) fn median(figures: &[f64]) -> Option<f64> {
    Some(Spread::of(figures)?.median)
}

/// How many times as large one side's figures are as the other's, with an interval.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub(crate) struct Ratio {
    /// 0 if the figures are too few for an interval; `high` is infinite then.
    pub(crate) low: f64,
    /// Of the medians.
    pub(crate) median: f64,
    pub(crate) high: f64,
}

impl Ratio {
    /// Whether the figures sufficed for an interval.
    pub(crate) fn is_bounded(&self) -> bool {
        self.low > 0.0 && self.high.is_finite()
    }

    /// The smallest interval that holds both, around a median of its own.
    pub(crate) fn hull(&self, other: &Ratio, median: f64) -> Ratio {
        Ratio {
            low: self.low.min(other.low).min(median),
            median,
            high: self.high.max(other.high).max(median),
        }
    }
}

impl fmt::Display for Ratio {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:.2}", self.median)?;
        match self.is_bounded() {
            true => write!(f, " [{:.2}, {:.2}]", self.low, self.high),
            false => Ok(()),
        }
    }
}

/// The ratio median(a) / median(b). `None` if a side has no figures, or one that is not a number
/// above zero.
///
/// The interval is that of the rank-sum test of Mann and Whitney: of all quotients of a figure of `a`
/// and one of `b`, it leaves out as many at both ends as the test allows. It asks nothing of the
/// distribution but that both sides have the same, up to the factor; one figure that went astray
/// moves it little; and it tells when the figures are too few, which a bootstrap of so few doesn't.
pub(crate) fn ratio(a: &[f64], b: &[f64], confidence: f64) -> Option<Ratio> {
    let positive = |figures: &[f64]| figures.iter().all(|f| f.is_finite() && *f > 0.0);
    if !positive(a) || !positive(b) {
        return None;
    }
    let median = median(a)? / median(b)?;
    let left_out = quotients_left_out(a.len(), b.len(), (1.0 - confidence) / 2.0);
    let Some(first) = left_out.checked_sub(1) else {
        return Some(Ratio {
            low: 0.0,
            median,
            high: f64::INFINITY,
        });
    };
    let quotients = a.iter().flat_map(|a| b.iter().map(move |b| a / b));
    let mut quotients: Vec<f64> = quotients.collect();
    quotients.sort_by(f64::total_cmp);
    Some(Ratio {
        low: quotients[first].min(median),
        median,
        high: quotients[quotients.len() - 1 - first].max(median),
    })
}

/// The least number of figures on each side for which [`ratio()`] has an interval.
pub(crate) fn figures_needed(confidence: f64) -> usize {
    let tail = (1.0 - confidence) / 2.0;
    let bounded = |&n: &usize| quotients_left_out(n, n, tail) > 0;
    (1..=EXACT).find(bounded).unwrap_or(EXACT)
}

/// Sides with more figures than this get the normal approximation, which then is as good.
const EXACT: usize = 40;

/// So many of the `n * m` quotients can be left out at one end with a risk of `tail`: the largest k
/// with P(U < k) <= tail, where U is the statistic of the rank-sum test for equal sides.
fn quotients_left_out(n: usize, m: usize, tail: f64) -> usize {
    if n > EXACT || m > EXACT {
        let (n, m) = (n as f64, m as f64);
        let (mean, deviation) = (n * m / 2.0, (n * m * (n + m + 1.0) / 12.0).sqrt());
        let below = |u: f64| libm::erfc((mean - u - 0.5) / deviation / 2f64.sqrt()) / 2.0;
        return (0..(n * m) as usize)
            .take_while(|&u| below(u as f64) <= tail)
            .count();
    }
    let mut sum = 0.0;
    rank_sums(n, m)
        .into_iter()
        .take_while(|probability| {
            sum += probability;
            sum <= tail
        })
        .count()
}

/// P(U = u) for each u: the coefficients of the Gaussian binomial, by the product formula.
fn rank_sums(n: usize, m: usize) -> Vec<f64> {
    let mut ways = vec![0.0; n * m + 1];
    ways[0] = 1.0;
    for i in 1..=n {
        for u in (m + i..ways.len()).rev() {
            ways[u] -= ways[u - m - i];
        }
        for u in i..ways.len() {
            ways[u] += ways[u - i];
        }
    }
    let all: f64 = ways.iter().sum();
    ways.into_iter().map(|ways| ways / all).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spreads_are_of_sorted_figures() {
        assert_eq!(Spread::of(&[]), None);
        assert_eq!(
            Spread::of(&[3.0, 1.0, 2.0]),
            Some(Spread {
                min: 1.0,
                median: 2.0,
                max: 3.0
            })
        );
        assert_eq!(median(&[4.0, 1.0]), Some(2.5));
    }

    #[test]
    fn what_is_no_figure_is_refused() {
        for bad in [f64::NAN, f64::INFINITY, 0.0, -0.0, -1.0] {
            assert_eq!(ratio(&[1.0, bad], &[1.0, 2.0], 0.95), None, "{bad}");
            assert_eq!(ratio(&[1.0, 2.0], &[bad], 0.95), None, "{bad}");
        }
        assert_eq!(ratio(&[], &[1.0], 0.95), None);
        assert_eq!(ratio(&[1.0], &[], 0.95), None);
        assert_eq!(median(&[f64::NAN, 1.0]), None);
        assert_eq!(median(&[-f64::NAN, 1.0]), None);
    }

    #[test]
    fn few_figures_have_no_interval() {
        for n in 1..=3 {
            let side = vec![2.0; n];
            let found = ratio(&side, &[1.0; 3][..n], 0.95).expect("these are figures");
            assert_eq!(found.median, 2.0);
            assert!(!found.is_bounded() && found.low == 0.0, "{n}: {found:?}");
            assert_eq!(found.to_string(), "2.00");
        }
        assert_eq!(figures_needed(0.95), 4);
        assert_eq!(figures_needed(1.0 - 0.05 / 800.0), 9);
    }

    /// Against the tables of the test: the critical values of U, two-sided.
    #[test]
    fn critical_values_are_those_of_the_tables() {
        // (n, m, alpha, largest U that is significant)
        for (n, m, alpha, critical) in [
            (4, 4, 0.05, 0),
            (5, 8, 0.05, 6),
            (8, 5, 0.05, 6),
            (10, 10, 0.05, 23),
            (10, 10, 0.01, 16),
            (20, 20, 0.05, 127),
        ] {
            assert_eq!(quotients_left_out(n, m, alpha / 2.0), critical + 1);
        }
        assert_eq!(quotients_left_out(1, 1, 0.025), 0);
    }

    #[test]
    fn the_approximation_continues_the_exact_values() {
        let exact = |tail| {
            let mut sum = 0.0;
            let sums = rank_sums(41, 41).into_iter();
            sums.take_while(|p| {
                sum += p;
                sum <= tail
            })
            .count()
        };
        for tail in [0.025, 0.005, 0.05 / 1000.0] {
            let (exact, approximate) = (exact(tail), quotients_left_out(41, 41, tail));
            // Which leaves out less, if anything.
            assert!(approximate <= exact && exact <= approximate * 103 / 100);
        }
    }

    /// A figure as a benchmark brings it: mostly noise of some percent, and now and then a detour.
    fn figure(random: &mut fastrand::Rng, level: f64, noise: f64) -> f64 {
        let normal: f64 = (0..12).map(|_| random.f64()).sum::<f64>() - 6.0;
        let detour = match random.u32(..10) {
            0 => 1.0 + random.f64(),
            _ => 1.0,
        };
        level * (normal * noise).exp() * detour
    }

    /// How many of 1000 intervals hold the true ratio, for so many figures on each side.
    fn coverage(n: usize, noise: [f64; 2], confidence: f64) -> f64 {
        const TRIALS: u32 = 1000;
        let random = &mut fastrand::Rng::with_seed(n as u64);
        let held = (0..TRIALS).filter(|_| {
            let a: Vec<f64> = (0..n).map(|_| figure(random, 84.0, noise[0])).collect();
            let b: Vec<f64> = (0..n).map(|_| figure(random, 70.0, noise[1])).collect();
            let found = ratio(&a, &b, confidence).expect("these are figures");
            assert!(found.low <= found.median && found.median <= found.high);
            found.low <= 1.2 && 1.2 <= found.high
        });
        held.count() as f64 / f64::from(TRIALS)
    }

    #[test]
    fn intervals_hold_the_true_ratio_as_often_as_they_say() {
        for n in [5, 10, 50] {
            let held = coverage(n, [0.03, 0.03], 0.95);
            assert!((0.938..0.99).contains(&held), "{n} figures: {held}");
        }
        // More confidence, and sides that don't spread alike.
        assert!((0.985..=1.0).contains(&coverage(10, [0.03, 0.03], 0.99)));
        assert!(coverage(10, [0.01, 0.05], 0.95) > 0.91);
    }

    #[test]
    fn equal_sides_have_an_interval_around_one() {
        let side = [5.0, 6.0, 7.0, 8.0];
        let found = ratio(&side, &side, 0.95).expect("these are figures");
        assert_eq!(found.to_string(), "1.00 [0.62, 1.60]");
    }
}
