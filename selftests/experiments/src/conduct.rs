// SPDX-License-Identifier: GPL-2.0
//! Conducts one case from beginning to end: what the process of a case does.

use std::any::Any;
use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::Ordering;
use std::time::Instant;

use guplab::rng::case_rng;
use guplab::{Oracle, Origin, Session, SharedPage, walk};

use crate::known;
use crate::recorder::Recorder;
use crate::report::{CaseReport, Verdict};
use crate::trial::{ROUNDS, Stop, Trial};
use crate::{Case, Options};

/// One case, to be run in one way.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Plan<'a> {
    pub(crate) case: &'a Case,
    pub(crate) seed: u64,
    pub(crate) aimed: bool,
    pub(crate) options: &'a Options,
}

impl Plan<'_> {
    /// A report with the verdict alone.
    pub(crate) fn report(&self, verdict: Verdict) -> CaseReport {
        CaseReport::new(self.case, self.seed, self.aimed, verdict)
    }

    /// A report of something that failed.
    pub(crate) fn error(&self, reason: impl Into<String>) -> CaseReport {
        let reason = reason.into();
        self.report(Verdict::Error { reason })
    }

    /// Where its violations come from.
    pub(crate) fn origin(&self) -> Origin {
        let (first, second) = self.options.pair();
        Origin {
            experiment: self.case.experiment.name.to_owned(),
            kind: self.case.kind,
            seed: self.seed,
            cpus: vec![first, second],
            aimed: self.aimed,
            walk: self.options.walk,
        }
    }
}

/// Runs the case in this process.
pub(crate) fn conduct(plan: &Plan<'_>, watched: &SharedPage) -> CaseReport {
    let started = Instant::now();
    let mut report =
        catch_unwind(AssertUnwindSafe(|| run(plan, watched))).unwrap_or_else(|panic| {
            let mut report = plan.error(panic_text(panic.as_ref()));
            report.rounds = watched[ROUNDS].load(Ordering::Relaxed);
            report
        });
    report.seconds = started.elapsed().as_secs_f64();
    report
}

fn panic_text(panic: &(dyn Any + Send)) -> String {
    let text = panic
        .downcast_ref::<String>()
        .map(String::as_str)
        .or_else(|| panic.downcast_ref::<&str>().copied());
    format!("panicked: {}", text.unwrap_or("no message"))
}

fn run(plan: &Plan<'_>, watched: &SharedPage) -> CaseReport {
    let mut session = match Session::open() {
        Ok(session) => session,
        Err(error) => return plan.error(error.to_string()),
    };
    if let Some(Err(reason)) = plan
        .options
        .walk
        .map(|protocol| session.replace_fast_gup(&protocol))
    {
        return plan.error(reason);
    }
    let experiment = plan.case.experiment;
    let mut trial = Trial::new(
        &session,
        plan.case.kind,
        case_rng(plan.seed, &plan.case.name()),
        plan.options.pair(),
        Oracle::new(plan.origin()).knowing(known::of(experiment.name).map(|bug| bug.invariant)),
        plan.options.budget,
        watched,
    )
    .windows(experiment.windows, plan.aimed)
    // Whoever asked for traces has seen whether there can be any.
    .recorded(
        plan.options
            .record
            .then(Recorder::start)
            .and_then(Result::ok),
    );
    let ended = (experiment.run)(&mut trial);
    let (counted, oracle) = trial.finish();
    let (looked, count) = (oracle.looked(), oracle.violated());
    let known = oracle.known_broken();
    let verdict = match ended {
        // What was seen stays seen, however the case ended.
        _ if count > 0 => Verdict::Violation {
            count,
            violations: oracle.into_violations(),
        },
        _ if known > 0 => Verdict::Known {
            count: known,
            violations: oracle.into_violations(),
            finding: known::of(experiment.name)
                .map(|bug| bug.finding)
                .collect::<Vec<_>>()
                .join("; "),
        },
        Err(Stop::Error(reason)) => Verdict::Error { reason },
        Err(Stop::Skip(reason)) => Verdict::Skip { reason },
        Ok(()) if looked == 0 => Verdict::Error {
            reason: "nothing was looked at".into(),
        },
        Ok(()) => Verdict::Pass,
    };
    let mut counters: BTreeMap<String, u64> = counted
        .counters
        .into_iter()
        .map(|(name, value)| (name.to_owned(), value))
        .collect();
    counters.extend(walk_counters(&session));
    CaseReport {
        rounds: counted.rounds,
        hits: counted.hits,
        looked,
        evidence: counted.evidence,
        counters,
        recording: counted.recording,
        ..plan.report(verdict)
    }
}

/// What guplab's own walk counted, if that was used in the place of fast GUP.
fn walk_counters(session: &Session) -> Vec<(String, u64)> {
    let Some((_, counts)) = session.walk().ok().filter(|_| session.replaces_fast_gup()) else {
        return Vec::new();
    };
    let stops = walk::Stop::ALL.into_iter().map(|stop| {
        let name = format!("walk_{}", stop.name().replace('-', "_"));
        (name, counts.stops_by(stop))
    });
    let others = [
        ("walk_retries", counts.retries),
        ("walk_unsafe", counts.unsafe_walks),
    ];
    others
        .into_iter()
        .map(|(name, count)| (name.to_owned(), count))
        .chain(stops)
        .filter(|&(_, count)| count > 0)
        .collect()
}
