// SPDX-License-Identifier: GPL-2.0
//! `guplab bench --walker`: guplab's own walk against pin_user_pages_fast(), on the same mapping and
//! in turns. Both are called by HAMMER, so that all but the function is the same.

use std::io::Write;

use anyhow::Context;
use guplab::ktap::exit;
use guplab::{Hammer, Kind, Mapping, Session, sys};
use serde::Serialize;

use super::{HELD_PAGES, Spread};
use crate::cli::BenchArgs;
use crate::output::table::Table;

const PAGES_PER_CALL: [u32; 3] = [1, 16, 512];

/// Both sides of a comparison: pin_user_pages_fast() and the walk.
const WAYS: [sys::guplab_way; 2] = [sys::GUPLAB_WAY_PIN_FAST, sys::GUPLAB_WAY_WALK];

/// One line of the result: nanoseconds for each page that is pinned for writing. Unpinning is the
/// kernel's function for both, and is not part of it.
#[derive(Debug, Serialize)]
struct Comparison {
    kind: Kind,
    pages_per_call: u32,
    pages: usize,
    pin_fast: Spread,
    walk: Spread,
    /// pin_user_pages_fast() takes so many times as long: of the medians.
    ratio: f64,
}

/// Measures, and returns the exit code.
pub(super) fn bench(args: &BenchArgs, out: &mut impl Write) -> anyhow::Result<u8> {
    let session = Session::open()?;
    if !session.has(sys::GUPLAB_FEATURE_INLINED) {
        eprintln!(
            "guplab: clang and rustc have different LLVMs here: the walk calls C for each entry, \
             and is slower than it could be"
        );
    }
    let kinds = match args.kinds.as_slice() {
        [] => &Kind::ALL[..],
        kinds => kinds,
    };
    let sizes = match args.pages.as_slice() {
        [] => &PAGES_PER_CALL[..],
        sizes => sizes,
    };
    let pmds = ((args.megabytes << 20) as usize / session.pmd_size()).max(1);
    let mut results = Vec::new();
    for &kind in kinds {
        match Mapping::new(&session, kind, pmds) {
            Ok(mapping) => {
                let fits = |size: &&u32| **size as usize <= mapping.pages();
                for &size in sizes.iter().filter(fits) {
                    results.push(compare(&session, &mapping, size, args.repeats)?);
                }
            }
            Err(reason) => eprintln!("guplab: not measured: {reason}"),
        }
    }
    if results.is_empty() {
        return Ok(exit::SKIP);
    }
    if args.json {
        serde_json::to_writer_pretty(&mut *out, &results)?;
        writeln!(out)?;
    } else {
        write_table(out, &results, args)?;
    }
    Ok(exit::PASS)
}

fn compare(
    session: &Session,
    mapping: &Mapping,
    pages_per_call: u32,
    repeats: u64,
) -> anyhow::Result<Comparison> {
    let mut figures = WAYS.map(|_| Vec::new());
    // One pass of each to warm up, which isn't counted.
    for repeat in 0..=repeats {
        let mut sides: Vec<usize> = (0..WAYS.len()).collect();
        if repeat % 2 == 1 {
            sides.reverse();
        }
        for side in sides {
            let ns = pin_all(session, mapping, pages_per_call, WAYS[side])?;
            if repeat > 0 {
                figures[side].push(ns);
            }
        }
    }
    let [pin_fast, walk] = figures.map(|figures| Spread::of(figures).context("no pass was made"));
    let (pin_fast, walk) = (pin_fast?, walk?);
    Ok(Comparison {
        kind: mapping.kind(),
        pages_per_call,
        pages: mapping.pages(),
        ratio: pin_fast.ratio_of_medians(&walk),
        pin_fast,
        walk,
    })
}

/// Pins every page of the mapping once. Returns the nanoseconds that it took for each.
fn pin_all(
    session: &Session,
    mapping: &Mapping,
    pages_per_call: u32,
    way: sys::guplab_way,
) -> anyhow::Result<f64> {
    let pages = mapping.pages();
    let mut request = Hammer {
        addr: mapping.addr() as u64,
        nr_pages: pages as u32,
        batch: pages_per_call,
        hold: (HELD_PAGES / pages_per_call).max(1),
        way,
        pin_flags: sys::GUPLAB_PIN_WRITE,
        flags: sys::GUPLAB_HAMMER_TIME_UNPIN,
        max_calls: pages.div_ceil(pages_per_call as usize) as u64,
        ..Default::default()
    };
    session.hammer(mapping, &mut request).context("HAMMER")?;
    anyhow::ensure!(
        request.pages == pages as u64,
        "HAMMER pinned {} of {pages} pages only",
        request.pages
    );
    Ok((request.elapsed_ns - request.unpin_ns) as f64 / pages as f64)
}

fn write_table(
    out: &mut impl Write,
    results: &[Comparison],
    args: &BenchArgs,
) -> anyhow::Result<()> {
    writeln!(
        out,
        "nanoseconds to pin a page for writing, without unpinning; {} MiB, {} passes of each side \
         in turns; min median max",
        args.megabytes, args.repeats
    )?;
    let mut table = Table::new(&[
        "mapping",
        "pages/call",
        "pin_user_pages_fast",
        "walk",
        "ratio",
    ]);
    let show =
        |spread: &Spread| format!("{:.1} {:.1} {:.1}", spread.min, spread.median, spread.max);
    for result in results {
        table.row(vec![
            result.kind.to_string(),
            result.pages_per_call.to_string(),
            show(&result.pin_fast),
            show(&result.walk),
            format!("{:.2}", result.ratio),
        ]);
    }
    write!(out, "{table}")?;
    writeln!(
        out,
        "ratio: of the medians; more than 1 where the walk is faster"
    )?;
    Ok(())
}
