// SPDX-License-Identifier: GPL-2.0
//! userfaultfd on a mapping.
//!
//! The crate `userfaultfd` lacks write-protected copies and the newer features, and brings a second
//! bindgen and C code along; this is a few ioctls.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::{Duration, Instant};

use linux_raw_sys::general::{
    UFFD_FEATURE_EXACT_ADDRESS, UFFD_FEATURE_MOVE, UFFD_FEATURE_PAGEFAULT_FLAG_WP,
    UFFD_FEATURE_SIGBUS, UFFD_FEATURE_WP_ASYNC, UFFD_FEATURE_WP_HUGETLBFS_SHMEM,
    UFFD_FEATURE_WP_UNPOPULATED, UFFDIO_COPY_MODE_WP, uffdio_api, uffdio_copy, uffdio_move,
    uffdio_range, uffdio_register, uffdio_writeprotect, uffdio_zeropage,
};
use linux_raw_sys::ioctl::{
    UFFDIO_API, UFFDIO_COPY, UFFDIO_REGISTER, UFFDIO_UNREGISTER, UFFDIO_WAKE, UFFDIO_WRITEPROTECT,
    UFFDIO_ZEROPAGE,
};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::mm::{UserfaultfdFlags, userfaultfd};

use crate::device::raw_ioctl;
use crate::mapping::Mapping;
use crate::unsupported::Unsupported;
use crate::{Errno, Result, page_size};

mod fault;

pub use fault::{Fault, Faults};
use fault::{MESSAGE, parse};

/// What may be asked for when a userfaultfd is opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Feature {
    /// Write protection of anonymous memory.
    Wp,
    /// Write protection also where no page is mapped yet.
    WpUnpopulated,
    /// A write to a protected page is let through, and only takes the protection away.
    WpAsync,
    /// Write protection of shared memory and hugetlb.
    WpShmem,
    /// Faults tell the very address, and not the page's.
    ExactAddress,
    /// A missing page raises SIGBUS, and nobody is asked.
    Sigbus,
    /// Pages can be moved to where pages are missing.
    Move,
}

impl Feature {
    fn bit(self) -> u32 {
        match self {
            Feature::Wp => UFFD_FEATURE_PAGEFAULT_FLAG_WP,
            Feature::WpUnpopulated => UFFD_FEATURE_WP_UNPOPULATED,
            Feature::WpAsync => UFFD_FEATURE_WP_ASYNC,
            Feature::WpShmem => UFFD_FEATURE_WP_HUGETLBFS_SHMEM,
            Feature::ExactAddress => UFFD_FEATURE_EXACT_ADDRESS,
            Feature::Sigbus => UFFD_FEATURE_SIGBUS,
            Feature::Move => UFFD_FEATURE_MOVE,
        }
    }
}

/// An open userfaultfd. It belongs to the mm that opened it: used in a forked child, it changes the
/// parent's memory. Closed when dropped, which lets everyone who waits go on.
#[derive(Debug)]
pub struct Uffd(OwnedFd);

const WHAT: &str = "userfaultfd";

/// _IOWR(UFFDIO, _UFFDIO_MOVE, struct uffdio_move), which the bindings lack.
const UFFDIO_MOVE: u32 = rustix::ioctl::opcode::read_write::<uffdio_move>(0xaa, 5);

fn open_fd() -> std::result::Result<OwnedFd, Unsupported> {
    let flags = UserfaultfdFlags::CLOEXEC | UserfaultfdFlags::NONBLOCK;
    // SAFETY: What the descriptor is used for below is limited to mappings, which are atomics only.
    match unsafe { userfaultfd(flags) } {
        Ok(fd) => Ok(fd),
        // Whoever may not handle the kernel's own faults isn't served well with less: a pin that
        // has to fault would fail. The device may still be open to him.
        Err(Errno::PERM) => open_by_device(flags),
        Err(error) => Err(Unsupported::new(WHAT, std::io::Error::from(error))),
    }
}

fn open_by_device(flags: UserfaultfdFlags) -> std::result::Result<OwnedFd, Unsupported> {
    use rustix::fs::{Mode, OFlags, open};
    use std::os::fd::{AsRawFd, FromRawFd};
    const NEW: rustix::ioctl::Opcode = rustix::ioctl::opcode::none(0xaa, 0);

    let path = "/dev/userfaultfd";
    let fail = |e: std::io::Error| Unsupported::new(path, e);
    let device = open(path, OFlags::RDWR | OFlags::CLOEXEC, Mode::empty())
        .map_err(|e| fail(std::io::Error::from(e)))?;
    // SAFETY: The argument of this ioctl is a number.
    let fd = unsafe { libc::ioctl(device.as_raw_fd(), libc::Ioctl::from(NEW), flags.bits()) };
    if fd < 0 {
        return Err(fail(std::io::Error::last_os_error()));
    }
    // SAFETY: The descriptor is new, and nobody else's.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

fn range(mapping: &Mapping, first: usize, nr_pages: usize) -> uffdio_range {
    assert!(nr_pages > 0 && nr_pages <= mapping.pages() - first);
    uffdio_range {
        start: mapping.page_addr(first) as u64,
        len: (nr_pages * page_size()) as u64,
    }
}

/// The bytes that were done: all, some, or the error for which none were.
fn done(called: Result<()>, bytes: i64) -> Result<usize> {
    match usize::try_from(bytes) {
        Ok(some) if some > 0 => Ok(some),
        _ => called.and(Err(Errno::IO)),
    }
}

impl Uffd {
    /// Opens one that handles the faults of the kernel as well.
    pub fn open(features: &[Feature]) -> std::result::Result<Uffd, Unsupported> {
        let uffd = Uffd(open_fd()?);
        let mut api = uffdio_api {
            api: 0xaa,
            features: features.iter().fold(0, |all, f| all | u64::from(f.bit())),
            ioctls: 0,
        };
        match uffd.call(UFFDIO_API, &mut api) {
            Ok(()) => Ok(uffd),
            Err(Errno::INVAL) => {
                let what = format!("userfaultfd with {features:?}");
                Err(Unsupported::new(what, "this kernel has not all of that"))
            }
            Err(error) => Err(Unsupported::new(WHAT, std::io::Error::from(error))),
        }
    }

    fn call<T>(&self, number: u32, request: &mut T) -> Result<()> {
        let arg = std::ptr::from_mut(request) as usize;
        // SAFETY: The request is live and of the size that is part of the number; it names pages
        // of a mapping, which are atomics only, and buffers that the calling method borrows.
        unsafe { raw_ioctl(self.0.as_fd(), number, arg) }
    }

    /// Has faults in some pages of a mapping told from now on.
    pub fn register(
        &self,
        mapping: &Mapping,
        first: usize,
        nr_pages: usize,
        faults: Faults,
    ) -> Result<()> {
        let mut request = uffdio_register {
            range: range(mapping, first, nr_pages),
            mode: u64::from(faults.mode()),
            ioctls: 0,
        };
        self.call(UFFDIO_REGISTER, &mut request)
    }

    /// Has them handled as usual again, and write protection taken away.
    pub fn unregister(&self, mapping: &Mapping, first: usize, nr_pages: usize) -> Result<()> {
        self.call(UFFDIO_UNREGISTER, &mut range(mapping, first, nr_pages))
    }

    /// Fills pages that are missing with a copy, and wakes who waits for them. Returns the bytes
    /// that were copied. EEXIST where a page is there already, EAGAIN where the memory is being
    /// changed, ENOENT where it is not registered.
    pub fn copy(&self, mapping: &Mapping, first: usize, source: &[u8]) -> Result<usize> {
        self.copy_with(mapping, first, source, 0)
    }

    /// The same, with the new pages write-protected.
    pub fn copy_protected(&self, mapping: &Mapping, first: usize, source: &[u8]) -> Result<usize> {
        self.copy_with(mapping, first, source, UFFDIO_COPY_MODE_WP)
    }

    fn copy_with(
        &self,
        mapping: &Mapping,
        first: usize,
        source: &[u8],
        mode: u32,
    ) -> Result<usize> {
        let to = range(mapping, first, source.len() / page_size());
        assert_eq!(to.len as usize, source.len());
        let mut request = uffdio_copy {
            dst: to.start,
            src: source.as_ptr() as u64,
            len: to.len,
            mode: u64::from(mode),
            copy: 0,
        };
        let called = self.call(UFFDIO_COPY, &mut request);
        done(called, request.copy)
    }

    /// Fills pages that are missing with zeroes, as [`Uffd::copy`] does with a copy.
    pub fn zeropage(&self, mapping: &Mapping, first: usize, nr_pages: usize) -> Result<usize> {
        let mut request = uffdio_zeropage {
            range: range(mapping, first, nr_pages),
            mode: 0,
            zeropage: 0,
        };
        let called = self.call(UFFDIO_ZEROPAGE, &mut request);
        done(called, request.zeropage)
    }

    /// Moves pages of anonymous memory, from `from` on, to where pages are missing, and wakes who
    /// waits for those. Returns the bytes that were moved. EEXIST where a page is there already,
    /// EBUSY where one is pinned or shared with another process, EAGAIN where the memory is being
    /// changed.
    pub fn move_pages(
        &self,
        mapping: &Mapping,
        first: usize,
        from: usize,
        nr_pages: usize,
    ) -> Result<usize> {
        let (to, from) = (
            range(mapping, first, nr_pages),
            range(mapping, from, nr_pages),
        );
        let mut request = uffdio_move {
            dst: to.start,
            src: from.start,
            len: to.len,
            mode: 0,
            move_: 0,
        };
        let called = self.call(UFFDIO_MOVE, &mut request);
        done(called, request.move_)
    }

    /// Write-protects pages.
    pub fn protect(&self, mapping: &Mapping, first: usize, nr_pages: usize) -> Result<()> {
        // UFFDIO_WRITEPROTECT_MODE_WP, which the bindings lack.
        self.write_protect(mapping, first, nr_pages, 1)
    }

    /// Takes the write protection away, and wakes who waits for that.
    pub fn unprotect(&self, mapping: &Mapping, first: usize, nr_pages: usize) -> Result<()> {
        self.write_protect(mapping, first, nr_pages, 0)
    }

    fn write_protect(
        &self,
        mapping: &Mapping,
        first: usize,
        nr_pages: usize,
        mode: u64,
    ) -> Result<()> {
        let mut request = uffdio_writeprotect {
            range: range(mapping, first, nr_pages),
            mode,
        };
        self.call(UFFDIO_WRITEPROTECT, &mut request)
    }

    /// Wakes who waits for pages, to try again. Needed where a page came in another way.
    pub fn wake(&self, mapping: &Mapping, first: usize, nr_pages: usize) -> Result<()> {
        self.call(UFFDIO_WAKE, &mut range(mapping, first, nr_pages))
    }

    /// Waits asleep for a fault to be told. None after `limit`.
    pub fn next_fault(&self, limit: Duration) -> Result<Option<Fault>> {
        let end = Instant::now() + limit;
        loop {
            if let Some(fault) = self.told_fault()? {
                return Ok(Some(fault));
            }
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Ok(None);
            }
            let timeout = Timespec {
                tv_sec: left.as_secs() as i64,
                tv_nsec: i64::from(left.subsec_nanos()),
            };
            match poll(&mut [PollFd::new(&self.0, PollFlags::IN)], Some(&timeout)) {
                Ok(_) | Err(Errno::INTR) => {}
                Err(error) => return Err(error),
            }
        }
    }

    fn told_fault(&self) -> Result<Option<Fault>> {
        let mut message = [0; MESSAGE];
        match rustix::io::read(&self.0, &mut message) {
            Ok(MESSAGE) => Ok(parse(&message)),
            Ok(_) => Err(Errno::IO),
            Err(Errno::AGAIN | Errno::INTR) => Ok(None),
            Err(error) => Err(error),
        }
    }
}

impl AsFd for Uffd {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn some_bytes_are_no_error() {
        assert_eq!(done(Err(Errno::AGAIN), 4096), Ok(4096));
        assert_eq!(done(Err(Errno::AGAIN), -11), Err(Errno::AGAIN));
        assert_eq!(done(Err(Errno::EXIST), -17), Err(Errno::EXIST));
        assert_eq!(done(Ok(()), 8192), Ok(8192));
    }

    /// The feature may be missing where these tests run; the test program `instruments` runs where
    /// it should not be.
    #[test]
    fn protection_without_pages_is_let_through() {
        use crate::mapping::Kind;
        let features = [Feature::WpUnpopulated, Feature::WpAsync, Feature::WpShmem];
        for kind in [Kind::Anon4k, Kind::Shmem, Kind::PrivateShmem] {
            let Ok(uffd) = Uffd::open(&features) else {
                return;
            };
            let mapping = Mapping::unverified(kind);
            uffd.register(&mapping, 0, mapping.pages(), Faults::WriteProtect)
                .expect("registered");
            uffd.protect(&mapping, 0, 2).expect("protected");
            let protected = |page| mapping.pagemap(page).map(|entry| entry.is_uffd_wp());
            assert_eq!((protected(0), protected(1)), (Ok(true), Ok(true)), "{kind}");
            mapping.write(0, 2);
            assert_eq!(
                (protected(0), protected(1)),
                (Ok(false), Ok(true)),
                "{kind}"
            );
        }
    }

    #[test]
    fn a_missing_page_is_told_and_given() {
        use crate::mapping::Kind;
        let Ok(uffd) = Uffd::open(&[]) else {
            return;
        };
        let mapping = Mapping::unverified(Kind::Anon4k);
        uffd.register(&mapping, 0, mapping.pages(), Faults::Missing)
            .expect("registered");
        let word = std::thread::scope(|scope| {
            let reader = scope.spawn(|| mapping.read(page_size()));
            let fault = uffd.next_fault(Duration::from_secs(20)).expect("polled");
            assert_eq!(fault.map(|fault| fault.addr), Some(mapping.page_addr(1)));
            let copied = uffd.copy(&mapping, 1, &vec![1; page_size()]);
            assert_eq!(copied, Ok(page_size()));
            reader.join().expect("no panic")
        });
        assert_eq!(word, u64::from_ne_bytes([1; 8]));
    }

    #[test]
    fn a_page_is_moved_to_where_one_is_missing() {
        use crate::mapping::Kind;
        let Ok(uffd) = Uffd::open(&[Feature::Move]) else {
            return;
        };
        let mapping = Mapping::unverified(Kind::Anon4k);
        // Not in reach of a huge page, of which there would be more to move.
        mapping
            .advise(0, mapping.pages(), crate::Advice::NoHugePage)
            .expect("advised");
        mapping.write(0, 7);
        uffd.register(&mapping, 1, 1, Faults::Missing)
            .expect("registered");
        assert_eq!(uffd.move_pages(&mapping, 1, 0, 1), Ok(page_size()));
        assert_eq!((mapping.read(page_size()), mapping.read(0)), (7, 0));
        assert_eq!(uffd.move_pages(&mapping, 1, 0, 1), Err(Errno::EXIST));
    }
}
