// SPDX-License-Identifier: GPL-2.0
//! Write through a pin after fork: the parent keeps its page, the child keeps the old content.

use guplab::{Ended, Kind, Mapping, PinRequest, Session, SharedPage, Way, fork_child, sys};
use std::time::Duration;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let limit = Duration::from_secs(10);
    let session = Session::open()?;
    let memory = Mapping::new(&session, Kind::Anon4k, 1)?;
    let written = SharedPage::new()?;
    memory.write(0, 1);
    let request = PinRequest::new(memory.addr(), 1, Way::PinFast, sys::GUPLAB_PIN_WRITE);
    let pin = session.pin(&request)?;
    let child = fork_child(|| {
        let seen = written.wait_for(0, 1, limit).then(|| memory.read(0));
        i32::from(seen != Some(1))
    })?;
    pin.write_word(0, 2)?; // as a device would: by page, not by address
    written.set(0, 1);
    assert_eq!(
        memory.read(0),
        2,
        "the parent sees what was written through its pin"
    );
    assert_eq!(child.wait(limit)?, Ended::Code(0), "the child must not");
    Ok(())
}
