// SPDX-License-Identifier: GPL-2.0
//! HAMMER that tells how long each call took.

use guplab::{Errno, Hammer, Result, sys};
use guplab_tests::balance::Balance;
use guplab_tests::ground::{Ground, KERNEL_ADDRESS};
use guplab_tests::{Test, Tested, While, ensure, ensure_eq};

use crate::Case;

/// HAMMER with room for so many times in memory that it doesn't pin, and something else spoiled.
fn times(g: &Ground, room: u32, spoil: impl FnOnce(&mut Hammer)) -> Result<()> {
    g.hammer(|r| {
        r.flags |= sys::GUPLAB_HAMMER_TIME_CALLS;
        (r.times, r.nr_times) = (g.mapping.page_addr(8) as u64, room);
        spoil(r);
    })
}

/// Requests, right and wrong.
#[rustfmt::skip]
pub(crate) const TIMES: &[Case] = &[
    ("hammer that times its calls", None, |g| times(g, 1, |_| ())),
    ("hammer with room for the most times", None, |g| times(g, sys::GUPLAB_MAX_TIMES, |_| ())),
    ("hammer with times at an odd address", None, |g| times(g, 1, |r| r.times += 1)),
    ("hammer with too many times", Some(Errno::INVAL), |g| {
        times(g, sys::GUPLAB_MAX_TIMES + 1, |_| ())
    }),
    ("hammer with all times that a number holds", Some(Errno::INVAL), |g| {
        times(g, u32::MAX, |_| ())
    }),
    ("hammer with room for no times", Some(Errno::INVAL), |g| times(g, 0, |_| ())),
    ("hammer with times that are not asked for", Some(Errno::INVAL), |g| {
        times(g, 1, |r| r.flags ^= sys::GUPLAB_HAMMER_TIME_CALLS)
    }),
    ("hammer with an address of times and no flag", Some(Errno::INVAL), |g| {
        times(g, 0, |r| r.flags ^= sys::GUPLAB_HAMMER_TIME_CALLS)
    }),
    ("hammer with reserved", Some(Errno::INVAL), |g| g.hammer(|r| r.reserved = 1)),
    ("hammer with times to null", Some(Errno::FAULT), |g| times(g, 1, |r| r.times = 0)),
    ("hammer with times to a kernel address", Some(Errno::FAULT), |g| {
        times(g, 1, |r| r.times = KERNEL_ADDRESS)
    }),
    ("hammer with times that begin before memory", Some(Errno::FAULT), |g| {
        times(g, 2, |r| {
            r.times = g.mapping.page_addr(0) as u64 - 4;
            r.max_calls = 2;
        })
    }),
];

/// What comes of them.
pub(crate) fn tests() -> Vec<Test> {
    vec![
        Test::new("as many times are told as calls were made", as_many),
        Test::new("no more times are told than there is room for", no_more),
        Test::new("times that can't be written leave no pin", unwritable),
    ]
}

/// What no call takes.
const UNTOLD: u32 = u32::MAX;
const CALLS: u64 = 100;

/// Makes so many calls. Returns what was done, and the times that were told.
fn hammer(
    g: &Ground,
    room: usize,
    flags: u32,
) -> std::result::Result<(Hammer, Vec<u32>), guplab_tests::Not> {
    let mut hammer = Hammer {
        addr: g.mapping.addr() as u64,
        nr_pages: 7,
        batch: 2,
        hold: 3,
        pin_flags: sys::GUPLAB_PIN_WRITE,
        flags,
        max_calls: CALLS,
        ..Default::default()
    };
    let mut times = vec![UNTOLD; room];
    let told = g
        .session
        .hammer_times(&g.mapping, &mut hammer, &mut times)
        .while_("HAMMER")?
        .len();
    ensure_eq!(told, room.min(CALLS as usize), "times told");
    ensure_eq!(hammer.calls, CALLS, "calls");
    Ok((hammer, times))
}

fn as_many() -> Tested {
    let g = Ground::new()?;
    for flags in [
        0,
        sys::GUPLAB_HAMMER_RANDOM,
        sys::GUPLAB_HAMMER_WRITE | sys::GUPLAB_HAMMER_CHECK_DATA,
    ] {
        let (hammer, times) = hammer(&g, 2 * CALLS as usize, flags)?;
        let (told, rest) = times.split_at(CALLS as usize);
        ensure!(!told.contains(&0), "a call took no time: {told:?}");
        ensure!(!told.contains(&UNTOLD), "a call was not told: {told:?}");
        let sum: u64 = told.iter().map(|&ns| u64::from(ns)).sum();
        ensure!(
            sum <= hammer.elapsed_ns,
            "{sum} ns in calls, but {} ns in all",
            hammer.elapsed_ns
        );
        ensure!(
            rest.iter().all(|&ns| ns == UNTOLD),
            "times are told of calls that were not made: {rest:?}"
        );
    }
    Ok(())
}

fn no_more() -> Tested {
    let g = Ground::new()?;
    // What is behind the room belongs to somebody else.
    let mut all = [UNTOLD; 16];
    let mut request = Hammer {
        addr: g.mapping.addr() as u64,
        nr_pages: 4,
        batch: 1,
        max_calls: CALLS,
        ..Default::default()
    };
    let told = g
        .session
        .hammer_times(&g.mapping, &mut request, &mut all[..10])
        .while_("HAMMER")?
        .len();
    ensure_eq!(told, 10, "times told");
    ensure!(!all[..10].contains(&UNTOLD), "a time is missing: {all:?}");
    ensure_eq!(all[10..], [UNTOLD; 6], "what is behind them");
    Ok(())
}

fn unwritable() -> Tested {
    let g = Ground::new()?;
    let before = Balance::now()?;
    let done = times(&g, 16, |r| {
        (r.times, r.hold, r.max_calls) = (KERNEL_ADDRESS, 16, 100);
    });
    ensure_eq!(done, Err(Errno::FAULT), "HAMMER");
    before.has_grown_by(0)
}
