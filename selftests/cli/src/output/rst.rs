// SPDX-License-Identifier: GPL-2.0
//! Aimed against unaimed as tables in reST, for Documentation/.

use std::io::{self, Write};

use guplab_experiments::{Family, RunReport};

use crate::output::row::{Row, Sum, rows};
use crate::output::table::Table;

const HEADING: [&str; 9] = [
    "case", "verdict", "rounds/s", "aimed", "hits/s", "aimed", "hits%", "aimed", "ratio",
];

/// Writes the tables of all questions that were asked, under one line about the machine.
pub(crate) fn write(out: &mut impl Write, report: &RunReport) -> io::Result<()> {
    writeln!(out, "{}.", report.machine)?;
    if let Some(walker) = report.walker() {
        writeln!(out, "\nWith {walker}.")?;
    }
    for family in Family::ALL {
        let rows = rows(report, family);
        let mut table = Table::new(&HEADING);
        let shown = rows.iter().filter(|row| row.verdict() != "skip");
        for row in shown.clone() {
            table.row(line(row));
        }
        if shown.count() == 0 {
            continue;
        }
        let title = format!("{}. {}", family.number(), family.question());
        writeln!(out, "\n{title}\n{}\n", "=".repeat(title.len()))?;
        write!(out, "{}", table.rst())?;
    }
    Ok(())
}

fn line(row: &Row) -> Vec<String> {
    let none = || "-".to_owned();
    let (unaimed, aimed) = match row.pair() {
        Some((unaimed, aimed)) => (Some(unaimed), Some(aimed)),
        None => (row.sums.first(), None),
    };
    let show = |sum: Option<&Sum>, how: fn(&Sum) -> String| sum.map_or_else(none, how);
    vec![
        format!("``{}``", row.name()),
        row.verdict().to_owned(),
        show(unaimed, Sum::rounds_rate),
        show(aimed, Sum::rounds_rate),
        show(unaimed, Sum::hits_rate),
        show(aimed, Sum::hits_rate),
        show(unaimed, Sum::percentage),
        show(aimed, Sum::percentage),
        row.gain(),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use guplab_experiments::machine::Machine;
    use guplab_experiments::trial::{EvidenceCounts, Source};
    use guplab_experiments::{CaseReport, Verdict, select};

    #[test]
    fn a_comparison_is_a_simple_table() {
        let case = select(&["fork_pin_stress/shmem".to_owned()], &[])[0];
        let ran = |aimed, hits| CaseReport {
            rounds: 100,
            hits,
            seconds: 2.0,
            evidence: EvidenceCounts {
                source: Some(Source::Window),
                ..EvidenceCounts::default()
            },
            ..CaseReport::new(&case, 7, aimed, Verdict::Pass)
        };
        let report = RunReport {
            seed: 7,
            seeds: 1,
            cpus: vec![0, 1],
            walk: None,
            machine: Machine {
                arch: "x86".into(),
                cpu: "A CPU".into(),
                cpus: 4,
                accelerator: Some("TCG".into()),
                kernel: "7.2.13".into(),
                date: "2026-11-20".into(),
            },
            cases: vec![ran(false, 1), ran(true, 50)],
            kernel: Vec::new(),
        };
        let mut out = Vec::new();
        write(&mut out, &report).expect("memory can be written");
        let question = Family::ForkPin.question();
        let border = [25, 7, 8, 5, 6, 5, 5, 5, 5]
            .map(|width| "=".repeat(width))
            .join("  ");
        assert_eq!(
            String::from_utf8(out).expect("it is text"),
            format!(
                "A CPU, 4 CPUs (TCG), Linux 7.2.13, 2026-11-20.\n\n1. {question}\n{}\n\n\
                 {border}\n\
                 case                       verdict  rounds/s  aimed  hits/s  aimed  hits%  aimed  \
                 ratio\n\
                 {border}\n\
                 ``fork_pin_stress/shmem``  pass     50.0      50.0   0.50    25.0   1%     50%    \
                 50.0\n\
                 {border}\n",
                "=".repeat(question.len() + 3),
            )
        );
    }
}
