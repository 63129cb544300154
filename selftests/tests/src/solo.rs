// SPDX-License-Identifier: GPL-2.0
//! What a forked child does alone: it opens its own session and makes commands, without anything
//! that isn't allowed after fork().

use std::os::fd::AsFd;

use guplab::device::{DEVICE_PATH, raw_ioctl};
use guplab::{Errno, Hammer, Mapping, Point, Result, sys};
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

    /// Pins pages at the same addresses of another process. Returns the handle.
    pub fn pin_remote(&self, mapping: &Mapping, nr_pages: u32, pid: i32) -> Result<u64> {
        let mut request = sys::guplab_pin {
            addr: mapping.addr() as u64,
            nr_pages,
            way: sys::GUPLAB_WAY_PIN_REMOTE,
            pid,
            ..Default::default()
        };
        self.call(sys::GUPLAB_IOC_PIN, &mut request)?;
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

    /// Arms a delay point for a process, 0 for this one, as `set` has it. Returns its name.
    pub fn arm(
        &self,
        point: Point,
        pid: i32,
        set: impl FnOnce(&mut sys::guplab_delay),
    ) -> Result<u32> {
        let mut request = sys::guplab_delay {
            op: sys::GUPLAB_DELAY_ARM,
            point: point.number(),
            pid,
            ..Default::default()
        };
        set(&mut request);
        self.call(sys::GUPLAB_IOC_DELAY, &mut request)?;
        Ok(request.id)
    }

    /// What an armed point has counted.
    pub fn read_delay(&self, id: u32) -> Result<sys::guplab_delay> {
        self.of_delay(sys::GUPLAB_DELAY_READ, id)
    }

    /// Disarms a point.
    pub fn disarm(&self, id: u32) -> Result<()> {
        self.of_delay(sys::GUPLAB_DELAY_DISARM, id).map(|_| ())
    }

    fn of_delay(&self, op: u32, id: u32) -> Result<sys::guplab_delay> {
        let mut request = sys::guplab_delay {
            op,
            id,
            ..Default::default()
        };
        self.call(sys::GUPLAB_IOC_DELAY, &mut request)?;
        Ok(request)
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
