// SPDX-License-Identifier: GPL-2.0
//! Runs experiments on mapping kinds, one case after the other, each under a watchdog.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::thread;
use std::time::{Duration, Instant};

use guplab::rng::case_rng;
use guplab::{KernelState, Kind, OpenError, Oracle, Origin, Session};

use crate::report::{CaseReport, RunReport, Verdict};
use crate::trial::{Budget, Stop, Trial, Watched};
use crate::{ALL, Experiment};

/// A round that takes longer hangs.
const WATCHDOG: Duration = Duration::from_secs(60);

/// How a run is made.
#[derive(Clone, Debug)]
pub struct Options {
    /// The budget of each case.
    pub budget: Budget,
    /// The seed of the run.
    pub seed: u64,
    /// The CPUs of the actors: the first two are used, or the only one for both.
    pub cpus: Vec<usize>,
}

/// One experiment on one mapping kind.
#[derive(Clone, Copy, Debug)]
pub struct Case {
    /// The experiment.
    pub experiment: &'static Experiment,
    /// The mapping kind.
    pub kind: Kind,
}

impl Case {
    /// Its name: experiment/kind.
    pub fn name(&self) -> String {
        format!("{}/{}", self.experiment.name, self.kind)
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

/// Whether a name matches a pattern: a part of the name, in which `*` stands for any text.
fn matches(name: &str, pattern: &str) -> bool {
    let mut rest = name;
    pattern.split('*').all(|part| match rest.find(part) {
        Some(at) => {
            rest = &rest[at + part.len()..];
            true
        }
        None => false,
    })
}

/// The cases whose name (experiment/kind) matches one of the patterns; all without a pattern.
pub fn select(patterns: &[String]) -> Vec<Case> {
    ALL.iter()
        .flat_map(|experiment| Kind::ALL.map(|kind| Case { experiment, kind }))
        .filter(|case| {
            patterns.is_empty()
                || patterns
                    .iter()
                    .any(|pattern| matches(&case.name(), pattern))
        })
        .collect()
}

/// Runs the cases.
pub fn run(
    cases: &[Case],
    options: &Options,
    mut progress: impl FnMut(Progress<'_>),
) -> Result<RunReport, OpenError> {
    // Fails early, and with the reason, where there is no module.
    drop(Session::open()?);
    let before = KernelState::read();
    let mut reports = Vec::with_capacity(cases.len());
    let mut hung: Option<String> = None;
    for case in cases {
        progress(Progress::Begins(case));
        let report = match &hung {
            None => run_case(case, options, &mut progress).unwrap_or_else(|hang| {
                hung = Some(case.name());
                hang
            }),
            Some(name) => {
                let reason = format!("not run, because {name} hangs");
                unfinished(case, Verdict::Error { reason }, 0, Duration::ZERO)
            }
        };
        progress(Progress::Ended(&report));
        reports.push(report);
    }
    Ok(RunReport {
        seed: options.seed,
        cpus: options.cpus.clone(),
        cases: reports,
        kernel: before.compare(),
    })
}

fn unfinished(case: &Case, verdict: Verdict, rounds: u64, took: Duration) -> CaseReport {
    CaseReport::unfinished(case.experiment.name, case.kind, verdict, rounds, took)
}

/// Runs a case in a thread of its own. The error is the report on a case that hangs: its thread is
/// left behind, as nothing can end it but the end of the process.
fn run_case(
    case: &Case,
    options: &Options,
    progress: &mut impl FnMut(Progress<'_>),
) -> Result<CaseReport, CaseReport> {
    let started = Instant::now();
    let watched = Arc::new(Watched::default());
    let (sender, receiver) = channel();
    let (its_case, its_options, its_watched) = (*case, options.clone(), Arc::clone(&watched));
    thread::spawn(move || {
        let report = catch_unwind(AssertUnwindSafe(|| {
            conduct(&its_case, &its_options, its_watched)
        }))
        .unwrap_or_else(|panic| {
            let reason = panic_text(panic.as_ref());
            unfinished(&its_case, Verdict::Error { reason }, 0, started.elapsed())
        });
        // Nobody listens any more after a hang.
        let _nobody = sender.send(report);
    });

    let (mut rounds, mut since) = (0, Instant::now());
    loop {
        match receiver.recv_timeout(Duration::from_millis(100)) {
            Ok(report) => return Ok(report),
            Err(RecvTimeoutError::Disconnected) => {
                let reason = "its thread ended without a report".to_owned();
                let verdict = Verdict::Error { reason };
                return Ok(unfinished(case, verdict, rounds, started.elapsed()));
            }
            Err(RecvTimeoutError::Timeout) => {}
        }
        let now = watched.rounds.load(Ordering::Relaxed);
        if now != rounds {
            (rounds, since) = (now, Instant::now());
        }
        progress(Progress::GoesOn(case, rounds));
        if since.elapsed() > WATCHDOG {
            let seconds = WATCHDOG.as_secs();
            let reason = format!("hangs: no end of round {rounds} in {seconds} s");
            let verdict = Verdict::Error { reason };
            return Err(unfinished(case, verdict, rounds, started.elapsed()));
        }
    }
}

fn panic_text(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic
        .downcast_ref::<String>()
        .map(String::as_str)
        .or_else(|| panic.downcast_ref::<&str>().copied());
    format!("panicked: {}", text.unwrap_or("no message"))
}

fn conduct(case: &Case, options: &Options, watched: Arc<Watched>) -> CaseReport {
    let started = Instant::now();
    let session = match Session::open() {
        Ok(session) => session,
        Err(error) => {
            let reason = error.to_string();
            return unfinished(case, Verdict::Error { reason }, 0, started.elapsed());
        }
    };
    let first = options.cpus.first().copied().unwrap_or(0);
    let second = options.cpus.get(1).copied().unwrap_or(first);
    let oracle = Oracle::new(Origin {
        experiment: case.experiment.name.to_owned(),
        kind: case.kind,
        seed: options.seed,
        cpus: vec![first, second],
    });
    let rng = case_rng(options.seed, &case.name());
    let mut trial = Trial::new(
        &session,
        case.kind,
        rng,
        (first, second),
        oracle,
        options.budget,
        watched,
    );
    let ended = (case.experiment.run)(&mut trial);
    let (counted, oracle) = trial.finish();
    let (looked, count) = (oracle.looked(), oracle.violated());
    let verdict = match ended {
        // What was seen stays seen, however the case ended.
        _ if count > 0 => Verdict::Violation {
            count,
            violations: oracle.into_violations(),
        },
        Err(Stop::Error(reason)) => Verdict::Error { reason },
        Err(Stop::Skip(reason)) => Verdict::Skip { reason },
        Ok(()) if looked == 0 => Verdict::Error {
            reason: "nothing was looked at".into(),
        },
        Ok(()) => Verdict::Pass,
    };
    CaseReport {
        experiment: case.experiment.name,
        kind: case.kind,
        verdict,
        rounds: counted.rounds,
        hits: counted.hits,
        looked,
        seconds: started.elapsed().as_secs_f64(),
        counters: counted.counters,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_are_parts_of_names() {
        let names = |patterns: &[&str]| -> Vec<String> {
            let patterns: Vec<String> = patterns.iter().map(|&p| p.to_owned()).collect();
            select(&patterns).iter().map(Case::name).collect()
        };
        assert_eq!(names(&[]).len(), ALL.len() * Kind::ALL.len());
        assert_eq!(names(&["pin_and_look"]).len(), Kind::ALL.len());
        assert_eq!(names(&["/shmem"]).len(), ALL.len());
        assert_eq!(
            names(&["fork_*/anon-thp"]),
            ["fork_held_pin/anon-thp", "fork_pin_stress/anon-thp"]
        );
        assert!(names(&["no such thing"]).is_empty());
        assert_eq!(names(&["held_pin/hugetlb", "*held_pin/hugetlb"]).len(), 2);
    }
}
