// SPDX-License-Identifier: GPL-2.0
//! Partners.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use guplab::{DelayRequest, Kind, Point, cpu, fork_child};
use guplab_tests::{Not, Test, Tested, While, ensure, ensure_eq, memory, open, skip};

use crate::{LIMIT, MILLISECOND, all_of, arm, counting, pin_once};

pub(crate) fn tests() -> Vec<Test> {
    vec![
        Test::new("partners_meet", || partners_meet(false)),
        Test::new("partners_meet_at_return", || partners_meet(true)),
        Test::new("a_partner_is_told_of_nobody_else", changed_partner),
        Test::new("a_partner_may_be_disarmed", partner_is_disarmed),
    ]
}

/// Two threads that wait for each other meet.
fn partners_meet(at_return: bool) -> Tested {
    let session = open()?;
    if cpu::allowed().while_("reading CPUs")?.len() < 2 {
        skip!("it takes two CPUs");
    }
    let mapping = memory(&session, Kind::Anon4k, 1)?;
    let times = |time: Duration| match at_return {
        false => (time, Duration::ZERO),
        true => (Duration::ZERO, time),
    };
    let (entry, return_) = times(2 * MILLISECOND);
    let first = DelayRequest {
        entry,
        return_,
        ..counting(Point::TryGrabFolioFast)
    };
    let first = arm(&session, &first)?;
    let (entry, return_) = times(20 * MILLISECOND);
    let second = DelayRequest {
        entry,
        return_,
        partner: Some(&first),
        range: all_of(&mapping),
        ..counting(Point::CopyPageRange)
    };
    let second = arm(&session, &second)?;
    let enough = AtomicBool::new(false);
    let (a, b) = thread::scope(|scope| {
        let pinner = scope.spawn(|| -> Tested {
            while !enough.load(Ordering::Relaxed) {
                pin_once(&session, &mapping, 1)?;
            }
            Ok(())
        });
        let deadline = Instant::now() + LIMIT;
        let forks = || -> Result<_, Not> {
            loop {
                let child = fork_child(|| 0).while_("forking")?;
                child.wait(LIMIT).while_("waiting")?;
                let counts = (
                    first.read().while_("reading")?,
                    second.read().while_("reading")?,
                );
                if counts.0.met + counts.1.met > 0 || Instant::now() > deadline {
                    return Ok(counts);
                }
            }
        };
        let counts = forks();
        enough.store(true, Ordering::Relaxed);
        pinner
            .join()
            .map_err(|_| Not::Failed("a thread panicked".into()))??;
        counts
    })?;
    ensure!(a.met + b.met > 0, "they never met: {a:?} {b:?}");
    ensure!(a.held + b.held > 0, "nobody was held: {a:?} {b:?}");
    ensure!(
        a.gaps.iter().chain(&b.gaps).sum::<u64>() > 0,
        "no time between the two was recorded"
    );
    Ok(())
}

/// A third point takes the second's place as the partner of the first. What passes the second is no
/// matter of the first any more.
fn changed_partner() -> Tested {
    let session = open()?;
    let mapping = memory(&session, Kind::Anon4k, 1)?;
    let first = arm(&session, &counting(Point::GupLongtermLocked))?;
    let with_first = |point| {
        let request = DelayRequest {
            partner: Some(&first),
            ..counting(point)
        };
        arm(&session, &request)
    };
    let second = with_first(Point::TryGrabFolioFast)?;
    let _third = with_first(Point::CopyPageRange)?;
    // The slow path is passed, and then the fast one.
    mapping.discard().while_("discarding")?;
    pin_once(&session, &mapping, 1)?;
    pin_once(&session, &mapping, 1)?;
    let counts = second.read().while_("reading")?;
    ensure_eq!(counts.passes, 1, "calls");
    ensure_eq!(counts.gaps.iter().sum::<u64>(), 0, "times told");
    Ok(())
}

/// Who waits for a partner that is armed no longer is alone.
fn partner_is_disarmed() -> Tested {
    let session = open()?;
    let mapping = memory(&session, Kind::Anon4k, 1)?;
    let first = arm(&session, &counting(Point::GupLongtermLocked))?;
    let second = DelayRequest {
        partner: Some(&first),
        entry: MILLISECOND,
        ..counting(Point::TryGrabFolioFast)
    };
    let second = arm(&session, &second)?;
    drop(first);
    // This may get what the partner had.
    let _other = arm(&session, &counting(Point::GupLongtermLocked))?;
    pin_once(&session, &mapping, 1)?;
    let counts = second.read().while_("reading")?;
    ensure_eq!((counts.passes, counts.met), (1, 0), "calls and meetings");
    ensure_eq!((counts.held, counts.alone), (1, 0), "delays");
    Ok(())
}
