// SPDX-License-Identifier: GPL-2.0
//! Question 3: NUMA hints and PROT_NONE against pins.

mod act;
mod far_cpu;
pub mod hint_fault_held_pin;
pub mod hint_fault_vs_pinning;
pub mod hint_natural;
pub mod hint_readers;
pub mod hint_skips;
pub mod hint_vs_pinning;
pub mod hinted_pin;
mod hinting;
mod judged_act;
pub mod mprotect_vs_pinning;
pub mod protnone_pin;

use crate::Experiment;

/// The experiments of this family.
pub const ALL: &[Experiment] = &[
    hinted_pin::EXPERIMENT,
    hint_natural::EXPERIMENT,
    hint_readers::EXPERIMENT,
    hint_skips::EXPERIMENT,
    hint_vs_pinning::EXPERIMENT,
    protnone_pin::EXPERIMENT,
    mprotect_vs_pinning::EXPERIMENT,
    hint_fault_held_pin::EXPERIMENT,
    hint_fault_vs_pinning::FAULTING,
    hint_fault_vs_pinning::MIGRATING,
];
