// SPDX-License-Identifier: GPL-2.0
//! How results are written.

pub(crate) mod bar;
pub(crate) mod human;
pub(crate) mod table;
