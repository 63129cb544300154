// SPDX-License-Identifier: GPL-2.0
//! Question 2: collapse of a PTE-mapped huge page against userfaultfd.
//!
//! Most experiments are a `race::Race`: who collapses, and what is put into the page table. Where
//! `held` is in the name, or nothing is put, nobody races: it is there before.

mod collapse_anon_wp;
mod collapse_uffd_missing;
mod collapser;
mod cow;
mod guard;
mod guard_held;
mod held;
mod huge_cache;
mod putting;
mod race;
mod uffd_copy;
mod uffd_held_wp;
mod uffd_move_pinned;
mod uffd_occupied;
mod uffd_past_end;
mod uffd_wp;
mod uffd_zeropage;

use crate::Experiment;

/// The experiments of this family.
pub const ALL: &[Experiment] = &[
    uffd_copy::BY_CALLER,
    uffd_copy::PINNED,
    uffd_copy::BY_KHUGEPAGED,
    uffd_copy::BY_OTHER,
    uffd_zeropage::BY_CALLER,
    uffd_zeropage::BY_KHUGEPAGED,
    uffd_zeropage::BY_OTHER,
    uffd_wp::BY_CALLER,
    uffd_wp::BY_KHUGEPAGED,
    uffd_wp::BY_OTHER,
    collapse_anon_wp::EXPERIMENT,
    guard::BY_CALLER,
    guard::WATCHED,
    guard::BY_KHUGEPAGED,
    guard::BY_OTHER,
    cow::BY_CALLER,
    cow::BY_KHUGEPAGED,
    cow::BY_OTHER,
    held::BY_CALLER,
    held::BY_KHUGEPAGED,
    held::BY_OTHER,
    uffd_held_wp::EXPERIMENT,
    guard_held::EXPERIMENT,
    collapse_uffd_missing::EXPERIMENT,
    uffd_occupied::EXPERIMENT,
    uffd_past_end::EXPERIMENT,
    uffd_move_pinned::EXPERIMENT,
];
