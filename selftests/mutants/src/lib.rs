// SPDX-License-Identifier: GPL-2.0
//! Mutants: kernels that leave out one protective step of the mm, and whether experiments notice.
//!
//! A kernel with the patches in scripts/mutants/ has a switch for each step. [`Campaign`] leaves out
//! one after the other, runs experiments until one of them sees an invariant broken, and writes down
//! in a [`Journal`] what it does before it does it: the next mutant may be the end of the kernel.
//! [`Matrix`] makes of journals what people read.

mod arch;
mod campaign;
mod expected;
mod hunt;
mod in_tree;
mod journal;
mod matrix;
mod row;
mod schedule;
mod steps;
mod switches;
mod symptom;

pub use arch::Arch;
pub use campaign::{Budgets, Campaign, Ended};
pub use expected::{Class, Elsewhere, Expected};
pub use hunt::Kill;
pub use in_tree::Program;
pub use journal::{Event, Journal};
pub use matrix::Matrix;
pub use row::{Cell, Row};
pub use steps::{Pair, Step, Steps, Target};
pub use switches::Switches;
