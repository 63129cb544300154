// SPDX-License-Identifier: GPL-2.0
//! Question 3: NUMA hints and PROT_NONE against pins.

use crate::Experiment;

/// The experiments of this family.
pub const ALL: &[Experiment] = &[];
