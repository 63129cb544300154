// SPDX-License-Identifier: GPL-2.0
//! `guplab bench --walker`: guplab's own walk against pin_user_pages_fast(), on the same mapping and
//! in turns. Both are called by HAMMER, so that all but the function is the same.

use std::io::Write;

use guplab::ktap::exit;
use guplab::{Hammer, Kind, Mapping, Session, sys};
use serde::Serialize;

use super::{HELD_PAGES, Spread, in_turns, pin_all};
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
    let request = Hammer {
        batch: pages_per_call,
        hold: (HELD_PAGES / pages_per_call).max(1),
        flags: sys::GUPLAB_HAMMER_TIME_UNPIN,
        ..Default::default()
    };
    let [pin_fast, walk] = in_turns(repeats, |side| {
        let way = WAYS[side];
        let done = pin_all(session, mapping, Hammer { way, ..request })?;
        Ok((done.elapsed_ns - done.unpin_ns) as f64 / done.pages as f64)
    })?;
    Ok(Comparison {
        kind: mapping.kind(),
        pages_per_call,
        pages: mapping.pages(),
        ratio: pin_fast.ratio_of_medians(&walk),
        pin_fast,
        walk,
    })
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
