// SPDX-License-Identifier: GPL-2.0
//! How results are written.

pub(crate) mod bar;
pub(crate) mod gaps;
pub(crate) mod human;
pub(crate) mod kill_matrix;
mod question;
mod row;
pub(crate) mod rst;
pub(crate) mod table;
