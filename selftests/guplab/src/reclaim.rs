// SPDX-License-Identifier: GPL-2.0
//! Reclaim and compaction of all memory. For pages of one mapping there are
//! [`swap_out`](crate::swap::swap_out) and [`Advice::PageOut`](crate::mapping::Advice::PageOut).

use crate::unsupported::Unsupported;

/// Compacts all memory: movable pages are migrated wherever they stand in the way of large folios.
pub fn compact() -> Result<(), Unsupported> {
    let path = "/proc/sys/vm/compact_memory";
    std::fs::write(path, "1").map_err(|e| Unsupported::new(path, e))
}
