// SPDX-License-Identifier: GPL-2.0
//! Processes that end in the middle.

use std::thread::sleep;
use std::time::{Duration, Instant};

use guplab::{Child, Ended, Errno, Kind, Mapping, SharedPage, fork_child, sys};
use guplab_tests::balance::Balance;
use guplab_tests::solo::Solo;
use guplab_tests::{Not, Test, Tested, While, ensure, ensure_eq, fail, memory, open, skip};
use rustix::process::Signal;

const LIMIT: Duration = Duration::from_secs(20);
/// A killed process must be gone after this time.
const QUICKLY: Duration = Duration::from_secs(5);

// Words of the page of rendezvous.
const READY: usize = 0;
const CALLS: usize = 1;
const ELAPSED: usize = 2;

pub(crate) fn tests() -> Vec<Test> {
    vec![
        Test::new("a killed process leaves no pin", killed_while_holding),
        Test::new("a killed hammer ends and leaves no pin", || {
            killed_at_work(Kind::Anon4k, 1, |solo, mapping| {
                solo.hammer(mapping, sys::GUPLAB_MAX_NS).0
            })
        }),
        Test::new("a killed collapse ends", || {
            let session = open()?;
            if !session.has(sys::GUPLAB_FEATURE_COLLAPSE) {
                skip!("COLLAPSE does not work on this kernel");
            }
            killed_at_work(Kind::Anon4k, 32, |solo, mapping| {
                mapping.discard()?;
                for page in 0..mapping.pages() {
                    mapping.write(page * guplab::page_size(), 1);
                }
                solo.collapse(mapping, 0).map(|_| ())
            })
        }),
        Test::new("a signal interrupts hammer", interrupted),
    ]
}

fn killed_while_holding() -> Tested {
    let session = open()?;
    let mapping = memory(&session, Kind::Anon4k, 1)?;
    let shared = SharedPage::new().while_("a shared page")?;
    let before = Balance::now()?;
    let child = fork_child(|| {
        let held = Solo::open().and_then(|solo| {
            for _ in 0..10 {
                solo.pin(&mapping, 10, sys::GUPLAB_PIN_WRITE)?;
            }
            Ok(solo)
        });
        let Ok(_solo) = held else {
            return 1;
        };
        shared.set(READY, 1);
        shared.wait_for(READY, 2, LIMIT);
        2
    })
    .while_("fork")?;
    ensure!(shared.wait_for(READY, 1, LIMIT), "the child could not pin");
    before.has_grown_by(100)?;
    kill(child)?;
    before.has_grown_by(0)
}

/// Kills a child, which must be gone soon.
pub(crate) fn kill(child: Child) -> Tested {
    child.signal(Signal::KILL).while_("kill")?;
    let start = Instant::now();
    let ended = child.wait(LIMIT).while_("waiting for the child")?;
    ensure_eq!(ended, Ended::Signal(libc::SIGKILL), "the end of the child");
    ensure!(
        start.elapsed() < QUICKLY,
        "it took {:?} to end",
        start.elapsed()
    );
    Ok(())
}

/// Kills a child that does one thing over and over, at several moments.
fn killed_at_work(
    kind: Kind,
    pmds: usize,
    work: fn(&Solo, &Mapping) -> guplab::Result<()>,
) -> Tested {
    let session = open()?;
    let mapping = memory(&session, kind, pmds)?;
    let shared = SharedPage::new().while_("a shared page")?;
    let before = Balance::now()?;
    for milliseconds in [1, 10, 50, 200] {
        shared.clear();
        let child = fork_child(|| {
            let Ok(solo) = Solo::open() else {
                return 1;
            };
            shared.set(READY, 1);
            loop {
                if work(&solo, &mapping).is_err() {
                    return 2;
                }
            }
        })
        .while_("fork")?;
        ensure!(shared.wait_for(READY, 1, LIMIT), "the child did not begin");
        sleep(Duration::from_millis(milliseconds));
        kill(child)?;
        before.has_grown_by(0)?;
    }
    Ok(())
}

extern "C" fn do_nothing(_signal: libc::c_int) {}

/// Has SIGALRM sent in a second, and handled by doing nothing.
fn alarm_in_a_second() {
    let handler = do_nothing as extern "C" fn(libc::c_int);
    // SAFETY: The handler does nothing, which may be done at any time.
    unsafe { libc::signal(libc::SIGALRM, handler as libc::sighandler_t) };
    // SAFETY: It has a handler now.
    unsafe { libc::alarm(1) };
}

fn interrupted() -> Tested {
    const NO_SESSION: i32 = 200;
    let session = open()?;
    let mapping = memory(&session, Kind::Anon4k, 1)?;
    let shared = SharedPage::new().while_("a shared page")?;
    let before = Balance::now()?;
    let child = fork_child(|| {
        let Ok(solo) = Solo::open() else {
            return NO_SESSION;
        };
        alarm_in_a_second();
        let (done, hammer) = solo.hammer(&mapping, 15_000_000_000);
        shared.set(CALLS, hammer.calls);
        shared.set(ELAPSED, hammer.elapsed_ns);
        done.map_or_else(Errno::raw_os_error, |()| 0)
    })
    .while_("fork")?;
    match child.wait(LIMIT).while_("waiting for the child")? {
        Ended::Code(libc::EINTR) => {}
        Ended::Code(0) => fail!("the signal did not end HAMMER"),
        ended => fail!("the child ended with {ended:?}"),
    }
    let (calls, elapsed) = (shared.get(CALLS), shared.get(ELAPSED));
    ensure!(calls > 0, "no calls were reported");
    ensure!(
        (1..10_000_000_000).contains(&elapsed),
        "{elapsed} ns were reported"
    );
    before.has_grown_by(0)?;
    Ok::<(), Not>(())
}
