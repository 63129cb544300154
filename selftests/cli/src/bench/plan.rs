// SPDX-License-Identifier: GPL-2.0
//! What is measured of a mapping kind.

use guplab::Kind;

use super::report::{Cell, Ranges};
use super::size::size;
use crate::cli::BenchArgs;

/// Pages in each call where it isn't that number that varies.
const PAGES_PER_CALL: u32 = 512;

/// All cells of a kind: first the calls and the threads on passes of one size, then passes of all
/// sizes.
pub(super) fn cells(kind: Kind, args: &BenchArgs, bytes: u64) -> Vec<Cell> {
    let cell = |pages_per_call, threads, ranges, bytes| Cell {
        kind,
        pages_per_call,
        threads,
        ranges,
        bytes,
    };
    let mut cells = Vec::new();
    for &pages in &args.pages {
        for &threads in &args.threads {
            cells.push(cell(pages, threads, Ranges::One, bytes));
            if threads > 1 {
                cells.push(cell(pages, threads, Ranges::Own, bytes));
            }
        }
    }
    for &bytes in &args.sizes {
        let sweep = cell(PAGES_PER_CALL, 1, Ranges::One, bytes);
        if !cells.contains(&sweep) {
            cells.push(sweep);
        }
    }
    cells
}

/// Bytes that a cell needs.
pub(super) fn bytes(cell: &Cell) -> u64 {
    match cell.ranges {
        Ranges::One => cell.bytes,
        Ranges::Own => cell.bytes * u64::from(cell.threads),
    }
}

/// How many numbers of pages in a call have their latencies taken.
pub(super) fn latencies(args: &BenchArgs) -> usize {
    match args.calls {
        0 => 0,
        _ => args.pages.len(),
    }
}

/// A cell in words.
pub(super) fn describe(cell: &Cell) -> String {
    let threads = match (cell.threads, cell.ranges) {
        (1, _) => String::new(),
        (threads, Ranges::One) => format!(", {threads} threads on one range"),
        (threads, Ranges::Own) => format!(", {threads} threads on own ranges"),
    };
    let (kind, bytes, pages) = (cell.kind, size(cell.bytes), cell.pages_per_call);
    format!("{kind}, {bytes}, {pages} pages a call{threads}")
}
