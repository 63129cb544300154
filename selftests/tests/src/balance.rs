// SPDX-License-Identifier: GPL-2.0
//! The kernel's count of pages that are pinned.

use std::thread::sleep;
use std::time::Duration;

use guplab::kernel::foll_pins;

use crate::{Not, Tested, fail, skip};

/// The number of pinned pages at one time.
#[derive(Clone, Copy, Debug)]
pub struct Balance(i64);

fn held() -> Result<i64, Not> {
    match foll_pins() {
        Some((acquired, released)) => Ok(acquired.wrapping_sub(released) as i64),
        None => skip!("/proc/sys/vm/stat_refresh or nr_foll_pin_* of /proc/vmstat can't be used"),
    }
}

impl Balance {
    /// Counts now.
    pub fn now() -> Result<Balance, Not> {
        held().map(Balance)
    }

    /// Fails unless `more` pages are pinned than then. Others may pin for a moment too, so this
    /// looks several times.
    pub fn has_grown_by(&self, more: i64) -> Tested {
        let mut seen = 0;
        for _ in 0..40 {
            seen = held()? - self.0;
            if seen == more {
                return Ok(());
            }
            sleep(Duration::from_millis(50));
        }
        fail!("the kernel counts {seen} more pinned pages than before, expected {more}")
    }
}
