// SPDX-License-Identifier: GPL-2.0
//! How results are written.

pub(crate) mod bar;
pub(crate) mod gaps;
pub(crate) mod human;
mod question;
mod row;
pub(crate) mod rst;
pub(crate) mod table;
