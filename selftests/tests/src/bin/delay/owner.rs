// SPDX-License-Identifier: GPL-2.0
//! Armed points belong to a session.

use guplab::{Errno, Kind, Point, sys};
use guplab_tests::{Not, Test, Tested, While, ensure_eq, memory, open};

use crate::{arm, counting, pin_once};

pub(crate) fn tests() -> Vec<Test> {
    vec![
        Test::new("closing_disarms", closing_disarms),
        Test::new(
            "sessions_do_not_see_each_other",
            sessions_do_not_see_each_other,
        ),
        Test::new("there_is_a_bound", there_is_a_bound),
        Test::new("a_fifth_watcher_misses_calls", a_fifth_watcher_misses_calls),
    ]
}

fn closing_disarms() -> Tested {
    let armed = || -> Result<usize, Not> {
        let text = std::fs::read_to_string("/sys/kernel/debug/guplab/delays");
        Ok(text.while_("reading debugfs")?.lines().count())
    };
    let session = open()?;
    let before = armed()?;
    let delay = arm(&session, &counting(Point::TryGrabFolioFast))?;
    ensure_eq!(armed()?, before + 1, "armed points in debugfs");
    // The descriptor is closed by the session; the point is not disarmed by hand.
    std::mem::forget(delay);
    drop(session);
    ensure_eq!(armed()?, before, "armed points after close");
    Ok(())
}

fn sessions_do_not_see_each_other() -> Tested {
    let (one, other) = (open()?, open()?);
    let mapping = memory(&one, Kind::Anon4k, 1)?;
    let mine = arm(&one, &counting(Point::TryGrabFolioFast))?;
    let theirs = arm(&other, &counting(Point::TryGrabFolioFast))?;
    pin_once(&one, &mapping, 1)?;
    drop(theirs);
    pin_once(&one, &mapping, 1)?;
    ensure_eq!(mine.read().while_("reading")?.passes, 2, "calls");
    Ok(())
}

fn there_is_a_bound() -> Tested {
    let session = open()?;
    let mut delays = Vec::new();
    for _ in 0..sys::GUPLAB_MAX_DELAYS {
        delays.push(arm(&session, &counting(Point::TryGrabFolioFast))?);
    }
    let more = session.arm(&counting(Point::TryGrabFolioFast));
    ensure_eq!(more.err(), Some(Errno::NOSPC), "one more");
    drop(delays);
    arm(&session, &counting(Point::TryGrabFolioFast))?;
    Ok(())
}

/// Four armed points can watch one call; others say that they missed it.
fn a_fifth_watcher_misses_calls() -> Tested {
    let session = open()?;
    let mapping = memory(&session, Kind::Anon4k, 1)?;
    let mut watchers = Vec::new();
    for _ in 0..5 {
        watchers.push(arm(&session, &counting(Point::TryGrabFolioFast))?);
    }
    pin_once(&session, &mapping, 3)?;
    let (mut passes, mut missed) = (0, 0);
    for watcher in &watchers {
        let counts = watcher.read().while_("reading")?;
        ensure_eq!(counts.passes + counts.missed, 3, "calls, seen and missed");
        passes += counts.passes;
        missed += counts.missed;
    }
    ensure_eq!((passes, missed), (12, 3), "calls seen, and missed");
    Ok(())
}
