// SPDX-License-Identifier: GPL-2.0
//! How long tasks are held.

use std::thread;
use std::time::{Duration, Instant};

use guplab::{DelayRequest, Kind, Mapping, Point, Session, Tracer, Whom, sys};
use guplab_tests::{Not, Test, Tested, While, ensure, ensure_eq, fail, memory, open, skip};

use crate::{LIMIT, MILLISECOND, all_of, arm, counting, pin_once};

const LONGEST: Duration = Duration::from_nanos(sys::GUPLAB_MAX_DELAY_NS as u64);

pub(crate) fn tests() -> Vec<Test> {
    vec![
        Test::new("a_delay_at_entry_takes_its_time", || {
            a_delay_takes_its_time(false)
        }),
        Test::new("a_delay_at_return_takes_its_time", || {
            a_delay_takes_its_time(true)
        }),
        Test::new(
            "with_interrupts_off_a_delay_is_short",
            with_interrupts_off_a_delay_is_short,
        ),
        Test::new("a_point_rests_after_a_delay", a_point_rests_after_a_delay),
        Test::new(
            "a_paused_point_neither_delays_nor_counts",
            a_paused_point_neither_delays_nor_counts,
        ),
        Test::new("resuming_ends_a_rest", resuming_ends_a_rest),
        Test::new(
            "a_paused_point_knows_who_is_inside",
            a_paused_point_knows_who_is_inside,
        ),
        Test::new("notifiers_are_a_point", notifiers_are_a_point),
        Test::new("disarming_a_function_waits_for_the_held", || {
            disarming_waits_for_the_held(Point::GupLongtermLocked, |session, mapping| {
                pin_once(session, mapping, 1).map(|_| ())
            })
        }),
        Test::new("disarming_notifiers_waits_for_the_held", || {
            disarming_waits_for_the_held(Point::Notifier, |_, mapping| {
                mapping.discard().while_("discarding")
            })
        }),
        Test::new("a_delay_is_traced", a_delay_is_traced),
    ]
}

fn a_delay_takes_its_time(at_return: bool) -> Tested {
    let session = open()?;
    let mapping = memory(&session, Kind::Anon4k, 1)?;
    let (entry, return_) = match at_return {
        false => (MILLISECOND, Duration::ZERO),
        true => (Duration::ZERO, MILLISECOND),
    };
    let slow = DelayRequest {
        entry,
        return_,
        ..counting(Point::TryGrabFolioFast)
    };
    let slow = arm(&session, &slow)?;
    let took = pin_once(&session, &mapping, 1)?;
    ensure!(took >= MILLISECOND, "the pin took {took:?} only");
    let counts = slow.read().while_("reading")?;
    ensure_eq!(counts.held, 1, "delays");
    ensure!(
        counts.held_ns >= 1_000_000,
        "held for {} ns",
        counts.held_ns
    );
    Ok(())
}

/// The host may take a CPU away for any time, but not every time.
fn with_interrupts_off_a_delay_is_short() -> Tested {
    const ATTEMPTS: usize = 5;
    let session = open()?;
    let mapping = memory(&session, Kind::Anon4k, 1)?;
    let mut seen = Vec::new();
    for _ in 0..ATTEMPTS {
        let slow = DelayRequest {
            entry: LONGEST,
            ..counting(Point::TryGrabFolioFast)
        };
        let slow = arm(&session, &slow)?;
        pin_once(&session, &mapping, 1)?;
        let counts = slow.read().while_("reading")?;
        ensure_eq!(counts.held, 1, "delays");
        ensure!(
            counts.longest_ns >= u64::from(sys::GUPLAB_MAX_IRQS_OFF_NS),
            "held for {} ns",
            counts.longest_ns
        );
        if counts.longest_ns < 10_000_000 {
            return Ok(());
        }
        seen.push(counts.longest_ns);
    }
    fail!("held for {seen:?} ns, as if the bound were that of other delays")
}

fn a_point_rests_after_a_delay() -> Tested {
    let session = open()?;
    let mapping = memory(&session, Kind::Anon4k, 1)?;
    let slow = DelayRequest {
        entry: MILLISECOND,
        ..counting(Point::TryGrabFolioFast)
    };
    let slow = arm(&session, &slow)?;
    let pages = mapping.pages() as u32;
    pin_once(&session, &mapping, pages)?;
    let counts = slow.read().while_("reading")?;
    ensure_eq!(counts.passes, u64::from(pages), "calls");
    ensure!(
        counts.held < u64::from(pages) / 2,
        "{} of {pages} calls were held",
        counts.held
    );
    Ok(())
}

fn a_paused_point_neither_delays_nor_counts() -> Tested {
    let session = open()?;
    let mapping = memory(&session, Kind::Anon4k, 1)?;
    let slow = DelayRequest {
        entry: MILLISECOND,
        return_: MILLISECOND,
        ..counting(Point::TryGrabFolioFast)
    };
    let slow = arm(&session, &slow)?;
    session.pause_delays().while_("pausing")?;
    pin_once(&session, &mapping, 1)?;
    let counts = slow.read().while_("reading")?;
    ensure_eq!((counts.passes, counts.held), (0, 0), "passes, delays");
    session.resume_delays().while_("resuming")?;
    pin_once(&session, &mapping, 1)?;
    let counts = slow.read().while_("reading")?;
    ensure_eq!(counts.passes, 1, "passes after it was resumed");
    ensure!(counts.held >= 1, "no delay after it was resumed");
    Ok(())
}

fn resuming_ends_a_rest() -> Tested {
    const ROUNDS: u64 = 10;
    let session = open()?;
    let mapping = memory(&session, Kind::Anon4k, 1)?;
    let slow = DelayRequest {
        entry: LONGEST,
        ..counting(Point::GupLongtermLocked)
    };
    let slow = arm(&session, &slow)?;
    for _ in 0..ROUNDS {
        // Without that it would rest for 20 ms.
        session.resume_delays().while_("resuming")?;
        mapping.discard().while_("discarding")?;
        pin_once(&session, &mapping, 1)?;
    }
    let counts = slow.read().while_("reading")?;
    ensure_eq!(
        (counts.passes, counts.held),
        (ROUNDS, ROUNDS),
        "passes, delays"
    );
    Ok(())
}

/// Who looks may come too late on a loaded machine: nobody is held for long.
const TRIES: u32 = 5;

/// A thread is inside when the point is resumed, and another time when it is paused.
fn a_paused_point_knows_who_is_inside() -> Tested {
    let (session, holder) = (open()?, open()?);
    let mapping = memory(&session, Kind::AnonThp, 1)?;
    let watched = DelayRequest {
        range: all_of(&mapping),
        return_: Duration::from_nanos(1),
        ..DelayRequest::counting(Point::Notifier, Whom::Mm)
    };
    let watched = arm(&session, &watched)?;
    let held = DelayRequest {
        range: all_of(&mapping),
        entry: LONGEST,
        return_: Duration::from_nanos(1),
        ..counting(Point::ZapHugePmd)
    };
    let held = arm(&holder, &held)?;
    let seen_inside = |paused_first: bool| -> Result<bool, Not> {
        let set = |paused| match paused {
            true => session.pause_delays().while_("pausing"),
            false => session.resume_delays().while_("resuming"),
        };
        mapping.renew(&session).while_("mapping anew")?;
        holder.resume_delays().while_("resuming")?;
        set(paused_first)?;
        let is_inside = thread::scope(|scope| {
            let passing = scope.spawn(|| mapping.discard());
            let came = held.wait(LIMIT);
            let is_inside = watched.wait(Duration::ZERO);
            set(!paused_first)?;
            let done = passing.join();
            done.map_err(|_| Not::Failed("a thread panicked".into()))?
                .while_("discarding")?;
            Ok(came && is_inside)
        })?;
        ensure!(!watched.wait(Duration::ZERO), "somebody seems to be inside");
        Ok(is_inside)
    };
    for paused_first in [true, false] {
        let mut tries = 0;
        while !seen_inside(paused_first)? {
            tries += 1;
            ensure!(tries < TRIES, "nobody was seen inside in {TRIES} tries");
        }
    }
    Ok(())
}

fn notifiers_are_a_point() -> Tested {
    let session = open()?;
    let mapping = memory(&session, Kind::Anon4k, 1)?;
    let slow = DelayRequest {
        range: all_of(&mapping),
        entry: MILLISECOND,
        return_: MILLISECOND,
        ..DelayRequest::counting(Point::Notifier, Whom::Mm)
    };
    let slow = arm(&session, &slow)?;
    mapping.discard().while_("discarding")?;
    let counts = slow.read().while_("reading")?;
    ensure_eq!(counts.passes, 1, "invalidations");
    // One at the start, and one at the end only if there was time to rest.
    ensure!((1..=2).contains(&counts.held), "{} delays", counts.held);
    ensure!(
        counts.held_ns >= 1_000_000,
        "held for {} ns",
        counts.held_ns
    );
    Ok(())
}

/// A thread comes to a point and is held there for as long as may be. Whoever disarms it meanwhile
/// has to wait for the end of that.
fn disarming_waits_for_the_held(point: Point, pass: fn(&Session, &Mapping) -> Tested) -> Tested {
    const ATTEMPTS: usize = 20;
    let session = open()?;
    let mapping = memory(&session, Kind::Anon4k, 1)?;
    let request = DelayRequest {
        range: all_of(&mapping),
        entry: LONGEST,
        ..counting(point)
    };
    let request = DelayRequest {
        // The notifiers have no other.
        whom: match point {
            Point::Notifier => Whom::Mm,
            _ => Whom::Process,
        },
        ..request
    };
    for _ in 0..ATTEMPTS {
        mapping.discard().while_("discarding")?;
        let slow = arm(&session, &request)?;
        let (started, in_the_middle, disarmed) = thread::scope(|scope| {
            let passing = scope.spawn(|| -> Result<Instant, Not> {
                let started = Instant::now();
                pass(&session, &mapping).map(|()| started)
            });
            let deadline = Instant::now() + LIMIT;
            let counts = loop {
                let counts = slow.read().while_("reading")?;
                if counts.passes > 0 || Instant::now() > deadline {
                    break counts;
                }
                thread::yield_now();
            };
            drop(slow);
            let disarmed = Instant::now();
            let started = passing
                .join()
                .map_err(|_| Not::Failed("a thread panicked".into()))??;
            ensure_eq!(counts.passes, 1, "calls");
            Ok((started, counts.held == 0, disarmed))
        })?;
        if in_the_middle {
            let took = disarmed - started;
            ensure!(took >= LONGEST, "disarmed after {took:?}, amid a delay");
            return Ok(());
        }
    }
    skip!("in {ATTEMPTS} attempts no delay was seen going on")
}

fn a_delay_is_traced() -> Tested {
    let session = open()?;
    let mapping = memory(&session, Kind::Anon4k, 1)?;
    let slow = DelayRequest {
        entry: MILLISECOND,
        ..counting(Point::TryGrabFolioFast)
    };
    let slow = arm(&session, &slow)?;
    let tracer = match Tracer::start() {
        Ok(tracer) => tracer,
        Err(reason) => skip!("no trace: {reason}"),
    };
    pin_once(&session, &mapping, 1)?;
    let mut events = tracer.take().while_("reading the trace")?;
    drop(slow);
    events.retain(|event| {
        event.name == "guplab_window" && event.field("point") == Some("try_grab_folio_fast")
    });
    let [event] = &events[..] else {
        fail!("expected one event, got {events:?}");
    };
    ensure_eq!(event.field("side"), Some("entry"), "side");
    ensure_eq!(event.number("met"), Some(0), "meetings");
    let held = event.number("held_ns").unwrap_or(0);
    ensure!(held >= 1_000_000, "it tells of {held} ns: {event:?}");
    Ok(())
}
