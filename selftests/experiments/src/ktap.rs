// SPDX-License-Identifier: GPL-2.0
//! A run as KTAP: one test for each experiment with one part for each mapping kind, and one test
//! for each of the kernel's own oracles.

use std::io::{self, Write};

use guplab::ktap::exit;
use guplab::{Ktap, Session};

use crate::report::{CaseReport, RunReport, kernel_outcome};
use crate::runner::{Case, Options, Progress, run};

/// The kernel's oracles, which are tests of their own.
const KERNEL_CHECKS: usize = 3;

/// Runs the cases and writes the results. Returns the exit code.
pub fn run_as_ktap(
    mut out: impl Write,
    cases: &[Case],
    options: &Options,
) -> Result<u8, Box<dyn std::error::Error + Send + Sync>> {
    // The module is asked for before anything is written, so that its absence is one clear line.
    match Session::open() {
        Err(error) if error.is_no_module() => {
            Ktap::skip_all(&mut out, &error.to_string())?;
            return Ok(exit::SKIP);
        }
        opened => drop(opened?),
    }
    let mut writer = KtapRun::new(out, cases)?;
    let mut written: io::Result<()> = Ok(());
    let report = run(cases, options, |progress| {
        if let (Progress::Ended(report), Ok(())) = (progress, &written) {
            written = writer.ended(report);
        }
    })?;
    written?;
    Ok(writer.finish(&report)?)
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
    fn new(out: W, cases: &[Case]) -> io::Result<KtapRun<W>> {
        let mut names: Vec<&str> = cases.iter().map(|case| case.experiment.name).collect();
        names.dedup();
        Ok(KtapRun {
            ktap: Ktap::new(out, names.len() + KERNEL_CHECKS)?,
            cases: cases.to_vec(),
            done: 0,
        })
    }

    /// Writes the result of the next case.
    fn ended(&mut self, report: &CaseReport) -> io::Result<()> {
        let name = report.experiment;
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

    /// Writes what the kernel's own oracles say, and returns the exit code.
    fn finish(mut self, report: &RunReport) -> io::Result<u8> {
        self.ktap.diagnostic(&format!("seed {}", report.seed))?;
        for check in &report.kernel {
            self.ktap.result(check.name, &kernel_outcome(check))?;
        }
        self.ktap.finish()?;
        Ok(report.exit_code())
    }
}

/// The figures of a case in one line.
fn figures(report: &CaseReport) -> String {
    let mut text = format!(
        "{}: rounds={} hits={} looked={} seconds={:.2}",
        report.kind, report.rounds, report.hits, report.looked, report.seconds
    );
    for (name, value) in &report.counters {
        text += &format!(" {name}={value}");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::Verdict;
    use crate::runner::select;
    use std::time::Duration;

    #[test]
    fn parts_are_nested_and_names_carry_no_figures() {
        let cases = select(&["fork_*/shmem".into()]);
        let mut out = Vec::new();
        let mut run = KtapRun::new(&mut out, &cases).expect("memory can be written");
        let mut reports = Vec::new();
        for case in &cases {
            let report = CaseReport::unfinished(
                case.experiment.name,
                case.kind,
                Verdict::Pass,
                3,
                Duration::from_secs(1),
            );
            run.ended(&report).expect("memory can be written");
            reports.push(report);
        }
        let report = RunReport {
            seed: 7,
            cpus: vec![0],
            cases: reports,
            kernel: Vec::new(),
        };
        assert_eq!(run.finish(&report).expect("memory can be written"), 0);
        let text = String::from_utf8(out).expect("it is text");
        assert!(text.starts_with(
            "KTAP version 1\n1..5\n  KTAP version 1\n  # Subtest: fork_held_pin\n  1..1\n  \
             # shmem: rounds=3 hits=0 looked=0 seconds=1.00\n  ok 1 shmem\nok 1 fork_held_pin\n"
        ));
    }
}
