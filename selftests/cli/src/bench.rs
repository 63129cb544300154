// SPDX-License-Identifier: GPL-2.0
//! `guplab bench`: HAMMER against gup_test, on the same mapping and in turns.

mod compare;
mod plot;
#[allow(dead_code)]
pub(crate) mod report;
mod size;
mod statistics;
mod walker;

use std::io::Write;

use anyhow::Context;
use guplab::ktap::exit;
use guplab::{Hammer, Kind, Mapping, Session, sys};
use serde::Serialize;

use crate::cli::BenchArgs;
use crate::gup_test::GupTest;
use crate::output::table::Table;

const BATCHES: [u32; 2] = [1, 512];

/// When HAMMER unpins.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
enum Unpin {
    /// After each call.
    Each,
    /// After many calls, in one go, as gup_test does with all that it has pinned.
    Many,
}

impl Unpin {
    fn name(self) -> &'static str {
        match self {
            Unpin::Each => "each",
            Unpin::Many => "many",
        }
    }

    /// Pins that are held until they are released together.
    fn hold(self, batch: u32) -> u32 {
        match self {
            Unpin::Each => 1,
            Unpin::Many => HELD_PAGES / batch,
        }
    }
}

/// Pages that are held until they are released together.
const HELD_PAGES: u32 = 1 << 14;

const KINDS: [Kind; 2] = [Kind::Anon4k, Kind::AnonThp];

/// The smallest, middle and largest of some figures.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
struct Spread {
    min: f64,
    median: f64,
    max: f64,
}

impl Spread {
    fn ratio_of_medians(&self, other: &Spread) -> f64 {
        self.median / other.median
    }

    fn of(mut figures: Vec<f64>) -> Option<Spread> {
        figures.sort_by(f64::total_cmp);
        let (&min, &max) = (figures.first()?, figures.last()?);
        let middle = figures.len() / 2;
        let median = if figures.len() % 2 == 1 {
            figures[middle]
        } else {
            (figures[middle - 1] + figures[middle]) / 2.0
        };
        Some(Spread { min, median, max })
    }

    fn show(&self) -> String {
        let million = |figure: f64| figure / 1e6;
        format!(
            "{:.3} {:.3} {:.3}",
            million(self.min),
            million(self.median),
            million(self.max)
        )
    }
}

/// One line of the result: pages that are pinned and unpinned in a second.
#[derive(Debug, Serialize)]
struct Comparison {
    kind: Kind,
    pages_per_call: u32,
    unpin: Unpin,
    hammer: Spread,
    gup_test: Spread,
    /// Of the medians.
    ratio: f64,
}

/// Measures, and returns the exit code.
pub(crate) fn bench(args: &BenchArgs, out: &mut impl Write) -> anyhow::Result<u8> {
    if !args.compare.compare.is_empty() {
        return compare::compare(&args.compare, &args.kinds, args.json, out);
    }
    if let Some(file) = &args.plot {
        let report = report::Report::read(file)?;
        plot::draw(&report, &file.with_extension(""))?;
        return Ok(exit::PASS);
    }
    if args.walker {
        return walker::bench(args, out);
    }
    let session = Session::open()?;
    let gup_test = GupTest::open()?;
    let pmds = ((args.megabytes << 20) as usize / session.pmd_size()).max(1);
    let mut results = Vec::new();
    for kind in KINDS {
        let mapping = match Mapping::new(&session, kind, pmds) {
            Ok(mapping) => mapping,
            Err(reason) => {
                eprintln!("guplab: not measured: {reason}");
                continue;
            }
        };
        for batch in BATCHES {
            for unpin in [Unpin::Each, Unpin::Many] {
                let sides = (&session, &gup_test);
                results.push(compare(sides, &mapping, batch, unpin, args.repeats)?);
            }
        }
    }
    if results.is_empty() {
        return Ok(exit::SKIP);
    }
    if args.json {
        serde_json::to_writer_pretty(&mut *out, &results)?;
        writeln!(out)?;
    } else {
        write_table(
            out,
            &results,
            mapping_text(pmds * session.pmd_size(), args.repeats),
        )?;
    }
    Ok(exit::PASS)
}

fn mapping_text(len: usize, repeats: u64) -> String {
    format!(
        "millions of pages pinned for writing and unpinned in a second; {} MiB, {repeats} passes \
         of each side in turns; min median max",
        len >> 20
    )
}

fn compare(
    (session, gup_test): (&Session, &GupTest),
    mapping: &Mapping,
    batch: u32,
    unpin: Unpin,
    repeats: u64,
) -> anyhow::Result<Comparison> {
    let a_second = |ns: u64| mapping.pages() as f64 * 1e9 / ns.max(1) as f64;
    let request = Hammer {
        batch,
        hold: unpin.hold(batch),
        way: sys::GUPLAB_WAY_PIN_FAST,
        ..Default::default()
    };
    let [hammer, gup_test] = in_turns(repeats, |side| {
        Ok(a_second(match side {
            0 => pin_all(session, mapping, request)?.elapsed_ns,
            _ => gup_test.pin_fast(mapping, batch)?,
        }))
    })?;
    Ok(Comparison {
        kind: mapping.kind(),
        pages_per_call: batch,
        unpin,
        hammer,
        gup_test,
        ratio: hammer.ratio_of_medians(&gup_test),
    })
}

/// Makes so many passes of each of two sides, which take turns in being first. Returns the spread of
/// what a pass brought.
fn in_turns(
    repeats: u64,
    mut pass: impl FnMut(usize) -> anyhow::Result<f64>,
) -> anyhow::Result<[Spread; 2]> {
    let mut figures = [Vec::new(), Vec::new()];
    // One pass of each to warm up, which isn't counted.
    for repeat in 0..=repeats {
        let order = if repeat % 2 == 0 { [0, 1] } else { [1, 0] };
        for side in order {
            let figure = pass(side)?;
            if repeat > 0 {
                figures[side].push(figure);
            }
        }
    }
    let [one, other] = figures.map(Spread::of);
    one.zip(other).map(Into::into).context("no pass was made")
}

/// Pins every page of the mapping once, for writing, and unpins it: in batches, by a way, and with
/// flags that the request has.
fn pin_all(session: &Session, mapping: &Mapping, mut request: Hammer) -> anyhow::Result<Hammer> {
    let pages = mapping.pages();
    request.addr = mapping.addr() as u64;
    request.nr_pages = pages as u32;
    request.pin_flags = sys::GUPLAB_PIN_WRITE;
    request.max_calls = pages.div_ceil(request.batch as usize) as u64;
    session.hammer(mapping, &mut request).context("HAMMER")?;
    anyhow::ensure!(
        request.pages == pages as u64,
        "HAMMER pinned {} of {pages} pages only",
        request.pages
    );
    Ok(request)
}

fn write_table(out: &mut impl Write, results: &[Comparison], what: String) -> anyhow::Result<()> {
    writeln!(out, "{what}")?;
    let mut table = Table::new(&[
        "mapping",
        "pages/call",
        "unpin after",
        "HAMMER",
        "gup_test",
        "ratio",
    ]);
    for result in results {
        table.row(vec![
            result.kind.to_string(),
            result.pages_per_call.to_string(),
            result.unpin.name().to_owned(),
            result.hammer.show(),
            result.gup_test.show(),
            format!("{:.2}", result.ratio),
        ]);
    }
    write!(out, "{table}")?;
    writeln!(
        out,
        "HAMMER unpins after each call or after many, gup_test once at the end of a pass; the \
         ratio is that of the medians"
    )?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spreads_are_of_sorted_figures() {
        let spread = |figures: &[f64]| Spread::of(figures.to_vec());
        assert_eq!(spread(&[]), None);
        assert_eq!(
            spread(&[3.0, 1.0, 2.0]),
            Some(Spread {
                min: 1.0,
                median: 2.0,
                max: 3.0
            })
        );
        assert_eq!(spread(&[4.0, 1.0]).map(|s| s.median), Some(2.5));
    }
}
