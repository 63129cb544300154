// SPDX-License-Identifier: GPL-2.0
//! The kernel's own benchmark of pinning, mm/gup_test.c.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::fd::AsRawFd;

use anyhow::Context;
use guplab::Mapping;

const PATH: &str = "/sys/kernel/debug/gup_test";

/// struct gup_test of mm/gup_test.h.
#[repr(C)]
#[derive(Debug, Default)]
struct Request {
    get_delta_usec: u64,
    put_delta_usec: u64,
    addr: u64,
    size: u64,
    nr_pages_per_call: u32,
    gup_flags: u32,
    test_flags: u32,
    which_pages: [u32; 8],
}

/// _IOWR('g', 2, struct gup_test)
const PIN_FAST_BENCHMARK: libc::Ioctl =
    3 << 30 | (size_of::<Request>() as libc::Ioctl) << 16 | (b'g' as libc::Ioctl) << 8 | 2;

/// FOLL_WRITE of the kernel, which gup_test takes as it is.
const FOLL_WRITE: u32 = 1;

const _: () = assert!(size_of::<Request>() == 80);

/// The open benchmark.
#[derive(Debug)]
pub(crate) struct GupTest(File);

impl GupTest {
    /// Opens it.
    pub(crate) fn open() -> anyhow::Result<GupTest> {
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .open(PATH)
            .with_context(|| {
                format!("{PATH} (needs root, debugfs and a kernel with CONFIG_GUP_TEST)")
            })?;
        Ok(GupTest(file))
    }

    /// Pins the whole mapping for writing, `batch` pages a call, then unpins it. Returns the
    /// nanoseconds that both took.
    pub(crate) fn pin_fast(&self, mapping: &Mapping, batch: u32) -> anyhow::Result<u64> {
        let mut request = Request {
            addr: mapping.addr() as u64,
            size: mapping.len() as u64,
            nr_pages_per_call: batch,
            gup_flags: FOLL_WRITE,
            ..Default::default()
        };
        // SAFETY: The request is a live structure of the size that is part of the number, and the
        // range that it names is a mapping which no reference points into.
        let returned = unsafe { libc::ioctl(self.0.as_raw_fd(), PIN_FAST_BENCHMARK, &mut request) };
        if returned != 0 {
            return Err(io::Error::last_os_error()).context("PIN_FAST_BENCHMARK");
        }
        // It tells a short count by a smaller size.
        anyhow::ensure!(
            request.size == mapping.len() as u64,
            "gup_test pinned {} of {} bytes only",
            request.size,
            mapping.len()
        );
        Ok((request.get_delta_usec + request.put_delta_usec) * 1000)
    }
}
