// SPDX-License-Identifier: GPL-2.0
//! The interface of the kernel's own test driver, mm/gup_test.c: that driver, or guplab's.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::fd::AsFd;

use crate::device::raw_ioctl;
use crate::{Mapping, Result, page_size};

/// FOLL_WRITE, which the driver takes as it is.
pub const FOLL_WRITE: u32 = 1;

/// struct gup_test of mm/gup_test.h.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[allow(missing_docs)]
pub struct Request {
    pub get_delta_usec: u64,
    pub put_delta_usec: u64,
    pub addr: u64,
    pub size: u64,
    pub nr_pages_per_call: u32,
    pub gup_flags: u32,
    pub test_flags: u32,
    pub which_pages: [u32; 8],
    /// Padding in C, on 64-bit machines.
    pub padding: u32,
}

/// struct pin_longterm_test of mm/gup_test.h.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[allow(missing_docs)]
pub struct Longterm {
    pub addr: u64,
    pub size: u64,
    pub flags: u32,
    /// Padding in C.
    pub padding: u32,
}

const _: () = assert!(size_of::<Request>() == 80 && size_of::<Longterm>() == 24);

/// PIN_LONGTERM_TEST_FLAG_USE_WRITE of mm/gup_test.h.
pub const LONGTERM_WRITE: u32 = 1;
/// PIN_LONGTERM_TEST_FLAG_USE_FAST of mm/gup_test.h.
pub const LONGTERM_FAST: u32 = 2;
/// GUP_TEST_FLAG_DUMP_PAGES_USE_PIN of mm/gup_test.h.
pub const DUMP_PINS: u32 = 1;

/// The number of an ioctl of the driver that writes to the kernel, and reads if `reads`.
const fn number(reads: bool, size: usize, nr: u32) -> u32 {
    let direction = if reads { 3 } else { 1 };
    direction << 30 | (size as u32) << 16 | (b'g' as u32) << 8 | nr
}

/// A command that gets pages, puts them again, and tells how long that took.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Command {
    GupFastBenchmark,
    PinFastBenchmark,
    PinLongtermBenchmark,
    GupBasicTest,
    PinBasicTest,
    DumpUserPagesTest,
}

impl Command {
    /// All of them.
    pub const ALL: [Command; 6] = [
        Command::GupFastBenchmark,
        Command::PinFastBenchmark,
        Command::PinLongtermBenchmark,
        Command::GupBasicTest,
        Command::PinBasicTest,
        Command::DumpUserPagesTest,
    ];

    /// The number of the ioctl.
    pub fn number(self) -> u32 {
        number(true, size_of::<Request>(), self as u32 + 1)
    }
}

/// PIN_LONGTERM_TEST_START.
pub const LONGTERM_START: u32 = number(false, size_of::<Longterm>(), 7);
/// PIN_LONGTERM_TEST_STOP.
pub const LONGTERM_STOP: u32 = (b'g' as u32) << 8 | 8;
/// PIN_LONGTERM_TEST_READ.
pub const LONGTERM_READ: u32 = number(false, size_of::<u64>(), 9);

/// Where an open driver was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Whose {
    /// The kernel's own, or what guplab put in its place where the kernel has none.
    Usual,
    /// That of guplab.
    Guplab,
}

impl Whose {
    /// The file.
    pub fn path(self) -> &'static str {
        match self {
            Whose::Usual => "/sys/kernel/debug/gup_test",
            Whose::Guplab => "/sys/kernel/debug/guplab/gup_test",
        }
    }
}

/// An open driver.
#[derive(Debug)]
pub struct GupTest(File);

/// What one benchmark measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Deltas {
    /// Microseconds in which all pages were got.
    pub get_usec: u64,
    /// Microseconds in which all pages were put.
    pub put_usec: u64,
}

impl GupTest {
    /// Opens it. That needs root and debugfs.
    pub fn open(whose: Whose) -> io::Result<GupTest> {
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .open(whose.path())?;
        Ok(GupTest(file))
    }

    /// Makes a command.
    pub fn command(&self, command: Command, request: &mut Request) -> Result<()> {
        let arg = std::ptr::from_mut(request) as usize;
        // SAFETY: The request is a live structure of the size that is part of the number. The pages
        // that it names are looked at, and nothing is written to them.
        unsafe { raw_ioctl(self.0.as_fd(), command.number(), arg) }
    }

    /// Pins a range until [`GupTest::stop`] or the last close.
    pub fn start(&self, request: &Longterm) -> Result<()> {
        let arg = std::ptr::from_ref(request) as usize;
        // SAFETY: The request is a live structure, which is only read; pages are only pinned.
        unsafe { raw_ioctl(self.0.as_fd(), LONGTERM_START, arg) }
    }

    /// Releases what was pinned, if anything.
    pub fn stop(&self) -> Result<()> {
        // SAFETY: There is no argument.
        unsafe { raw_ioctl(self.0.as_fd(), LONGTERM_STOP, 0) }
    }

    /// Copies the pinned pages into a mapping, which has to have as many. That it has is not known
    /// here; behind its end is whatever is there.
    ///
    /// # Safety
    ///
    /// No more pages are pinned than `to` has.
    pub unsafe fn read(&self, to: &Mapping) -> Result<()> {
        let addr = to.addr() as u64;
        let arg = std::ptr::from_ref(&addr) as usize;
        // SAFETY: The address is read from a live number, and the caller promises the rest: no
        // reference points into a mapping.
        unsafe { raw_ioctl(self.0.as_fd(), LONGTERM_READ, arg) }
    }

    /// Makes an ioctl with an argument of the caller's choice.
    ///
    /// # Safety
    ///
    /// Nothing that the ioctl may write through `arg` is in use.
    pub unsafe fn raw(&self, number: u32, arg: usize) -> Result<()> {
        // SAFETY: The caller promises it.
        unsafe { raw_ioctl(self.0.as_fd(), number, arg) }
    }

    /// Pins a whole mapping for writing with pin_user_pages_fast(), so many pages in a call, and
    /// unpins it. Returns nothing where not all of it could be pinned.
    pub fn pin_fast(&self, mapping: &Mapping, pages_per_call: u32) -> Result<Option<Deltas>> {
        self.pin_fast_part(mapping, 0, mapping.pages(), pages_per_call)
    }

    /// The same for a part of it, from page `first` on.
    pub fn pin_fast_part(
        &self,
        mapping: &Mapping,
        first: usize,
        nr_pages: usize,
        pages_per_call: u32,
    ) -> Result<Option<Deltas>> {
        assert!(nr_pages <= mapping.pages() - first);
        let size = (nr_pages * page_size()) as u64;
        let mut request = Request {
            addr: mapping.page_addr(first) as u64,
            size,
            nr_pages_per_call: pages_per_call,
            gup_flags: FOLL_WRITE,
            ..Default::default()
        };
        self.command(Command::PinFastBenchmark, &mut request)?;
        // It tells a short count by a smaller size.
        Ok((request.size == size).then_some(Deltas {
            get_usec: request.get_delta_usec,
            put_usec: request.put_delta_usec,
        }))
    }
}
