// SPDX-License-Identifier: GPL-2.0
//! START, READ and STOP, by both drivers.

use guplab::gup_test::{LONGTERM_FAST, LONGTERM_READ, LONGTERM_START, LONGTERM_WRITE, Longterm};
use guplab::mapping::Protection;
use guplab::{Errno, GupTest, Kind, Mapping, Result, page_size};
use guplab_tests::balance::Balance;
use guplab_tests::ground::KERNEL_ADDRESS;
use guplab_tests::{Test, Tested, While, ensure_eq, fail, memory, open};

use crate::drivers;

/// The last page of the address space.
const LAST_PAGE: u64 = usize::MAX as u64 & !4095;

/// Every sort of START.
pub(crate) const FLAGS: [u32; 4] = [
    0,
    LONGTERM_WRITE,
    LONGTERM_FAST,
    LONGTERM_WRITE | LONGTERM_FAST,
];

pub(crate) fn tests() -> Vec<Test> {
    let mut tests: Vec<Test> = CASES
        .iter()
        .map(|&(name, expected, case)| Test::new(name, move || judge(expected, case)))
        .collect();
    tests.extend([
        Test::new("READ brings what the pages have", content),
        Test::new("READ brings every kind of memory", kinds),
        Test::new("a START that can't have all pages has none", all_or_nothing),
        Test::new("pages stay pinned when their mapping is gone", outlives),
    ]);
    tests
}

/// What a driver is asked on a mapping, and the error that the last request must bring.
type Case = (
    &'static str,
    Option<Errno>,
    fn(&GupTest, &Mapping) -> Result<()>,
);

fn request(mapping: &Mapping) -> Longterm {
    Longterm {
        addr: mapping.addr() as u64,
        size: mapping.len() as u64,
        ..Default::default()
    }
}

/// START with something changed.
fn start(driver: &GupTest, mapping: &Mapping, spoil: impl FnOnce(&mut Longterm)) -> Result<()> {
    let mut request = request(mapping);
    spoil(&mut request);
    driver.start(&request)
}

/// Pins the pages of a mapping from its start.
pub(crate) fn start_pages(
    driver: &GupTest,
    mapping: &Mapping,
    pages: usize,
    flags: u32,
) -> Result<()> {
    start(driver, mapping, |r| {
        (r.size, r.flags) = ((pages * page_size()) as u64, flags)
    })
}

/// Makes a request whose argument is not there.
fn at(driver: &GupTest, number: u32, addr: u64) -> Result<()> {
    // SAFETY: Nothing of this program is at the addresses of the table below.
    unsafe { driver.raw(number, addr as usize) }
}

/// READ to an address.
fn read_to(driver: &GupTest, addr: u64) -> Result<()> {
    let arg = std::ptr::from_ref(&addr) as usize;
    // SAFETY: The number is live, and the addresses of the table below are not in use.
    unsafe { driver.raw(LONGTERM_READ, arg) }
}

#[rustfmt::skip]
const CASES: &[Case] = &[
    ("START", None, |d, m| start(d, m, |_| ())),
    ("START for writing", None, |d, m| start(d, m, |r| r.flags = LONGTERM_WRITE)),
    ("START by pin_user_pages_fast()", None, |d, m| start(d, m, |r| r.flags = LONGTERM_FAST)),
    ("START of the last page", None, |d, m| start(d, m, |r| {
        (r.addr, r.size) = (r.addr + r.size - 4096, 4096);
    })),
    ("a second START", Some(Errno::INVAL), |d, m| {
        start(d, m, |_| ())?;
        start(d, m, |_| ())
    }),
    ("a second START that can't be read", Some(Errno::INVAL), |d, m| {
        start(d, m, |_| ())?;
        at(d, LONGTERM_START, 0)
    }),
    ("START after a START that failed", None, |d, m| {
        let _fails = start(d, m, |r| r.addr -= 4096);
        start(d, m, |_| ())
    }),
    ("START after STOP", None, |d, m| {
        start(d, m, |_| ())?;
        d.stop()?;
        start(d, m, |_| ())
    }),
    ("STOP", None, |d, m| {
        start(d, m, |_| ())?;
        d.stop()
    }),
    ("STOP without START", None, |d, _| d.stop()),
    ("a second STOP", None, |d, m| {
        start(d, m, |_| ())?;
        d.stop()?;
        d.stop()
    }),
    ("READ without START", Some(Errno::INVAL), |d, m| read_to(d, m.addr() as u64)),
    ("READ that can't be read, without START", Some(Errno::INVAL), |d, _| at(d, LONGTERM_READ, 0)),
    ("READ after STOP", Some(Errno::INVAL), |d, m| {
        start(d, m, |_| ())?;
        d.stop()?;
        read_to(d, m.addr() as u64)
    }),
    ("READ after a START that failed", Some(Errno::INVAL), |d, m| {
        let _fails = start(d, m, |r| r.addr -= 4096);
        read_to(d, m.addr() as u64)
    }),
    ("READ that can't be read", Some(Errno::FAULT), |d, m| {
        start(d, m, |_| ())?;
        at(d, LONGTERM_READ, 0)
    }),
    ("READ to null", Some(Errno::FAULT), |d, m| {
        start(d, m, |_| ())?;
        read_to(d, 0)
    }),
    ("READ to a kernel address", Some(Errno::FAULT), |d, m| {
        start(d, m, |_| ())?;
        read_to(d, KERNEL_ADDRESS)
    }),
    ("READ over the end of memory", Some(Errno::FAULT), |d, m| {
        start(d, m, |_| ())?;
        read_to(d, m.page_addr(1) as u64)
    }),
    ("START from null", Some(Errno::FAULT), |d, _| at(d, LONGTERM_START, 0)),
    ("START with an unknown flag", Some(Errno::INVAL), |d, m| start(d, m, |r| r.flags = 4)),
    ("START with flag 31", Some(Errno::INVAL), |d, m| start(d, m, |r| r.flags = 1 << 31)),
    ("START at an unaligned address", Some(Errno::INVAL), |d, m| start(d, m, |r| r.addr += 8)),
    ("START of part of a page", Some(Errno::INVAL), |d, m| start(d, m, |r| r.size -= 1)),
    ("START of no bytes", Some(Errno::INVAL), |d, m| start(d, m, |r| r.size = 0)),
    ("START of LONG_MAX bytes and more", Some(Errno::INVAL), |d, m| {
        start(d, m, |r| r.size = 1 << 63)
    }),
    ("START with something in the padding", None, |d, m| start(d, m, |r| r.padding = u32::MAX)),
    ("START where nothing is", Some(Errno::FAULT), |d, m| start(d, m, |r| r.addr = 0)),
    ("START of memory without access", Some(Errno::FAULT), |d, m| start(d, m, |r| r.addr -= 4096)),
    ("START of a kernel address", Some(Errno::FAULT), |d, m| {
        start(d, m, |r| r.addr = KERNEL_ADDRESS)
    }),
    ("START of a range that wraps", Some(Errno::FAULT), |d, m| {
        start(d, m, |r| (r.addr, r.size) = (LAST_PAGE, 8192))
    }),
    ("START of a range that wraps, by pin_user_pages_fast()", Some(Errno::OVERFLOW), |d, m| {
        start(d, m, |r| (r.addr, r.size, r.flags) = (LAST_PAGE, 8192, LONGTERM_FAST))
    }),
    ("START for writing of memory for reading", Some(Errno::FAULT), |d, m| {
        m.protect(3, 1, Protection::Read)?;
        start(d, m, |r| r.flags = LONGTERM_WRITE)
    }),
];

/// Each driver has to say the same, and to leave no pin behind when it is closed.
fn judge(expected: Option<Errno>, case: fn(&GupTest, &Mapping) -> Result<()>) -> Tested {
    let session = open()?;
    let mapping = memory(&session, Kind::Anon4k, 1)?;
    for (path, driver) in drivers()? {
        let before = Balance::now()?;
        ensure_eq!(case(&driver, &mapping).err(), expected, path);
        drop(driver);
        before.has_grown_by(0)?;
    }
    Ok(())
}

/// Gives each page a word of its own.
pub(crate) fn fill(mapping: &Mapping, with: u64) {
    for page in 0..mapping.pages() {
        mapping.write(page * page_size(), with + page as u64);
        mapping.write((page + 1) * page_size() - 8, !(with + page as u64));
    }
}

/// Has READ bring so many pages, which must be those that were filled with `with`.
pub(crate) fn ensure_read(driver: &GupTest, to: &Mapping, pages: usize, with: u64) -> Tested {
    fill(to, 0);
    // SAFETY: The caller has pinned so many pages, and the mapping has as many.
    unsafe { driver.read(to) }.while_("READ")?;
    for page in 0..to.pages() {
        let expected = if page < pages { with } else { 0 } + page as u64;
        let last = to.read((page + 1) * page_size() - 8);
        if (to.read(page * page_size()), last) != (expected, !expected) {
            fail!("page {page} of {pages} has something else");
        }
    }
    Ok(())
}

fn content() -> Tested {
    let session = open()?;
    let to = memory(&session, Kind::Anon4k, 1)?;
    for (path, driver) in drivers()? {
        for flags in FLAGS {
            let mapping = memory(&session, Kind::Anon4k, 1)?;
            let pages = mapping.pages() - 5;
            fill(&mapping, 1000);
            let before = Balance::now()?;
            start_pages(&driver, &mapping, pages, flags).while_(path)?;
            before.has_grown_by(pages as i64)?;
            ensure_read(&driver, &to, pages, 1000)?;
            fill(&mapping, 5000);
            ensure_read(&driver, &to, pages, 5000)?;
            driver.stop().while_("STOP")?;
            before.has_grown_by(0)?;
        }
    }
    Ok(())
}

fn kinds() -> Tested {
    let session = open()?;
    let to = memory(&session, Kind::Anon4k, 1)?;
    for kind in [Kind::AnonThp, Kind::AnonPteThp, Kind::Shmem, Kind::Hugetlb] {
        let mapping = match Mapping::new(&session, kind, 1) {
            Ok(mapping) => mapping,
            Err(why) => {
                println!("# {why}");
                continue;
            }
        };
        for (path, driver) in drivers()? {
            for flags in FLAGS {
                let what = format!("{path}: {kind}, flags {flags}");
                fill(&mapping, 1000);
                start_pages(&driver, &mapping, mapping.pages(), flags).while_(&what)?;
                ensure_read(&driver, &to, mapping.pages(), 1000)?;
                driver.stop().while_("STOP")?;
            }
        }
    }
    Ok(())
}

fn all_or_nothing() -> Tested {
    let session = open()?;
    let mapping = memory(&session, Kind::Anon4k, 1)?;
    let all = mapping.pages();
    mapping.unmap_pages(all - 1, 1).while_("munmap")?;
    for (path, driver) in drivers()? {
        for flags in FLAGS {
            let what = format!("{path}: flags {flags}");
            let before = Balance::now()?;
            let done = start_pages(&driver, &mapping, all, flags);
            ensure_eq!(done, Err(Errno::FAULT), what);
            // The file is still open: what it holds is held.
            before.has_grown_by(0)?;
            start_pages(&driver, &mapping, all - 1, flags).while_(&what)?;
            before.has_grown_by(all as i64 - 1)?;
            driver.stop().while_("STOP")?;
        }
    }
    Ok(())
}

fn outlives() -> Tested {
    let session = open()?;
    let to = memory(&session, Kind::Anon4k, 1)?;
    for (path, driver) in drivers()? {
        let mapping = memory(&session, Kind::Anon4k, 1)?;
        let pages = mapping.pages();
        fill(&mapping, 1000);
        let before = Balance::now()?;
        start_pages(&driver, &mapping, pages, LONGTERM_WRITE).while_(path)?;
        drop(mapping);
        before.has_grown_by(pages as i64)?;
        ensure_read(&driver, &to, pages, 1000)?;
        driver.stop().while_("STOP")?;
        before.has_grown_by(0)?;
    }
    Ok(())
}
