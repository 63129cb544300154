// SPDX-License-Identifier: GPL-2.0
//! One session in several processes and threads.

use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use guplab::{Ended, Errno, Kind, Mapping, PinRequest, Rng, Session, SharedPage, Way, fork_child};
use guplab::{page_size, sys};
use guplab_tests::balance::Balance;
use guplab_tests::solo::Solo;
use guplab_tests::{Not, Test, Tested, While, ensure, ensure_eq, fail, memory, open, request};

use crate::held_pages;

const LIMIT: Duration = Duration::from_secs(20);

pub(crate) fn tests() -> Vec<Test> {
    vec![
        Test::new("a child that ends leaves its parent's pins", child_ends),
        Test::new("pins stay until the last close", last_close),
        Test::new("threads share a session", threads),
    ]
}

fn child_ends() -> Tested {
    let session = open()?;
    let mapping = memory(&session, Kind::Anon4k, 1)?;
    mapping.write(0, 7);
    let before = Balance::now()?;
    let pin = session.pin(&request(&mapping, 10)).while_("PIN")?;
    let handle = pin.handle();
    let child = fork_child(|| match Solo::inherit(&session) {
        Ok(solo) => i32::from(solo.read(handle) != Ok(7)),
        Err(_) => 2,
    })
    .while_("fork")?;
    let ended = child.wait(LIMIT).while_("waiting for the child")?;
    ensure_eq!(ended, Ended::Code(0), "DMA by the child");
    ensure_eq!(held_pages(&session)?, 10, "pages held");
    before.has_grown_by(10)?;
    ensure_eq!(pin.read_word(0).while_("DMA")?, 7, "the word");
    drop(pin);
    before.has_grown_by(0)
}

fn last_close() -> Tested {
    const GO: usize = 0;
    let session = open()?;
    let mapping = memory(&session, Kind::Anon4k, 1)?;
    let shared = SharedPage::new().while_("a shared page")?;
    let before = Balance::now()?;
    std::mem::forget(session.pin(&request(&mapping, 10)).while_("PIN")?);
    let child = fork_child(|| i32::from(!shared.wait_for(GO, 1, LIMIT))).while_("fork")?;
    drop(session);
    before.has_grown_by(10)?;
    shared.set(GO, 1);
    let ended = child.wait(LIMIT).while_("waiting for the child")?;
    ensure_eq!(ended, Ended::Code(0), "the child");
    before.has_grown_by(0)
}

fn threads() -> Tested {
    const THREADS: u64 = 4;
    let session = open()?;
    let mapping = memory(&session, Kind::Anon4k, 1)?;
    let before = Balance::now()?;
    // A handle of which every thread may take hold: its owner may unpin it at any time.
    let passed_on = AtomicU64::new(0);
    let rounds = thread::scope(|scope| {
        let work = |seed| {
            let (session, mapping, passed_on) = (&session, &mapping, &passed_on);
            scope.spawn(move || worker(session, mapping, passed_on, seed))
        };
        let workers: Vec<_> = (0..THREADS).map(work).collect();
        workers
            .into_iter()
            .map(|worker| worker.join().map_err(|_| Not::Failed("a panic".into()))?)
            .sum::<Result<u64, Not>>()
    })?;
    ensure!(rounds >= THREADS, "{rounds} rounds only");
    ensure_eq!(held_pages(&session)?, 0, "pages held at the end");
    drop(session);
    before.has_grown_by(0)
}

/// Pins, uses and unpins for a second. Returns how often.
fn worker(
    session: &Session,
    mapping: &Mapping,
    passed_on: &AtomicU64,
    seed: u64,
) -> Result<u64, Not> {
    let mut rng = Rng::with_seed(seed);
    let end = Instant::now() + Duration::from_secs(1);
    let mut rounds = 0;
    let ways: Vec<Way> = Way::ALL
        .into_iter()
        .filter(|&way| session.can(way))
        .collect();
    while Instant::now() < end {
        let nr_pages = rng.u32(1..=32);
        let first = rng.usize(0..=mapping.pages() - nr_pages as usize);
        let way = ways[rng.usize(0..ways.len())];
        let request = PinRequest::new(mapping.page_addr(first), nr_pages, way, 0);
        let pin = match session.pin(&request) {
            Ok(pin) => pin,
            Err(Errno::FAULT) if way.is_only() => continue,
            Err(error) => fail!("PIN: {error}"),
        };
        passed_on.store(pin.handle(), Ordering::Relaxed);
        let last = u64::from(pin.pinned()) * page_size() as u64 - 8;
        pin.read_word(last).while_("DMA")?;
        pin.pages().while_("INSPECT")?;
        let check = pin.check(true).while_("CHECK")?;
        ensure_eq!(check.same, pin.pinned(), "pages that are the mapped ones");

        let solo = Solo::inherit(session).while_("dup")?;
        match solo.read(passed_on.load(Ordering::Relaxed)) {
            Ok(_) | Err(Errno::NOENT) => {}
            Err(error) => fail!("DMA of another thread's pin: {error}"),
        }
        drop(solo);
        session.stats(sys::GUPLAB_STATS_MODULE).while_("STATS")?;
        rounds += 1;
    }
    Ok(rounds)
}
