// SPDX-License-Identifier: GPL-2.0
//! What is pinned is released: by UNPIN, by the last close, and however a process ends.

mod delayed;
mod killed;
mod limits;
mod shared;
mod waiting;

use std::process::ExitCode;

use guplab::{Kind, PinRequest, Session, sys};
use guplab_tests::balance::Balance;
use guplab_tests::{Not, Test, Tested, While, ensure, ensure_eq, memory, open, request, run_all};

fn main() -> ExitCode {
    let mut tests = vec![
        Test::new("unpin releases", unpin_releases),
        Test::new("close releases", close_releases),
        Test::new("a hundred thousand pins at once", many_pins),
        Test::new("one pin of 128 MiB", big_pin),
        Test::new("a handle is never used twice", handles_are_new),
        Test::new("pins outlive the mapping", pins_outlive_mapping),
    ];
    tests.extend(limits::tests());
    tests.extend(shared::tests());
    tests.extend(killed::tests());
    tests.extend(waiting::tests());
    tests.extend(delayed::tests());
    run_all(&tests)
}

fn held_pages(session: &Session) -> Result<u64, Not> {
    let stats = session.stats(sys::GUPLAB_STATS_SESSION).while_("STATS")?;
    Ok(stats.held_pages)
}

fn unpin_releases() -> Tested {
    let session = open()?;
    let mapping = memory(&session, Kind::Anon4k, 1)?;
    let before = Balance::now()?;
    let look = || -> Result<bool, Not> {
        let page = session.inspect(0, mapping.addr(), 1).while_("INSPECT")?[0];
        Ok(page.has(sys::GUPLAB_PAGE_DMA_PINNED))
    };
    ensure!(!look()?, "the page looks pinned before it is");
    let pin = session.pin(&request(&mapping, 100)).while_("PIN")?;
    ensure_eq!(pin.pinned(), 100, "pages pinned");
    ensure_eq!(held_pages(&session)?, 100, "pages held");
    ensure!(look()?, "the page does not look pinned");
    before.has_grown_by(100)?;
    pin.unpin(0).while_("UNPIN")?;
    ensure_eq!(held_pages(&session)?, 0, "pages held after UNPIN");
    ensure!(!look()?, "the page looks pinned after UNPIN");
    before.has_grown_by(0)
}

fn close_releases() -> Tested {
    let session = open()?;
    let mapping = memory(&session, Kind::Anon4k, 1)?;
    let before = Balance::now()?;
    for nr_pages in 1..=20 {
        std::mem::forget(session.pin(&request(&mapping, nr_pages)).while_("PIN")?);
    }
    before.has_grown_by(210)?;
    drop(session);
    before.has_grown_by(0)
}

fn many_pins() -> Tested {
    const PINS: usize = 100_000;
    let session = open()?;
    let mapping = memory(&session, Kind::Anon4k, 1)?;
    let before = Balance::now()?;
    for at in 0..PINS {
        let addr = mapping.page_addr(at % mapping.pages());
        let one = PinRequest {
            addr,
            ..request(&mapping, 1)
        };
        std::mem::forget(session.pin(&one).while_("PIN")?);
    }
    let stats = session.stats(sys::GUPLAB_STATS_SESSION).while_("STATS")?;
    ensure_eq!(stats.handles, PINS as u64, "pins held");
    before.has_grown_by(PINS as i64)?;
    drop(session);
    before.has_grown_by(0)
}

fn big_pin() -> Tested {
    let session = open()?;
    let mapping = memory(&session, Kind::Anon4k, (128 << 20) / session.pmd_size())?;
    let before = Balance::now()?;
    let pages = mapping.pages();
    let pin = session
        .pin(&request(&mapping, pages as u32))
        .while_("PIN")?;
    ensure_eq!(pin.pinned() as usize, pages, "pages pinned");
    let check = pin.check(true).while_("CHECK")?;
    ensure_eq!(check.same as usize, pages, "pages that are the mapped ones");
    pin.write_word((mapping.len() - 8) as u64, 7)
        .while_("DMA")?;
    ensure_eq!(mapping.read(mapping.len() - 8), 7, "the last word");
    before.has_grown_by(pages as i64)?;
    drop(pin);
    before.has_grown_by(0)
}

fn handles_are_new() -> Tested {
    let session = open()?;
    let mapping = memory(&session, Kind::Anon4k, 1)?;
    let mut last = 0;
    for _ in 0..2000 {
        let pin = session.pin(&request(&mapping, 1)).while_("PIN")?;
        ensure!(pin.handle() > last, "{} after {last}", pin.handle());
        last = pin.handle();
    }
    Ok(())
}

fn pins_outlive_mapping() -> Tested {
    let session = open()?;
    let mapping = memory(&session, Kind::Anon4k, 1)?;
    mapping.write(0, 7);
    let before = Balance::now()?;
    let pin = session.pin(&request(&mapping, 1)).while_("PIN")?;
    drop(mapping);
    ensure_eq!(pin.read_word(0).while_("DMA")?, 7, "the word of the page");
    let check = pin.check(false).while_("CHECK")?;
    ensure_eq!((check.same, check.absent), (0, 1), "pages same and absent");
    drop(pin);
    before.has_grown_by(0)
}
