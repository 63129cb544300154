// SPDX-License-Identifier: GPL-2.0
//! What START pins is charged to RLIMIT_MEMLOCK.

use std::time::Duration;

use guplab::gup_test::Whose;
use guplab::{Ended, Errno, GupTest, Kind, Mapping, fork_child, page_size};
use guplab_tests::balance::Balance;
use guplab_tests::solo::become_nobody;
use guplab_tests::{Test, Tested, While, fail, memory, open, skip};
use rustix::process::{Resource, Rlimit, setrlimit};

use crate::longterm::{FLAGS, start_pages};
use crate::open_driver;

const LIMIT: Duration = Duration::from_secs(20);
const PAGES: usize = 16;

pub(crate) fn tests() -> Vec<Test> {
    vec![
        Test::new("START is charged", charged),
        Test::new("START by root is not bounded", unbounded),
    ]
}

// Steps of the child that can go wrong, as its exit code.
const SETUP: i32 = 200;
const WITHIN: i32 = 201;
const BEYOND: i32 = 202;
const AGAIN: i32 = 203;
const OTHER: i32 = 204;

/// Lets this process lock so many pages.
fn bound() -> guplab::Result<()> {
    let limit = Some((PAGES * page_size()) as u64);
    let bound = Rlimit {
        current: limit,
        maximum: limit,
    };
    setrlimit(Resource::Memlock, bound)
}

fn within_bounds(mapping: &Mapping, flags: u32) -> i32 {
    let (Ok(one), Ok(other)) = (GupTest::open(Whose::Guplab), GupTest::open(Whose::Guplab)) else {
        return SETUP;
    };
    if bound().and_then(|()| become_nobody()).is_err() {
        return SETUP;
    }
    if start_pages(&one, mapping, PAGES + 1, flags) != Err(Errno::NOMEM) {
        return BEYOND;
    }
    // What failed is not charged.
    if start_pages(&one, mapping, PAGES, flags).is_err() {
        return WITHIN;
    }
    // The limit is that of the process, not of the file.
    if start_pages(&other, mapping, 1, flags) != Err(Errno::NOMEM) {
        return OTHER;
    }
    if one.stop().is_err() || start_pages(&other, mapping, PAGES, flags).is_err() {
        return AGAIN;
    }
    drop(other);
    if start_pages(&one, mapping, PAGES, flags).is_err() {
        return AGAIN;
    }
    0
}

fn charged() -> Tested {
    let session = open()?;
    let mapping = memory(&session, Kind::Anon4k, 1)?;
    drop(open_driver(Whose::Guplab)?);
    for flags in FLAGS {
        let before = Balance::now()?;
        let child = fork_child(|| within_bounds(&mapping, flags)).while_("fork")?;
        match child.wait(LIMIT).while_("waiting for the child")? {
            Ended::Code(0) => before.has_grown_by(0)?,
            Ended::Code(SETUP) => skip!("this process may not change its user and limits"),
            Ended::Code(WITHIN) => fail!("START within the limit was refused"),
            Ended::Code(BEYOND) => fail!("START beyond the limit did not bring ENOMEM"),
            Ended::Code(OTHER) => fail!("START of another file had a limit of its own"),
            Ended::Code(AGAIN) => fail!("STOP or close did not give back what was charged"),
            ended => fail!("the child ended with {ended:?}"),
        }
    }
    Ok(())
}

fn unbounded() -> Tested {
    let session = open()?;
    let mapping = memory(&session, Kind::Anon4k, 1)?;
    drop(open_driver(Whose::Guplab)?);
    let child = fork_child(|| {
        let Ok(driver) = GupTest::open(Whose::Guplab) else {
            return SETUP;
        };
        if bound().is_err() {
            return SETUP;
        }
        i32::from(start_pages(&driver, &mapping, PAGES + 1, 0).is_err())
    })
    .while_("fork")?;
    match child.wait(LIMIT).while_("waiting for the child")? {
        Ended::Code(0) => Ok(()),
        Ended::Code(SETUP) => skip!("this process may not change its limits"),
        ended => fail!("CAP_IPC_LOCK did not help: {ended:?}"),
    }
}
