// SPDX-License-Identifier: GPL-2.0
//! Held pins.

use crate::device::Session;
use crate::page::Page;
use crate::{Result, sys};

named! {
    /// The kernel function that pins, or guplab's own walk ([`crate::walk`]).
    Way (10):
    PinFast GUPLAB_WAY_PIN_FAST "pin_fast" "pin_user_pages_fast()",
    Pin GUPLAB_WAY_PIN "pin" "pin_user_pages_unlocked()",
    PinRemote GUPLAB_WAY_PIN_REMOTE "pin_remote" "pin_user_pages_remote()",
    GetFast GUPLAB_WAY_GET_FAST "get_fast" "get_user_pages_fast()",
    GetFastOnly GUPLAB_WAY_GET_FAST_ONLY "get_fast_only" "get_user_pages_fast_only()",
    PinFastOnly GUPLAB_WAY_PIN_FAST_ONLY "pin_fast_only"
        "the lockless part of pin_user_pages_fast() alone",
    Walk GUPLAB_WAY_WALK "walk"
        "guplab's own walk, which pins; the slow path takes what it leaves",
    WalkOnly GUPLAB_WAY_WALK_ONLY "walk_only" "the walk alone, which pins",
    WalkGet GUPLAB_WAY_WALK_GET "walk_get"
        "the walk, which takes references; the slow path takes what it leaves",
    WalkGetOnly GUPLAB_WAY_WALK_GET_ONLY "walk_get_only" "the walk alone, which takes references",
}

impl Way {
    /// What does the same with guplab's own walk in the place of fast GUP; itself, if there is no
    /// fast GUP in it.
    #[must_use]
    pub fn by_walk(self) -> Way {
        match self {
            Way::PinFast => Way::Walk,
            Way::PinFastOnly => Way::WalkOnly,
            Way::GetFast => Way::WalkGet,
            Way::GetFastOnly => Way::WalkGetOnly,
            other => other,
        }
    }

    /// Whether it pins (FOLL_PIN) and doesn't merely take a reference.
    pub fn pins(self) -> bool {
        !matches!(
            self,
            Way::GetFast | Way::GetFastOnly | Way::WalkGet | Way::WalkGetOnly
        )
    }

    /// Whether it is lockless alone: it never faults, and may come back with nothing (EFAULT).
    pub fn is_only(self) -> bool {
        matches!(
            self,
            Way::GetFastOnly | Way::PinFastOnly | Way::WalkOnly | Way::WalkGetOnly
        )
    }
}

/// The flags of pins, and their names.
pub const FLAGS: [(sys::guplab_pin_flag, &str); 7] = [
    (sys::GUPLAB_PIN_WRITE, "write"),
    (sys::GUPLAB_PIN_LONGTERM, "longterm"),
    (sys::GUPLAB_PIN_FORCE, "force"),
    (sys::GUPLAB_PIN_NOFAULT, "nofault"),
    (sys::GUPLAB_PIN_HONOR_NUMA_FAULT, "honor-numa-fault"),
    (sys::GUPLAB_PIN_INTERRUPTIBLE, "interruptible"),
    (sys::GUPLAB_PIN_SPLIT_PMD, "split-pmd"),
];

/// What to pin, and how.
#[derive(Clone, Copy, Debug)]
pub struct PinRequest {
    /// Page-aligned start.
    pub addr: usize,
    /// Pages.
    pub nr_pages: u32,
    /// The kernel function.
    pub way: Way,
    /// `GUPLAB_PIN_*` bits.
    pub flags: u32,
    /// Another process, for [`Way::PinRemote`]; else 0.
    pub pid: i32,
    /// The armed point at which somebody has to be first ([`crate::Gate::id`]); 0 for none.
    pub gate: u32,
}

impl PinRequest {
    /// A request for `nr_pages` at `addr` of this process.
    pub fn new(addr: usize, nr_pages: u32, way: Way, flags: u32) -> PinRequest {
        PinRequest {
            addr,
            nr_pages,
            way,
            flags,
            pid: 0,
            gate: 0,
        }
    }

    /// The same, begun when somebody is at an armed point ([`crate::Gate::id`]); at once for 0.
    #[must_use]
    pub fn after(self, gate: u32) -> PinRequest {
        PinRequest { gate, ..self }
    }

    pub(crate) fn to_raw(self) -> sys::guplab_pin {
        sys::guplab_pin {
            addr: self.addr as u64,
            nr_pages: self.nr_pages,
            way: self.way.number(),
            flags: self.flags,
            pid: self.pid,
            gate: self.gate,
            ..Default::default()
        }
    }
}

/// A held pin. Dropping it unpins.
#[derive(Debug)]
pub struct Pin<'s> {
    session: &'s Session,
    handle: u64,
    addr: usize,
    pinned: u32,
    flags: u32,
}

impl<'s> Pin<'s> {
    pub(crate) fn new(session: &'s Session, raw: &sys::guplab_pin) -> Pin<'s> {
        Pin {
            session,
            handle: raw.handle,
            addr: raw.addr as usize,
            pinned: raw.pinned,
            flags: raw.flags,
        }
    }

    /// Its name in the session.
    pub fn handle(&self) -> u64 {
        self.handle
    }

    /// Where it starts.
    pub fn addr(&self) -> usize {
        self.addr
    }

    /// Pages that are pinned, which may be fewer than were asked for.
    pub fn pinned(&self) -> u32 {
        self.pinned
    }

    /// Whether it was made for writing.
    pub fn is_write(&self) -> bool {
        self.flags & sys::GUPLAB_PIN_WRITE != 0
    }

    /// Writes through the pin, as a device would (DMA).
    pub fn write(&self, offset: u64, data: &[u8]) -> Result<()> {
        self.dma(
            offset,
            data.as_ptr() as u64,
            data.len(),
            sys::GUPLAB_DMA_TO_PAGES,
        )
    }

    /// Reads through the pin, as a device would (DMA).
    pub fn read(&self, offset: u64, data: &mut [u8]) -> Result<()> {
        self.dma(offset, data.as_mut_ptr() as u64, data.len(), 0)
    }

    /// Writes one 64-bit word through the pin.
    pub fn write_word(&self, offset: u64, value: u64) -> Result<()> {
        self.write(offset, &value.to_ne_bytes())
    }

    /// Reads one 64-bit word through the pin.
    pub fn read_word(&self, offset: u64) -> Result<u64> {
        let mut bytes = [0; 8];
        self.read(offset, &mut bytes)?;
        Ok(u64::from_ne_bytes(bytes))
    }

    fn dma(&self, offset: u64, buf: u64, len: usize, flags: u32) -> Result<()> {
        let mut raw = sys::guplab_dma {
            handle: self.handle,
            offset,
            buf,
            len: u32::try_from(len).map_err(|_| crate::Errno::INVAL)?,
            flags,
        };
        self.session.command(sys::GUPLAB_IOC_DMA, &mut raw)
    }

    /// Looks at the pinned pages, and at what their addresses map now (INSPECT).
    pub fn pages(&self) -> Result<Vec<Page>> {
        let mut pages = Vec::with_capacity(self.pinned as usize);
        while (pages.len() as u32) < self.pinned {
            let first = pages.len() as u32;
            pages.extend(self.session.inspect_raw(sys::guplab_inspect {
                handle: self.handle,
                first,
                nr_pages: (self.pinned - first).min(sys::GUPLAB_MAX_INSPECT),
                ..Default::default()
            })?);
        }
        Ok(pages)
    }

    /// Asks whether the pin and the mapping agree (CHECK). With `expect_same`, the module records
    /// a violation where they don't.
    pub fn check(&self, expect_same: bool) -> Result<sys::guplab_check> {
        let mut raw = sys::guplab_check {
            handle: self.handle,
            flags: if expect_same {
                sys::GUPLAB_CHECK_EXPECT_SAME
            } else {
                0
            },
            ..Default::default()
        };
        self.session.command(sys::GUPLAB_IOC_CHECK, &mut raw)?;
        Ok(raw)
    }

    /// Releases the pin (UNPIN), with `GUPLAB_UNPIN_*` bits.
    pub fn unpin(self, flags: u32) -> Result<()> {
        let returned = self.release(flags);
        std::mem::forget(self);
        returned
    }

    fn release(&self, flags: u32) -> Result<()> {
        let mut raw = sys::guplab_unpin {
            handle: self.handle,
            flags,
            ..Default::default()
        };
        self.session.command(sys::GUPLAB_IOC_UNPIN, &mut raw)
    }
}

impl Drop for Pin<'_> {
    fn drop(&mut self) {
        // A handle that is gone already, as in a test of unpinning twice, is no harm.
        let _gone = self.release(0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ways_have_the_numbers_of_their_order() {
        for (number, way) in Way::ALL.into_iter().enumerate() {
            assert_eq!(way.number() as usize, number, "{}", way.name());
            assert_eq!(Way::of(way.number()), Some(way));
            let by_walk = way.by_walk();
            assert_eq!(way.pins(), by_walk.pins(), "{}", way.name());
            assert_eq!(way.is_only(), by_walk.is_only(), "{}", way.name());
        }
        assert_eq!(Way::ALL.into_iter().filter(|way| way.pins()).count(), 6);
        assert_eq!(Way::ALL.into_iter().filter(|way| way.is_only()).count(), 4);
    }
}
