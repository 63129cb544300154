// SPDX-License-Identifier: GPL-2.0
//! COMPARE.

use guplab::{Compare, Errno, Result, Way, sys};
use guplab_tests::ground::{Ground, KERNEL_ADDRESS, PINNED};
use guplab_tests::{Test, Tested, While, ensure, ensure_eq, skip};

use crate::Case;

const WRITE: u32 = sys::GUPLAB_PIN_WRITE;
const LONGTERM: u32 = sys::GUPLAB_PIN_LONGTERM;

/// Where the kernel has no counterpart of the walk that pins, that must be the error.
fn compare_pins(ground: &Ground, spoil: impl FnOnce(&mut sys::guplab_compare)) -> Result<()> {
    let done = ground.compare(|r| {
        r.way = sys::GUPLAB_WAY_WALK_ONLY;
        spoil(r);
    });
    if ground.session.can(Way::PinFastOnly) || done != Err(Errno::OPNOTSUPP) {
        return done;
    }
    Ok(())
}

/// The cases.
pub(crate) const COMPARE: &[Case] = &[
    ("compare references", None, |g| g.compare(|_| ())),
    ("compare pins", None, |g| compare_pins(g, |_| ())),
    ("compare long-term pins", None, |g| {
        compare_pins(g, |r| r.pin_flags = WRITE | LONGTERM)
    }),
    ("compare pins with flags at random", None, |g| {
        compare_pins(g, |r| r.random_flags = WRITE | LONGTERM)
    }),
    ("compare pins that fault", None, |g| {
        g.compare(|r| (r.way, r.pin_flags) = (sys::GUPLAB_WAY_WALK, WRITE))
    }),
    ("compare references that fault", None, |g| {
        g.compare(|r| r.way = sys::GUPLAB_WAY_WALK_GET)
    }),
    ("compare memory without access", None, |g| {
        g.compare(|r| r.addr -= 4096)
    }),
    ("compare in parts larger than the range", None, |g| {
        g.compare(|r| r.max_pages = sys::GUPLAB_MAX_BATCH)
    }),
    ("compare from null", Some(Errno::FAULT), |g| {
        g.call_at(sys::GUPLAB_IOC_COMPARE, 0)
    }),
    ("compare at an unaligned address", Some(Errno::INVAL), |g| {
        g.compare(|r| r.addr += 8)
    }),
    ("compare at a kernel address", Some(Errno::INVAL), |g| {
        g.compare(|r| r.addr = KERNEL_ADDRESS)
    }),
    ("compare a range that wraps", Some(Errno::INVAL), |g| {
        g.compare(|r| r.addr = u64::MAX - 4095)
    }),
    ("compare no pages", Some(Errno::INVAL), |g| {
        g.compare(|r| r.nr_pages = 0)
    }),
    ("compare too many pages", Some(Errno::INVAL), |g| {
        g.compare(|r| r.nr_pages = sys::GUPLAB_MAX_PAGES + 1)
    }),
    ("compare in parts of no pages", Some(Errno::INVAL), |g| {
        g.compare(|r| r.max_pages = 0)
    }),
    (
        "compare in parts of too many pages",
        Some(Errno::INVAL),
        |g| g.compare(|r| r.max_pages = sys::GUPLAB_MAX_BATCH + 1),
    ),
    ("compare no times", Some(Errno::INVAL), |g| {
        g.compare(|r| r.count = 0)
    }),
    ("compare a way that is no walk", Some(Errno::INVAL), |g| {
        g.compare(|r| r.way = sys::GUPLAB_WAY_GET_FAST_ONLY)
    }),
    ("compare an unknown way", Some(Errno::INVAL), |g| {
        g.compare(|r| r.way = sys::GUPLAB_WAY_WALK_GET_ONLY + 1)
    }),
    ("compare long-term references", Some(Errno::INVAL), |g| {
        g.compare(|r| r.pin_flags = LONGTERM)
    }),
    (
        "compare references that are long-term at random",
        Some(Errno::INVAL),
        |g| g.compare(|r| r.random_flags = LONGTERM),
    ),
    ("compare with SPLIT_PMD", Some(Errno::INVAL), |g| {
        g.compare(|r| r.pin_flags = sys::GUPLAB_PIN_SPLIT_PMD)
    }),
    ("compare with an unknown flag", Some(Errno::INVAL), |g| {
        g.compare(|r| r.pin_flags = 1 << 7)
    }),
    (
        "compare with an unknown flag at random",
        Some(Errno::INVAL),
        |g| g.compare(|r| r.random_flags = 1 << 7),
    ),
    (
        "compare with a flag that is both random and not",
        Some(Errno::INVAL),
        |g| g.compare(|r| (r.pin_flags, r.random_flags) = (WRITE, WRITE)),
    ),
    ("compare with reserved", Some(Errno::INVAL), |g| {
        g.compare(|r| r.reserved = 1)
    }),
];

/// What comes back.
pub(crate) fn tests() -> Vec<Test> {
    vec![
        Test::new("compare: all that was asked for is done", all_is_done),
        Test::new("compare: charges long-term pins while it runs", charges),
        Test::new("compare: leaves nothing behind", leaves_nothing),
    ]
}

fn request(ground: &Ground) -> Compare {
    Compare {
        addr: ground.mapping.addr() as u64,
        nr_pages: ground.mapping.pages() as u32,
        max_pages: 64,
        way: sys::GUPLAB_WAY_WALK_GET_ONLY,
        random_flags: WRITE,
        count: 300,
        // Outputs are overwritten, whatever was there.
        pages: 1,
        compared: 1,
        unsettled: 1,
        differences: 1,
        difference: sys::GUPLAB_DIFFERENCE_PAGE,
        bad_addr: 1,
        expected: 1,
        got: 1,
        ..Default::default()
    }
}

fn all_is_done() -> Tested {
    let ground = Ground::new()?;
    let mut compare = request(&ground);
    ground.session.compare(&mut compare).while_("COMPARE")?;
    ensure_eq!(compare.compared, 300, "comparisons");
    ensure!(compare.pages > 300, "only {} pages", compare.pages);
    ensure_eq!(compare.unsettled, 0, "unsettled comparisons");
    let found = (compare.differences, compare.difference, compare.bad_addr);
    ensure_eq!(found, (0, 0, 0), "differences");
    ensure_eq!((compare.expected, compare.got), (0, 0), "values");
    let (pages, first) = (compare.pages, compare.seed);
    ground.session.compare(&mut compare).while_("COMPARE")?;
    ensure_eq!(compare.pages, pages, "pages with the same seed");
    compare.seed = first + 1;
    ground.session.compare(&mut compare).while_("COMPARE")?;
    ensure!(compare.pages != pages, "the same parts with another seed");
    Ok(())
}

fn charges() -> Tested {
    let ground = Ground::new()?;
    if !ground.session.can(Way::PinFastOnly) {
        skip!("this kernel has no lockless pins of its own");
    }
    let pinned_vm = || {
        let status = std::fs::read_to_string("/proc/self/status").while_("/proc/self/status")?;
        let line = status.lines().find(|line| line.starts_with("VmPin:"));
        Ok::<String, guplab_tests::Not>(line.while_("VmPin")?.to_owned())
    };
    let before = pinned_vm()?;
    let mut compare = Compare {
        way: sys::GUPLAB_WAY_WALK_ONLY,
        pin_flags: LONGTERM,
        ..request(&ground)
    };
    ground.session.compare(&mut compare).while_("COMPARE")?;
    ensure_eq!(pinned_vm()?, before, "VmPin afterwards");
    Ok(())
}

fn leaves_nothing() -> Tested {
    let ground = Ground::new()?;
    let counters = || {
        let all = ground.session.stats(sys::GUPLAB_STATS_SESSION);
        let all = all.while_("STATS")?;
        Ok::<_, guplab_tests::Not>((all.handles, all.held_pages, all.pin_calls))
    };
    // The pages that are pinned already are among them.
    let look = || {
        let addr = ground.mapping.addr();
        let pages = ground.session.inspect(0, addr, 2 * PINNED);
        let pages = pages.while_("INSPECT")?;
        Ok::<Vec<i32>, guplab_tests::Not>(pages.iter().map(|page| page.0.refcount).collect())
    };
    let (before, refcounts) = (counters()?, look()?);
    let mut compare = request(&ground);
    ground.session.compare(&mut compare).while_("COMPARE")?;
    ensure_eq!(counters()?, before, "pins of the session");
    ensure_eq!(look()?, refcounts, "references");
    Ok(())
}
