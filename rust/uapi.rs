// SPDX-License-Identifier: GPL-2.0

//! The interface to userspace, generated from `uapi/guplab.h`.

#![allow(
    clippy::all,
    clippy::undocumented_unsafe_blocks,
    dead_code,
    missing_docs,
    non_camel_case_types,
    unreachable_pub
)]

use kernel::{
    ffi,
    ioctl::{
        _IOR,
        _IOW,
        _IOWR, //
    },
    prelude::*, //
};

include!(concat!(env!("GUPLAB_OBJ"), "/uapi_generated.rs"));

/// Declares a request of the ABI: its size, its number, and that it is plain bytes.
macro_rules! request {
    ($($ty:ident $size:literal $number:ident = $ioc:ident $nr:literal;)*) => {$(
        static_assert!(size_of::<$ty>() == $size);
        static_assert!($number == $ioc::<$ty>(GUPLAB_IOC_MAGIC as u32, $nr));
        bytes!($ty);
    )*};
}

macro_rules! bytes {
    ($ty:ident) => {
        // SAFETY: Every field is an integer, so all bit patterns are valid.
        unsafe impl kernel::transmute::FromBytes for $ty {}
        // SAFETY: Every field is an integer and there is no padding: the sizes are asserted, and
        // the header orders the fields by hand.
        unsafe impl kernel::transmute::AsBytes for $ty {}
    };
}

request! {
    guplab_info 72 GUPLAB_IOC_INFO = _IOR 0x60;
    guplab_pin 56 GUPLAB_IOC_PIN = _IOWR 0x61;
    guplab_unpin 16 GUPLAB_IOC_UNPIN = _IOW 0x62;
    guplab_dma 32 GUPLAB_IOC_DMA = _IOW 0x63;
    guplab_inspect 48 GUPLAB_IOC_INSPECT = _IOW 0x64;
    guplab_check 48 GUPLAB_IOC_CHECK = _IOWR 0x65;
    guplab_hammer 176 GUPLAB_IOC_HAMMER = _IOWR 0x66;
    guplab_collapse 48 GUPLAB_IOC_COLLAPSE = _IOWR 0x67;
    guplab_stats 144 GUPLAB_IOC_STATS = _IOWR 0x68;
    guplab_delay 376 GUPLAB_IOC_DELAY = _IOWR 0x69;
    guplab_hint 32 GUPLAB_IOC_HINT = _IOWR 0x6a;
    guplab_walk 592 GUPLAB_IOC_WALK = _IOWR 0x6b;
    guplab_explain 64 GUPLAB_IOC_EXPLAIN = _IOWR 0x6c;
    guplab_compare 104 GUPLAB_IOC_COMPARE = _IOWR 0x6d;
}

static_assert!(size_of::<guplab_page>() == 64);
bytes!(guplab_page);
