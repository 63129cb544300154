// SPDX-License-Identifier: GPL-2.0
//! Question 1: pins against fork().

pub mod fork_held_pin;
pub mod fork_pin_stress;

use crate::Experiment;

/// The experiments of this family.
pub const ALL: &[Experiment] = &[fork_held_pin::EXPERIMENT, fork_pin_stress::EXPERIMENT];
