// SPDX-License-Identifier: GPL-2.0

//! guplab, a laboratory for `get_user_pages()` races.
//!
//! The module offers instruments on `/dev/guplab` (`uapi/guplab.h`); experiments are made of them
//! in userspace. A request comes in through [`ioctl`], is checked ([`range`], [`flags`]) and goes
//! to [`held`] for pins that stay, [`hammer`] for pins in a loop, [`compare`] for the walk against
//! the kernel's, [`collapse`], [`hint`], or [`delay`] to make tasks meet. All pins are
//! [`pin::Pins`], which call GUP or [`walk`], GUP-fast in Rust. [`gup_test`] offers the interface of
//! the kernel's own driver. [`folio`] looks at pages, [`leaf`] at page tables
//! ([`pgtable`]).

#![crate_name = "guplab"]

use kernel::{
    miscdevice::MiscDeviceOptions,
    prelude::*, //
};

mod bindings;
mod clock;
mod collapse;
mod compare;
mod debug;
mod decimal;
mod delay;
mod device;
mod flags;
mod folio;
mod gup_test;
mod hammer;
mod held;
mod hint;
mod ioctl;
mod irq;
mod leaf;
mod memlock;
mod misc;
mod mm;
mod order;
mod pgtable;
mod pin;
mod random;
mod range;
mod session;
mod stats;
mod symbol;
mod trace;
mod uapi;
mod walk;

use session::Session;

module! {
    type: GupLab,
    name: "guplab",
    authors: ["The guplab authors"],
    description: "Laboratory for get_user_pages() races",
    license: "GPL",
    params: {
        unsafe_walks: u8 {
            default: 0,
            description: "1 lets WALK leave out protective steps, which can crash the kernel",
        },
        gup_test: u8 {
            default: 1,
            description: "0 leaves out gup_test in debugfs, for kernels without CONFIG_GUP_TEST",
        },
    },
}

/// What lives as long as the module is loaded.
#[pin_data]
struct GupLab {
    // Dropped in this order: nobody may open a session when the rest goes.
    #[pin]
    _misc: misc::Registration<Session>,
    #[pin]
    _gup_test: gup_test::GupTest,
    #[pin]
    _debugfs: debug::Debugfs,
}

impl kernel::InPlaceModule for GupLab {
    fn init(_module: &'static ThisModule) -> impl PinInit<Self, Error> {
        // SAFETY: The module is initialised once, and the device is registered below.
        unsafe { session::init() };
        // SAFETY: As above.
        unsafe { delay::init() };
        collapse::init();
        if !collapse::is_supported() {
            pr_info!("COLLAPSE is not supported on this kernel\n");
        }
        hint::init();
        pin::init();
        if !hint::is_supported() {
            pr_info!("HINT is not supported on this kernel\n");
        }
        try_pin_init!(Self {
            _debugfs <- debug::Debugfs::new(),
            _misc <- misc::Registration::new(MiscDeviceOptions { name: c"guplab" }),
            // Comes last, for it can't fail: nothing takes an open file's module away.
            _gup_test <- gup_test::GupTest::new(*module_parameters::gup_test.value() != 0),
        })
    }
}
