// SPDX-License-Identifier: GPL-2.0
//! Private memory that a forked child has as well, or had.

use guplab::{Kind, Mapping, Protection, Session};
use guplab_tests::{Not, While, memory};

use crate::places::{Place, fork_and_reap, sharer};
use crate::{Scene, Stage};

pub(crate) const SCENES: &[Scene] = &[
    ("a page that a child has", |session| {
        child_has(session, Kind::Anon4k, nothing)
    }),
    ("a huge page that a child has", |session| {
        child_has(session, Kind::AnonThp, nothing)
    }),
    ("a huge page that PTEs map and a child has", |session| {
        child_has(session, Kind::AnonPteThp, nothing)
    }),
    ("a folio of 64 KiB that a child has", |session| {
        child_has(session, Kind::AnonMthp, nothing)
    }),
    ("hugetlb that a child has", |session| {
        child_has(session, Kind::Hugetlb, nothing)
    }),
    ("a read-only page that a child has", |session| {
        child_has(session, Kind::Anon4k, |mapping| {
            protect(mapping, Protection::Read)
        })
    }),
    ("an inaccessible page that a child has", |session| {
        child_has(session, Kind::Anon4k, |mapping| {
            protect(mapping, Protection::None)
        })
    }),
    ("shmem that a child has", |session| {
        child_has(session, Kind::Shmem, nothing)
    }),
    ("a page that a child had", |session| {
        child_had(session, Kind::Anon4k)
    }),
    ("a huge page that a child had", |session| {
        child_had(session, Kind::AnonThp)
    }),
    ("a huge page that PTEs map and a child had", |session| {
        child_had(session, Kind::AnonPteThp)
    }),
    ("hugetlb that a child had", |session| {
        child_had(session, Kind::Hugetlb)
    }),
];

fn nothing(_: &Mapping) -> Result<(), Not> {
    Ok(())
}

fn protect(mapping: &Mapping, allow: Protection) -> Result<(), Not> {
    let pages = mapping.pages();
    mapping.protect(0, pages, allow).while_("mprotect")
}

fn child_has(
    session: &Session,
    kind: Kind,
    change: fn(&Mapping) -> Result<(), Not>,
) -> Result<Stage<'_>, Not> {
    Ok(Box::new(move || {
        let mapping = memory(session, kind, 1)?;
        change(&mapping)?;
        let child = sharer()?;
        Ok(Place::of(mapping).with(child))
    }))
}

fn child_had(session: &Session, kind: Kind) -> Result<Stage<'_>, Not> {
    Ok(Box::new(move || {
        let mapping = memory(session, kind, 1)?;
        fork_and_reap()?;
        Ok(Place::of(mapping))
    }))
}
