// SPDX-License-Identifier: GPL-2.0
//! Armed delay points, while tasks come to them, and their processes and sessions end.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{Scope, ScopedJoinHandle, scope, sleep};
use std::time::{Duration, Instant};

use guplab::{
    Delay, DelayRequest, Ended, Errno, Kind, Mapping, Point, Rng, Session, SharedPage, Whom,
    fork_child, sys,
};
use guplab_tests::solo::Solo;
use guplab_tests::{
    Not, Test, Tested, While, ensure, ensure_eq, fail, memory, open, request, skip,
};

use crate::killed::kill;

const LIMIT: Duration = Duration::from_secs(20);
const LONGEST: Duration = Duration::from_nanos(sys::GUPLAB_MAX_DELAY_NS as u64);

pub(crate) fn tests() -> Vec<Test> {
    vec![
        Test::new("points are armed while others pass them", armed_meanwhile),
        Test::new("two threads disarm one delay", disarmed_twice),
        Test::new("a delay outlives its process", outlived),
        Test::new("a killed process leaves no delay", || {
            killed_while_held(Point::TryGrabFolioFast, |solo, mapping| {
                solo.pin(mapping, 1, 0)
                    .and_then(|handle| solo.unpin(handle))
            })
        }),
        Test::new("a process killed in a notifier leaves no delay", || {
            killed_while_held(Point::Notifier, |_, mapping| mapping.discard())
        }),
        Test::new("a killed owner lets go whom it held", owner_killed),
    ]
}

/// How many delays are armed, in all sessions.
fn armed() -> Result<usize, Not> {
    match std::fs::read_to_string("/sys/kernel/debug/guplab/delays") {
        Ok(text) => Ok(text.lines().count()),
        Err(error) => skip!("no debugfs to tell what is armed: {error}"),
    }
}

/// Arms a point, or skips where this kernel doesn't have it.
fn arm<'s>(session: &'s Session, request: &DelayRequest<'_>) -> Result<Delay<'s>, Not> {
    match session.arm(request) {
        Err(Errno::OPNOTSUPP) => skip!("this kernel has no {}", request.point),
        armed => armed.while_("ARM"),
    }
}

fn joined(thread: ScopedJoinHandle<'_, Tested>) -> Tested {
    thread
        .join()
        .map_err(|_| Not::Failed("a thread panicked".into()))?
}

/// Does one thing over and over, until it is enough.
fn over_and_over<'s>(
    scope: &'s Scope<'s, '_>,
    enough: &'s AtomicBool,
    work: impl Fn() -> Tested + Send + 's,
) -> ScopedJoinHandle<'s, Tested> {
    scope.spawn(move || {
        while !enough.load(Ordering::Relaxed) {
            work()?;
        }
        Ok(())
    })
}

fn armed_meanwhile() -> Tested {
    const POINTS: [Point; 3] = [
        Point::TryGrabFolioFast,
        Point::GupLongtermLocked,
        Point::Notifier,
    ];
    let before = armed()?;
    let session = open()?;
    let mapping = memory(&session, Kind::Anon4k, 1)?;
    // While these are armed, the code of the functions stays as it is. QEMU without KVM does not
    // get it right when code is changed that another CPU runs.
    let mut kept = Vec::new();
    for point in POINTS {
        kept.push(
            arm(&session, &DelayRequest::counting(point, Whom::Mm))
                .or_else(|_| arm(&session, &DelayRequest::counting(point, Whom::Process)))?,
        );
    }
    let enough = AtomicBool::new(false);
    scope(|scope| {
        let mut threads: Vec<_> = (0..2)
            .map(|seed| scope.spawn(move || arm_and_disarm(&POINTS, seed)))
            .collect();
        let workers = [
            over_and_over(scope, &enough, || {
                let pin = session.pin(&request(&mapping, 8));
                pin.while_("PIN").map(drop)
            }),
            over_and_over(scope, &enough, || mapping.discard().while_("MADV_DONTNEED")),
        ];
        let ended: Vec<Tested> = threads.drain(..).map(joined).collect();
        enough.store(true, Ordering::Relaxed);
        let worked: Vec<Tested> = workers.into_iter().map(joined).collect();
        ended.into_iter().chain(worked).collect::<Tested>()
    })?;
    for delay in &kept {
        let passes = delay.read().while_("READ")?.passes;
        ensure!(passes > 0, "nobody came to {}", delay.point());
    }
    drop(kept);
    ensure_eq!(armed()?, before, "delays that are armed at the end");
    Ok(())
}

/// Arms pairs of points in a session of its own for a second, or leaves it to the end of the
/// session to disarm them.
fn arm_and_disarm(points: &[Point], seed: u64) -> Tested {
    let mut rng = Rng::with_seed(seed);
    let end = Instant::now() + Duration::from_secs(1);
    while Instant::now() < end {
        let session = open()?;
        let mut request = |partner| DelayRequest {
            partner,
            entry: Duration::from_micros(rng.u64(0..200)),
            return_: Duration::from_micros(rng.u64(0..200)),
            entry_linger: Duration::from_micros(rng.u64(0..50)),
            ..DelayRequest::counting(points[rng.usize(0..points.len())], Whom::Process)
        };
        let first = arm(&session, &request(None))?;
        let second = arm(&session, &request(Some(&first)))?;
        let third = arm(&session, &request(Some(&first)))?;
        sleep(Duration::from_millis(rng.u64(0..5)));
        for delay in [&first, &second, &third] {
            delay.read().while_("READ")?;
        }
        if rng.bool() {
            drop(first);
        } else {
            std::mem::forget((first, second, third));
        }
    }
    Ok(())
}

/// Two threads disarm the same delay at the same time: it is done once, and nothing that another
/// session arms meanwhile is touched.
fn disarmed_twice() -> Tested {
    const ROUNDS: usize = 50;
    let before = armed()?;
    let solo = &Solo::open().while_("open")?;
    let enough = AtomicBool::new(false);
    scope(|scope| {
        let other = over_and_over(scope, &enough, || {
            let solo = Solo::open().while_("open")?;
            let id = solo.arm(Point::Notifier, 0, |_| ()).while_("ARM")?;
            solo.read_delay(id).while_("READ of another session")?;
            solo.disarm(id).while_("DISARM of another session")
        });
        let rounds = (0..ROUNDS).try_for_each(|_| {
            let id = match solo.arm(Point::Notifier, 0, |_| ()) {
                Err(Errno::OPNOTSUPP) => skip!("this kernel has no MMU notifiers"),
                armed => armed.while_("ARM")?,
            };
            let twin = scope.spawn(move || solo.disarm(id));
            let mine = solo.disarm(id);
            let theirs = twin
                .join()
                .map_err(|_| Not::Failed("a thread panicked".into()))?;
            match (mine, theirs) {
                (Ok(()), Err(Errno::NOENT)) | (Err(Errno::NOENT), Ok(())) => Ok(()),
                both => fail!("expected one success and one ENOENT, got {both:?}"),
            }
        });
        enough.store(true, Ordering::Relaxed);
        joined(other).and(rounds)
    })?;
    ensure_eq!(armed()?, before, "delays that are armed at the end");
    Ok(())
}

/// The process for which points are armed ends before they are disarmed.
fn outlived() -> Tested {
    let before = armed()?;
    let shared = SharedPage::new().while_("a shared page")?;
    let solo = Solo::open().while_("open")?;
    for by_hand in [true, false] {
        shared.clear();
        let child = fork_child(|| i32::from(!shared.wait_for(0, 1, LIMIT))).while_("fork")?;
        let pid = child.pid();
        let arm = |point| solo.arm(point, pid, |r| r.entry_ns = 1_000_000);
        let ids = match [Point::Notifier, Point::ZapHugePmd].map(arm) {
            [Err(Errno::OPNOTSUPP), _] => skip!("this kernel has no MMU notifiers"),
            // A kernel without the other function has fewer to forget.
            [first, Err(Errno::OPNOTSUPP)] => vec![first.while_("ARM")?],
            [first, second] => vec![first.while_("ARM")?, second.while_("ARM")?],
        };
        shared.set(0, 1);
        let ended = child.wait(LIMIT).while_("waiting for the child")?;
        ensure_eq!(ended, Ended::Code(0), "the child");
        ensure_eq!(
            arm(Point::Notifier),
            Err(Errno::SRCH),
            "ARM when it is gone"
        );
        for id in ids {
            solo.read_delay(id).while_("READ when it is gone")?;
            if by_hand {
                solo.disarm(id).while_("DISARM when it is gone")?;
            }
        }
    }
    drop(solo);
    ensure_eq!(armed()?, before, "delays that are armed at the end");
    Ok(())
}

/// Kills a child that comes to a point over and over, and is held there, at several moments.
fn killed_while_held(point: Point, work: fn(&Solo, &Mapping) -> guplab::Result<()>) -> Tested {
    const READY: usize = 0;
    const UNKNOWN: u64 = 2;
    let session = open()?;
    let mapping = memory(&session, Kind::Anon4k, 1)?;
    let shared = SharedPage::new().while_("a shared page")?;
    let before = armed()?;
    for milliseconds in [1, 10, 25, 50, 100] {
        shared.clear();
        let child = fork_child(|| {
            let armed = Solo::open().and_then(|solo| {
                let longest = sys::GUPLAB_MAX_DELAY_NS;
                solo.arm(point, 0, |r| (r.entry_ns, r.return_ns) = (longest, longest))?;
                Ok(solo)
            });
            shared.set(READY, if armed.is_ok() { 1 } else { UNKNOWN });
            let Ok(solo) = armed else {
                return 1;
            };
            while work(&solo, &mapping).is_ok() {}
            2
        })
        .while_("fork")?;
        if !shared.wait_for(READY, 1, LIMIT) {
            skip!("{point} can't be armed");
        }
        sleep(Duration::from_millis(milliseconds));
        kill(child)?;
        ensure_eq!(armed()?, before, "delays that are armed");
    }
    Ok(())
}

/// A child has armed the notifiers of this process, and is killed while a thread is held there.
fn owner_killed() -> Tested {
    let session = open()?;
    let mapping = memory(&session, Kind::Anon4k, 1)?;
    let shared = SharedPage::new().while_("a shared page")?;
    let before = armed()?;
    let pid = std::process::id() as i32;
    let range = (mapping.addr() as u64, mapping.len() as u64);
    let child = fork_child(|| {
        let armed = Solo::open().and_then(|solo| {
            solo.arm(Point::Notifier, pid, |r| {
                (r.flags, r.entry_ns) = (sys::GUPLAB_DELAY_ADDR, sys::GUPLAB_MAX_DELAY_NS);
                (r.addr, r.len) = range;
            })?;
            Ok(solo)
        });
        shared.set(0, if armed.is_ok() { 1 } else { 2 });
        i32::from(!shared.wait_for(1, 1, LIMIT))
    })
    .while_("fork")?;
    if !shared.wait_for(0, 1, LIMIT) {
        skip!("the notifiers can't be armed");
    }
    let discard = || -> Result<Duration, Not> {
        let started = Instant::now();
        mapping.discard().while_("MADV_DONTNEED")?;
        Ok(started.elapsed())
    };
    let slow = discard()?;
    let enough = AtomicBool::new(false);
    scope(|scope| {
        let work = over_and_over(scope, &enough, || discard().map(drop));
        sleep(Duration::from_millis(30));
        let killed = kill(child);
        enough.store(true, Ordering::Relaxed);
        joined(work).and(killed)
    })?;
    ensure!(slow >= LONGEST, "nobody was held: {slow:?}");
    ensure_eq!(armed()?, before, "delays that are armed at the end");
    Ok(())
}
