// SPDX-License-Identifier: GPL-2.0
//! What a run found.

use std::collections::BTreeMap;

use guplab::{KernelCheck, Kind, Outcome, Protocol, Violation};
use serde::{Deserialize, Serialize};

use crate::machine::Machine;
use crate::recorder::Recording;
use crate::trial::EvidenceCounts;
use crate::{Case, Family};

/// The verdict on one case.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
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
    /// Only invariants were broken that this kernel is known to break.
    Known {
        /// How often.
        count: u64,
        /// The first times.
        violations: Vec<Violation>,
        /// What is known of the bug.
        finding: String,
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
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CaseReport {
    /// The question that it asks.
    pub family: Family,
    /// The experiment.
    pub experiment: String,
    /// The mapping kind.
    pub kind: Kind,
    /// The seed of the run.
    pub seed: u64,
    /// Whether delay points held the actors.
    pub aimed: bool,
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
    /// What the hits were told by.
    #[serde(flatten)]
    pub evidence: EvidenceCounts,
    /// What else was counted.
    pub counters: BTreeMap<String, u64>,
    /// The trace of one round, if it was recorded.
    #[serde(flatten)]
    pub recording: Recording,
}

/// One of the kernel's own oracles after a run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct KernelResult {
    /// A stable name.
    pub name: String,
    /// Nothing if all is well, else what is wrong.
    pub complaints: Vec<String>,
    /// Why it could not be looked at.
    pub unavailable: Option<String>,
}

/// The result of a run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RunReport {
    /// The first seed.
    pub seed: u64,
    /// How many seeds, one after the other.
    pub seeds: u64,
    /// The CPUs of the actors.
    pub cpus: Vec<usize>,
    /// How guplab's own walk protected itself, where that was used in the place of fast GUP.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub walk: Option<Protocol>,
    /// Where and when it ran.
    pub machine: Machine,
    /// All cases in the order in which they were run.
    pub cases: Vec<CaseReport>,
    /// The kernel's own oracles over the whole run.
    pub kernel: Vec<KernelResult>,
}

impl Verdict {
    /// Its name.
    pub fn name(&self) -> &'static str {
        match self {
            Verdict::Pass => "pass",
            Verdict::Violation { .. } => "VIOLATION",
            Verdict::Known { .. } => "KNOWN BUG",
            Verdict::Skip { .. } => "skip",
            Verdict::Error { .. } => "ERROR",
        }
    }

    /// Whether it makes the run a failure.
    pub fn is_failure(&self) -> bool {
        matches!(self, Verdict::Violation { .. } | Verdict::Error { .. })
    }

    /// How often a known bug was seen.
    pub fn known(&self) -> u64 {
        match self {
            Verdict::Known { count, .. } => *count,
            _ => 0,
        }
    }

    /// Violations that it stands for.
    pub fn violations(&self) -> u64 {
        match self {
            Verdict::Violation { count, .. } => *count,
            _ => 0,
        }
    }
}

impl CaseReport {
    /// A case of which nothing is known but the verdict.
    pub fn new(case: &Case, seed: u64, aimed: bool, verdict: Verdict) -> CaseReport {
        CaseReport {
            family: case.experiment.family,
            experiment: case.experiment.name.to_owned(),
            kind: case.kind,
            seed,
            aimed,
            verdict,
            rounds: 0,
            hits: 0,
            looked: 0,
            seconds: 0.0,
            evidence: EvidenceCounts::default(),
            counters: BTreeMap::new(),
            recording: Recording::default(),
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

    /// Whether it was run to a verdict.
    pub fn was_run(&self) -> bool {
        !matches!(self.verdict, Verdict::Skip { .. } | Verdict::Error { .. })
    }

    /// Whether both sides had to meet in it, so that a run without a hit shows nothing.
    pub fn is_race(&self) -> bool {
        self.evidence.source.is_some()
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
            Verdict::Known {
                violations,
                finding,
                ..
            } => Outcome::ExpectedFail(
                finding.clone(),
                violations.iter().map(Violation::to_string).collect(),
            ),
        }
    }
}

impl From<KernelCheck> for KernelResult {
    fn from(check: KernelCheck) -> KernelResult {
        KernelResult {
            name: check.name.to_owned(),
            complaints: check.complaints,
            unavailable: check.unavailable,
        }
    }
}

impl KernelResult {
    /// The result as a test result.
    pub fn outcome(&self) -> Outcome {
        match &self.unavailable {
            Some(reason) => Outcome::Skip(reason.clone()),
            None if self.complaints.is_empty() => Outcome::Pass,
            None => Outcome::Fail(self.complaints.clone()),
        }
    }
}

impl RunReport {
    /// Whose lockless walk it was, in one line; nothing where it was the kernel's fast GUP.
    pub fn walker(&self) -> Option<String> {
        walker(self.walk.as_ref())
    }

    /// Cases and kernel oracles that passed, failed and were skipped.
    pub fn totals(&self) -> (usize, usize, usize) {
        let outcomes = self
            .cases
            .iter()
            .map(CaseReport::outcome)
            .chain(self.kernel.iter().map(KernelResult::outcome));
        let mut totals = (0, 0, 0);
        for outcome in outcomes {
            match outcome {
                Outcome::Pass => totals.0 += 1,
                Outcome::Fail(_) => totals.1 += 1,
                Outcome::Skip(_) => totals.2 += 1,
                // Said apart, and neither a pass nor a failure.
                Outcome::ExpectedFail(..) => {}
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

/// What stands in the place of fast GUP, in one line.
pub(crate) fn walker(walk: Option<&Protocol>) -> Option<String> {
    walk.map(|walk| format!("guplab's own walk in the place of fast GUP: {walk}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::select;
    use guplab::oracle::{Evidence, Origin};

    fn report(verdicts: Vec<Verdict>) -> RunReport {
        let case = select(&[], &[])[0];
        RunReport {
            seed: 1,
            seeds: 1,
            cpus: vec![0, 1],
            walk: None,
            machine: Machine::default(),
            cases: verdicts
                .into_iter()
                .map(|verdict| CaseReport::new(&case, 1, true, verdict))
                .collect(),
            kernel: Vec::new(),
        }
    }

    fn skip() -> Verdict {
        Verdict::Skip { reason: "r".into() }
    }

    #[test]
    fn exit_codes_are_those_of_kselftest() {
        let error = || Verdict::Error { reason: "r".into() };
        assert_eq!(report(vec![Verdict::Pass, skip()]).exit_code(), 0);
        assert_eq!(report(vec![skip(), skip()]).exit_code(), 4);
        assert_eq!(report(vec![Verdict::Pass, error()]).exit_code(), 1);
        assert_eq!(report(vec![skip(), error()]).exit_code(), 1);
    }

    #[test]
    fn a_complaint_of_the_kernel_fails_the_run() {
        let mut report = report(vec![Verdict::Pass]);
        report.kernel.push(KernelResult {
            name: "kernel_log".into(),
            complaints: vec!["WARNING: x".into()],
            unavailable: None,
        });
        assert_eq!(report.exit_code(), 1);
        assert_eq!(report.totals(), (1, 1, 0));
    }

    #[test]
    fn a_recorded_run_is_read_back() {
        let origin = Origin {
            experiment: "x".into(),
            kind: Kind::Anon4k,
            seed: u64::MAX,
            cpus: vec![0, 3],
            aimed: false,
            walk: Some(Protocol::default()),
        };
        let evidence = Evidence::at(0x1000).frames(Some(1), None).detail("d");
        let violation = Violation::new(&origin, (3, "variant"), "invariant", evidence);
        let mut report = report(vec![
            Verdict::Pass,
            skip(),
            Verdict::Violation {
                count: 1,
                violations: vec![violation],
            },
        ]);
        report.cases[0].evidence.gaps = vec![0, 7];
        report.cases[0].counters.insert("forks".into(), u64::MAX);
        let text = serde_json::to_string(&report).expect("it can be written");
        let read: RunReport = serde_json::from_str(&text).expect("it can be read");
        assert_eq!(read, report);
    }
}
