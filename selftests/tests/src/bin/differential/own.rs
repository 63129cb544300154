// SPDX-License-Identifier: GPL-2.0
//! What this process runs on: program, heap, stack, vDSO.

use guplab::{Errno, page_size, sys};
use guplab_tests::{Not, While};

use crate::comparer::{Comparer, Window};
use crate::totals::Totals;

/// Pages that are looked at beyond the ends of each mapping.
const BEYOND: usize = 8;

fn mappings() -> Result<Vec<Window>, Not> {
    let maps = std::fs::read_to_string("/proc/self/maps").while_("/proc/self/maps")?;
    let parse = |hex| usize::from_str_radix(hex, 16).ok();
    let windows = maps.lines().filter_map(|line| {
        let (start, end) = line.split(' ').next()?.split_once('-')?;
        let (addr, end) = (parse(start)?, parse(end)?);
        let nr_pages = (end - addr) / page_size();
        // The vsyscall page, or that of the vectors, is the kernel's.
        let usable = addr > BEYOND * page_size()
            && addr < usize::MAX / 4 * 3
            && nr_pages + 2 * BEYOND <= sys::GUPLAB_MAX_PAGES as usize;
        usable.then_some(Window { addr, nr_pages })
    });
    Ok(windows.collect())
}

/// Compares all of it. The lockless ways write to nothing, whatever they are asked for.
pub(crate) fn work(mut comparer: Comparer) -> Result<Totals, Not> {
    while comparer.goes_on() {
        for window in mappings()? {
            match comparer.compare(window.widened(BEYOND)) {
                // The last addresses have nothing beyond.
                Ok(()) | Err(Errno::INVAL) => {}
                Err(error) => return Err(Not::Failed(format!("COMPARE of {window:x?}: {error}"))),
            }
        }
        comparer.totals.add("lives", 1);
    }
    comparer
        .finish()
        .map_err(|e| Not::Failed(format!("WALK: {e}")))
}
