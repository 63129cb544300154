// SPDX-License-Identifier: GPL-2.0
//! Pins whose faults wait for userfaultfd.

use std::sync::mpsc::channel;
use std::thread::{scope, sleep};
use std::time::Duration;

use guplab::address::Range;
use guplab::{Errno, KernelState, Kind, PinRequest, SharedPage, Way, fork_child, page_size, sys};
use guplab_tests::balance::Balance;
use guplab_tests::solo::Solo;
use guplab_tests::{Not, Test, Tested, While, ensure, ensure_eq, fail, memory, open, skip};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fd::{AsRawFd, OwnedFd};

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

// <linux/userfaultfd.h>, as far as it is needed here.
const UFFD_API: u64 = 0xaa;
const UFFDIO_API: u64 = 0xc018_aa3f;
const UFFDIO_REGISTER: u64 = 0xc020_aa00;
const UFFDIO_ZEROPAGE: u64 = 0xc020_aa04;
const REGISTER_MODE_MISSING: u64 = 1;

/// A userfaultfd for missing pages of one range.
struct Faults {
    fd: OwnedFd,
    addr: u64,
    len: u64,
}

impl Faults {
    fn of(addr: usize, len: usize) -> guplab::Result<Faults> {
        // SAFETY: Nothing of this process is registered yet.
        let fd = unsafe { rustix::mm::userfaultfd(rustix::mm::UserfaultfdFlags::CLOEXEC)? };
        let faults = Faults {
            fd,
            addr: addr as u64,
            len: len as u64,
        };
        faults.call(UFFDIO_API, &mut [UFFD_API, 0, 0])?;
        faults.call(
            UFFDIO_REGISTER,
            &mut [faults.addr, faults.len, REGISTER_MODE_MISSING, 0],
        )?;
        Ok(faults)
    }

    fn call<const N: usize>(&self, number: u64, request: &mut [u64; N]) -> guplab::Result<()> {
        // SAFETY: Each number has the size of its request in it, and requests name the range only.
        let done = unsafe { libc::ioctl(self.fd.as_raw_fd(), number as _, request.as_mut_ptr()) };
        if done == 0 {
            return Ok(());
        }
        let error = std::io::Error::last_os_error();
        Err(Errno::from_io_error(&error).unwrap_or(Errno::IO))
    }

    /// Whether somebody waits for a page, soon.
    fn come(&self) -> guplab::Result<bool> {
        let limit = Timespec {
            tv_sec: LIMIT.as_secs() as i64,
            tv_nsec: 0,
        };
        let mut fds = [PollFd::new(&self.fd, PollFlags::IN)];
        Ok(poll(&mut fds, Some(&limit))? == 1)
    }

    /// Gives the range zero pages.
    fn resolve(&self) -> guplab::Result<()> {
        self.call(UFFDIO_ZEROPAGE, &mut [self.addr, self.len, 0, 0])
    }
}

/// A page of memory, with its faults.
fn page() -> Result<(Range, Faults), Not> {
    let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;
    let range = Range::map(page_size(), page_size(), flags, -1).while_("mmap")?;
    match Faults::of(range.addr(), range.len()) {
        Ok(faults) => Ok((range, faults)),
        Err(Errno::NOSYS | Errno::PERM) => skip!("userfaultfd can't be used here"),
        Err(error) => fail!("userfaultfd: {error}"),
    }
}

fn waits(way: Way) -> Tested {
    let session = open()?;
    let (range, faults) = page()?;
    let request = PinRequest::new(range.addr(), 1, way, sys::GUPLAB_PIN_WRITE);
    let kernel = KernelState::read();
    scope(|scope| {
        let (sender, receiver) = channel();
        let session = &session;
        scope.spawn(move || {
            let pinned = session.pin(&request).map(|pin| pin.pinned());
            // If nobody listens, the test has failed already.
            let _nobody = sender.send(pinned);
        });
        let came = faults.come().while_("poll")?;
        let early = receiver.try_recv().ok();
        // In any case: a thread that waits would keep the scope open.
        faults.resolve().while_("UFFDIO_ZEROPAGE")?;
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
        let ready = mapping
            .discard()
            .and_then(|()| Faults::of(mapping.addr(), mapping.len()))
            .and_then(|faults| Ok((faults, Solo::open()?)));
        let Ok((_faults, solo)) = ready else {
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
