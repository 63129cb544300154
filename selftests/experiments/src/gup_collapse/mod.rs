// SPDX-License-Identifier: GPL-2.0
//! Question 0: GUP-fast against collapse to a huge page.

mod askers;
mod background;
pub mod collapse_held_pin;
pub mod collapse_past_walk;
pub mod collapse_vs_pinning;
pub mod collapse_vs_stores;
pub mod collapse_zap_vs_pinning;
pub mod khugepaged_held_pin;
pub mod khugepaged_vs_pinning;
mod pinners;
pub mod retract_vs_pinning;
mod windows;

use crate::Experiment;

/// The experiments of this family.
pub const ALL: &[Experiment] = &[
    collapse_held_pin::EXPERIMENT,
    collapse_vs_pinning::EXPERIMENT,
    collapse_past_walk::EXPERIMENT,
    collapse_vs_stores::EXPERIMENT,
    collapse_zap_vs_pinning::EXPERIMENT,
    retract_vs_pinning::EXPERIMENT,
    khugepaged_held_pin::EXPERIMENT,
    khugepaged_vs_pinning::PMD_ORDER,
    khugepaged_vs_pinning::SMALLER,
];
