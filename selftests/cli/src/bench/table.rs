// SPDX-License-Identifier: GPL-2.0
//! A report as tables, for a terminal or for Documentation/.

use std::io::{self, Write};

use super::figures::TOO_SHORT;
use super::report::{Accel, Cell, Contestant, Latency, Report, Row};
use super::size::size;
use super::statistics::{CONFIDENCE, median, ratio};
use crate::output::table::Table;

/// Writes it for a terminal.
pub(super) fn write(report: &Report, out: &mut impl Write) -> io::Result<()> {
    writeln!(out, "{}\n", machine(report))?;
    if !report.rows.is_empty() {
        writeln!(out, "{}", rates(report))?;
        writeln!(out, "{}\n", legend(report))?;
    }
    if !report.latencies.is_empty() {
        writeln!(out, "Nanoseconds of single calls:\n\n{}", latencies(report))?;
    }
    for text in left_out(report) {
        writeln!(out, "not measured: {text}")?;
    }
    Ok(())
}

/// Writes it in reST.
pub(super) fn write_rst(report: &Report, out: &mut impl Write) -> io::Result<()> {
    writeln!(out, ".. SPDX-License-Identifier: GPL-2.0\n")?;
    writeln!(out, "{}\n", machine(report))?;
    if !report.rows.is_empty() {
        writeln!(out, "{}\n", legend(report))?;
        writeln!(out, "{}", rates(report).rst())?;
    }
    if !report.latencies.is_empty() {
        writeln!(
            out,
            "Nanoseconds of single calls:\n\n{}",
            latencies(report).rst()
        )?;
    }
    for text in left_out(report) {
        writeln!(out, "* not measured: {text}")?;
    }
    Ok(())
}

fn machine(report: &Report) -> String {
    let machine = &report.machine;
    let debug = match machine.debug_vm {
        true => " with CONFIG_DEBUG_VM",
        false => "",
    };
    let accel = match machine.accel {
        Accel::Tcg => ", emulated (TCG)",
        Accel::Kvm => ", in KVM",
        Accel::Vm => ", in a virtual machine",
        Accel::Bare => "",
    };
    format!(
        "Linux {}{debug}, {} CPUs ({}){accel}, {} MB of memory, {}",
        machine.kernel, machine.cpus, machine.cpu, machine.memory_mb, machine.date
    )
}

fn legend(report: &Report) -> String {
    format!(
        "Nanoseconds a page, getting / putting: medians of {}. \"guplab\" is guplab's gup_test; \"get \
         ratio\" and \"put ratio\" are its throughput to that of the kernel's gup_test, with an interval \
         of {:.0} % confidence. \"spread\": half the distance between quartiles, in percent of the median, \
         of the contestant with the largest.",
        report.settings.repeats,
        CONFIDENCE * 100.0
    )
}

/// Cells in the order in which they were measured, with the contestants side by side.
fn rates(report: &Report) -> Table {
    let mut table = Table::new(&[
        "mapping",
        "bytes",
        "pages/call",
        "threads",
        "gup_test",
        "guplab",
        "hammer",
        "walk",
        "get ratio",
        "put ratio",
        "spread",
    ]);
    let mut cells: Vec<Cell> = Vec::new();
    for row in &report.rows {
        if !cells.contains(&row.cell()) {
            cells.push(row.cell());
        }
    }
    for cell in cells {
        let row = |who| report.row(cell, who);
        let threads = match (cell.threads, cell.ranges) {
            (1, _) => "1".to_owned(),
            (threads, ranges) => format!("{threads} {}", ranges.name()),
        };
        let mut line = vec![
            cell.kind.to_string(),
            size(cell.bytes),
            cell.pages_per_call.to_string(),
            threads,
        ];
        line.extend(Contestant::ALL.map(|who| row(who).map_or("-".into(), both)));
        let sides = row(Contestant::InTree).zip(row(Contestant::GupTest));
        // Nanoseconds are the reciprocal of throughput.
        line.push(quotient(sides.map(|(a, b)| (&a.get_ns[..], &b.get_ns[..]))));
        line.push(quotient(sides.map(|(a, b)| (&a.put_ns[..], &b.put_ns[..]))));
        let of_cell = report.rows.iter().filter(|row| row.cell() == cell);
        let scatters = of_cell.flat_map(|row| [scatter(&row.get_ns), scatter(&row.put_ns)]);
        let largest = scatters.flatten().fold(0.0, f64::max);
        line.push(format!("{:.0}%", largest * 100.0));
        table.row(line);
    }
    table
}

/// Getting and putting.
fn both(row: &Row) -> String {
    let text = |figures: &[f64]| median(figures).map_or("-".into(), nanoseconds);
    match (text(&row.get_ns), text(&row.put_ns)) {
        (get, put) if get == "-" && put == "-" => get,
        (get, put) => format!("{get}/{put}"),
    }
}

/// With three digits that count.
fn nanoseconds(ns: f64) -> String {
    match ns {
        100.0.. => format!("{ns:.0}"),
        10.0.. => format!("{ns:.1}"),
        _ => format!("{ns:.2}"),
    }
}

fn quotient(sides: Option<(&[f64], &[f64])>) -> String {
    let ratio = sides.and_then(|(a, b)| ratio(a, b, CONFIDENCE));
    ratio.map_or("-".into(), |ratio| ratio.to_string())
}

/// Half the distance between the quartiles, as a part of the median.
fn scatter(figures: &[f64]) -> Option<f64> {
    let mut sorted = figures.to_vec();
    sorted.sort_by(f64::total_cmp);
    let median = median(figures)?;
    let at = |part: f64| sorted[((sorted.len() - 1) as f64 * part).round() as usize];
    Some((at(0.75) - at(0.25)) / 2.0 / median)
}

fn latencies(report: &Report) -> Table {
    let mut table = Table::new(&[
        "mapping",
        "pages/call",
        "what",
        "p50",
        "p90",
        "p99",
        "p99.9",
        "max",
        "calls",
    ]);
    for latency in &report.latencies {
        table.row(latency_row(latency));
    }
    table
}

fn latency_row(latency: &Latency) -> Vec<String> {
    let at = &latency.percentiles;
    let mut row = vec![
        latency.kind.to_string(),
        latency.pages_per_call.to_string(),
        latency.call.name().to_owned(),
    ];
    let figures = [at.p50, at.p90, at.p99, at.p99_9, at.max, latency.calls];
    row.extend(figures.map(|figure| figure.to_string()));
    row
}

/// What has the same reason is told together. What the table has a dash for is not told again.
fn left_out(report: &Report) -> Vec<String> {
    let mut reasons: Vec<(&str, Vec<&str>)> = Vec::new();
    for left in &report.left_out {
        let what = match left.reason == TOO_SHORT {
            true => "where a dash is",
            false => &left.what,
        };
        match reasons
            .iter_mut()
            .find(|(reason, _)| *reason == left.reason)
        {
            Some((_, whats)) if whats.contains(&what) => {}
            Some((_, whats)) => whats.push(what),
            None => reasons.push((&left.reason, vec![what])),
        }
    }
    let text = |(reason, whats): (&str, Vec<&str>)| format!("{}: {reason}", whats.join(", "));
    reasons.into_iter().map(text).collect()
}

#[cfg(test)]
mod tests {
    use super::super::report::LeftOut;
    use super::super::report::tests::sample;
    use super::*;

    fn text(write: fn(&Report, &mut Vec<u8>) -> io::Result<()>, report: &Report) -> String {
        let mut out = Vec::new();
        write(report, &mut out).expect("memory can be written");
        String::from_utf8(out).expect("it is text")
    }

    #[test]
    fn a_cell_is_one_line_for_all_contestants() {
        let text = text(write, &sample());
        let line = text.lines().find(|line| line.starts_with("anon-4k"));
        let words: Vec<&str> = line.expect("a line").split_whitespace().collect();
        let start = [
            "anon-4k",
            "64",
            "MiB",
            "512",
            "1",
            "101/50.0",
            "91.0/45.0",
            "-",
            "-",
        ];
        assert_eq!(words[..start.len()], start);
        assert_eq!(words[start.len()], "1.11", "101 to 91: {words:?}");
    }

    #[test]
    fn a_phase_that_was_left_out_is_a_dash() {
        let mut report = sample();
        report.rows[0].put_ns.clear();
        let text = text(write, &report);
        assert!(text.contains(" 101/- "), "{text}");
    }

    #[test]
    fn one_reason_is_told_once() {
        let mut report = sample();
        let reason = report.left_out[0].reason.clone();
        let what = "more".to_owned();
        report.left_out.push(LeftOut { what, reason });
        assert_eq!(left_out(&report), ["hugetlb, more: no huge pages"]);
    }

    #[test]
    fn rest_has_its_licence_and_every_table() {
        let text = text(write_rst, &sample());
        assert!(text.starts_with(".. SPDX-License-Identifier"));
        assert_eq!(text.matches("===\n").count(), 6, "{text}");
    }
}
