// SPDX-License-Identifier: GPL-2.0
//! Which calls concern an armed point: whose, on whose memory, and where.

use guplab::{DelayRequest, Ended, Kind, Mapping, Point, Whom, fork_child, page_size, sys};
use guplab_tests::solo::{Solo, exit_code};
use guplab_tests::{Test, Tested, While, ensure_eq, fail, memory, open, skip};

use crate::{LIMIT, all_of, arm, counting, pin_once};

pub(crate) fn tests() -> Vec<Test> {
    vec![
        Test::new("every_call_is_counted", every_call_is_counted),
        Test::new(
            "fallbacks_are_told_by_address",
            fallbacks_are_told_by_address,
        ),
        Test::new("fork_is_told_by_address", fork_is_told_by_address),
        Test::new("notifiers_are_told_by_address", notifiers_by_address),
        Test::new("other_processes_are_not_held", other_processes_are_not_held),
        Test::new("a_remote_pin_concerns_the_memory", || {
            work_of_another_process_concerns_the_memory(
                Point::GupLongtermLocked,
                |solo, mapping, pid| exit_code(solo.pin_remote(mapping, 4, pid)),
            )
        }),
        Test::new("a_remote_collapse_concerns_the_memory", || {
            if !open()?.has(sys::GUPLAB_FEATURE_COLLAPSE) {
                skip!("COLLAPSE does not work on this kernel");
            }
            work_of_another_process_concerns_the_memory(
                Point::PmdpCollapseFlush,
                |solo, mapping, pid| solo.collapse(mapping, pid).map_or(1, |result| -result),
            )
        }),
    ]
}

fn every_call_is_counted() -> Tested {
    let session = open()?;
    let mapping = memory(&session, Kind::Anon4k, 1)?;
    let grabs = arm(&session, &counting(Point::TryGrabFolioFast))?;
    for _ in 0..10 {
        pin_once(&session, &mapping, 3)?;
    }
    let counts = grabs.read().while_("reading")?;
    ensure_eq!(counts.passes, 30, "calls of try_grab_folio_fast()");
    ensure_eq!(counts.irqs_off, 30, "those with interrupts off");
    ensure_eq!(
        (counts.held, counts.met, counts.missed),
        (0, 0, 0),
        "delays"
    );
    Ok(())
}

fn fallbacks_are_told_by_address() -> Tested {
    let session = open()?;
    let mapping = memory(&session, Kind::Anon4k, 1)?;
    let slow = DelayRequest {
        range: Some((mapping.addr(), page_size())),
        ..counting(Point::GupLongtermLocked)
    };
    let slow = arm(&session, &slow)?;
    let passes = || slow.read().map(|counts| counts.passes).while_("reading");
    // Nothing is mapped, so fast GUP has to leave it to the slow path.
    mapping.discard().while_("discarding")?;
    pin_once(&session, &mapping, 1)?;
    ensure_eq!(passes()?, 1, "fallbacks");
    pin_once(&session, &mapping, 1)?;
    ensure_eq!(passes()?, 1, "fallbacks for what is mapped");
    let elsewhere = guplab::PinRequest::new(
        mapping.page_addr(7),
        1,
        guplab::Way::PinFast,
        sys::GUPLAB_PIN_WRITE,
    );
    drop(session.pin(&elsewhere).while_("pinning")?);
    ensure_eq!(passes()?, 1, "fallbacks elsewhere");
    Ok(())
}

fn fork_is_told_by_address() -> Tested {
    let session = open()?;
    let mapping = memory(&session, Kind::Anon4k, 1)?;
    let copies = DelayRequest {
        range: all_of(&mapping),
        ..counting(Point::CopyPageRange)
    };
    let copies = arm(&session, &copies)?;
    for _ in 0..3 {
        let child = fork_child(|| 0).while_("forking")?;
        child.wait(LIMIT).while_("waiting")?;
    }
    let counts = copies.read().while_("reading")?;
    ensure_eq!(counts.passes, 3, "copies of the VMA");
    Ok(())
}

fn notifiers_by_address() -> Tested {
    let session = open()?;
    let mapping = memory(&session, Kind::Anon4k, 1)?;
    let invalidations = DelayRequest {
        range: all_of(&mapping),
        ..DelayRequest::counting(Point::Notifier, Whom::Mm)
    };
    let invalidations = arm(&session, &invalidations)?;
    let passes = || {
        let counts = invalidations.read();
        counts.map(|counts| counts.passes).while_("reading")
    };
    mapping.discard().while_("discarding")?;
    ensure_eq!(passes()?, 1, "invalidations");
    let other = memory(&session, Kind::Anon4k, 1)?;
    other.discard().while_("discarding")?;
    ensure_eq!(passes()?, 1, "invalidations elsewhere");
    Ok(())
}

fn other_processes_are_not_held() -> Tested {
    let session = open()?;
    let mapping = memory(&session, Kind::Anon4k, 1)?;
    let grabs = arm(&session, &counting(Point::TryGrabFolioFast))?;
    let child = fork_child(|| match Solo::open() {
        Ok(solo) => i32::from(solo.pin(&mapping, 4, 0).is_err()),
        Err(_) => 2,
    });
    let ended = child.while_("forking")?.wait(LIMIT).while_("waiting")?;
    ensure_eq!(ended, Ended::Code(0), "the child");
    let counts = grabs.read().while_("reading")?;
    ensure_eq!(counts.passes, 0, "calls of this process");
    Ok(())
}

/// A child works on this process's memory. That concerns a point armed for the memory, but not one
/// armed for the process.
fn work_of_another_process_concerns_the_memory(
    point: Point,
    work: fn(&Solo, &Mapping, i32) -> i32,
) -> Tested {
    let session = open()?;
    let mapping = memory(&session, Kind::Anon4k, 1)?;
    let armed_for = |whom| {
        let request = DelayRequest {
            range: all_of(&mapping),
            ..DelayRequest::counting(point, whom)
        };
        arm(&session, &request)
    };
    let (ours, any) = (armed_for(Whom::Process)?, armed_for(Whom::Mm)?);
    let pid = std::process::id() as i32;
    let child = fork_child(|| match Solo::open() {
        Ok(solo) => work(&solo, &mapping, pid),
        Err(error) => error.raw_os_error(),
    });
    match child.while_("forking")?.wait(LIMIT).while_("waiting")? {
        Ended::Code(0) => {}
        Ended::Code(error) => fail!("the child's work brought error {error}"),
        ended => fail!("the child ended with {ended:?}"),
    }
    let (ours, any) = (
        ours.read().while_("reading")?,
        any.read().while_("reading")?,
    );
    ensure_eq!(any.passes, 1, "calls that work on this memory");
    ensure_eq!(ours.passes, 0, "calls by this process");
    Ok(())
}
