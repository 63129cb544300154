// SPDX-License-Identifier: GPL-2.0
//! A run for people: one part for each question.

use std::io::{self, Write};

use guplab::Outcome;
use guplab_experiments::{CaseReport, Family, RunReport, Verdict};

use crate::output::question;

/// Writes a whole run.
pub(crate) fn write(out: &mut impl Write, report: &RunReport, verbose: bool) -> io::Result<()> {
    if let Some(walker) = report.walker() {
        writeln!(out, "{walker}\n")?;
    }
    for family in Family::ALL {
        question::write(out, report, family, verbose)?;
    }
    for case in &report.cases {
        details(out, case)?;
    }
    for check in &report.kernel {
        match check.outcome() {
            Outcome::Pass | Outcome::ExpectedFail(..) => {}
            Outcome::Skip(reason) => {
                writeln!(out, "{}: not checked: {reason}", check.name)?;
            }
            Outcome::Fail(lines) => {
                writeln!(out, "\n{}: the kernel complains:", check.name)?;
                for line in lines {
                    writeln!(out, "  {line}")?;
                }
            }
        }
    }
    writeln!(out, "{}", summary(report))
}

fn details(out: &mut impl Write, case: &CaseReport) -> io::Result<()> {
    match &case.verdict {
        Verdict::Pass | Verdict::Skip { .. } => Ok(()),
        Verdict::Error { reason } => writeln!(out, "{}: error: {reason}", case.name()),
        Verdict::Known { count, finding, .. } => {
            let name = case.name();
            writeln!(
                out,
                "{name}: known bug of this kernel, seen {count} times: {finding}"
            )
        }
        Verdict::Violation { count, violations } => {
            let (name, shown) = (case.name(), violations.len());
            writeln!(out, "\n{name}: {count} violations, the first {shown}:")?;
            for violation in violations {
                writeln!(out, "{violation}")?;
            }
            for (name, value) in &case.counters {
                writeln!(out, "  {name} {value}")?;
            }
            writeln!(out)
        }
    }
}

/// The last line.
fn summary(report: &RunReport) -> String {
    let (passed, failed, skipped) = report.totals();
    let cases = report.cases.iter();
    let violations: u64 = cases.map(|case| case.verdict.violations()).sum();
    let seeds = match report.seeds {
        0 | 1 => format!("seed {}", report.seed),
        more => format!(
            "seeds {} to {}",
            report.seed,
            report.seed.wrapping_add(more - 1)
        ),
    };
    let known = report.cases.iter().map(|case| case.verdict.known());
    let known = match known.filter(|&count| count > 0).count() {
        0 => String::new(),
        cases => format!(", {cases} with a known bug"),
    };
    format!(
        "{passed} passed, {failed} failed, {skipped} skipped{known}; {violations} violations; {seeds}"
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use guplab_experiments::machine::Machine;
    use guplab_experiments::report::KernelResult;
    use guplab_experiments::select;

    #[test]
    fn a_run_is_told_by_question_with_a_summary() {
        let patterns = ["fork_held_pin/shmem", "fork_held_pin/hugetlb"].map(str::to_owned);
        let cases = select(&patterns, &[]);
        let skip = Verdict::Skip {
            reason: "no hugetlb memory: mmap: ENOMEM".into(),
        };
        let verdict = |name: &str| match name {
            "hugetlb" => skip.clone(),
            _ => Verdict::Pass,
        };
        let report = RunReport {
            seed: 7,
            seeds: 2,
            cpus: vec![0, 1],
            walk: "rcu without unshare".parse().ok(),
            machine: Machine::default(),
            cases: cases
                .iter()
                .map(|case| CaseReport {
                    rounds: 10,
                    hits: 5,
                    seconds: 2.0,
                    ..CaseReport::new(case, 7, true, verdict(case.kind.name()))
                })
                .collect(),
            kernel: vec![KernelResult {
                name: "kernel_log".into(),
                complaints: vec!["WARNING: x".into()],
                unavailable: None,
            }],
        };
        let mut out = Vec::new();
        write(&mut out, &report, true).expect("memory can be written");
        let question = Family::ForkPin.question();
        assert_eq!(
            String::from_utf8(out).expect("it is text"),
            format!(
                "guplab's own walk in the place of fast GUP: rcu without unshare\n\n\
                 1. {question}\n\
                 experiment     mapping  verdict  rounds  rounds/s  hits  hits/s  hits%  \
                 back-offs  fallbacks\n\
                 fork_held_pin  shmem    pass         10      5.00     5    2.50      -          \
                 -          -\n  \
                 fork_held_pin: skipped on hugetlb: mmap: ENOMEM\n\
                 answered: 1 cases, 10 rounds, 5 hits, 0 violations\n\n\
                 \nkernel_log: the kernel complains:\n  WARNING: x\n\
                 1 passed, 1 failed, 1 skipped; 0 violations; seeds 7 to 8\n"
            )
        );
    }
}
