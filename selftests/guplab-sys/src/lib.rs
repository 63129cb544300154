// SPDX-License-Identifier: GPL-2.0
//! The interface of `/dev/guplab` as its header defines it. No logic.
//!
//! The meaning of every item is documented in `rust/uapi/guplab.h`.

mod generated {
    #![allow(
        missing_docs,
        non_camel_case_types,
        non_upper_case_globals,
        clippy::all,
        clippy::undocumented_unsafe_blocks,
        unreachable_pub,
        reason = "generated code"
    )]
    include!(concat!(env!("OUT_DIR"), "/guplab.rs"));
}

pub use generated::*;

/// Every command: its name, the size of its request and its ioctl number.
pub const COMMANDS: [(&str, usize, u32); 14] = [
    ("INFO", size_of::<guplab_info>(), GUPLAB_IOC_INFO),
    ("PIN", size_of::<guplab_pin>(), GUPLAB_IOC_PIN),
    ("UNPIN", size_of::<guplab_unpin>(), GUPLAB_IOC_UNPIN),
    ("DMA", size_of::<guplab_dma>(), GUPLAB_IOC_DMA),
    ("INSPECT", size_of::<guplab_inspect>(), GUPLAB_IOC_INSPECT),
    ("CHECK", size_of::<guplab_check>(), GUPLAB_IOC_CHECK),
    ("HAMMER", size_of::<guplab_hammer>(), GUPLAB_IOC_HAMMER),
    (
        "COLLAPSE",
        size_of::<guplab_collapse>(),
        GUPLAB_IOC_COLLAPSE,
    ),
    ("STATS", size_of::<guplab_stats>(), GUPLAB_IOC_STATS),
    ("DELAY", size_of::<guplab_delay>(), GUPLAB_IOC_DELAY),
    ("HINT", size_of::<guplab_hint>(), GUPLAB_IOC_HINT),
    ("WALK", size_of::<guplab_walk>(), GUPLAB_IOC_WALK),
    ("EXPLAIN", size_of::<guplab_explain>(), GUPLAB_IOC_EXPLAIN),
    ("COMPARE", size_of::<guplab_compare>(), GUPLAB_IOC_COMPARE),
];

// The layout that the header promises to every caller. The module asserts the same.
const _: () = {
    assert!(size_of::<guplab_info>() == 72);
    assert!(size_of::<guplab_pin>() == 56);
    assert!(size_of::<guplab_unpin>() == 16);
    assert!(size_of::<guplab_dma>() == 32);
    assert!(size_of::<guplab_page>() == 64);
    assert!(size_of::<guplab_inspect>() == 48);
    assert!(size_of::<guplab_check>() == 48);
    assert!(size_of::<guplab_hammer>() == 176);
    assert!(size_of::<guplab_collapse>() == 48);
    assert!(size_of::<guplab_stats>() == 144);
    assert!(size_of::<guplab_delay>() == 376);
    assert!(size_of::<guplab_hint>() == 32);
    assert!(size_of::<guplab_walk>() == 592);
    assert!(size_of::<guplab_explain>() == 64);
    assert!(size_of::<guplab_compare>() == 104);
};

// The numbers where ioctl numbers are encoded as in asm-generic/ioctl.h.
#[cfg(any(target_arch = "x86_64", target_arch = "aarch64", target_arch = "arm"))]
const _: () = {
    assert!(GUPLAB_IOC_INFO == 0x8048_4760);
    assert!(GUPLAB_IOC_PIN == 0xc038_4761);
    assert!(GUPLAB_IOC_UNPIN == 0x4010_4762);
    assert!(GUPLAB_IOC_DMA == 0x4020_4763);
    assert!(GUPLAB_IOC_INSPECT == 0x4030_4764);
    assert!(GUPLAB_IOC_CHECK == 0xc030_4765);
    assert!(GUPLAB_IOC_HAMMER == 0xc0b0_4766);
    assert!(GUPLAB_IOC_COLLAPSE == 0xc030_4767);
    assert!(GUPLAB_IOC_STATS == 0xc090_4768);
    assert!(GUPLAB_IOC_DELAY == 0xc178_4769);
    assert!(GUPLAB_IOC_HINT == 0xc020_476a);
    assert!(GUPLAB_IOC_WALK == 0xc250_476b);
    assert!(GUPLAB_IOC_EXPLAIN == 0xc040_476c);
    assert!(GUPLAB_IOC_COMPARE == 0xc068_476d);
};
