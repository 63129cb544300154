// SPDX-License-Identifier: GPL-2.0
//! Runs cases one after the other, each in a process of its own, under a watchdog and between two
//! looks at the kernel's own oracles.

use std::io;
use std::time::{Duration, Instant};

use guplab::oracle::Evidence;
use guplab::{KernelState, OpenError, Protocol, Session, SharedPage, Violation, cpu, khugepaged};

use crate::Case;
use crate::case_process::{Fate, Limits, in_process};
use crate::conduct::{Plan, conduct};
use crate::machine::Machine;
use crate::report::{CaseReport, RunReport, Verdict};
use crate::trial::Budget;

/// Time enough for any round on a loaded machine.
pub const PATIENCE: Duration = Duration::from_secs(60);
/// A case that goes on for so long after its time hangs as well.
const OVERTIME: Duration = Duration::from_secs(30);
/// A process that lives for so long after SIGKILL is stuck.
const DEATH_LIMIT: Duration = Duration::from_secs(10);

/// The invariant that a complaint of the kernel breaks.
pub const NO_COMPLAINT: &str = "the kernel has no complaint";

/// How a run is made.
#[derive(Clone, Debug)]
pub struct Options {
    /// The budget of each case.
    pub budget: Budget,
    /// The seed of the run.
    pub seed: u64,
    /// All cases are run once for each of so many seeds, from the first one on.
    pub seeds: u64,
    /// The CPUs of the actors: the first two are used, or the only one for both.
    pub cpus: Vec<usize>,
    /// Whether delay points hold the actors.
    pub aim: bool,
    /// Whether each case is run unaimed and then aimed, where it has something to aim at.
    pub compare: bool,
    /// Whether the trace of a round with a hit or a violation is kept for each case.
    pub record: bool,
    /// How guplab's own walk protects itself, if that is used in the place of fast GUP.
    pub walk: Option<Protocol>,
    /// A round that takes longer hangs.
    pub patience: Duration,
}

impl Options {
    /// One seed, aimed.
    pub fn new(budget: Budget, seed: u64, cpus: Vec<usize>) -> Options {
        Options {
            budget,
            seed,
            seeds: 1,
            cpus,
            aim: true,
            compare: false,
            record: false,
            walk: None,
            patience: PATIENCE,
        }
    }

    /// The CPUs of the two actors.
    pub(crate) fn pair(&self) -> (usize, usize) {
        let first = self.cpus.first().copied().unwrap_or(0);
        (first, self.cpus.get(1).copied().unwrap_or(first))
    }

    /// The ways in which a case is run.
    fn aims(&self, case: &Case) -> &'static [bool] {
        match (self.compare, self.aim) {
            (true, _) if !case.experiment.windows.is_empty() => &[false, true],
            (true, _) | (false, true) => &[true],
            (false, false) => &[false],
        }
    }

    /// How often the cases are run in all.
    pub fn runs(&self, cases: &[Case]) -> u64 {
        let once: usize = cases.iter().map(|case| self.aims(case).len()).sum();
        once as u64 * self.seeds
    }
}

/// What is told while a run goes on.
#[derive(Debug)]
pub enum Progress<'a> {
    /// A case begins.
    Begins(&'a Case),
    /// A case goes on: rounds so far.
    GoesOn(&'a Case, u64),
    /// A case has ended.
    Ended(&'a CaseReport),
}

/// Runs the cases.
///
/// # Panics
///
/// If the process has more than one thread: cases run in forked processes, in which the other
/// threads' locks would stay locked.
pub fn run(
    cases: &[Case],
    options: &Options,
    mut progress: impl FnMut(Progress<'_>),
) -> Result<RunReport, OpenError> {
    // Fails early, and with the reason, where there is no module.
    let session = Session::open()?;
    // Where that is nobody's to say, there may be no khugepaged.
    let _away = khugepaged::keep_away(session.pmd_size());
    drop(session);
    let threads = std::fs::read_dir("/proc/self/task").map_or(1, Iterator::count);
    assert_eq!(
        threads, 1,
        "experiments are run from a process with one thread"
    );
    let before = KernelState::read();
    let mut reports = Vec::new();
    let mut stuck: Option<String> = None;
    for seed in (0..options.seeds).map(|n| options.seed.wrapping_add(n)) {
        for case in cases {
            for &aimed in options.aims(case) {
                let plan = Plan {
                    case,
                    seed,
                    aimed,
                    options,
                };
                progress(Progress::Begins(case));
                let report = match (case.fits(), &stuck) {
                    (Err(reason), _) => plan.report(Verdict::Skip {
                        reason: reason.to_owned(),
                    }),
                    (_, Some(name)) => plan.error(format!(
                        "not run, because the process of {name} is stuck in the kernel"
                    )),
                    (Ok(()), None) => {
                        let (report, is_stuck) = run_case(&plan, &mut progress);
                        stuck = is_stuck.then(|| case.name());
                        report
                    }
                };
                progress(Progress::Ended(&report));
                reports.push(report);
            }
        }
    }
    Ok(RunReport {
        seed: options.seed,
        seeds: options.seeds,
        cpus: options.cpus.clone(),
        walk: options.walk,
        machine: Machine::here(),
        cases: reports,
        kernel: before.compare().into_iter().map(Into::into).collect(),
    })
}

/// Runs one case once, with the first seed, and tells whether its process is stuck in the kernel:
/// then nothing more can be run before the machine is booted again. The same as for [`run`] holds
/// for threads.
pub fn run_alone(case: &Case, options: &Options) -> (CaseReport, bool) {
    let plan = Plan {
        case,
        seed: options.seed,
        aimed: options.aim,
        options,
    };
    match case.fits() {
        Err(reason) => (
            plan.report(Verdict::Skip {
                reason: reason.to_owned(),
            }),
            false,
        ),
        Ok(()) => run_case(&plan, &mut |_| {}),
    }
}

/// Runs a case, and tells whether its process is stuck.
fn run_case(plan: &Plan<'_>, progress: &mut impl FnMut(Progress<'_>)) -> (CaseReport, bool) {
    let started = Instant::now();
    let budget = plan.options.budget;
    let limits = Limits {
        round: plan.options.patience,
        whole: budget.rounds.is_none().then_some(budget.time + OVERTIME),
        death: DEATH_LIMIT,
    };
    let kernel = KernelState::read();
    let mut rounds = 0;
    let fate = SharedPage::new()
        .map_err(io::Error::from)
        .and_then(|watched| {
            in_process(
                &limits,
                &watched,
                || serde_json::to_vec(&conduct(plan, &watched)).unwrap_or_default(),
                |now| {
                    rounds = now;
                    progress(Progress::GoesOn(plan.case, now));
                },
            )
        });
    let is_stuck = matches!(fate, Ok(Fate::Stuck(_)));
    let mut report = match fate {
        Ok(Fate::Sent(text)) => serde_json::from_slice(&text)
            .unwrap_or_else(|error| plan.error(format!("its report can't be read: {error}"))),
        Ok(Fate::Died(reason) | Fate::Hung(reason) | Fate::Stuck(reason)) => CaseReport {
            rounds,
            seconds: started.elapsed().as_secs_f64(),
            ..plan.error(reason)
        },
        Err(error) => plan.error(format!("a process for the case: {error}")),
    };
    // Its mm is gone when the last CPU has let go of it, and what the kernel says about that is in
    // the log. Without that it would be said of the case that comes next.
    let _partly = cpu::visit_all();
    let complaints: Vec<String> = kernel
        .compare()
        .into_iter()
        .flat_map(|check| check.complaints)
        .collect();
    if !complaints.is_empty() {
        add_complaints(plan, &mut report, complaints);
    }
    (report, is_stuck)
}

/// Makes complaints of the kernel a violation, whatever the verdict was.
fn add_complaints(plan: &Plan<'_>, report: &mut CaseReport, complaints: Vec<String>) {
    let mut evidence = Evidence {
        details: complaints,
        ..Evidence::default()
    };
    let (mut count, mut violations) = (0, Vec::new());
    match std::mem::replace(&mut report.verdict, Verdict::Pass) {
        Verdict::Pass => {}
        Verdict::Violation {
            count: old,
            violations: kept,
        }
        | Verdict::Known {
            count: old,
            violations: kept,
            ..
        } => (count, violations) = (old, kept),
        Verdict::Skip { reason } | Verdict::Error { reason } => {
            evidence = evidence.detail(format!("the case ended with: {reason}"));
        }
    }
    violations.push(Violation::new(
        &plan.origin(),
        (report.rounds, "or at the end of its process"),
        NO_COMPLAINT,
        evidence,
    ));
    report.verdict = Verdict::Violation {
        count: count + 1,
        violations,
    };
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::select;

    fn options() -> Options {
        Options {
            seeds: 3,
            aim: false,
            ..Options::new(Budget::of(Duration::from_secs(1)), 7, vec![2])
        }
    }

    #[test]
    fn one_cpu_serves_both_actors() {
        assert_eq!(options().pair(), (2, 2));
    }

    #[test]
    fn cases_are_compared_where_there_is_something_to_aim_at() {
        let cases = select(&[], &[]);
        let compared = Options {
            compare: true,
            ..options()
        };
        for case in &cases {
            let expected = 1 + usize::from(!case.experiment.windows.is_empty());
            assert_eq!(compared.aims(case).len(), expected);
            assert_eq!(options().aims(case), [false]);
        }
        assert_eq!(options().runs(&cases), 3 * cases.len() as u64);
    }

    #[test]
    fn a_complaint_of_the_kernel_is_a_violation_with_a_replay() {
        let case = select(&[], &[])[0];
        let options = options();
        let plan = Plan {
            case: &case,
            seed: 8,
            aimed: false,
            options: &options,
        };
        let mut report = CaseReport {
            rounds: 5,
            ..plan.error("hangs")
        };
        add_complaints(&plan, &mut report, vec!["BUG: Bad rss-counter".into()]);
        let Verdict::Violation { count, violations } = &report.verdict else {
            panic!("{report:?}");
        };
        let text = violations[0].to_string();
        assert_eq!(*count, 1);
        for part in [
            "violated: the kernel has no complaint",
            "BUG: Bad rss-counter",
            "the case ended with: hangs",
            "--seed 8 --rounds 5 --cpus 2,2 --no-aim",
        ] {
            assert!(text.contains(part), "{text}");
        }
    }
}
