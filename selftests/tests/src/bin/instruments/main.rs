// SPDX-License-Identifier: GPL-2.0
//! What experiments are made of: does each piece of the library do to this kernel what it says?

mod background;
mod faults;
mod kinds;
mod moving;
mod splitting;

use std::process::ExitCode;
use std::sync::atomic::Ordering;
use std::time::Duration;

use guplab::peer::Peer;
use guplab::vmstat::{Smaps, Vmstat};
use guplab::{Errno, Kind, Mapping, Page, Session, SharedPage, Unsupported, page_size};
use guplab_tests::{Not, Test, Tested, While, ensure, ensure_eq, memory, open, run_all};

/// How long anything that happens in the background may take.
const LIMIT: Duration = Duration::from_secs(20);

fn main() -> ExitCode {
    let mut tests = kinds::tests();
    tests.extend(faults::tests());
    tests.extend(moving::tests());
    tests.extend(splitting::tests());
    tests.extend(background::tests());
    tests.extend([
        Test::new("peer: works on a copy of private memory", peer_private),
        Test::new("peer: works on shared memory", peer_shared),
        Test::new("peer: is gone when dropped", peer_is_gone),
        Test::new("vmstat: counts what is done", counters),
        Test::new("pagemap: tells the same page as INSPECT", pagemap),
    ]);
    run_all(&tests)
}

/// What isn't supported makes a test a skip.
fn or_skip<T>(done: Result<T, Unsupported>) -> Result<T, Not> {
    done.map_err(|reason| Not::Skipped(reason.to_string()))
}

fn look(session: &Session, mapping: &Mapping, page: usize) -> Result<Page, Not> {
    let pages = session.inspect(0, mapping.page_addr(page), 1);
    Ok(pages.while_("INSPECT")?[0])
}

/// Writes its number into each page.
fn number_pages(mapping: &Mapping) {
    for page in 0..mapping.pages() {
        mapping.write(page * page_size(), page as u64 + 1);
    }
}

/// Expects the numbers to be there.
fn expect_numbers(mapping: &Mapping, when: &str) -> Tested {
    for page in 0..mapping.pages() {
        let seen = mapping.read(page * page_size());
        ensure_eq!(seen, page as u64 + 1, format!("page {page} {when}"));
    }
    Ok(())
}

/// Has a peer add to a word; returns what the parent then sees in it.
fn peer_adds(kind: Kind) -> Result<u64, Not> {
    let session = open()?;
    let mapping = memory(&session, kind, 1)?;
    mapping.write(0, 1);
    let shared = SharedPage::new().while_("memory for reports")?;
    let add = |arg| mapping.word(0).fetch_add(arg, Ordering::SeqCst);
    let drop_pages = |_| u64::from(mapping.discard_pages(0, mapping.pages()).is_ok());
    let peer = Peer::fork(&shared, &[&add, &drop_pages]).while_("fork")?;
    ensure_eq!(peer.call(0, 10), Ok(1), "the word before the first call");
    ensure_eq!(peer.call(0, 10), Ok(11), "the word before the second call");
    // What the child drops must not take away what the parent has.
    ensure_eq!(peer.call(1, 0), Ok(1), "MADV_DONTNEED in the child");
    Ok(mapping.read(0))
}

fn peer_private() -> Tested {
    ensure_eq!(peer_adds(Kind::Anon4k)?, 1, "the parent's word");
    Ok(())
}

fn peer_shared() -> Tested {
    ensure_eq!(peer_adds(Kind::Shmem)?, 21, "the parent's word");
    Ok(())
}

fn peer_is_gone() -> Tested {
    let shared = SharedPage::new().while_("memory for reports")?;
    let peer = Peer::fork(&shared, &[&|_| 0]).while_("fork")?;
    let pid = rustix::process::Pid::from_raw(peer.pid()).while_("a pid")?;
    ensure_eq!(peer.call(0, 0), Ok(0), "a call");
    drop(peer);
    let there = rustix::process::test_kill_process(pid);
    ensure_eq!(there, Err(Errno::SRCH), "a signal to the process");
    Ok(())
}

fn counters() -> Tested {
    let session = open()?;
    let before = or_skip(Vmstat::fresh())?;
    let mapping = memory(&session, Kind::AnonThp, 2)?;
    let smaps = or_skip(Smaps::of(&mapping))?;
    ensure_eq!(smaps.bytes("Rss"), Some(mapping.len() as u64), "Rss");
    let huge = smaps.bytes("AnonHugePages");
    ensure_eq!(huge, Some(mapping.len() as u64), "AnonHugePages");
    ensure_eq!(smaps.bytes("NoSuchField"), None, "a field that isn't");
    let now = or_skip(Vmstat::fresh())?;
    let grown = or_skip(now.since(&before, "nr_anon_pages"))?;
    ensure!(grown >= 1000, "nr_anon_pages grew by {grown} only");
    Ok(())
}

fn pagemap() -> Tested {
    let session = open()?;
    let mapping = memory(&session, Kind::AnonPteThp, 1)?;
    for page in [0, 1, mapping.pages() - 1] {
        let entry = mapping.pagemap(page).while_("pagemap")?;
        ensure!(entry.is_present() && !entry.is_swap(), "{entry:?}");
        ensure_eq!(
            entry.pfn(),
            look(&session, &mapping, page)?.mapped(),
            "the page frame"
        );
    }
    mapping.discard_pages(1, 1).while_("MADV_DONTNEED")?;
    let entry = mapping.pagemap(1).while_("pagemap")?;
    ensure!(!entry.is_present(), "a dropped page: {entry:?}");
    Ok(())
}
