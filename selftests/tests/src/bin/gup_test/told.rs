// SPDX-License-Identifier: GPL-2.0
//! What can be seen of a command: pages in the kernel's log, and the counters of the module.

use guplab::gup_test::{Command, DUMP_PINS, FOLL_WRITE, LONGTERM_WRITE, Request, Whose};
use guplab::kernel::foll_pins;
use guplab::{KernelLog, Kind, Mapping, Session, page_size, sys};
use guplab_tests::{Not, Test, Tested, While, ensure_eq, memory, open, skip};

use crate::longterm::start_pages;
use crate::{drivers, open_driver};

pub(crate) fn tests() -> Vec<Test> {
    vec![
        Test::new("as many pages are dumped as were asked for", dumped),
        Test::new("benchmarks are counted", counted),
        Test::new("what is to pin pins, and nothing else does", pinned_or_not),
        Test::new("what START holds is counted", held),
    ]
}

const DUMPED: &str = "page dumped because: gup_test: dump_pages() test";

fn request(mapping: &Mapping, pages: usize) -> Request {
    Request {
        addr: mapping.addr() as u64,
        size: (pages * page_size()) as u64,
        nr_pages_per_call: 4,
        gup_flags: FOLL_WRITE,
        ..Default::default()
    }
}

fn dumped() -> Tested {
    let session = open()?;
    let mapping = memory(&session, Kind::Anon4k, 1)?;
    // Of ten pages: what is asked for, what comes back, and what is dumped.
    let cases = [
        ([0; 8], [0; 8], vec![]),
        (
            [1, 0, 0, 10, 0, 0, 0, 2],
            [1, 0, 0, 10, 0, 0, 0, 2],
            vec![0, 9, 1],
        ),
        (
            [11, 3, u32::MAX, 0, 3, 0, 0, 0],
            [0, 3, 0, 0, 3, 0, 0, 0],
            vec![2, 2],
        ),
        (
            [8, 7, 6, 5, 4, 3, 2, 1],
            [8, 7, 6, 5, 4, 3, 2, 1],
            vec![7, 6, 5, 4, 3, 2, 1, 0],
        ),
    ];
    let mut log = match KernelLog::from_now() {
        Ok(log) => log,
        Err(error) => skip!("/dev/kmsg: {error}"),
    };
    for (path, driver) in drivers()? {
        for (asked, back, pages) in &cases {
            for test_flags in [0, DUMP_PINS] {
                let what = format!("{path}: {asked:?}, flags {test_flags}");
                let mut request = request(&mapping, 10);
                (request.which_pages, request.test_flags) = (*asked, test_flags);
                log.news();
                driver
                    .command(Command::DumpUserPagesTest, &mut request)
                    .while_(&what)?;
                let news = log.news();
                ensure_eq!(request.which_pages, *back, what);
                let dumps = news.iter().filter(|line| line.contains(DUMPED)).count();
                ensure_eq!(dumps, pages.len(), format!("{what}: dumps"));
                let expected: Vec<String> = pages
                    .iter()
                    .map(|page| {
                        let addr = mapping.addr();
                        format!("---- page #{page}, starting from user virt addr: {addr:#x}")
                    })
                    .collect();
                let told = news
                    .iter()
                    .filter_map(|line| Some(&line[line.find("----")?..]));
                ensure_eq!(
                    told.collect::<Vec<_>>(),
                    expected,
                    format!("{what}: the log")
                );
            }
        }
    }
    Ok(())
}

fn totals(session: &Session) -> Result<sys::guplab_stats, Not> {
    session.stats(sys::GUPLAB_STATS_MODULE).while_("STATS")
}

fn counted() -> Tested {
    let session = open()?;
    let mapping = memory(&session, Kind::Anon4k, 1)?;
    for command in Command::ALL {
        let driver = open_driver(Whose::Guplab)?;
        let before = totals(&session)?;
        let mut request = request(&mapping, 10);
        driver
            .command(command, &mut request)
            .while_("the command")?;
        let after = totals(&session)?;
        let pages = after.pin_pages - before.pin_pages;
        ensure_eq!(pages, 10, format!("{command:?}: pin_pages"));
        let calls = after.pin_calls - before.pin_calls;
        ensure_eq!(calls, 3, format!("{command:?}: pin_calls"));
        let pages = after.unpin_pages - before.unpin_pages;
        ensure_eq!(pages, 10, format!("{command:?}: unpin_pages"));
        let holds = (after.handles, after.held_pages, after.violations);
        let held = (before.handles, before.held_pages, before.violations);
        ensure_eq!(
            holds,
            held,
            format!("{command:?}: handles, pages and violations")
        );
    }
    Ok(())
}

/// What the kernel itself counts.
fn pinned_or_not() -> Tested {
    let session = open()?;
    let mapping = memory(&session, Kind::Anon4k, 1)?;
    for (path, driver) in drivers()? {
        for command in Command::ALL {
            for test_flags in [0, DUMP_PINS] {
                let pins = match command {
                    Command::GupFastBenchmark | Command::GupBasicTest => false,
                    Command::DumpUserPagesTest => test_flags == DUMP_PINS,
                    _ => true,
                };
                let expected = if pins { 300 } else { 0 };
                let mut request = request(&mapping, 300);
                request.test_flags = test_flags;
                let what = format!("{path}: {command:?}, flags {test_flags}");
                let mut seen = 0;
                // Others may pin for a moment, for their I/O.
                for _ in 0..5 {
                    let Some((before, _)) = foll_pins() else {
                        skip!("this kernel doesn't count pins");
                    };
                    driver.command(command, &mut request).while_(&what)?;
                    seen = foll_pins().map_or(0, |(after, _)| after - before);
                    if seen == expected {
                        break;
                    }
                }
                ensure_eq!(seen, expected, what);
            }
        }
    }
    Ok(())
}

fn held() -> Tested {
    let session = open()?;
    let mapping = memory(&session, Kind::Anon4k, 1)?;
    let before = totals(&session)?;
    let holds = |what: &str, sessions, handles, pages| -> Tested {
        let now = totals(&session)?;
        let more = (
            now.sessions - before.sessions,
            now.handles - before.handles,
            now.held_pages - before.held_pages,
        );
        ensure_eq!(more, (sessions, handles, pages), what);
        Ok(())
    };
    let driver = open_driver(Whose::Guplab)?;
    holds("opened", 1, 0, 0)?;
    start_pages(&driver, &mapping, 10, LONGTERM_WRITE).while_("START")?;
    holds("after START", 1, 1, 10)?;
    let _refused = start_pages(&driver, &mapping, 20, LONGTERM_WRITE);
    holds("after a second START", 1, 1, 10)?;
    driver.stop().while_("STOP")?;
    holds("after STOP", 1, 0, 0)?;
    start_pages(&driver, &mapping, 20, LONGTERM_WRITE).while_("START")?;
    holds("after START again", 1, 1, 20)?;
    drop(driver);
    holds("closed", 0, 0, 0)?;
    let after = totals(&session)?;
    ensure_eq!(after.pin_pages - before.pin_pages, 30, "pin_pages");
    ensure_eq!(after.unpin_pages - before.unpin_pages, 30, "unpin_pages");
    Ok(())
}
