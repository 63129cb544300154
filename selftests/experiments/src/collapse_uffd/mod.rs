// SPDX-License-Identifier: GPL-2.0
//! Question 2: collapse of a PTE-mapped huge page against userfaultfd.

use crate::Experiment;

/// The experiments of this family.
pub const ALL: &[Experiment] = &[];
