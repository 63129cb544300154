// SPDX-License-Identifier: GPL-2.0
//! What `guplab explain` is asked.

use clap::Args;

use crate::cli::number;

#[derive(Args, Debug)]
pub(crate) struct ExplainArgs {
    /// The process; 0 is guplab itself
    pub(crate) pid: i32,
    /// The address, in hexadecimal with 0x or in decimal
    #[arg(value_parser = number)]
    pub(crate) addr: u64,
    /// For writing (FOLL_WRITE)
    #[arg(long)]
    pub(crate) write: bool,
    /// For long (FOLL_LONGTERM)
    #[arg(long, conflicts_with = "get")]
    pub(crate) longterm: bool,
    /// A reference, as by get_user_pages_fast(), and not a pin
    #[arg(long)]
    pub(crate) get: bool,
    /// Against the protection, as a debugger (FOLL_FORCE)
    #[arg(long)]
    pub(crate) force: bool,
    /// Without page faults (FOLL_NOFAULT)
    #[arg(long)]
    pub(crate) nofault: bool,
    /// With NUMA hinting faults, as KVM (FOLL_HONOR_NUMA_FAULT)
    #[arg(long)]
    pub(crate) honor_numa_fault: bool,
    /// Write one JSON object
    #[arg(long)]
    pub(crate) json: bool,
}
