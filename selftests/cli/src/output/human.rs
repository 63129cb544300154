// SPDX-License-Identifier: GPL-2.0
//! A run as a table for people.

use std::io::{self, Write};

use guplab_experiments::report::kernel_outcome;
use guplab_experiments::{CaseReport, RunReport, Verdict};

use crate::output::table::Table;

/// Writes a whole run.
pub(crate) fn write(out: &mut impl Write, report: &RunReport) -> io::Result<()> {
    write!(out, "{}", verdicts(report))?;
    for case in &report.cases {
        details(out, case)?;
    }
    for check in &report.kernel {
        match kernel_outcome(check) {
            guplab::Outcome::Pass => {}
            guplab::Outcome::Skip(reason) => {
                writeln!(out, "{}: not checked: {reason}", check.name)?;
            }
            guplab::Outcome::Fail(lines) => {
                writeln!(out, "\n{}: the kernel complains:", check.name)?;
                for line in lines {
                    writeln!(out, "  {line}")?;
                }
            }
        }
    }
    writeln!(out, "{}", summary(report))
}

fn verdicts(report: &RunReport) -> Table {
    let mut table = Table::new(&[
        "experiment",
        "mapping",
        "verdict",
        "rounds",
        "rounds/s",
        "hits",
        "hits/s",
    ]);
    for case in &report.cases {
        let figures = if case.rounds == 0 {
            ["-", "-", "-", "-"].map(str::to_owned)
        } else {
            [
                case.rounds.to_string(),
                format!("{:.1}", case.rate(case.rounds)),
                case.hits.to_string(),
                format!("{:.1}", case.rate(case.hits)),
            ]
        };
        let mut row = vec![
            case.experiment.to_owned(),
            case.kind.to_string(),
            case.verdict.name().to_owned(),
        ];
        row.extend(figures);
        table.row(row);
    }
    table
}

fn details(out: &mut impl Write, case: &CaseReport) -> io::Result<()> {
    match &case.verdict {
        Verdict::Pass => Ok(()),
        Verdict::Skip { reason } => writeln!(out, "{}: skipped: {reason}", case.name()),
        Verdict::Error { reason } => writeln!(out, "{}: error: {reason}", case.name()),
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
    let violations: u64 = report
        .cases
        .iter()
        .map(|case| match case.verdict {
            Verdict::Violation { count, .. } => count,
            _ => 0,
        })
        .sum();
    format!(
        "{passed} passed, {failed} failed, {skipped} skipped; {violations} violations; seed {}",
        report.seed
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use guplab::{KernelCheck, Kind};
    use std::time::Duration;

    #[test]
    fn a_run_is_a_table_with_a_summary() {
        let case = |verdict, rounds| {
            CaseReport::unfinished(
                "pin_and_look",
                Kind::Shmem,
                verdict,
                rounds,
                Duration::from_secs(2),
            )
        };
        let report = RunReport {
            seed: 7,
            cpus: vec![0, 1],
            cases: vec![
                case(Verdict::Pass, 10),
                case(
                    Verdict::Skip {
                        reason: "no memory".into(),
                    },
                    0,
                ),
            ],
            kernel: vec![KernelCheck {
                name: "kernel_log",
                complaints: vec!["WARNING: x".into()],
                unavailable: None,
            }],
        };
        let mut out = Vec::new();
        write(&mut out, &report).expect("memory can be written");
        assert_eq!(
            String::from_utf8(out).expect("it is text"),
            "experiment    mapping  verdict  rounds  rounds/s  hits  hits/s\n\
             pin_and_look  shmem    pass         10       5.0     0     0.0\n\
             pin_and_look  shmem    skip          -         -     -       -\n\
             pin_and_look/shmem: skipped: no memory\n\
             \nkernel_log: the kernel complains:\n  WARNING: x\n\
             1 passed, 1 failed, 1 skipped; 0 violations; seed 7\n"
        );
    }
}
