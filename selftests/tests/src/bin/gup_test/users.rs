// SPDX-License-Identifier: GPL-2.0
//! Several users at once, and the end of each: what one has pinned is nobody else's concern.

use std::fs::read_to_string;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use guplab::gup_test::{LONGTERM_FAST, LONGTERM_WRITE, Whose};
use guplab::{Ended, Errno, GupTest, Kind, Mapping, SharedPage, fork_child, sys};
use guplab_tests::balance::Balance;
use guplab_tests::{Not, Test, Tested, While, ensure, ensure_eq, fail, memory, open, skip};
use rustix::process::Signal;

use crate::longterm::{ensure_read, fill, start_pages};
use crate::open_driver;

const LIMIT: Duration = Duration::from_secs(20);

pub(crate) fn tests() -> Vec<Test> {
    vec![
        Test::new("two files have pins of their own", two_files),
        Test::new("two processes have pins of their own", two_processes),
        Test::new("the last close releases", last_close),
        Test::new("benchmarks leave a pin of another alone", beside_benchmarks),
        Test::new("an open file keeps the module", keeps_module),
    ]
}

fn two_files() -> Tested {
    let session = open()?;
    let maps = [
        memory(&session, Kind::Anon4k, 1)?,
        memory(&session, Kind::Anon4k, 1)?,
    ];
    let to = memory(&session, Kind::Anon4k, 1)?;
    let [one, other] = [open_driver(Whose::Guplab)?, open_driver(Whose::Guplab)?];
    fill(&maps[0], 1000);
    fill(&maps[1], 9000);
    let before = Balance::now()?;
    start_pages(&one, &maps[0], 10, LONGTERM_WRITE).while_("the first START")?;
    start_pages(&other, &maps[1], 300, LONGTERM_WRITE).while_("the second START")?;
    before.has_grown_by(310)?;
    ensure_read(&one, &to, 10, 1000)?;
    ensure_read(&other, &to, 300, 9000)?;
    // A third user comes and goes.
    drop(open_driver(Whose::Guplab)?);
    before.has_grown_by(310)?;
    one.stop().while_("STOP")?;
    before.has_grown_by(300)?;
    ensure_read(&other, &to, 300, 9000)?;
    start_pages(&one, &maps[0], 20, LONGTERM_FAST).while_("START anew")?;
    drop(other);
    before.has_grown_by(20)?;
    ensure_read(&one, &to, 20, 1000)?;
    drop(one);
    before.has_grown_by(0)
}

/// Steps of the child that can go wrong, as its exit code.
const OPEN: i32 = 200;
const START: i32 = 201;
const READ: i32 = 202;

fn two_processes() -> Tested {
    const STATE: usize = 0;
    let session = open()?;
    let mapping = memory(&session, Kind::Anon4k, 1)?;
    let to = memory(&session, Kind::Anon4k, 1)?;
    let shared = SharedPage::new().while_("a shared page")?;
    let driver = open_driver(Whose::Guplab)?;
    fill(&mapping, 1000);
    let before = Balance::now()?;
    let child = fork_child(|| {
        let Ok(own) = GupTest::open(Whose::Guplab) else {
            return OPEN;
        };
        // The same addresses, but not the same pages.
        fill(&mapping, 9000);
        if start_pages(&own, &mapping, 30, LONGTERM_WRITE).is_err() {
            return START;
        }
        shared.set(STATE, 1);
        if !shared.wait_for(STATE, 2, LIMIT) || ensure_read(&own, &to, 30, 9000).is_err() {
            return READ;
        }
        shared.set(STATE, 3);
        shared.wait_for(STATE, 4, LIMIT);
        0
    })
    .while_("fork")?;
    let wait = |state| -> Tested {
        ensure!(
            shared.wait_for(STATE, state, LIMIT),
            "the child did not come to step {state}"
        );
        Ok(())
    };
    wait(1)?;
    start_pages(&driver, &mapping, 40, LONGTERM_WRITE).while_("START beside the child's")?;
    before.has_grown_by(70)?;
    shared.set(STATE, 2);
    ensure_read(&driver, &to, 40, 1000)?;
    wait(3)?;
    child.signal(Signal::KILL).while_("kill")?;
    child.wait(LIMIT).while_("waiting for the child")?;
    before.has_grown_by(40)?;
    ensure_read(&driver, &to, 40, 1000)?;
    drop(driver);
    before.has_grown_by(0)
}

/// An open file that is shared by fork() is one user.
fn last_close() -> Tested {
    const GO: usize = 0;
    let session = open()?;
    let mapping = memory(&session, Kind::Anon4k, 1)?;
    let shared = SharedPage::new().while_("a shared page")?;
    let before = Balance::now()?;
    let driver = open_driver(Whose::Guplab)?;
    start_pages(&driver, &mapping, 10, LONGTERM_WRITE).while_("START")?;
    let child = fork_child(|| i32::from(!shared.wait_for(GO, 1, LIMIT))).while_("fork")?;
    drop(driver);
    before.has_grown_by(10)?;
    shared.set(GO, 1);
    let ended = child.wait(LIMIT).while_("waiting for the child")?;
    ensure_eq!(ended, Ended::Code(0), "the child");
    before.has_grown_by(0)
}

/// Pins a mapping and unpins it until it is told to stop. Returns how often.
fn benchmark(driver: &GupTest, mapping: &Mapping, stop: &AtomicBool) -> Result<u32, Not> {
    let mut rounds = 0;
    while !stop.load(Ordering::Relaxed) {
        let done = driver
            .pin_fast(mapping, 1 + rounds % 70)
            .while_("PIN_FAST_BENCHMARK")?;
        ensure!(done.is_some(), "not all pages were pinned");
        rounds += 1;
    }
    Ok(rounds)
}

fn beside_benchmarks() -> Tested {
    const TIME: Duration = Duration::from_secs(1);
    let session = open()?;
    let mapping = memory(&session, Kind::Anon4k, 1)?;
    let to = memory(&session, Kind::Anon4k, 1)?;
    let [holder, one, other] = [
        open_driver(Whose::Guplab)?,
        open_driver(Whose::Guplab)?,
        open_driver(Whose::Guplab)?,
    ];
    fill(&mapping, 1000);
    let before = Balance::now()?;
    start_pages(&holder, &mapping, 100, LONGTERM_WRITE).while_("START")?;
    let stop = AtomicBool::new(false);
    thread::scope(|scope| -> Tested {
        let threads =
            [&one, &other].map(|driver| scope.spawn(|| benchmark(driver, &mapping, &stop)));
        let end = Instant::now() + TIME;
        let mut read = Ok(());
        while read.is_ok() && Instant::now() < end {
            read = ensure_read(&holder, &to, 100, 1000);
        }
        stop.store(true, Ordering::Relaxed);
        for thread in threads {
            let rounds = thread
                .join()
                .map_err(|_| Not::Failed("a panic".to_owned()))??;
            ensure!(rounds > 0, "a thread did nothing");
        }
        read
    })?;
    before.has_grown_by(100)?;
    drop((one, other));
    before.has_grown_by(100)?;
    drop(holder);
    before.has_grown_by(0)
}

fn users_of_module() -> Result<u64, Not> {
    match read_to_string("/sys/module/guplab/refcnt") {
        Ok(text) => text.trim().parse().while_("refcnt"),
        Err(error) => skip!("/sys/module/guplab/refcnt: {error}"),
    }
}

fn keeps_module() -> Tested {
    let session = open()?;
    let stands_in = !session.has(sys::GUPLAB_FEATURE_IN_TREE_GUP_TEST);
    for (whose, more) in [(Whose::Guplab, 1), (Whose::Usual, u64::from(stands_in))] {
        let before = users_of_module()?;
        let driver = match open_driver(whose) {
            // It may have been left out.
            Err(Not::Skipped(_)) if whose == Whose::Usual => continue,
            opened => opened?,
        };
        let path = whose.path();
        ensure_eq!(users_of_module()?, before + more, format!("{path} is open"));
        drop(driver);
        ensure_eq!(users_of_module()?, before, format!("{path} is closed"));
    }
    // What nobody uses can go: this is asked for only where somebody does.
    let driver = open_driver(Whose::Guplab)?;
    drop(session);
    if users_of_module()? == 0 {
        fail!("nobody uses the module, though a file is open");
    }
    // SAFETY: The name is a C string; without a flag that forces it, the kernel refuses to remove
    // what is in use.
    let returned = unsafe {
        let name = c"guplab".as_ptr();
        libc::syscall(libc::SYS_delete_module, name, libc::O_NONBLOCK)
    };
    let error = Errno::from_io_error(&std::io::Error::last_os_error());
    ensure!(returned != 0, "the module was removed under an open file");
    match error {
        Some(Errno::AGAIN) => driver.stop().while_("STOP after rmmod was refused"),
        Some(Errno::PERM | Errno::NOSYS) => skip!("this process may not remove modules"),
        error => fail!("expected EAGAIN, got {error:?}"),
    }
}
