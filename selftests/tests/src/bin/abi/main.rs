// SPDX-License-Identifier: GPL-2.0
//! Every command with right and wrong requests: which error does each of them bring?

mod commands;
mod compare;
mod delays;
mod hints;
mod numbers;
mod pins;
mod points;
mod rights;
mod times;
mod walks;

use std::process::ExitCode;

use guplab::{Errno, Result};
use guplab_tests::ground::Ground;
use guplab_tests::{Not, Test, Tested, run_all};

/// A request, and the error that it must bring; no error if it must succeed.
type Case = (&'static str, Option<Errno>, fn(&Ground) -> Result<()>);

fn judge(expected: Option<Errno>, request: fn(&Ground) -> Result<()>) -> Tested {
    let ground = Ground::new()?;
    let seen = request(&ground).err();
    if seen == expected {
        return Ok(());
    }
    let name = |error: Option<Errno>| error.map_or("success".to_owned(), |error| error.to_string());
    Err(Not::Failed(format!(
        "expected {}, got {}",
        name(expected),
        name(seen)
    )))
}

fn main() -> ExitCode {
    let mut tests: Vec<Test> = [
        numbers::CASES,
        pins::PIN,
        pins::UNPIN,
        pins::DMA,
        commands::INSPECT,
        commands::CHECK,
        commands::HAMMER,
        times::TIMES,
        commands::COLLAPSE,
        commands::STATS,
        delays::MALFORMED,
        hints::HINT,
        walks::WAYS,
        walks::PROTOCOLS,
        walks::EXPLAIN,
        compare::COMPARE,
    ]
    .into_iter()
    .flatten()
    .map(|&(name, expected, request)| Test::new(name, move || judge(expected, request)))
    .collect();
    tests.extend(times::tests());
    tests.extend(delays::tests());
    tests.extend(points::tests());
    tests.extend(walks::tests());
    tests.extend(compare::tests());
    tests.extend(rights::tests());
    run_all(&tests)
}
