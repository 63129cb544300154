// SPDX-License-Identifier: GPL-2.0
//! One of the five questions, with what a run has to say about it.

use std::io::{self, Write};

use guplab::Protocol;
use guplab_experiments::reach::unreachable;
use guplab_experiments::trial::Source;
use guplab_experiments::{Family, RunReport, Verdict};

use crate::output::gaps;
use crate::output::row::{Row, Sum, rows};
use crate::output::table::Table;

/// Writes the question, its table and its answer, unless nothing was asked.
pub(crate) fn write(
    out: &mut impl Write,
    report: &RunReport,
    family: Family,
    verbose: bool,
) -> io::Result<()> {
    let rows = rows(report, family);
    if rows.is_empty() {
        return Ok(());
    }
    writeln!(out, "{}. {}", family.number(), family.question())?;
    let (skipped, shown): (Vec<Row>, Vec<Row>) =
        rows.into_iter().partition(|row| row.verdict() == "skip");
    if shown.iter().any(|row| row.pair().is_some()) {
        write!(out, "{}", comparison(&shown))?;
    } else if !shown.is_empty() {
        write!(out, "{}", figures(&shown))?;
    }
    if verbose {
        for row in &shown {
            gap_lines(out, row)?;
        }
    }
    for line in skip_lines(report, family, &skipped)
        .into_iter()
        .chain(window_lines(report, family))
        .chain(miss_lines(&shown, report.walk.as_ref()))
    {
        writeln!(out, "  {line}")?;
    }
    writeln!(out, "{}\n", answer(&shown))
}

fn figures(rows: &[Row]) -> Table {
    let mut table = Table::new(&[
        "experiment",
        "mapping",
        "verdict",
        "rounds",
        "rounds/s",
        "hits",
        "hits/s",
        "hits%",
        "back-offs",
        "fallbacks",
    ]);
    for row in rows {
        for sum in &row.sums {
            let mut cells = vec![
                row.experiment.clone(),
                row.kind.clone(),
                row.verdict().to_owned(),
            ];
            if sum.rounds == 0 {
                cells.resize(10, "-".to_owned());
            } else {
                cells.extend([
                    sum.rounds.to_string(),
                    sum.rounds_rate(),
                    sum.hits.to_string(),
                    sum.hits_rate(),
                    sum.percentage(),
                ]);
                cells.extend(steps(sum));
            }
            table.row(cells);
        }
    }
    table
}

/// Back-offs and fallbacks, where somebody has counted them.
fn steps(sum: &Sum) -> [String; 2] {
    match sum.source {
        Some(Source::Window) => [sum.back_offs.to_string(), sum.fallbacks.to_string()],
        _ => ["-".to_owned(), "-".to_owned()],
    }
}

fn comparison(rows: &[Row]) -> Table {
    let mut table = Table::new(&[
        "experiment",
        "mapping",
        "verdict",
        "rounds/s",
        "aimed",
        "hits/s",
        "aimed",
        "hits%",
        "aimed",
        "ratio",
    ]);
    for row in rows {
        let mut cells = vec![
            row.experiment.clone(),
            row.kind.clone(),
            row.verdict().to_owned(),
        ];
        let none = || "-".to_owned();
        let (unaimed, aimed) = match row.pair() {
            Some((unaimed, aimed)) => (Some(unaimed), Some(aimed)),
            None => (row.sums.first(), None),
        };
        for show in [Sum::rounds_rate, Sum::hits_rate, Sum::percentage] {
            cells.push(unaimed.map_or_else(none, show));
            cells.push(aimed.map_or_else(none, show));
        }
        cells.push(row.gain());
        table.row(cells);
    }
    table
}

fn gap_lines(out: &mut impl Write, row: &Row) -> io::Result<()> {
    for sum in &row.sums {
        if let Some(line) = gaps::line(&sum.gaps) {
            let how = if sum.aimed { "aimed" } else { "unaimed" };
            writeln!(out, "  {}, {how}: gaps {line}", row.name())?;
        }
    }
    Ok(())
}

/// Texts with what each of them is about, in the order in which they came up first.
fn group(said: impl Iterator<Item = (String, String)>) -> Vec<(String, Vec<String>)> {
    let mut groups: Vec<(String, Vec<String>)> = Vec::new();
    for (text, about) in said {
        match groups.iter_mut().find(|(known, _)| *known == text) {
            Some((_, list)) if list.contains(&about) => {}
            Some((_, list)) => list.push(about),
            None => groups.push((text, vec![about])),
        }
    }
    groups
}

/// One line for each experiment and reason, with the kinds. What was skipped in one way or with one
/// seed, and run otherwise, is said as well.
fn skip_lines(report: &RunReport, family: Family, skipped: &[Row]) -> Vec<String> {
    let mut lines = Vec::new();
    for experiment in family.experiments() {
        let reasons = report.cases.iter().filter_map(|case| {
            let is_skipped = |row: &Row| row.name() == case.name();
            match &case.verdict {
                Verdict::Skip { reason } if case.experiment == experiment.name => {
                    // The kind is said once, and equal reasons are to be found equal.
                    let reason = reason.replace(&format!("no {} memory: ", case.kind), "");
                    let once = match (skipped.iter().any(is_skipped), case.aimed) {
                        (true, _) => "",
                        (false, true) => " (aimed)",
                        (false, false) => " (unaimed)",
                    };
                    Some((reason, format!("{}{once}", case.kind)))
                }
                _ => None,
            }
        });
        for (reason, kinds) in group(reasons) {
            let kinds = kinds.join(" ");
            lines.push(format!("{}: skipped on {kinds}: {reason}", experiment.name));
        }
    }
    lines
}

/// One line for each window that this kernel doesn't let arm, with the experiments.
fn window_lines(report: &RunReport, family: Family) -> Vec<String> {
    let of_family = report.cases.iter().filter(|case| case.family == family);
    let windows = of_family.flat_map(|case| {
        let unsupported = case.evidence.unsupported.iter();
        unsupported.map(|window| (window.clone(), case.experiment.clone()))
    });
    group(windows)
        .into_iter()
        .map(|(window, experiments)| format!("{}: not armed: {window}", experiments.join(" ")))
        .collect()
}

/// The races that were run without a hit: their pass shows nothing, unless it is known why.
fn miss_lines(rows: &[Row], walk: Option<&Protocol>) -> Vec<String> {
    let missed = rows.iter().filter(|row| {
        let hits: u64 = row.sums.iter().map(|sum| sum.hits).sum();
        let is_race = row.sums.iter().any(|sum| sum.source.is_some());
        is_race && hits == 0 && row.verdict() == "pass"
    });
    let (closed, open): (Vec<&Row>, Vec<&Row>) =
        missed.partition(|row| unreachable(&row.experiment, walk).is_some());
    let mut lines = Vec::new();
    if !open.is_empty() {
        let names: Vec<String> = open.into_iter().map(Row::name).collect();
        lines.push(format!("hits=0, nothing shown by: {}", names.join(" ")));
    }
    let whys = closed.into_iter().filter_map(|row| {
        let why = unreachable(&row.experiment, walk)?;
        Some((why.to_owned(), row.experiment.clone()))
    });
    for (why, experiments) in group(whys) {
        lines.push(format!(
            "hits=0, as is to be expected of {}: {why}",
            experiments.join(" ")
        ));
    }
    lines
}

/// What the cases say to the question, in one line.
fn answer(rows: &[Row]) -> String {
    let sums = || rows.iter().flat_map(|row| &row.sums);
    let run = rows.iter().filter(|row| row.sums.iter().any(|sum| sum.ran));
    let (cases, rounds) = (run.count(), sums().map(|sum| sum.rounds).sum::<u64>());
    let hits = |source: Option<Source>| -> u64 {
        let counted = sums().filter(|sum| sum.source == source);
        counted.map(|sum| sum.hits).sum()
    };
    let (window, overlap) = (hits(Some(Source::Window)), hits(Some(Source::Overlap)));
    let is_race = sums().any(|sum| sum.source.is_some());
    let violations: u64 = sums().map(|sum| sum.violations).sum();
    let errors: u64 = sums().map(|sum| sum.errors).sum();
    let mut text = if cases == 0 {
        "NOT answered: no case was run".to_owned()
    } else if is_race && window + overlap == 0 && violations == 0 {
        format!("NOT answered: {cases} cases, {rounds} rounds, no hit")
    } else {
        let met = match (is_race, window, overlap) {
            (false, _, _) => format!("{} hits", hits(None)),
            (true, _, 0) => format!("{window} hits in the window"),
            (true, 0, _) => format!("{overlap} hits by overlap"),
            (true, _, _) => format!("{window} hits in the window and {overlap} by overlap"),
        };
        format!("answered: {cases} cases, {rounds} rounds, {met}, {violations} violations")
    };
    let known: u64 = sums().map(|sum| sum.known).sum();
    if known > 0 {
        text += &format!(", a known bug seen {known} times");
    }
    if errors > 0 {
        text += &format!(", {errors} errors");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(verdict: &str, source: Option<Source>, hits: u64) -> Row {
        Row {
            experiment: "x".into(),
            kind: "shmem".into(),
            sums: vec![Sum {
                ran: verdict == "pass",
                errors: u64::from(verdict == "ERROR"),
                rounds: 10,
                seconds: 1.0,
                hits,
                source,
                ..Sum::default()
            }],
        }
    }

    #[test]
    fn a_question_is_answered_by_hits_only() {
        let window = |hits| row("pass", Some(Source::Window), hits);
        let overlap = |hits| row("pass", Some(Source::Overlap), hits);
        assert_eq!(answer(&[]), "NOT answered: no case was run");
        assert_eq!(
            answer(&[row("ERROR", None, 0)]),
            "NOT answered: no case was run, 1 errors"
        );
        assert_eq!(
            answer(&[window(0), row("pass", None, 7)]),
            "NOT answered: 2 cases, 20 rounds, no hit"
        );
        assert_eq!(
            answer(&[window(3), window(0)]),
            "answered: 2 cases, 20 rounds, 3 hits in the window, 0 violations"
        );
        assert_eq!(
            answer(&[window(3), overlap(4)]),
            "answered: 2 cases, 20 rounds, 3 hits in the window and 4 by overlap, 0 violations"
        );
        assert_eq!(
            answer(&[row("pass", None, 7)]),
            "answered: 1 cases, 10 rounds, 7 hits, 0 violations"
        );
    }

    #[test]
    fn a_race_without_a_hit_is_named() {
        let lines = |row| miss_lines(&[row], None);
        let missed = row("pass", Some(Source::Window), 0);
        assert_eq!(lines(missed.clone()), ["hits=0, nothing shown by: x/shmem"]);
        assert!(lines(row("pass", None, 0)).is_empty());
        let name = "collapse_past_walk";
        if let Some(why) = unreachable(name, None) {
            let closed = Row {
                experiment: name.into(),
                ..missed
            };
            let line = format!("hits=0, as is to be expected of {name}: {why}");
            assert_eq!(lines(closed), [line]);
        }
    }
}
