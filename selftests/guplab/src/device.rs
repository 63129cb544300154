// SPDX-License-Identifier: GPL-2.0
//! An open `/dev/guplab`: one method a command.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};

use crate::mapping::Mapping;
use crate::page::Page;
use crate::pin::{Pin, PinRequest, Way};
use crate::{Errno, Result, sys};

/// Where the device node is.
pub const DEVICE_PATH: &str = "/dev/guplab";

/// Why no session could be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// There is no device node, or nothing behind it.
    #[error("{path}: not there. Is the module loaded? (insmod guplab.ko)")]
    NoModule {
        /// The path that was tried.
        path: String,
    },
    /// The node is there but may not be opened.
    #[error("{path}: permission denied. The node is for root only (mode 0600); try with sudo")]
    NoPermission {
        /// The path that was tried.
        path: String,
    },
    /// The module speaks another version of the interface, or is something else.
    #[error(
        "the loaded module has interface version {module}, this program needs {program}: \
         use a module and a program of the same release"
    )]
    Version {
        /// What the module says.
        module: u32,
        /// What this program was built for.
        program: u32,
    },
    /// The node isn't guplab's.
    #[error("{path}: does not answer like guplab ({error}); is another driver behind the node?")]
    NotGuplab {
        /// The path that was tried.
        path: String,
        /// What INFO returned.
        error: Errno,
    },
    /// Anything else.
    #[error("{path}: {error}")]
    Other {
        /// The path that was tried.
        path: String,
        /// What open(2) returned.
        error: io::Error,
    },
}

impl OpenError {
    /// Whether the reason is that no module is loaded, which makes a test a skip and not a failure.
    pub fn is_no_module(&self) -> bool {
        matches!(self, OpenError::NoModule { .. })
    }
}

/// One session: an open file, and everything that is pinned through it.
#[derive(Debug)]
pub struct Session {
    file: File,
    info: sys::guplab_info,
    /// Whether its own walk is used where fast GUP was asked for.
    pub(crate) replaces_fast_gup: bool,
}

/// What HAMMER is to do; what it did comes back in the same structure.
pub type Hammer = sys::guplab_hammer;

/// Makes the ioctl `number` with the address `arg` and nothing checked.
///
/// # Safety
///
/// The kernel may read and write the memory at `arg` and, through it, at every address that the
/// request there names: that memory must be valid for it, or not be in use by this program at all.
pub unsafe fn raw_ioctl(fd: BorrowedFd<'_>, number: u32, arg: usize) -> Result<()> {
    // SAFETY: The caller vouches for the memory; the descriptor is open as it is borrowed.
    let returned = unsafe { libc::ioctl(fd.as_raw_fd(), libc::Ioctl::from(number), arg) };
    if returned < 0 {
        return Err(Errno::from_io_error(&io::Error::last_os_error()).unwrap_or(Errno::IO));
    }
    Ok(())
}

impl Session {
    /// Opens [`DEVICE_PATH`].
    pub fn open() -> std::result::Result<Session, OpenError> {
        Session::open_path(DEVICE_PATH)
    }

    /// Opens another path, and asks the module behind it for its version.
    pub fn open_path(path: &str) -> std::result::Result<Session, OpenError> {
        let path = path.to_owned();
        let file = match OpenOptions::new().read(true).write(true).open(&path) {
            Ok(file) => file,
            Err(error) => {
                return Err(match error.raw_os_error() {
                    Some(libc::ENOENT | libc::ENXIO | libc::ENODEV) => OpenError::NoModule { path },
                    Some(libc::EACCES | libc::EPERM) => OpenError::NoPermission { path },
                    _ => OpenError::Other { path, error },
                });
            }
        };
        let mut session = Session {
            file,
            info: sys::guplab_info::default(),
            replaces_fast_gup: false,
        };
        let mut info = sys::guplab_info::default();
        if let Err(error) = session.command(sys::GUPLAB_IOC_INFO, &mut info) {
            return Err(OpenError::NotGuplab { path, error });
        }
        if info.abi_version != sys::GUPLAB_ABI_VERSION {
            return Err(OpenError::Version {
                module: info.abi_version,
                program: sys::GUPLAB_ABI_VERSION,
            });
        }
        session.info = info;
        Ok(session)
    }

    /// Makes one command. Only for requests that name no other memory, or whose memory the caller
    /// in this crate keeps alive; so it isn't public.
    pub(crate) fn command<T>(&self, number: u32, request: &mut T) -> Result<()> {
        let arg = std::ptr::from_mut(request) as usize;
        // SAFETY: `request` is a live structure of the size that is part of `number`, and the
        // memory it names is either this process's ordinary memory in use as a mapping under
        // test, or a buffer that the calling method borrows.
        unsafe { raw_ioctl(self.file.as_fd(), number, arg) }
    }

    /// What the module and the kernel can do (INFO).
    pub fn info(&self) -> &sys::guplab_info {
        &self.info
    }

    /// Whether INFO has the feature bit.
    pub fn has(&self, feature: sys::guplab_feature) -> bool {
        self.info.features & u64::from(feature) != 0
    }

    /// Whether this kernel has a way of pinning.
    pub fn can(&self, way: Way) -> bool {
        self.info.ways & (1 << way.number()) != 0
    }

    /// Bytes that one PMD maps.
    pub fn pmd_size(&self) -> usize {
        self.info.pmd_size as usize
    }

    /// Base pages in what one PMD maps.
    pub fn pmd_pages(&self) -> usize {
        self.pmd_size() / self.info.page_size as usize
    }

    /// The order of a folio that one PMD maps.
    pub fn pmd_order(&self) -> u32 {
        self.pmd_pages().trailing_zeros()
    }

    /// Pins pages and keeps them pinned (PIN). May pin fewer pages than asked for: see
    /// [`Pin::pinned`].
    ///
    /// DMA through the pin goes round Rust's rules for memory, as a write to /proc/self/mem does:
    /// pin mappings under test, which are read and written as atomics only.
    pub fn pin(&self, request: &PinRequest) -> Result<Pin<'_>> {
        let mut raw = request.to_raw();
        raw.way = self.way(raw.way);
        self.command(sys::GUPLAB_IOC_PIN, &mut raw)?;
        Ok(Pin::new(self, &raw))
    }

    /// Looks at what is mapped at an address, in this process or another (INSPECT).
    pub fn inspect(&self, pid: i32, addr: usize, nr_pages: u32) -> Result<Vec<Page>> {
        self.inspect_raw(sys::guplab_inspect {
            addr: addr as u64,
            nr_pages,
            pid,
            ..Default::default()
        })
    }

    pub(crate) fn inspect_raw(&self, mut raw: sys::guplab_inspect) -> Result<Vec<Page>> {
        let mut pages = vec![sys::guplab_page::default(); raw.nr_pages as usize];
        raw.page_size = size_of::<sys::guplab_page>() as u32;
        raw.buf = pages.as_mut_ptr() as u64;
        self.command(sys::GUPLAB_IOC_INSPECT, &mut raw)?;
        Ok(pages.into_iter().map(Page).collect())
    }

    /// Pins, uses and unpins in a loop inside the kernel (HAMMER). The outputs in `hammer` are
    /// filled in also where a signal ended it (EINTR). Times are told by [`Session::hammer_times`]
    /// alone, which knows that there is room for them.
    pub fn hammer(&self, mapping: &Mapping, hammer: &mut Hammer) -> Result<()> {
        hammer.flags &= !sys::GUPLAB_HAMMER_TIME_CALLS;
        (hammer.times, hammer.nr_times) = (0, 0);
        self.make_hammer(mapping, hammer)
    }

    fn make_hammer(&self, mapping: &Mapping, hammer: &mut Hammer) -> Result<()> {
        debug_assert!(mapping.contains(hammer.addr as usize));
        let asked = hammer.way;
        hammer.way = self.way(asked);
        let done = self.command(sys::GUPLAB_IOC_HAMMER, hammer);
        hammer.way = asked;
        done
    }

    /// As [`Session::hammer`], and tells how many nanoseconds each of the first calls took. Returns
    /// the part of `times` that was filled in.
    pub fn hammer_times<'a>(
        &self,
        mapping: &Mapping,
        hammer: &mut Hammer,
        times: &'a mut [u32],
    ) -> Result<&'a [u32]> {
        let max = times.len().min(sys::GUPLAB_MAX_TIMES as usize);
        hammer.flags |= sys::GUPLAB_HAMMER_TIME_CALLS;
        hammer.times = times.as_mut_ptr() as u64;
        hammer.nr_times = max as u32;
        self.make_hammer(mapping, hammer)?;
        Ok(&times[..max.min(hammer.calls as usize)])
    }

    /// Calls MADV_COLLAPSE from the kernel (COLLAPSE), and returns what it returned and when.
    pub fn collapse(&self, pid: i32, addr: usize, len: usize) -> Result<sys::guplab_collapse> {
        self.collapse_after(0, pid, addr, len)
    }

    /// As [`Session::collapse`], when somebody is at an armed point ([`crate::Gate::id`]).
    pub fn collapse_after(
        &self,
        gate: u32,
        pid: i32,
        addr: usize,
        len: usize,
    ) -> Result<sys::guplab_collapse> {
        let mut raw = sys::guplab_collapse {
            addr: addr as u64,
            len: len as u64,
            pid,
            gate,
            ..Default::default()
        };
        self.command(sys::GUPLAB_IOC_COLLAPSE, &mut raw)?;
        Ok(raw)
    }

    /// Sets NUMA hints (HINT) in memory of this process, when somebody is at an armed point
    /// ([`crate::Gate::id`]; 0 for at once). Returns how many pages are hinted that were not.
    pub fn hint(&self, gate: u32, addr: usize, len: usize) -> Result<u64> {
        let mut raw = sys::guplab_hint {
            addr: addr as u64,
            len: len as u64,
            gate,
            ..Default::default()
        };
        self.command(sys::GUPLAB_IOC_HINT, &mut raw)?;
        Ok(raw.updated)
    }

    /// Reads counters (STATS), of this session or of the module.
    pub fn stats(&self, scope: sys::guplab_stats_scope) -> Result<sys::guplab_stats> {
        let mut raw = sys::guplab_stats {
            scope,
            ..Default::default()
        };
        self.command(sys::GUPLAB_IOC_STATS, &mut raw)?;
        Ok(raw)
    }
}

impl AsFd for Session {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_node_asks_for_the_module() {
        let error = Session::open_path("/dev/no-such-guplab").expect_err("there is none");
        assert!(error.is_no_module());
        assert_eq!(
            error.to_string(),
            "/dev/no-such-guplab: not there. Is the module loaded? (insmod guplab.ko)"
        );
    }

    #[test]
    fn another_device_is_not_taken_for_guplab() {
        let error = Session::open_path("/dev/null").expect_err("it isn't guplab");
        assert!(!error.is_no_module());
        assert!(error.to_string().contains("does not answer like guplab"));
    }
}
