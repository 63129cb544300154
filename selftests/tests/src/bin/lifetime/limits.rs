// SPDX-License-Identifier: GPL-2.0
//! Limits of a session, RLIMIT_MEMLOCK, and the module that can't be removed while it is in use.

use std::time::Duration;

use guplab::{Ended, Errno, Kind, PinRequest, fork_child, page_size, sys};
use guplab_tests::balance::Balance;
use guplab_tests::solo::{Solo, become_nobody};
use guplab_tests::{Test, Tested, While, ensure_eq, fail, memory, open, request, skip};
use rustix::process::{Resource, Rlimit, setrlimit};

pub(crate) fn tests() -> Vec<Test> {
    vec![
        Test::new("a session is full at its limit", session_limit),
        Test::new("longterm pins are charged", memlock),
        Test::new("rmmod is refused while a session is open", rmmod),
    ]
}

fn session_limit() -> Tested {
    let session = open()?;
    let mapping = memory(&session, Kind::AnonThp, 1)?;
    let all = request(&mapping, mapping.pages() as u32);
    let before = Balance::now()?;
    let mut pins = Vec::new();
    let fit = sys::GUPLAB_MAX_PAGES as usize / mapping.pages();
    for _ in 0..fit {
        pins.push(session.pin(&all).while_("PIN")?);
    }
    let one = PinRequest { nr_pages: 1, ..all };
    ensure_eq!(
        session.pin(&one).map(|_| ()),
        Err(Errno::NOSPC),
        "one page more"
    );
    before.has_grown_by(i64::from(sys::GUPLAB_MAX_PAGES))?;
    pins.pop();
    session.pin(&one).while_("PIN where there is room again")?;
    drop(pins);
    before.has_grown_by(0)
}

/// Steps of the child that can go wrong, as its exit code.
const SETUP: i32 = 200;
const WITHIN: i32 = 201;
const BEYOND: i32 = 202;
const AGAIN: i32 = 203;
const SHORT_TERM: i32 = 204;

fn memlock() -> Tested {
    const PAGES: u32 = 16;
    let session = open()?;
    let mapping = memory(&session, Kind::Anon4k, 1)?;
    let longterm = sys::GUPLAB_PIN_WRITE | sys::GUPLAB_PIN_LONGTERM;
    let limit = Some(u64::from(PAGES) * page_size() as u64);
    let before = Balance::now()?;
    let child = fork_child(|| {
        let bound = Rlimit {
            current: limit,
            maximum: limit,
        };
        let ready = Solo::open().and_then(|solo| {
            setrlimit(Resource::Memlock, bound)?;
            become_nobody()?;
            Ok(solo)
        });
        let Ok(solo) = ready else {
            return SETUP;
        };
        let Ok(handle) = solo.pin(&mapping, PAGES, longterm) else {
            return WITHIN;
        };
        if solo.pin(&mapping, 1, longterm) != Err(Errno::NOMEM) {
            return BEYOND;
        }
        // Only long-term pins are charged.
        if solo.pin(&mapping, 1, sys::GUPLAB_PIN_WRITE).is_err() {
            return SHORT_TERM;
        }
        if solo.unpin(handle).is_err() || solo.pin(&mapping, PAGES, longterm).is_err() {
            return AGAIN;
        }
        0
    })
    .while_("fork")?;
    match child
        .wait(Duration::from_secs(20))
        .while_("waiting for the child")?
    {
        Ended::Code(0) => before.has_grown_by(0),
        Ended::Code(SETUP) => skip!("this process may not change its user and limits"),
        Ended::Code(WITHIN) => fail!("a pin within the limit was refused"),
        Ended::Code(BEYOND) => fail!("a pin beyond the limit did not bring ENOMEM"),
        Ended::Code(SHORT_TERM) => fail!("a short-term pin was refused"),
        Ended::Code(AGAIN) => fail!("UNPIN did not give back what was charged"),
        ended => fail!("the child ended with {ended:?}"),
    }
}

fn rmmod() -> Tested {
    if !std::path::Path::new("/sys/module/guplab/refcnt").exists() {
        skip!("guplab is built in, or this kernel can't unload modules");
    }
    let session = open()?;
    // SAFETY: The name is a C string; without a flag that forces it, the kernel refuses to remove
    // what is in use.
    let returned = unsafe {
        libc::syscall(
            libc::SYS_delete_module,
            c"guplab".as_ptr(),
            libc::O_NONBLOCK,
        )
    };
    let error = std::io::Error::last_os_error().raw_os_error();
    match (returned, error) {
        (0, _) => fail!("the module was removed under an open file"),
        (_, Some(libc::EAGAIN)) => {}
        (_, Some(libc::EPERM)) => skip!("this process may not remove modules"),
        (_, error) => fail!("expected EAGAIN, got {error:?}"),
    }
    let mapping = memory(&session, Kind::Anon4k, 1)?;
    let pin = session.pin(&request(&mapping, 1));
    pin.while_("PIN after rmmod was refused").map(|_| ())
}
