// SPDX-License-Identifier: GPL-2.0
//! Wrong numbers, and arguments that can't be read or written: the same errors by both drivers.

use guplab::address::Range;
use guplab::gup_test::{
    Command, FOLL_WRITE, LONGTERM_READ, LONGTERM_START, LONGTERM_STOP, Longterm, Request,
};
use guplab::{Errno, GupTest, Kind, Mapping, page_size};
use guplab_tests::balance::Balance;
use guplab_tests::ground::KERNEL_ADDRESS;
use guplab_tests::{Not, Test, Tested, While, ensure_eq, memory, open};

use crate::drivers;

pub(crate) fn tests() -> Vec<Test> {
    vec![
        Test::new("unknown commands are refused", unknown),
        Test::new("requests that can't be read are refused", unreadable),
        Test::new("requests that wrap are refused", wrapping),
        Test::new("a reply that can't be written leaves no page", unwritable),
    ]
}

/// A request larger than any, with room for every reply.
fn call(driver: &GupTest, number: u32) -> guplab::Result<()> {
    let mut request = [0u64; 128];
    // SAFETY: The request is live, and names no memory that is in use.
    unsafe { driver.raw(number, request.as_mut_ptr() as usize) }
}

fn unknown() -> Tested {
    const SIZE: u32 = 1 << 16;
    const DIRECTIONS: u32 = 3 << 30;
    let first = Command::GupFastBenchmark.number();
    let dump = Command::DumpUserPagesTest.number();
    let numbers = [
        0,
        u32::MAX,
        first - 1,
        dump + 1,
        first + SIZE,
        first - SIZE,
        first & !DIRECTIONS,
        first ^ (1 << 30),
        first ^ (1 << 8),
        // What a 32-bit program has, where it aligns to 4 bytes.
        first - 4 * SIZE,
        LONGTERM_START - 4 * SIZE,
        LONGTERM_START | DIRECTIONS,
        LONGTERM_STOP + 2,
        LONGTERM_STOP + SIZE,
        LONGTERM_READ - 4 * SIZE,
        LONGTERM_READ | DIRECTIONS,
    ];
    for (path, driver) in drivers()? {
        for number in numbers {
            let done = call(&driver, number);
            ensure_eq!(done, Err(Errno::INVAL), format!("{path}: {number:#x}"));
        }
    }
    Ok(())
}

fn one_page() -> Result<Range, Not> {
    let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;
    Range::map(page_size(), page_size(), flags, -1).while_("mmap")
}

fn unreadable() -> Tested {
    // That far before its end there is no room for a request.
    let page = one_page()?;
    let over_the_end = page.addr() + page.len() - 8;
    let numbers = Command::ALL.map(Command::number);
    for (path, driver) in drivers()? {
        for number in numbers.into_iter().chain([LONGTERM_START]) {
            for addr in [0, over_the_end, KERNEL_ADDRESS as usize, usize::MAX] {
                // SAFETY: The page is not used for anything else, and the rest is not there.
                let done = unsafe { driver.raw(number, addr) };
                let what = format!("{path}: {number:#x} at {addr:#x}");
                ensure_eq!(done, Err(Errno::FAULT), what);
            }
        }
    }
    Ok(())
}

fn wrapping() -> Tested {
    let last = u64::MAX - (page_size() as u64 - 1);
    for (path, driver) in drivers()? {
        for command in Command::ALL {
            for (addr, size) in [(last, 2 * page_size() as u64), (u64::MAX, 1), (8, u64::MAX)] {
                let mut request = Request {
                    addr,
                    size,
                    nr_pages_per_call: 1,
                    ..Default::default()
                };
                let asked = request;
                let done = driver.command(command, &mut request);
                let what = format!("{path}: {command:?} of {size:#x} at {addr:#x}");
                ensure_eq!(done, Err(Errno::INVAL), what);
                ensure_eq!(request, asked, format!("{what}: the request"));
            }
        }
    }
    Ok(())
}

fn unwritable() -> Tested {
    let session = open()?;
    let mapping = memory(&session, Kind::Anon4k, 1)?;
    let page = one_page()?;
    let request = Request {
        addr: mapping.addr() as u64,
        size: mapping.len() as u64,
        nr_pages_per_call: 64,
        gup_flags: FOLL_WRITE,
        ..Default::default()
    };
    // SAFETY: The page is mapped, large enough, and nobody else's.
    unsafe { (page.addr() as *mut Request).write(request) };
    page.protect(0, page.len(), libc::PROT_READ)
        .while_("mprotect")?;
    let before = Balance::now()?;
    for (path, driver) in drivers()? {
        for command in Command::ALL {
            // SAFETY: The request is live, and the pages that it names are looked at only.
            let done = unsafe { driver.raw(command.number(), page.addr()) };
            ensure_eq!(done, Err(Errno::FAULT), format!("{path}: {command:?}"));
            before.has_grown_by(0)?;
        }
        ensure_references_are_gone(&driver, &mapping)?;
    }
    Ok(())
}

/// References that were left behind would keep a page from being moved by START.
fn ensure_references_are_gone(driver: &GupTest, mapping: &Mapping) -> Tested {
    let start = Longterm {
        addr: mapping.addr() as u64,
        size: mapping.len() as u64,
        ..Default::default()
    };
    driver.start(&start).while_("START")?;
    driver.stop().while_("STOP")
}
