// SPDX-License-Identifier: GPL-2.0
//! Question 4: the lockless walk against freeing and splitting of page tables.

pub mod pin_and_look;

use crate::Experiment;

/// The experiments of this family.
pub const ALL: &[Experiment] = &[pin_and_look::EXPERIMENT];
