// SPDX-License-Identifier: GPL-2.0
//! What a run found.

use std::collections::BTreeMap;
use std::time::Duration;

use guplab::{KernelCheck, Kind, Outcome, Violation};
use serde::Serialize;

/// The verdict on one case.
#[derive(Clone, Debug, Serialize)]
#[serde(tag = "verdict", rename_all = "lowercase")]
pub enum Verdict {
    /// Every invariant held.
    Pass,
    /// Invariants were broken.
    Violation {
        /// How often.
        count: u64,
        /// The first of them.
        violations: Vec<Violation>,
    },
    /// It could not be run here.
    Skip {
        /// Why.
        reason: String,
    },
    /// It failed without a verdict.
    Error {
        /// How.
        reason: String,
    },
}

/// The result of one case.
#[derive(Clone, Debug, Serialize)]
pub struct CaseReport {
    /// The experiment.
    pub experiment: &'static str,
    /// The mapping kind.
    pub kind: Kind,
    /// The verdict.
    #[serde(flatten)]
    pub verdict: Verdict,
    /// Rounds.
    pub rounds: u64,
    /// Hits: evidence that both sides met.
    pub hits: u64,
    /// Decisions that the oracle made.
    pub looked: u64,
    /// How long it took.
    pub seconds: f64,
    /// What else was counted.
    pub counters: BTreeMap<&'static str, u64>,
}

/// The result of a run.
#[derive(Clone, Debug, Serialize)]
pub struct RunReport {
    /// The seed.
    pub seed: u64,
    /// The CPUs of the actors.
    pub cpus: Vec<usize>,
    /// All cases in order.
    pub cases: Vec<CaseReport>,
    /// The kernel's own oracles.
    pub kernel: Vec<KernelCheck>,
}

impl Verdict {
    /// Its name.
    pub fn name(&self) -> &'static str {
        match self {
            Verdict::Pass => "pass",
            Verdict::Violation { .. } => "VIOLATION",
            Verdict::Skip { .. } => "skip",
            Verdict::Error { .. } => "ERROR",
        }
    }

    /// Whether it makes the run a failure.
    pub fn is_failure(&self) -> bool {
        matches!(self, Verdict::Violation { .. } | Verdict::Error { .. })
    }
}

impl CaseReport {
    /// A case that was not run or came to no end.
    pub fn unfinished(
        experiment: &'static str,
        kind: Kind,
        verdict: Verdict,
        rounds: u64,
        took: Duration,
    ) -> CaseReport {
        CaseReport {
            experiment,
            kind,
            verdict,
            rounds,
            hits: 0,
            looked: 0,
            seconds: took.as_secs_f64(),
            counters: BTreeMap::new(),
        }
    }

    /// Its name: experiment/kind.
    pub fn name(&self) -> String {
        format!("{}/{}", self.experiment, self.kind)
    }

    /// A number per second.
    pub fn rate(&self, number: u64) -> f64 {
        if self.seconds > 0.0 {
            number as f64 / self.seconds
        } else {
            0.0
        }
    }

    /// The result as a test result.
    pub fn outcome(&self) -> Outcome {
        match &self.verdict {
            Verdict::Pass => Outcome::Pass,
            Verdict::Skip { reason } => Outcome::Skip(reason.clone()),
            Verdict::Error { reason } => Outcome::Fail(vec![reason.clone()]),
            Verdict::Violation { violations, .. } => {
                Outcome::Fail(violations.iter().map(Violation::to_string).collect())
            }
        }
    }
}

/// One of the kernel's oracles as a test result.
pub fn kernel_outcome(check: &KernelCheck) -> Outcome {
    match &check.unavailable {
        Some(reason) => Outcome::Skip(reason.clone()),
        None if check.complaints.is_empty() => Outcome::Pass,
        None => Outcome::Fail(check.complaints.clone()),
    }
}

impl RunReport {
    /// Cases and kernel oracles that passed, failed and were skipped.
    pub fn totals(&self) -> (usize, usize, usize) {
        let outcomes = self
            .cases
            .iter()
            .map(CaseReport::outcome)
            .chain(self.kernel.iter().map(kernel_outcome));
        let mut totals = (0, 0, 0);
        for outcome in outcomes {
            match outcome {
                Outcome::Pass => totals.0 += 1,
                Outcome::Fail(_) => totals.1 += 1,
                Outcome::Skip(_) => totals.2 += 1,
            }
        }
        totals
    }

    /// The exit code: 1 if anything failed, 4 if no case was run, else 0.
    pub fn exit_code(&self) -> u8 {
        let (_, failed, _) = self.totals();
        let all_skipped = self
            .cases
            .iter()
            .all(|case| matches!(case.verdict, Verdict::Skip { .. }));
        match (failed, all_skipped) {
            (1.., _) => guplab::ktap::exit::FAIL,
            (0, true) => guplab::ktap::exit::SKIP,
            (0, false) => guplab::ktap::exit::PASS,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(verdicts: Vec<Verdict>) -> RunReport {
        RunReport {
            seed: 1,
            cpus: vec![0, 1],
            cases: verdicts
                .into_iter()
                .map(|v| CaseReport::unfinished("x", Kind::Shmem, v, 0, Duration::ZERO))
                .collect(),
            kernel: Vec::new(),
        }
    }

    #[test]
    fn exit_codes_are_those_of_kselftest() {
        let skip = || Verdict::Skip { reason: "r".into() };
        let error = || Verdict::Error { reason: "r".into() };
        assert_eq!(report(vec![Verdict::Pass, skip()]).exit_code(), 0);
        assert_eq!(report(vec![skip(), skip()]).exit_code(), 4);
        assert_eq!(report(vec![Verdict::Pass, error()]).exit_code(), 1);
        assert_eq!(report(vec![skip(), error()]).exit_code(), 1);
    }

    #[test]
    fn a_complaint_of_the_kernel_fails_the_run() {
        let mut report = report(vec![Verdict::Pass]);
        report.kernel.push(KernelCheck {
            name: "kernel_log",
            complaints: vec!["WARNING: x".into()],
            unavailable: None,
        });
        assert_eq!(report.exit_code(), 1);
        assert_eq!(report.totals(), (1, 1, 0));
    }
}
