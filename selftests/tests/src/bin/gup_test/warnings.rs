// SPDX-License-Identifier: GPL-2.0
//! Requests of which the kernel would warn, or worse, if they were passed on to it. The kernel's own
//! driver is not asked.

use guplab::gup_test::{Command, FOLL_WRITE, Longterm, Request, Whose};
use guplab::mapping::Advice;
use guplab::{Errno, KernelLog, Kind, Mapping, page_size};
use guplab_tests::balance::Balance;
use guplab_tests::{Not, Test, Tested, While, ensure, ensure_eq, memory, open, skip};

use crate::open_driver;
use crate::requests::{
    FOLL_ANON, FOLL_DUMP, FOLL_GET, FOLL_HWPOISON, FOLL_INTERRUPTIBLE, FOLL_LONGTERM, FOLL_NOWAIT,
    FOLL_PCI_P2PDMA, FOLL_SPLIT_PMD, is_fast,
};

/// Lets the kernel give again those warnings that it gives once.
const WARN_AGAIN: &str = "/sys/kernel/debug/clear_warn_once";

pub(crate) fn tests() -> Vec<Test> {
    vec![
        Test::new("flags of which GUP warns bring nothing", flags),
        Test::new("arrays that are too large are refused", too_large),
        Test::new("the zero page is no failure", zero_page),
        Test::new("no call is made for no pages", empty_calls),
        Test::new("no call is made for more pages than there are", long_calls),
    ]
}

/// With these the kernel, or the driver, complains.
const COMPLAINTS: [&str; 6] = [
    "WARNING",
    "cut here",
    "Call Trace",
    "allocation failure",
    "NOT",
    "page dumped",
];

/// Expects no complaint from now on.
struct Silence(KernelLog);

impl Silence {
    fn now() -> Result<Silence, Not> {
        // Without it a warning that was given before is not seen again.
        let _only_once = std::fs::write(WARN_AGAIN, "1");
        match KernelLog::from_now() {
            Ok(log) => Ok(Silence(log)),
            Err(error) => skip!("/dev/kmsg: {error}"),
        }
    }

    fn ensure(&mut self, what: &str) -> Tested {
        let mut said = self.0.news();
        said.retain(|line| COMPLAINTS.iter().any(|complaint| line.contains(complaint)));
        ensure!(
            said.is_empty(),
            "{what}: the kernel said {}",
            said.join("\n")
        );
        Ok(())
    }
}

fn whole(mapping: &Mapping) -> Request {
    Request {
        addr: mapping.addr() as u64,
        size: mapping.len() as u64,
        nr_pages_per_call: 16,
        gup_flags: FOLL_WRITE,
        ..Default::default()
    }
}

/// The flags that a command can't take, each alone.
fn unfit(command: Command) -> Vec<u32> {
    let mut unfit: Vec<u32> = (16..32).map(|bit| 1 << bit).collect();
    match command {
        Command::GupFastBenchmark | Command::GupBasicTest => unfit.push(FOLL_LONGTERM),
        // It is told to pin.
        Command::DumpUserPagesTest => unfit.push(FOLL_GET),
        Command::PinLongtermBenchmark => unfit.extend([FOLL_GET, FOLL_PCI_P2PDMA]),
        _ => unfit.extend([FOLL_GET, FOLL_LONGTERM | FOLL_PCI_P2PDMA]),
    }
    if is_fast(command) {
        unfit.extend([
            FOLL_DUMP,
            FOLL_NOWAIT,
            FOLL_HWPOISON,
            FOLL_ANON,
            FOLL_SPLIT_PMD,
            FOLL_INTERRUPTIBLE,
        ]);
        unfit.extend((13..16).map(|bit| 1 << bit));
    }
    unfit
}

fn flags() -> Tested {
    let session = open()?;
    let mapping = memory(&session, Kind::Anon4k, 1)?;
    let driver = open_driver(Whose::Guplab)?;
    let mut silence = Silence::now()?;
    let before = Balance::now()?;
    for command in Command::ALL {
        for flag in unfit(command) {
            let mut request = whole(&mapping);
            request.gup_flags |= flag;
            request.test_flags = guplab::gup_test::DUMP_PINS;
            let what = format!("{command:?} with {flag:#x}");
            driver.command(command, &mut request).while_(&what)?;
            ensure_eq!(request.size, 0, what);
            silence.ensure(&what)?;
        }
        // The rest of the request is a good one.
        let mut request = whole(&mapping);
        driver.command(command, &mut request).while_("without it")?;
        ensure_eq!(request.size, mapping.len() as u64, "without it");
    }
    before.has_grown_by(0)
}

fn too_large() -> Tested {
    let driver = open_driver(Whose::Guplab)?;
    let mut silence = Silence::now()?;
    let page = page_size() as u64;
    // On 32 bits there is an array for the largest size, and all others are no sizes.
    let refusal = if usize::BITS > 32 {
        Errno::NOMEM
    } else {
        Errno::INVAL
    };
    for size in [1 << 41, 1 << 62, i64::MAX as u64 & !(page - 1)] {
        for command in Command::ALL {
            let mut request = Request {
                addr: page,
                size,
                nr_pages_per_call: 1,
                ..Default::default()
            };
            let done = driver.command(command, &mut request);
            ensure_eq!(done, Err(refusal), format!("{command:?} of {size:#x}"));
        }
        let start = Longterm {
            addr: page,
            size,
            ..Default::default()
        };
        let done = driver.start(&start);
        ensure_eq!(done, Err(refusal), format!("START of {size:#x}"));
    }
    silence.ensure("too large")
}

fn zero_page() -> Tested {
    let session = open()?;
    let mapping = memory(&session, Kind::Anon4k, 1)?;
    let all = mapping.pages();
    mapping
        .advise(0, all, Advice::NoHugePage)
        .and_then(|()| mapping.discard())
        .and_then(|()| mapping.advise(0, all, Advice::PopulateRead))
        .while_("madvise")?;
    let driver = open_driver(Whose::Guplab)?;
    let mut silence = Silence::now()?;
    let before = Balance::now()?;
    for command in [Command::PinFastBenchmark, Command::PinBasicTest] {
        let mut request = whole(&mapping);
        request.gup_flags = 0;
        driver
            .command(command, &mut request)
            .while_("the command")?;
        ensure_eq!(request.size, mapping.len() as u64, "bytes reached");
        silence.ensure(&format!("{command:?}"))?;
    }
    before.has_grown_by(0)
}

fn empty_calls() -> Tested {
    let page = page_size() as u64;
    reaches(&[
        (page + 8, 1, page),
        (4 * page + 1, 2, 4 * page),
        (4 * page, 0, 0),
        (page - 1, 1, 0),
        (page - 1, 0, 0),
        (page - 1, 7, 0),
        // Here the last call is for a page, and what is left of the next one counts as reached.
        (4 * page + 1, 3, 4 * page + 1),
    ])
}

/// On 32 bits the ends of these calls wrap.
fn long_calls() -> Tested {
    let page = page_size() as u64;
    reaches(&[
        (4 * page, 1 << 20, 4 * page),
        (4 * page, 1 << 31, 4 * page),
        (page + 8, u32::MAX, page + 8),
    ])
}

/// What comes of so many bytes by so many pages. Pages follow behind the range: whoever asked fast GUP
/// for none, or for more, would get them.
fn reaches(cases: &[(u64, u32, u64)]) -> Tested {
    let session = open()?;
    let mapping = memory(&session, Kind::Anon4k, 1)?;
    let driver = open_driver(Whose::Guplab)?;
    let mut silence = Silence::now()?;
    let page = page_size() as u64;
    for command in Command::ALL {
        for &(size, nr_pages_per_call, reached) in cases {
            let mut request = Request {
                size,
                nr_pages_per_call,
                ..whole(&mapping)
            };
            let what = format!("{command:?} of {size} bytes by {nr_pages_per_call}");
            let before = session
                .stats(guplab::sys::GUPLAB_STATS_MODULE)
                .while_("STATS")?;
            driver.command(command, &mut request).while_(&what)?;
            let after = session
                .stats(guplab::sys::GUPLAB_STATS_MODULE)
                .while_("STATS")?;
            ensure_eq!(request.size, reached, what);
            let pages = after.pin_pages - before.pin_pages;
            ensure_eq!(pages, reached / page, format!("{what}: pages"));
        }
    }
    silence.ensure("the calls")
}
