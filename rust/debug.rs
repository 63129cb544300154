// SPDX-License-Identifier: GPL-2.0

//! /sys/kernel/debug/guplab: who has the device open, the counters of all, and the delay points that
//! are armed.

use crate::{
    decimal::Decimal,
    delay,
    session,
    stats::TOTALS, //
};
use kernel::{
    debugfs::{
        Dir,
        File, //
    },
    fmt,
    prelude::*, //
};

/// The debugfs files, there as long as this lives.
#[pin_data]
pub(crate) struct Debugfs {
    #[pin]
    sessions: File<()>,
    #[pin]
    totals: File<()>,
    #[pin]
    delays: File<()>,
    // Goes last: it holds the files.
    _dir: Dir,
}

impl Debugfs {
    /// Makes the files.
    pub(crate) fn new() -> impl PinInit<Self, Error> {
        let dir = Dir::new(c"guplab");
        try_pin_init!(Self {
            sessions <- dir.read_callback_file(c"sessions", (), &show_sessions),
            totals <- dir.read_callback_file(c"totals", (), &show_totals),
            delays <- dir.read_callback_file(c"delays", (), &show_delays),
            _dir: dir,
        })
    }
}

fn show_sessions(_: &(), f: &mut fmt::Formatter<'_>) -> fmt::Result {
    session::for_each(|account| {
        let id = Decimal::counted(account.id);
        f.write_fmt(fmt!("session {id} pid {}\n", account.pid))?;
        account.counters.show(f)
    })
}

fn show_totals(_: &(), f: &mut fmt::Formatter<'_>) -> fmt::Result {
    TOTALS.show(f)
}

fn show_delays(_: &(), f: &mut fmt::Formatter<'_>) -> fmt::Result {
    delay::show(f)
}
