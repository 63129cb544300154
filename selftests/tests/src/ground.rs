// SPDX-License-Identifier: GPL-2.0
//! What a test of one command stands on: a session with memory and pins, and a request for each
//! command that is right until the test spoils it.

use std::os::fd::AsFd;

use guplab::device::raw_ioctl;
use guplab::{Kind, Mapping, PinRequest, Result, Session, Way, sys};

use crate::{Not, While, memory, open};

/// An address of the kernel's part of the address space.
pub const KERNEL_ADDRESS: u64 = if usize::BITS > 32 {
    0xffff_8880_0000_0000
} else {
    0xf000_0000
};

/// The ground.
#[derive(Debug)]
pub struct Ground {
    /// The session.
    pub session: Session,
    /// Memory in base pages.
    pub mapping: Mapping,
    /// A pin of four pages, for writing.
    pub handle: u64,
    /// A pin of one page, for reading.
    pub read_only: u64,
    /// The handle of a pin that is gone.
    pub stale: u64,
    /// A handle that only another session has.
    pub foreign: u64,
    _other: Session,
}

/// Pages of [`Ground::handle`].
pub const PINNED: u32 = 4;

/// Pins, and leaves the pin behind.
fn leave_pin(session: &Session, request: &PinRequest) -> std::result::Result<u64, Not> {
    let pin = session.pin(request).while_("pinning")?;
    let handle = pin.handle();
    std::mem::forget(pin);
    Ok(handle)
}

impl Ground {
    /// Prepares it.
    pub fn new() -> std::result::Result<Ground, Not> {
        let session = open()?;
        let other = open()?;
        let mapping = memory(&session, Kind::Anon4k, 1)?;
        let request =
            |nr_pages, flags| PinRequest::new(mapping.page_addr(0), nr_pages, Way::PinFast, flags);
        let write = sys::GUPLAB_PIN_WRITE;
        let handle = leave_pin(&session, &request(PINNED, write))?;
        let read_only = leave_pin(&session, &request(1, 0))?;
        let gone = session.pin(&request(1, 0)).while_("pinning")?;
        let stale = gone.handle();
        gone.unpin(0).while_("unpinning")?;
        // The other session gets further, so that one of its handles is unknown here.
        let mut foreign = 0;
        for _ in 0..10 {
            foreign = leave_pin(&other, &request(1, write))?;
        }
        Ok(Ground {
            session,
            mapping,
            handle,
            read_only,
            stale,
            foreign,
            _other: other,
        })
    }

    /// Makes the ioctl `number` with an address of the caller's choice.
    pub fn call_at(&self, number: u32, addr: u64) -> Result<()> {
        // SAFETY: Every test names memory that is not in use by this program (null, the kernel's,
        // a mapping under test) or a live request, whose buffers it keeps alive.
        unsafe { raw_ioctl(self.session.as_fd(), number, addr as usize) }
    }

    /// Makes the ioctl `number` with a request.
    pub fn call<T>(&self, number: u32, request: &mut T) -> Result<()> {
        self.call_at(number, std::ptr::from_mut(request) as u64)
    }

    /// PIN.
    pub fn pin(&self, spoil: impl FnOnce(&mut sys::guplab_pin)) -> Result<()> {
        let mut request = sys::guplab_pin {
            addr: self.mapping.addr() as u64,
            nr_pages: PINNED,
            way: sys::GUPLAB_WAY_PIN_FAST,
            flags: sys::GUPLAB_PIN_WRITE,
            ..Default::default()
        };
        spoil(&mut request);
        self.call(sys::GUPLAB_IOC_PIN, &mut request)
    }

    /// PIN by another way.
    pub fn pin_by(&self, way: u32, flags: u32) -> Result<()> {
        self.pin(|r| (r.way, r.flags) = (way, flags))
    }

    /// UNPIN.
    pub fn unpin(&self, spoil: impl FnOnce(&mut sys::guplab_unpin)) -> Result<()> {
        let mut request = sys::guplab_unpin {
            handle: self.handle,
            ..Default::default()
        };
        spoil(&mut request);
        self.call(sys::GUPLAB_IOC_UNPIN, &mut request)
    }

    /// DMA.
    pub fn dma(&self, spoil: impl FnOnce(&mut sys::guplab_dma)) -> Result<()> {
        let mut buffer = vec![0u8; sys::GUPLAB_MAX_DMA as usize + 1];
        let mut request = sys::guplab_dma {
            handle: self.handle,
            buf: buffer.as_mut_ptr() as u64,
            len: 8,
            ..Default::default()
        };
        spoil(&mut request);
        self.call(sys::GUPLAB_IOC_DMA, &mut request)
    }

    /// INSPECT.
    pub fn inspect(&self, spoil: impl FnOnce(&mut sys::guplab_inspect)) -> Result<()> {
        let pages = sys::GUPLAB_MAX_INSPECT as usize + 1;
        let mut buffer = vec![sys::guplab_page::default(); pages];
        let mut request = sys::guplab_inspect {
            addr: self.mapping.addr() as u64,
            nr_pages: 1,
            page_size: size_of::<sys::guplab_page>() as u32,
            buf: buffer.as_mut_ptr() as u64,
            ..Default::default()
        };
        spoil(&mut request);
        self.call(sys::GUPLAB_IOC_INSPECT, &mut request)
    }

    /// INSPECT of a pin.
    pub fn inspect_pin(&self, spoil: impl FnOnce(&mut sys::guplab_inspect)) -> Result<()> {
        self.inspect(|r| {
            (r.handle, r.addr) = (self.handle, 0);
            spoil(r);
        })
    }

    /// CHECK.
    pub fn check(&self, spoil: impl FnOnce(&mut sys::guplab_check)) -> Result<()> {
        let mut request = sys::guplab_check {
            handle: self.handle,
            ..Default::default()
        };
        spoil(&mut request);
        self.call(sys::GUPLAB_IOC_CHECK, &mut request)
    }

    /// HAMMER.
    pub fn hammer(&self, spoil: impl FnOnce(&mut sys::guplab_hammer)) -> Result<()> {
        let mut request = sys::guplab_hammer {
            addr: self.mapping.addr() as u64,
            nr_pages: 4,
            batch: 1,
            way: sys::GUPLAB_WAY_PIN_FAST,
            pin_flags: sys::GUPLAB_PIN_WRITE,
            flags: sys::GUPLAB_HAMMER_WRITE,
            max_calls: 1,
            ..Default::default()
        };
        spoil(&mut request);
        self.call(sys::GUPLAB_IOC_HAMMER, &mut request)
    }

    /// COLLAPSE.
    pub fn collapse(&self, spoil: impl FnOnce(&mut sys::guplab_collapse)) -> Result<()> {
        let mut request = sys::guplab_collapse {
            addr: self.mapping.addr() as u64,
            len: self.mapping.len() as u64,
            ..Default::default()
        };
        spoil(&mut request);
        self.call(sys::GUPLAB_IOC_COLLAPSE, &mut request)
    }

    /// STATS.
    pub fn stats(&self, spoil: impl FnOnce(&mut sys::guplab_stats)) -> Result<()> {
        let mut request = sys::guplab_stats::default();
        spoil(&mut request);
        self.call(sys::GUPLAB_IOC_STATS, &mut request)
    }

    /// HINT.
    pub fn hint(&self, spoil: impl FnOnce(&mut sys::guplab_hint)) -> Result<()> {
        let mut request = sys::guplab_hint {
            addr: self.mapping.addr() as u64,
            len: self.mapping.len() as u64,
            ..Default::default()
        };
        spoil(&mut request);
        self.call(sys::GUPLAB_IOC_HINT, &mut request)
    }

    /// WALK.
    pub fn walk(&self, op: u32, spoil: impl FnOnce(&mut sys::guplab_walk)) -> Result<()> {
        let mut request = sys::guplab_walk {
            op,
            ..Default::default()
        };
        spoil(&mut request);
        self.call(sys::GUPLAB_IOC_WALK, &mut request)
    }

    /// EXPLAIN.
    pub fn explain(&self, spoil: impl FnOnce(&mut sys::guplab_explain)) -> Result<()> {
        let mut request = sys::guplab_explain {
            addr: self.mapping.addr() as u64,
            ..Default::default()
        };
        spoil(&mut request);
        self.call(sys::GUPLAB_IOC_EXPLAIN, &mut request)
    }

    /// COMPARE.
    pub fn compare(&self, spoil: impl FnOnce(&mut sys::guplab_compare)) -> Result<()> {
        let mut request = sys::guplab_compare {
            addr: self.mapping.addr() as u64,
            nr_pages: PINNED,
            max_pages: PINNED,
            way: sys::GUPLAB_WAY_WALK_GET_ONLY,
            count: 4,
            ..Default::default()
        };
        spoil(&mut request);
        self.call(sys::GUPLAB_IOC_COMPARE, &mut request)
    }

    /// DELAY. Returns the name of what was armed.
    pub fn delay(&self, op: u32, spoil: impl FnOnce(&mut sys::guplab_delay)) -> Result<u32> {
        let mut request = sys::guplab_delay {
            op,
            ..Default::default()
        };
        spoil(&mut request);
        self.call(sys::GUPLAB_IOC_DELAY, &mut request)?;
        Ok(request.id)
    }
}
