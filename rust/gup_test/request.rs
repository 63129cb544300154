// SPDX-License-Identifier: GPL-2.0

//! What mm/gup_test.h of Linux 7.2 defines, which no header that is installed does.

#![allow(missing_docs, non_camel_case_types)]

use kernel::{
    ioctl::{
        _IO,
        _IOW,
        _IOWR, //
    },
    prelude::*,
    transmute::{
        AsBytes,
        FromBytes, //
    }, //
};

const MAGIC: u32 = b'g' as u32;

pub(super) const GUP_FAST_BENCHMARK: u32 = _IOWR::<gup_test>(MAGIC, 1);
pub(super) const PIN_FAST_BENCHMARK: u32 = _IOWR::<gup_test>(MAGIC, 2);
pub(super) const PIN_LONGTERM_BENCHMARK: u32 = _IOWR::<gup_test>(MAGIC, 3);
pub(super) const GUP_BASIC_TEST: u32 = _IOWR::<gup_test>(MAGIC, 4);
pub(super) const PIN_BASIC_TEST: u32 = _IOWR::<gup_test>(MAGIC, 5);
pub(super) const DUMP_USER_PAGES_TEST: u32 = _IOWR::<gup_test>(MAGIC, 6);
pub(super) const PIN_LONGTERM_TEST_START: u32 = _IOW::<pin_longterm_test>(MAGIC, 7);
pub(super) const PIN_LONGTERM_TEST_STOP: u32 = _IO(MAGIC, 8);
pub(super) const PIN_LONGTERM_TEST_READ: u32 = _IOW::<u64>(MAGIC, 9);

pub(super) const GUP_TEST_FLAG_DUMP_PAGES_USE_PIN: u32 = 1;

pub(super) const PIN_LONGTERM_TEST_FLAG_USE_WRITE: u32 = 1;
pub(super) const PIN_LONGTERM_TEST_FLAG_USE_FAST: u32 = 2;

#[repr(C)]
pub(super) struct gup_test {
    pub(super) get_delta_usec: u64,
    pub(super) put_delta_usec: u64,
    pub(super) addr: u64,
    pub(super) size: u64,
    pub(super) nr_pages_per_call: u32,
    pub(super) gup_flags: u32,
    pub(super) test_flags: u32,
    /// Counted from 1; 0 means none.
    pub(super) which_pages: [u32; 8],
    /// Where C has padding. It goes back as it came.
    padding: u32,
}

#[repr(C)]
pub(super) struct pin_longterm_test {
    pub(super) addr: u64,
    pub(super) size: u64,
    pub(super) flags: u32,
    padding: u32,
}

static_assert!(size_of::<gup_test>() == 80);
static_assert!(size_of::<pin_longterm_test>() == 24);

// SAFETY: Every field is an integer, so all bit patterns are valid.
unsafe impl FromBytes for gup_test {}
// SAFETY: Every field is an integer and there is no padding.
unsafe impl AsBytes for gup_test {}
// SAFETY: Every field is an integer, so all bit patterns are valid.
unsafe impl FromBytes for pin_longterm_test {}
