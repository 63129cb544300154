// SPDX-License-Identifier: GPL-2.0
//! A comparison for people.

use std::io::{self, Write};

use super::finding::{Change, Finding, Findings, Identity};
use crate::bench::report::{Contestant, Machine};
use crate::bench::size::size;
use crate::output::table::Table;

/// Writes what has changed, or everything.
pub(super) fn write(out: &mut impl Write, findings: &Findings, all: bool) -> io::Result<()> {
    write_sides(out, findings)?;
    let slower = count(&findings.rows, Change::Slower);
    let faster = count(&findings.rows, Change::Faster);
    if all || slower + faster > 0 {
        write!(out, "\n{}", rows(findings, all))?;
    }
    write!(out, "\ngeometric means\n{}\n", means(findings))?;
    if findings.before.len().min(findings.after.len()) == 1 {
        writeln!(
            out,
            "one run of a side: what differs between two boots of the same kernel counts, too"
        )?;
    }
    if findings.unmatched > 0 {
        let unmatched = findings.unmatched;
        writeln!(
            out,
            "{unmatched} rows are not in all files and were left out"
        )?;
    }
    let (ratios, same) = (findings.rows.len(), findings.rows.len() - slower - faster);
    let hint = match same {
        _ if all => "",
        0 => "",
        _ => " (--all shows them)",
    };
    writeln!(
        out,
        "{ratios} ratios: {slower} slower, {faster} faster, {same} neither{hint}"
    )?;
    let verdict = match findings.regressed() {
        true => "regression",
        false => "no regression",
    };
    let percent = findings.tolerance * 100.0;
    writeln!(out, "{verdict}, with {percent} % tolerated")
}

fn write_sides(out: &mut impl Write, findings: &Findings) -> io::Result<()> {
    for (name, machines) in [("A", &findings.before), ("B", &findings.after)] {
        let of = |machine: &Machine| format!("{} of {}", machine.kernel, machine.date);
        let runs: Vec<String> = machines.iter().map(of).collect();
        writeln!(out, "{name}: {}", runs.join(", "))?;
    }
    writeln!(
        out,
        "Throughput of B to that of A. Each interval has a confidence of {:.3} %, so that with \
         {:.0} % all hold (Bonferroni).",
        findings.confidence * 100.0,
        crate::bench::statistics::CONFIDENCE * 100.0
    )
}

fn count<What>(findings: &[Finding<What>], change: Change) -> usize {
    let of = |finding: &&Finding<What>| finding.change == change;
    findings.iter().filter(of).count()
}

/// What every finding ends with.
const FIGURES: [&str; 5] = ["get/put", "A ns/page", "B ns/page", "B/A", "interval"];

fn figures<What>(finding: &Finding<What>) -> [String; 6] {
    let ratio = &finding.ratio;
    let interval = match ratio.is_bounded() {
        true => format!("{:.3} to {:.3}", ratio.low, ratio.high),
        false => "unknown".to_owned(),
    };
    [
        finding.half.name().to_owned(),
        nanoseconds(finding.ns[0]),
        nanoseconds(finding.ns[1]),
        format!("{:.3}", ratio.median),
        interval,
        finding.change.to_string(),
    ]
}

fn nanoseconds(ns: f64) -> String {
    match ns {
        ..10.0 => format!("{ns:.3}"),
        10.0..100.0 => format!("{ns:.2}"),
        _ => format!("{ns:.1}"),
    }
}

fn rows(findings: &Findings, all: bool) -> Table {
    let shown = |row: &&Finding<Identity>| all || row.change != Change::None;
    let heading = [
        "mapping",
        "pages/call",
        "threads",
        "ranges",
        "bytes",
        "contestant",
    ];
    let mut table = Table::new(&[&heading[..], &FIGURES[..], &[""][..]].concat());
    for row in findings.rows.iter().filter(shown) {
        let cell = row.what.cell;
        let mut line = vec![
            cell.kind.to_string(),
            cell.pages_per_call.to_string(),
            cell.threads.to_string(),
            cell.ranges.name().to_owned(),
            size(cell.bytes),
            row.what.contestant.name().to_owned(),
        ];
        line.extend(figures(row));
        table.row(line);
    }
    table
}

fn means(findings: &Findings) -> Table {
    let mut table = Table::new(&[&["contestant", "rows"][..], &FIGURES[..], &[""][..]].concat());
    for mean in &findings.means {
        let mut line = vec![
            mean.what
                .contestant
                .map_or("all", Contestant::name)
                .to_owned(),
            mean.what.rows.to_string(),
        ];
        line.extend(figures(mean));
        table.row(line);
    }
    table
}
