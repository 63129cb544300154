// SPDX-License-Identifier: GPL-2.0
//! Delay points: that they hold whom they are to hold, for no longer than they may, and count.

mod concern;
mod holding;
mod meeting;
mod owner;

use std::process::ExitCode;
use std::time::{Duration, Instant};

use guplab::{Delay, DelayRequest, Errno, Mapping, Point, Session, Whom};
use guplab_tests::{Not, While, request, run_all};

const LIMIT: Duration = Duration::from_secs(20);
const MILLISECOND: Duration = Duration::from_millis(1);

fn main() -> ExitCode {
    let tests = [
        concern::tests(),
        holding::tests(),
        meeting::tests(),
        owner::tests(),
    ];
    run_all(&tests.concat())
}

/// Arms a point, or skips where this kernel doesn't have it.
fn arm<'s>(session: &'s Session, request: &DelayRequest<'_>) -> Result<Delay<'s>, Not> {
    match session.arm(request) {
        Err(Errno::OPNOTSUPP) => Err(Not::Skipped(format!(
            "this kernel has no {} that can be watched",
            request.point
        ))),
        armed => armed.while_("arming"),
    }
}

fn counting(point: Point) -> DelayRequest<'static> {
    DelayRequest::counting(point, Whom::Process)
}

/// Start and length, as a request to arm takes them.
fn all_of(mapping: &Mapping) -> Option<(usize, usize)> {
    Some((mapping.addr(), mapping.len()))
}

fn pin_once(session: &Session, mapping: &Mapping, pages: u32) -> Result<Duration, Not> {
    let started = Instant::now();
    let pin = session.pin(&request(mapping, pages)).while_("pinning")?;
    let took = started.elapsed();
    drop(pin);
    Ok(took)
}
