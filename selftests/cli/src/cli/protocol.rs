// SPDX-License-Identifier: GPL-2.0
//! The arguments that say how guplab's own walk protects itself.

use clap::Args;
use guplab::Protocol;
use guplab::walk::{Exclusion, Steps};

/// How guplab's own walk protects itself.
#[derive(Args, Debug)]
pub(crate) struct ProtocolArgs {
    /// What keeps page tables in place while the walk reads them: irqs-off, as in fast GUP, rcu,
    /// readers or none. Less than irqs-off can crash the machine
    #[arg(
        long,
        value_name = "HOW",
        default_value = "irqs-off",
        requires = "walk"
    )]
    pub(crate) exclusion: Exclusion,
    /// Protective steps that the walk leaves out, such as pmd-recheck,unshare; this can crash the
    /// machine
    #[arg(long, value_name = "STEPS", requires = "walk")]
    pub(crate) without: Option<Steps>,
    /// Have the walk take each page by itself, and not a run of PTEs at once
    #[arg(long, requires = "walk")]
    pub(crate) singly: bool,
}

impl ProtocolArgs {
    pub(crate) fn protocol(&self) -> Protocol {
        Protocol {
            exclusion: self.exclusion,
            steps_off: self.without.unwrap_or_default(),
            singly: self.singly,
        }
    }
}
