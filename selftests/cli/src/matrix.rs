// SPDX-License-Identifier: GPL-2.0
//! `guplab matrix`: what protects guplab's own walk against each writer of page tables.

use std::io::Write;
use std::time::Duration;

use anyhow::Context;
use guplab::ktap::exit;
use guplab::walk::{Exclusion, Step, Steps};
use guplab::{Protocol, Session};
use guplab_experiments::report::{CaseReport, Verdict};
use guplab_experiments::trial::Budget;
use guplab_experiments::{Case, Options, run, select};
use serde::Serialize;

use crate::cli::MatrixArgs;
use crate::output::table::Table;
use crate::run::{cpus, seed};

/// What changes page tables under the walk, and the cases in which it does.
#[derive(Debug, Serialize)]
struct Writer {
    name: &'static str,
    #[serde(skip)]
    cases: &'static [&'static str],
}

const WRITERS: [Writer; 5] = [
    Writer {
        name: "collapse",
        cases: &["collapse_past_walk/anon-4k"],
    },
    Writer {
        name: "collapse, then zap",
        cases: &["deposited_table_vs_walk/anon-4k"],
    },
    Writer {
        name: "page table freed",
        cases: &[
            "table_free_vs_pinning/anon-4k",
            "table_retract_vs_pinning/shmem-thp",
        ],
    },
    Writer {
        name: "PMD split",
        cases: &["pmd_split_vs_pinning/anon-thp"],
    },
    Writer {
        name: "folio split",
        cases: &[
            "folio_split_vs_pinning/anon-thp",
            "folio_split_vs_pinning/anon-pte-thp",
        ],
    },
];

/// What a walk does after it has its reference.
const SECOND_LOOKS: [Step; 4] = [
    Step::FolioSame,
    Step::PmdRecheck,
    Step::PteRecheck,
    Step::LeafRecheck,
];

/// One exclusion against one writer.
#[derive(Debug, Serialize)]
struct Cell {
    exclusion: &'static str,
    second_looks: bool,
    writer: &'static str,
    seconds: f64,
    rounds: u64,
    hits: u64,
    violations: u64,
    /// The first invariant that was broken, or why there is no verdict.
    what: Option<String>,
    /// Whether it was run at all.
    ran: bool,
}

impl Cell {
    fn text(&self) -> String {
        let met = format!("{} of {} rounds met", self.hits, self.rounds);
        match (&self.what, self.violations) {
            (Some(_), 1..) => format!("BROKEN {:.1} s, {met}", self.seconds),
            (Some(why), 0) if !self.ran => why.clone(),
            (Some(why), 0) => format!("? {why}"),
            (None, _) => format!("holds {:.0} s, {met}", self.seconds),
        }
    }
}

/// Measures, and returns the exit code.
pub(crate) fn matrix(args: &MatrixArgs, out: &mut impl Write) -> anyhow::Result<u8> {
    let session = Session::open()?;
    let weakest = protocol(Exclusion::None, false);
    if let Err(error) = session.set_walk(&weakest) {
        eprintln!("guplab: {}", session.why_no_walk(&weakest, error));
        return Ok(exit::SKIP);
    }
    drop(session);
    let budget = Budget {
        time: Duration::from_secs_f64(args.seconds),
        rounds: None,
        until_violation: true,
    };
    let options = Options::new(budget, seed(args.seed), cpus(args.cpus.as_ref())?);
    let mut cells = Vec::new();
    for second_looks in [true, false] {
        for writer in &WRITERS {
            for exclusion in Exclusion::ALL {
                let cell = measure(writer, exclusion, second_looks, &options)?;
                // A walk that reads what isn't a page table can end the machine.
                eprintln!(
                    "guplab: {} x {}{}: {}",
                    cell.exclusion,
                    cell.writer,
                    if second_looks {
                        ""
                    } else {
                        ", no second looks"
                    },
                    cell.text()
                );
                cells.push(cell);
            }
        }
    }
    if args.json {
        serde_json::to_writer_pretty(&mut *out, &cells).context("writing")?;
        writeln!(out)?;
    } else {
        write_tables(&cells, args, options.seed, out)?;
    }
    // The stock protocol has to hold.
    let stock = |cell: &&Cell| cell.second_looks && cell.exclusion == Exclusion::IrqsOff.name();
    let broken = cells.iter().filter(stock).any(|cell| cell.violations > 0);
    Ok(if broken { exit::FAIL } else { exit::PASS })
}

fn protocol(exclusion: Exclusion, second_looks: bool) -> Protocol {
    Protocol {
        exclusion,
        steps_off: match second_looks {
            true => Steps::NONE,
            false => SECOND_LOOKS.into_iter().collect(),
        },
        singly: false,
    }
}

fn measure(
    writer: &Writer,
    exclusion: Exclusion,
    second_looks: bool,
    options: &Options,
) -> anyhow::Result<Cell> {
    let options = Options {
        walk: Some(protocol(exclusion, second_looks)),
        ..options.clone()
    };
    let patterns: Vec<String> = writer.cases.iter().map(|&name| name.to_owned()).collect();
    let cases: Vec<Case> = select(&patterns, &[]);
    anyhow::ensure!(
        cases.len() == writer.cases.len(),
        "{patterns:?} don't exist"
    );
    let report = run(&cases, &options, |_| ())?;
    let mut cell = Cell {
        exclusion: exclusion.name(),
        second_looks,
        writer: writer.name,
        seconds: 0.0,
        rounds: 0,
        hits: 0,
        violations: 0,
        what: None,
        ran: false,
    };
    for case in &report.cases {
        cell.add(case);
    }
    Ok(cell)
}

impl Cell {
    fn add(&mut self, case: &CaseReport) {
        self.seconds += case.seconds;
        self.rounds += case.rounds;
        self.hits += case.hits;
        self.ran |= !matches!(case.verdict, Verdict::Skip { .. });
        let what = match &case.verdict {
            Verdict::Violation { count, violations } => {
                self.violations += count;
                violations.first().map(|first| first.invariant.clone())
            }
            Verdict::Skip { reason } | Verdict::Error { reason } => Some(reason.clone()),
            Verdict::Pass | Verdict::Known { .. } => None,
        };
        self.what = self.what.take().or(what);
    }
}

fn write_tables(
    cells: &[Cell],
    args: &MatrixArgs,
    seed: u64,
    out: &mut impl Write,
) -> anyhow::Result<()> {
    for (second_looks, title) in [
        (true, "With all steps"),
        (
            false,
            "Without the second looks (pmd-recheck, pte-recheck, leaf-recheck, folio-same)",
        ),
    ] {
        let mut heading = vec!["writer"];
        heading.extend(Exclusion::ALL.map(Exclusion::name));
        let mut table = Table::new(&heading);
        for writer in &WRITERS {
            let of_row =
                |cell: &&Cell| cell.writer == writer.name && cell.second_looks == second_looks;
            let mut row = vec![writer.name.to_owned()];
            row.extend(cells.iter().filter(of_row).map(Cell::text));
            table.row(row);
        }
        writeln!(out, "{title}\n")?;
        match args.rst {
            true => writeln!(out, "{}", table.rst())?,
            false => writeln!(out, "{table}")?,
        }
    }
    let bullet = if args.rst { "* " } else { "  " };
    for cell in cells.iter().filter(|cell| cell.violations > 0) {
        let looks = if cell.second_looks {
            ""
        } else {
            ", no second looks"
        };
        let what = cell.what.as_deref().unwrap_or_default();
        writeln!(
            out,
            "{bullet}{} x {}{looks}: not so: {what}",
            cell.exclusion, cell.writer
        )?;
    }
    writeln!(
        out,
        "\n{} s for each case or until the first violation; seed {seed}. \"met\": the writer came \
         while the walk was in the window.",
        args.seconds
    )?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_writer_has_its_cases() {
        for writer in &WRITERS {
            let names: Vec<String> = writer.cases.iter().map(|&name| name.to_owned()).collect();
            assert_eq!(select(&names, &[]).len(), names.len(), "{names:?}");
        }
    }

    #[test]
    fn a_cell_says_what_was_found() {
        let cell = |violations, what: Option<&str>| Cell {
            exclusion: "rcu",
            second_looks: true,
            writer: "collapse",
            seconds: 0.4,
            rounds: 7,
            hits: 3,
            violations,
            what: what.map(str::to_owned),
            ran: true,
        };
        assert_eq!(cell(0, None).text(), "holds 0 s, 3 of 7 rounds met");
        assert_eq!(cell(1, Some("x")).text(), "BROKEN 0.4 s, 3 of 7 rounds met");
        assert_eq!(cell(0, Some("hangs")).text(), "? hangs");
    }
}
