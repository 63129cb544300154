// SPDX-License-Identifier: GPL-2.0
//! START of pages that userfaultfd has yet to bring. That waits only by pin_user_pages_fast(): with
//! the mmap lock held a fault can't wait.

use std::sync::atomic::{AtomicI32, Ordering};
use std::thread::{scope, sleep};
use std::time::{Duration, Instant};

use guplab::gup_test::{LONGTERM_FAST, LONGTERM_WRITE, Whose};
use guplab::{Ended, Errno, GupTest, Kind, Mapping, SharedPage, fork_child};
use guplab_tests::balance::Balance;
use guplab_tests::{Not, Test, Tested, While, ensure, ensure_eq, memory, open, watch};
use rustix::process::Signal;

use crate::longterm::start_pages;
use crate::open_driver;

const LIMIT: Duration = Duration::from_secs(20);
/// Who waits does so for longer than this.
const A_WHILE: Duration = Duration::from_millis(300);
const PAGES: usize = 4;
const FLAGS: u32 = LONGTERM_WRITE | LONGTERM_FAST;

pub(crate) fn tests() -> Vec<Test> {
    vec![
        Test::new("STOP waits for a START", stop_waits),
        Test::new("READ waits for a START", read_waits),
        Test::new("a signal ends the wait for a START", interrupted),
        Test::new("a START that waits can be killed", killed),
    ]
}

extern "C" fn do_nothing(_signal: libc::c_int) {}

/// Sends a thread of this process a signal, which is handled by doing nothing.
fn signal(thread: i32) {
    let handler = do_nothing as extern "C" fn(libc::c_int);
    // SAFETY: The handler does nothing, which may be done at any time.
    unsafe { libc::signal(libc::SIGUSR1, handler as libc::sighandler_t) };
    let process = std::process::id();
    // SAFETY: The signal has a handler now.
    unsafe { libc::syscall(libc::SYS_tgkill, process, thread, libc::SIGUSR1) };
}

/// What a thread does with a file while another one's START waits.
type Act = fn(&GupTest, &Mapping) -> guplab::Result<()>;

/// Has it done, and disturbed by signals if that is asked for. Returns what came of it, and the
/// driver, with START done.
fn meanwhile(act: Act, disturb: bool) -> Result<(guplab::Result<()>, GupTest), Not> {
    let session = open()?;
    let mapping = memory(&session, Kind::Anon4k, 1)?;
    let to = memory(&session, Kind::Anon4k, 1)?;
    let driver = open_driver(Whose::Guplab)?;
    let uffd = watch(&mapping, PAGES - 1)?;
    let thread = AtomicI32::new(0);
    let done = scope(|scope| {
        let starter = scope.spawn(|| start_pages(&driver, &mapping, PAGES, FLAGS));
        let came = uffd.next_fault(LIMIT);
        let actor = scope.spawn(|| {
            let tid = rustix::thread::gettid().as_raw_nonzero().get();
            thread.store(tid, Ordering::Release);
            act(&driver, &to)
        });
        sleep(A_WHILE);
        let waits = !actor.is_finished();
        let end = Instant::now() + LIMIT / 2;
        while disturb && !actor.is_finished() && Instant::now() < end {
            signal(thread.load(Ordering::Acquire));
            sleep(Duration::from_millis(20));
        }
        let ended = actor.is_finished();
        // In any case, or threads would wait for ever.
        let brought = uffd.zeropage(&mapping, PAGES - 1, 1);
        ensure!(came.while_("poll")?.is_some(), "START did not fault");
        brought.while_("UFFDIO_ZEROPAGE")?;
        ensure!(waits, "it did not wait for START");
        ensure_eq!(ended, disturb, "the wait's end before START's");
        let join = |joined: std::thread::Result<_>| {
            joined.map_err(|_| Not::Failed("a thread panicked".to_owned()))
        };
        ensure_eq!(join(starter.join())?, Ok(()), "START");
        join(actor.join())
    })?;
    Ok((done, driver))
}

fn stop_waits() -> Tested {
    let before = Balance::now()?;
    let (done, driver) = meanwhile(|driver, _| driver.stop(), false)?;
    ensure_eq!(done, Ok(()), "STOP");
    // It came after START, and the file is still open.
    before.has_grown_by(0)?;
    drop(driver);
    Ok(())
}

fn read_waits() -> Tested {
    let before = Balance::now()?;
    // SAFETY: The mapping has more pages than START pins.
    let (done, driver) = meanwhile(|driver, to| unsafe { driver.read(to) }, false)?;
    ensure_eq!(done, Ok(()), "READ");
    before.has_grown_by(PAGES as i64)?;
    drop(driver);
    before.has_grown_by(0)
}

fn interrupted() -> Tested {
    // SAFETY: The mapping has more pages than START pins.
    let read: Act = |driver, to| unsafe { driver.read(to) };
    let acts: [(&str, Act); 2] = [("STOP", |driver, _| driver.stop()), ("READ", read)];
    for (name, act) in acts {
        let before = Balance::now()?;
        let (done, driver) = meanwhile(act, true)?;
        ensure_eq!(done, Err(Errno::INTR), name);
        before.has_grown_by(PAGES as i64)?;
        driver.stop().while_("STOP afterwards")?;
        before.has_grown_by(0)?;
    }
    Ok(())
}

fn killed() -> Tested {
    const READY: usize = 0;
    let session = open()?;
    let mapping = memory(&session, Kind::Anon4k, 1)?;
    // If there is no userfaultfd here, the child doesn't have to find out.
    drop(watch(&mapping, PAGES - 1)?);
    let shared = SharedPage::new().while_("a shared page")?;
    let before = Balance::now()?;
    let child = fork_child(|| {
        let (Ok(driver), Ok(_uffd)) = (GupTest::open(Whose::Guplab), watch(&mapping, PAGES - 1))
        else {
            return 1;
        };
        shared.set(READY, 1);
        // Nobody brings the page.
        let _never = start_pages(&driver, &mapping, PAGES, FLAGS);
        3
    })
    .while_("fork")?;
    ensure!(shared.wait_for(READY, 1, LIMIT), "the child did not begin");
    sleep(A_WHILE);
    child.signal(Signal::KILL).while_("kill")?;
    let ended = child.wait(LIMIT).while_("waiting for the child")?;
    ensure_eq!(ended, Ended::Signal(libc::SIGKILL), "the end of the child");
    before.has_grown_by(0)
}
