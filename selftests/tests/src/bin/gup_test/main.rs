// SPDX-License-Identifier: GPL-2.0
//! guplab's gup_test does what the kernel's own does, at the same requests; and where it is meant to
//! differ, it differs as it is meant to (Documentation/gup_test/interface.rst).
//!
//! `GUPLAB_SEED` gives other requests.

mod commands;
mod limits;
mod longterm;
mod requests;
mod same;
mod scene;
mod told;
mod users;
mod waiting;
mod warnings;

use std::io::ErrorKind;
use std::process::ExitCode;

use guplab::gup_test::Whose;
use guplab::{GupTest, KernelState};
use guplab_tests::{Not, Test, While, kernel_agrees, run_all, skip};

/// Opens a driver.
fn open_driver(whose: Whose) -> Result<GupTest, Not> {
    match GupTest::open(whose) {
        Err(error) if error.kind() == ErrorKind::NotFound => {
            skip!("no {}: is debugfs mounted?", whose.path())
        }
        opened => opened.while_(whose.path()),
    }
}

/// Both drivers, by their paths. Where the kernel has none of its own, the second one is guplab's as
/// well, unless it was loaded with gup_test=0.
fn drivers() -> Result<Vec<(&'static str, GupTest)>, Not> {
    let mut drivers = vec![(Whose::Guplab.path(), open_driver(Whose::Guplab)?)];
    match open_driver(Whose::Usual) {
        Ok(driver) => drivers.push((Whose::Usual.path(), driver)),
        Err(Not::Skipped(_)) => {}
        Err(failed) => return Err(failed),
    }
    Ok(drivers)
}

fn main() -> ExitCode {
    // What changes memory by itself: results would not be the same twice.
    let _without_numa = guplab::numa::stay_local();
    let kernel = KernelState::read();
    let mut tests: Vec<Test> = Vec::new();
    tests.extend(same::tests());
    tests.extend(warnings::tests());
    tests.extend(commands::tests());
    tests.extend(longterm::tests());
    tests.extend(users::tests());
    tests.extend(waiting::tests());
    tests.extend(limits::tests());
    tests.extend(told::tests());
    tests.push(kernel_agrees(kernel));
    run_all(&tests)
}
