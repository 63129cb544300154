// SPDX-License-Identifier: GPL-2.0
//! The line of a table: one experiment on one mapping kind, over all seeds.

use guplab_experiments::trial::Source;
use guplab_experiments::{CaseReport, Family, RunReport, Verdict};

/// What the runs of one case in one way add up to.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Sum {
    pub(crate) aimed: bool,
    pub(crate) ran: bool,
    pub(crate) rounds: u64,
    pub(crate) seconds: f64,
    pub(crate) hits: u64,
    pub(crate) back_offs: u64,
    pub(crate) fallbacks: u64,
    pub(crate) violations: u64,
    pub(crate) known: u64,
    pub(crate) errors: u64,
    pub(crate) source: Option<Source>,
    pub(crate) gaps: Vec<u64>,
}

impl Sum {
    fn add(&mut self, case: &CaseReport) {
        self.aimed = case.aimed;
        self.ran |= case.was_run();
        self.rounds += case.rounds;
        self.seconds += case.seconds;
        self.hits += case.hits;
        self.back_offs += case.evidence.back_offs;
        self.fallbacks += case.evidence.fallbacks;
        self.violations += case.verdict.violations();
        self.known += case.verdict.known();
        self.errors += u64::from(matches!(case.verdict, Verdict::Error { .. }));
        self.source = self.source.or(case.evidence.source);
        let buckets = self.gaps.len().max(case.evidence.gaps.len());
        self.gaps.resize(buckets, 0);
        for (sum, count) in self.gaps.iter_mut().zip(&case.evidence.gaps) {
            *sum += count;
        }
    }

    /// A number per second.
    pub(crate) fn rate(&self, number: u64) -> f64 {
        if self.seconds > 0.0 {
            number as f64 / self.seconds
        } else {
            0.0
        }
    }

    /// Rounds per second.
    pub(crate) fn rounds_rate(&self) -> String {
        figure(self.rate(self.rounds))
    }

    /// Hits per second.
    pub(crate) fn hits_rate(&self) -> String {
        figure(self.rate(self.hits))
    }

    /// Hits for each hundred rounds, where a round has one or none.
    pub(crate) fn percentage(&self) -> String {
        match (self.source, self.rounds) {
            (None, _) | (_, 0) => "-".to_owned(),
            (Some(_), rounds) => format!("{:.0}%", 100.0 * self.hits as f64 / rounds as f64),
        }
    }

    fn verdict(&self) -> &'static str {
        match (self.violations, self.errors, self.ran) {
            (1.., _, _) => "VIOLATION",
            (0, 1.., _) => "ERROR",
            (0, 0, true) if self.known > 0 => "KNOWN BUG",
            (0, 0, true) => "pass",
            (0, 0, false) => "skip",
        }
    }
}

/// A figure with as many places as it needs to be compared.
fn figure(value: f64) -> String {
    match value {
        ..10.0 => format!("{value:.2}"),
        ..100.0 => format!("{value:.1}"),
        _ => format!("{value:.0}"),
    }
}

/// An experiment on a mapping kind.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Row {
    pub(crate) experiment: String,
    pub(crate) kind: String,
    /// In the order in which they were run: unaimed before aimed, or one of them.
    pub(crate) sums: Vec<Sum>,
}

impl Row {
    /// The worst of its verdicts.
    pub(crate) fn verdict(&self) -> &'static str {
        let order = ["VIOLATION", "ERROR", "KNOWN BUG", "pass"];
        order
            .into_iter()
            .find(|name| self.sums.iter().any(|sum| sum.verdict() == *name))
            .unwrap_or("skip")
    }

    /// Its name: experiment/kind.
    pub(crate) fn name(&self) -> String {
        format!("{}/{}", self.experiment, self.kind)
    }

    /// Unaimed and aimed, where it was run both ways.
    pub(crate) fn pair(&self) -> Option<(&Sum, &Sum)> {
        match self.sums.as_slice() {
            [unaimed, aimed] => Some((unaimed, aimed)),
            _ => None,
        }
    }

    /// How many times as many hits there are in a second when it is aimed. Without an unaimed hit
    /// only a lower bound is known.
    pub(crate) fn gain(&self) -> String {
        match self.pair() {
            Some((unaimed, aimed)) if aimed.hits > 0 => {
                let ratio = aimed.rate(aimed.hits) / unaimed.rate(unaimed.hits.max(1));
                let bound = if unaimed.hits == 0 { ">" } else { "" };
                format!("{bound}{}", figure(ratio))
            }
            _ => "-".to_owned(),
        }
    }
}

/// The rows of a family, in the order in which they were run; skipped cases have one as well.
pub(crate) fn rows(report: &RunReport, family: Family) -> Vec<Row> {
    let mut rows: Vec<Row> = Vec::new();
    for case in report.cases.iter().filter(|case| case.family == family) {
        let (experiment, kind) = (case.experiment.as_str(), case.kind.name());
        let at = rows
            .iter()
            .position(|row| row.experiment == experiment && row.kind == kind)
            .unwrap_or_else(|| {
                rows.push(Row {
                    experiment: experiment.to_owned(),
                    kind: kind.to_owned(),
                    sums: Vec::new(),
                });
                rows.len() - 1
            });
        let sums = &mut rows[at].sums;
        let way = sums
            .iter()
            .position(|sum| sum.aimed == case.aimed)
            .unwrap_or_else(|| {
                sums.push(Sum::default());
                sums.len() - 1
            });
        sums[way].add(case);
    }
    rows
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sum(aimed: bool, hits: u64, seconds: f64) -> Sum {
        Sum {
            aimed,
            ran: true,
            rounds: 1000,
            hits,
            seconds,
            ..Sum::default()
        }
    }

    fn row(sums: Vec<Sum>) -> Row {
        Row {
            experiment: "x".into(),
            kind: "shmem".into(),
            sums,
        }
    }

    #[test]
    fn a_gain_is_a_ratio_of_rates() {
        let gain =
            |unaimed, aimed| row(vec![sum(false, unaimed, 2.0), sum(true, aimed, 1.0)]).gain();
        assert_eq!(gain(4, 200), "100");
        assert_eq!(gain(0, 200), ">400");
        assert_eq!(gain(4, 0), "-");
        assert_eq!(row(vec![sum(true, 5, 1.0)]).gain(), "-");
    }

    #[test]
    fn the_worst_verdict_counts() {
        let bad = Sum {
            errors: 1,
            ..sum(true, 0, 1.0)
        };
        assert_eq!(row(vec![sum(false, 0, 1.0), bad]).verdict(), "ERROR");
        assert_eq!(
            row(vec![sum(false, 0, 1.0), Sum::default()]).verdict(),
            "pass"
        );
        assert_eq!(row(vec![Sum::default()]).verdict(), "skip");
    }

    #[test]
    fn figures_have_three_places() {
        assert_eq!(figure(0.0), "0.00");
        assert_eq!(figure(2.34567), "2.35");
        assert_eq!(figure(23.4567), "23.5");
        assert_eq!(figure(2345.67), "2346");
    }
}
