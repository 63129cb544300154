// SPDX-License-Identifier: GPL-2.0
//! Pins whose faults wait for userfaultfd.

use std::sync::mpsc::channel;
use std::thread::{scope, sleep};
use std::time::Duration;

use guplab::{KernelState, Kind, PinRequest, SharedPage, Way, fork_child, sys};
use guplab_tests::balance::Balance;
use guplab_tests::solo::Solo;
use guplab_tests::{Test, Tested, While, ensure, ensure_eq, memory, open, skip, watch};

use crate::killed::kill;

const LIMIT: Duration = Duration::from_secs(20);

pub(crate) fn tests() -> Vec<Test> {
    vec![
        Test::new("pins wait for userfaultfd", || {
            for way in [Way::PinFast, Way::Pin, Way::PinRemote] {
                waits(way)?;
            }
            Ok(())
        }),
        Test::new("a pin that waits can be killed", killed_while_waiting),
    ]
}

fn waits(way: Way) -> Tested {
    let session = open()?;
    let mapping = memory(&session, Kind::Anon4k, 1)?;
    let uffd = watch(&mapping, 0)?;
    let request = PinRequest::new(mapping.addr(), 1, way, sys::GUPLAB_PIN_WRITE);
    let kernel = KernelState::read();
    scope(|scope| {
        let (sender, receiver) = channel();
        let session = &session;
        scope.spawn(move || {
            let pinned = session.pin(&request).map(|pin| pin.pinned());
            // If nobody listens, the test has failed already.
            let _nobody = sender.send(pinned);
        });
        let came = uffd.next_fault(LIMIT);
        let early = receiver.try_recv().ok();
        // In any case: a thread that waits would keep the scope open.
        uffd.zeropage(&mapping, 0, 1).while_("UFFDIO_ZEROPAGE")?;
        let came = came.while_("poll")?.is_some();
        ensure!(came, "{}: no fault came; PIN said {early:?}", way.name());
        let pinned = receiver
            .recv_timeout(LIMIT)
            .while_("waiting for the pin")?
            .while_("PIN")?;
        ensure_eq!(pinned, 1, "pages pinned");
        Ok(())
    })?;
    for check in kernel.compare() {
        ensure!(check.complaints.is_empty(), "{}: {check:?}", way.name());
    }
    Ok(())
}

fn killed_while_waiting() -> Tested {
    let session = open()?;
    let mapping = memory(&session, Kind::Anon4k, 1)?;
    let shared = SharedPage::new().while_("a shared page")?;
    let before = Balance::now()?;
    let child = fork_child(|| {
        let (Ok(_uffd), Ok(solo)) = (watch(&mapping, 0), Solo::open()) else {
            shared.set(0, 2);
            return 1;
        };
        shared.set(0, 1);
        // Nobody resolves the fault.
        let _never = solo.pin(&mapping, 1, sys::GUPLAB_PIN_WRITE);
        2
    })
    .while_("fork")?;
    if !shared.wait_for(0, 1, LIMIT) {
        skip!("userfaultfd can't be used here");
    }
    sleep(Duration::from_millis(300));
    kill(child)?;
    before.has_grown_by(0)
}
