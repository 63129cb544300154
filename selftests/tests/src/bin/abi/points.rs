// SPDX-License-Identifier: GPL-2.0
//! Which delay points this kernel has.

use std::collections::HashSet;

use guplab::{Errno, Point, sys};
use guplab_tests::ground::Ground;
use guplab_tests::{Not, Test, Tested, While, ensure_eq, open, skip};

const QUERY: u32 = sys::GUPLAB_DELAY_QUERY;
const ARM: u32 = sys::GUPLAB_DELAY_ARM;

/// Skips if a point can't be armed on this kernel.
pub(crate) fn ensure_there_is(point: Point) -> Tested {
    match open()?.query_point(point) {
        Err(Errno::OPNOTSUPP) => skip!("this kernel has no {point} that can be watched"),
        asked => asked.while_("asking for the point").map(|_| ()),
    }
}

pub(crate) fn tests() -> Vec<Test> {
    vec![Test::new("a point is there if its symbol is", symbols)]
}

/// Names in the first column but one of /proc/kallsyms, or in the last of the list of functions that
/// must not be probed.
fn symbols_of(path: &str, column: usize) -> std::result::Result<HashSet<String>, Not> {
    let text = std::fs::read_to_string(path).while_(path)?;
    let name = |line: &str| Some(line.split_whitespace().nth(column)?.to_owned());
    Ok(text.lines().filter_map(name).collect())
}

/// QUERY and ARM agree with the kernel's own list of functions.
fn symbols() -> Tested {
    let ground = Ground::new()?;
    if !ground.session.has(sys::GUPLAB_FEATURE_DELAY) {
        skip!("this kernel can't watch functions");
    }
    let known = symbols_of("/proc/kallsyms", 2)?;
    let Ok(forbidden) = symbols_of("/sys/kernel/debug/kprobes/blacklist", 1) else {
        skip!("there is no debugfs to tell which functions must not be probed");
    };
    for point in Point::ALL {
        // Another name than that of the point where this is inlined.
        let name = match point {
            Point::CopyMc if known.contains("copy_mc_to_kernel") => "copy_mc_to_kernel",
            Point::CopyMc => "copy_user_highpage",
            _ => point.name(),
        };
        if point == Point::Notifier || point.is_in_walk() || forbidden.contains(name) {
            continue;
        }
        let expected = match known.contains(name) {
            true => Ok(()),
            false => Err(Errno::OPNOTSUPP),
        };
        let asked = ground.delay(QUERY, |r| r.point = point.number());
        ensure_eq!(asked.map(|_| ()), expected, format!("QUERY of {point}"));
        if expected.is_err() {
            let armed = ground.delay(ARM, |r| r.point = point.number());
            ensure_eq!(armed.map(|_| ()), expected, format!("ARM of {point}"));
        }
    }
    Ok(())
}
