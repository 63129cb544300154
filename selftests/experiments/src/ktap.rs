// SPDX-License-Identifier: GPL-2.0
//! A run as KTAP: one test for each experiment with one part for each mapping kind, and one test
//! for each of the kernel's own oracles.

use std::error::Error;
use std::io::{self, Write};

use guplab::{Ktap, Protocol, Session};

use crate::Case;
use crate::report::{CaseReport, RunReport, walker};
use crate::runner::{Options, Progress, run};

/// The kernel's oracles, which are tests of their own.
const KERNEL_CHECKS: usize = 3;

/// Runs the cases and writes the results. Returns nothing if no module is loaded, which is written
/// as a skip.
pub fn run_as_ktap(
    mut out: impl Write,
    cases: &[Case],
    options: &Options,
) -> Result<Option<RunReport>, Box<dyn Error + Send + Sync>> {
    // The module is asked for before anything is written, so that its absence is one clear line.
    match Session::open() {
        Err(error) if error.is_no_module() => {
            Ktap::skip_all(&mut out, &error.to_string())?;
            return Ok(None);
        }
        opened => drop(opened?),
    }
    let mut writer = KtapRun::new(out, cases, options.walk.as_ref())?;
    let mut written: io::Result<()> = Ok(());
    let report = run(cases, options, |progress| {
        if let (Progress::Ended(report), Ok(())) = (progress, &written) {
            written = writer.ended(report);
        }
    })?;
    written?;
    writer.finish(&report)?;
    Ok(Some(report))
}

/// Writes the results while the run goes on.
#[derive(Debug)]
struct KtapRun<W: Write> {
    ktap: Ktap<W>,
    cases: Vec<Case>,
    done: usize,
}

impl<W: Write> KtapRun<W> {
    /// Begins, with what will be run.
    fn new(out: W, cases: &[Case], walk: Option<&Protocol>) -> io::Result<KtapRun<W>> {
        let mut names: Vec<&str> = cases.iter().map(|case| case.experiment.name).collect();
        names.dedup();
        let mut ktap = Ktap::new(out, names.len() + KERNEL_CHECKS)?;
        if let Some(walker) = walker(walk) {
            ktap.diagnostic(&walker)?;
        }
        Ok(KtapRun {
            ktap,
            cases: cases.to_vec(),
            done: 0,
        })
    }

    /// Writes the result of the next case.
    fn ended(&mut self, report: &CaseReport) -> io::Result<()> {
        let name = report.experiment.as_str();
        let of_this = |case: &Case| case.experiment.name == name;
        if self.done == 0 || !of_this(&self.cases[self.done - 1]) {
            let parts = self.cases.iter().filter(|case| of_this(case)).count();
            self.ktap.subtest(name, parts)?;
        }
        self.ktap.diagnostic(&figures(report))?;
        self.ktap
            .result(&report.kind.to_string(), &report.outcome())?;
        self.done += 1;
        if self.cases.get(self.done).is_none_or(|case| !of_this(case)) {
            self.ktap.end_subtest()?;
        }
        Ok(())
    }

    /// Writes what the kernel's own oracles say.
    fn finish(mut self, report: &RunReport) -> io::Result<()> {
        self.ktap.diagnostic(&format!("seed {}", report.seed))?;
        for check in &report.kernel {
            self.ktap.result(&check.name, &check.outcome())?;
        }
        // The exit code is made of the report, where a skip of everything is told from a pass.
        self.ktap.finish().map(|_| ())
    }
}

/// The figures of a case in one line.
fn figures(report: &CaseReport) -> String {
    let mut text = format!(
        "{}: rounds={} hits={} looked={} seconds={:.2}",
        report.kind, report.rounds, report.hits, report.looked, report.seconds
    );
    if report.is_race() {
        let evidence = &report.evidence;
        text += &format!(
            " back_offs={} fallbacks={}",
            evidence.back_offs, evidence.fallbacks
        );
    }
    for (name, value) in &report.counters {
        text += &format!(" {name}={value}");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::machine::Machine;
    use crate::report::Verdict;
    use crate::select;

    #[test]
    fn parts_are_nested_and_names_carry_no_figures() {
        let cases = select(
            &["fork_held_pin/shmem".into(), "pin_and_look/shmem".into()],
            &[],
        );
        let mut out = Vec::new();
        let mut run = KtapRun::new(&mut out, &cases, Some(&Protocol::default()))
            .expect("memory can be written");
        let mut reports = Vec::new();
        for case in &cases {
            let report = CaseReport {
                rounds: 3,
                seconds: 1.0,
                ..CaseReport::new(case, 7, true, Verdict::Pass)
            };
            run.ended(&report).expect("memory can be written");
            reports.push(report);
        }
        let report = RunReport {
            seed: 7,
            seeds: 1,
            cpus: vec![0],
            walk: None,
            machine: Machine::default(),
            cases: reports,
            kernel: Vec::new(),
        };
        run.finish(&report).expect("memory can be written");
        let text = String::from_utf8(out).expect("it is text");
        assert!(text.starts_with(
            "KTAP version 1\n1..5\n\
             # guplab's own walk in the place of fast GUP: irqs-off\n  KTAP version 1\n  # Subtest: fork_held_pin\n  1..1\n  \
             # shmem: rounds=3 hits=0 looked=0 seconds=1.00\n  ok 1 shmem\nok 1 fork_held_pin\n"
        ));
    }
}
