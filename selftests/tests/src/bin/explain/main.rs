// SPDX-License-Identifier: GPL-2.0
//! What EXPLAIN says of an address, and what the library foretells of the slow path, against what
//! the kernel then does: memory in every state, and every question about it.

mod anon;
mod asking;
mod faults;
mod files;
mod places;
mod shared;

use std::process::ExitCode;

use guplab::{Errno, Session, Unsupported, Way, sys};
use guplab_tests::ground::KERNEL_ADDRESS;
use guplab_tests::{Not, Test, Tested, ensure_eq, open, run_all, skip};

use asking::judge;
use places::Place;

/// Brings memory into a state, as often as it is asked.
type Stage<'s> = Box<dyn Fn() -> Result<Place, Not> + 's>;

/// Prepares for that: swap space, for example, is made once.
type Prepare = fn(&Session) -> Result<Stage<'_>, Not>;

/// A name, and the state.
type Scene = (&'static str, Prepare);

/// What isn't supported makes a test a skip.
fn or_skip<T>(done: Result<T, Unsupported>) -> Result<T, Not> {
    done.map_err(|reason| Not::Skipped(reason.to_string()))
}

fn outside() -> Tested {
    let session = open()?;
    let last = usize::MAX - 4095;
    for addr in [KERNEL_ADDRESS as usize, last] {
        let seen = session.explain(0, addr, 0, false).map(|seen| seen.0.stop);
        ensure_eq!(seen, Err(Errno::INVAL), format!("{addr:#x}"));
    }
    // Fast GUP can't do this, and the walk explains fast GUP.
    let interruptible = sys::GUPLAB_PIN_INTERRUPTIBLE;
    let seen = session.explain(0, 4096, interruptible, false);
    ensure_eq!(seen.map(|seen| seen.0.stop), Err(Errno::INVAL), "a flag");
    Ok(())
}

/// Without it only the slow path and references are compared.
fn fast_only() -> Tested {
    let session = open()?;
    match session.can(Way::PinFastOnly) {
        true => Ok(()),
        false => skip!("fast GUP can't be asked for pins alone on this kernel"),
    }
}

fn main() -> ExitCode {
    let scenes = [anon::SCENES, shared::SCENES, files::SCENES, faults::SCENES];
    let mut tests: Vec<Test> = scenes
        .into_iter()
        .flatten()
        .map(|&(name, prepare)| Test::new(name, move || judge(prepare)))
        .collect();
    tests.extend([
        Test::new("addresses that are none of user space", outside),
        Test::new("fast GUP alone can be asked", fast_only),
    ]);
    run_all(&tests)
}
