// SPDX-License-Identifier: GPL-2.0
//! Two actors that meet inside the kernel: fast GUP, between reading a page-table entry and taking
//! its reference, and fork, while it copies the VMA.

use std::thread;
use std::time::Duration;

use guplab::{DelayRequest, Kind, Mapping, PinRequest, Point, Session, Way, Whom, fork_child, sys};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let session = Session::open()?;
    let memory = Mapping::new(&session, Kind::Anon4k, 1)?;
    let pin = PinRequest::new(memory.addr(), 1, Way::PinFast, sys::GUPLAB_PIN_WRITE);

    let grab = session.arm(&DelayRequest {
        entry: Duration::from_millis(2), // waits for fork at most so long: interrupts are off
        ..DelayRequest::counting(Point::TryGrabFolioFast, Whom::Process)
    })?;
    let copy = session.arm(&DelayRequest {
        partner: Some(&grab),             // and fork waits for it
        entry: Duration::from_millis(20), // for up to so long
        entry_linger: Duration::from_micros(50),
        range: Some((memory.addr(), memory.len())),
        ..DelayRequest::counting(Point::CopyPageRange, Whom::Process)
    })?;

    thread::scope(|scope| {
        let pinner = scope.spawn(|| (0..1000).try_for_each(|_| session.pin(&pin).map(drop)));
        for _ in 0..20 {
            fork_child(|| 0)?.wait(Duration::from_secs(10))?;
        }
        pinner.join().unwrap_or(Ok(()))
    })?;

    let (grab, copy) = (grab.read()?, copy.read()?);
    println!("{} pins, {} forks", grab.passes, copy.passes);
    println!("met {} times", grab.met + copy.met);
    Ok(())
}
