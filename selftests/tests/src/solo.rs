// SPDX-License-Identifier: GPL-2.0
//! What a forked child does alone: it opens its own session and makes commands, without anything
//! that isn't allowed after fork().

use std::os::fd::AsFd;

use guplab::device::{DEVICE_PATH, raw_ioctl};
use guplab::{Errno, Hammer, Mapping, Result, sys};
use rustix::fd::OwnedFd;
use rustix::fs::{Mode, OFlags, open};

/// Gives up all capabilities, by becoming a user who has none. Only this thread does.
pub fn become_nobody() -> Result<()> {
    let nobody = rustix::process::Uid::from_raw(65534);
    rustix::thread::set_thread_res_uid(nobody, nobody, nobody)
}

/// A session of the child's own.
#[derive(Debug)]
pub struct Solo(OwnedFd);

impl Solo {
    /// Opens it.
    pub fn open() -> Result<Solo> {
        open(DEVICE_PATH, OFlags::RDWR | OFlags::CLOEXEC, Mode::empty()).map(Solo)
    }

    /// Takes over a session that the parent opened.
    pub fn inherit(session: &impl AsFd) -> Result<Solo> {
        rustix::io::dup(session).map(Solo)
    }

    fn call<T>(&self, number: u32, request: &mut T) -> Result<()> {
        // SAFETY: The request is live, and names mappings under test or live buffers only.
        unsafe { raw_ioctl(self.0.as_fd(), number, std::ptr::from_mut(request) as usize) }
    }

    /// Pins pages of a mapping from its start. Returns the handle.
    pub fn pin(&self, mapping: &Mapping, nr_pages: u32, flags: u32) -> Result<u64> {
        let mut request = sys::guplab_pin {
            addr: mapping.addr() as u64,
            nr_pages,
            flags,
            ..Default::default()
        };
        self.call(sys::GUPLAB_IOC_PIN, &mut request)?;
        if request.pinned != nr_pages {
            return Err(Errno::FAULT);
        }
        Ok(request.handle)
    }

    /// Unpins.
    pub fn unpin(&self, handle: u64) -> Result<()> {
        let mut request = sys::guplab_unpin {
            handle,
            ..Default::default()
        };
        self.call(sys::GUPLAB_IOC_UNPIN, &mut request)
    }

    /// Reads the first word of a pin.
    pub fn read(&self, handle: u64) -> Result<u64> {
        let mut word = 0u64;
        let mut request = sys::guplab_dma {
            handle,
            buf: std::ptr::from_mut(&mut word) as u64,
            len: size_of::<u64>() as u32,
            ..Default::default()
        };
        self.call(sys::GUPLAB_IOC_DMA, &mut request)?;
        Ok(word)
    }

    /// Hammers a mapping for a time, or until a signal comes.
    pub fn hammer(&self, mapping: &Mapping, max_ns: u64) -> (Result<()>, Hammer) {
        let mut request = Hammer {
            addr: mapping.addr() as u64,
            nr_pages: mapping.pages() as u32,
            batch: 8,
            pin_flags: sys::GUPLAB_PIN_WRITE,
            flags: sys::GUPLAB_HAMMER_WRITE,
            max_ns,
            ..Default::default()
        };
        let done = self.call(sys::GUPLAB_IOC_HAMMER, &mut request);
        (done, request)
    }

    /// Collapses a mapping. Returns what MADV_COLLAPSE returned.
    pub fn collapse(&self, mapping: &Mapping, pid: i32) -> Result<i32> {
        let mut request = sys::guplab_collapse {
            addr: mapping.addr() as u64,
            len: mapping.len() as u64,
            pid,
            ..Default::default()
        };
        self.call(sys::GUPLAB_IOC_COLLAPSE, &mut request)?;
        Ok(request.result)
    }
}

/// A result as the exit code of a child.
pub fn exit_code<T>(done: Result<T>) -> i32 {
    done.map_or_else(|error| error.raw_os_error(), |_| 0)
}
