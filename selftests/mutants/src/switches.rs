// SPDX-License-Identifier: GPL-2.0
//! The switches of a kernel with CONFIG_MM_MUTANTS.

use std::path::Path;

use guplab::Unsupported;
use guplab::knob::Knob;

use crate::Target;

const DIR: &str = "/sys/kernel/debug/mm_mutants";

/// The steps of a target, left out. All are in force again when this is dropped.
#[derive(Debug)]
pub struct Switches(Vec<Knob>);

impl Switches {
    /// Whether this kernel has switches.
    pub fn exist() -> Result<(), Unsupported> {
        match Path::new(DIR).is_dir() {
            true => Ok(()),
            false => Err(Unsupported::new(
                DIR,
                "this kernel was not built from the patches in scripts/mutants/, or debugfs is not \
                 mounted",
            )),
        }
    }

    /// Leaves the steps out.
    pub fn leave_out(target: &Target) -> Result<Switches, Unsupported> {
        let mut switches = Switches(Vec::new());
        for name in &target.switches {
            switches.0.push(Knob::set(Path::new(DIR).join(name), 1)?);
        }
        Ok(switches)
    }

    /// Whether this kernel can leave the steps out.
    pub fn has(target: &Target) -> bool {
        let has = |name: &&str| Path::new(DIR).join(name).exists();
        target.switches.iter().all(has)
    }
}
