// SPDX-License-Identifier: GPL-2.0
//! Question 0: GUP-fast against collapse to a huge page.

pub mod collapse_held_pin;
pub mod collapse_vs_pinning;

use crate::Experiment;

/// The experiments of this family.
pub const ALL: &[Experiment] = &[
    collapse_held_pin::EXPERIMENT,
    collapse_vs_pinning::EXPERIMENT,
];
