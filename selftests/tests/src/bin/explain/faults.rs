// SPDX-License-Identifier: GPL-2.0
//! Entries that need a fault: swap, NUMA hints, guards, and userfaultfd.

use std::sync::Arc;
use std::time::Duration;

use guplab::swap::{Zram, swap_out};
use guplab::uffd::{Faults, Feature, Uffd};
use guplab::{Advice, Errno, Kind, Mapping, Protection, Session};
use guplab_tests::{Not, While, memory, skip};

use crate::places::{Place, mappings, sharer};
use crate::{Scene, Stage, or_skip};

pub(crate) const SCENES: &[Scene] = &[
    ("a page in swap", |session| in_swap(session, nothing)),
    ("a read-only page in swap", |session| {
        in_swap(session, |mapping| {
            let read = mapping.protect(0, 1, Protection::Read);
            read.while_("mprotect")
        })
    }),
    ("a page in swap that a child has", shared_in_swap),
    ("a guard region", |session| {
        Ok(mappings(session, Kind::Anon4k, |mapping| {
            guard(mapping.advise(0, 1, Advice::GuardInstall))
        }))
    }),
    ("a guard region in shmem", |session| {
        Ok(mappings(session, Kind::Shmem, |mapping| {
            guard(mapping.advise(0, 1, Advice::GuardInstall))
        }))
    }),
    ("a NUMA hint", |session| hint(session, Kind::Anon4k)),
    ("a NUMA hint for a huge page", |session| {
        hint(session, Kind::AnonThp)
    }),
    ("a NUMA hint for a huge page that PTEs map", |session| {
        hint(session, Kind::AnonPteThp)
    }),
    ("a page that userfaultfd protects", |session| {
        protected(session, Kind::Anon4k, &[Feature::Wp], nothing)
    }),
    ("a huge page that userfaultfd protects", |session| {
        protected(session, Kind::AnonThp, &[Feature::Wp], nothing)
    }),
    ("shmem that userfaultfd protects", |session| {
        protected(session, Kind::Shmem, &[Feature::WpShmem], nothing)
    }),
    ("an absent page that userfaultfd protects", |session| {
        protected(
            session,
            Kind::Anon4k,
            &[Feature::WpUnpopulated],
            |mapping| mapping.discard().while_("MADV_DONTNEED"),
        )
    }),
    ("absent shmem that userfaultfd protects", |session| {
        protected(session, Kind::Shmem, &[Feature::WpShmem], |mapping| {
            mapping.discard().while_("MADV_REMOVE")
        })
    }),
    (
        "a page in swap that userfaultfd protects",
        protected_in_swap,
    ),
    ("a page that userfaultfd is to fill", |session| {
        missing(session, Kind::Anon4k)
    }),
    ("shmem that userfaultfd is to fill", |session| {
        missing(session, Kind::Shmem)
    }),
    ("hugetlb that userfaultfd is to fill", |session| {
        missing(session, Kind::Hugetlb)
    }),
];

/// How long a fault and swapping may take.
const LIMIT: Duration = Duration::from_secs(20);

fn nothing(_: &Mapping) -> Result<(), Not> {
    Ok(())
}

fn guard(installed: guplab::Result<()>) -> Result<(), Not> {
    match installed {
        Err(Errno::INVAL) => skip!("this kernel has no MADV_GUARD_INSTALL here"),
        installed => installed.while_("MADV_GUARD_INSTALL"),
    }
}

fn swap_space() -> Result<Zram, Not> {
    or_skip(Zram::new(32 << 20))
}

fn swap(mapping: &Mapping) -> Result<(), Not> {
    match swap_out(mapping, 0, 1, LIMIT).while_("swapping out")? {
        1 => Ok(()),
        _ => skip!("the page stays in memory"),
    }
}

fn in_swap(session: &Session, change: fn(&Mapping) -> Result<(), Not>) -> Result<Stage<'_>, Not> {
    let zram = swap_space()?;
    Ok(Box::new(move || {
        let _until_all_is_over = &zram;
        let mapping = memory(session, Kind::Anon4k, 1)?;
        change(&mapping)?;
        swap(&mapping)?;
        Ok(Place::of(mapping))
    }))
}

fn shared_in_swap(session: &Session) -> Result<Stage<'_>, Not> {
    let zram = swap_space()?;
    Ok(Box::new(move || {
        let _until_all_is_over = &zram;
        let mapping = memory(session, Kind::Anon4k, 1)?;
        swap(&mapping)?;
        let child = sharer()?;
        Ok(Place::of(mapping).with(child))
    }))
}

fn hint(session: &Session, kind: Kind) -> Result<Stage<'_>, Not> {
    Ok(Box::new(move || {
        let mapping = memory(session, kind, 1)?;
        match session.hint(0, mapping.addr(), mapping.len()) {
            Err(Errno::OPNOTSUPP) => skip!("this kernel has no NUMA hints"),
            hinted => hinted.while_("HINT")?,
        };
        let seen = session.inspect(0, mapping.addr(), 1).while_("INSPECT")?[0];
        if seen.0.leaf_flags & guplab::sys::GUPLAB_LEAF_PROTNONE == 0 {
            skip!("no hint was set (kernel.numa_balancing?): {seen}");
        }
        Ok(Place::of(mapping))
    }))
}

/// Memory of which a userfaultfd is told, and a page of it in its hands.
fn told(mapping: Mapping, uffd: Uffd, answer: fn(&Uffd, &Mapping) -> guplab::Result<()>) -> Place {
    let (mapping, uffd) = (Arc::new(mapping), Arc::new(uffd));
    let mut place = Place::new(mapping.addr(), Arc::clone(&mapping)).with(Arc::clone(&uffd));
    place.answer = Some(Box::new(move || {
        match uffd.next_fault(LIMIT) {
            Ok(Some(fault)) if fault.addr == mapping.addr() => {}
            other => return Err(format!("told was {other:?}")),
        }
        answer(&uffd, &mapping).map_err(|error| error.to_string())
    }));
    place
}

fn protected<'s>(
    session: &'s Session,
    kind: Kind,
    features: &'static [Feature],
    change: fn(&Mapping) -> Result<(), Not>,
) -> Result<Stage<'s>, Not> {
    Ok(Box::new(move || {
        let mapping = memory(session, kind, 1)?;
        let uffd = or_skip(Uffd::open(features))?;
        let pages = mapping.pages();
        uffd.register(&mapping, 0, pages, Faults::WriteProtect)
            .while_("registering")?;
        change(&mapping)?;
        uffd.protect(&mapping, 0, pages).while_("WRITEPROTECT")?;
        Ok(told(mapping, uffd, |uffd, mapping| {
            uffd.unprotect(mapping, 0, mapping.pages())
        }))
    }))
}

fn protected_in_swap(session: &Session) -> Result<Stage<'_>, Not> {
    let zram = swap_space()?;
    Ok(Box::new(move || {
        let _until_all_is_over = &zram;
        let mapping = memory(session, Kind::Anon4k, 1)?;
        let uffd = or_skip(Uffd::open(&[Feature::Wp]))?;
        let pages = mapping.pages();
        uffd.register(&mapping, 0, pages, Faults::WriteProtect)
            .while_("registering")?;
        uffd.protect(&mapping, 0, pages).while_("WRITEPROTECT")?;
        swap(&mapping)?;
        Ok(told(mapping, uffd, |uffd, mapping| {
            uffd.unprotect(mapping, 0, mapping.pages())
        }))
    }))
}

fn missing(session: &Session, kind: Kind) -> Result<Stage<'_>, Not> {
    Ok(Box::new(move || {
        let mapping = memory(session, kind, 1)?;
        let uffd = or_skip(Uffd::open(&[]))?;
        let pages = mapping.pages();
        uffd.register(&mapping, 0, pages, Faults::Missing)
            .while_("registering")?;
        mapping.discard().while_("discarding")?;
        Ok(told(mapping, uffd, |uffd, mapping| {
            let bytes = match mapping.kind() {
                Kind::Hugetlb => mapping.pmd_size(),
                _ => guplab::page_size(),
            };
            uffd.copy(mapping, 0, &vec![0x55; bytes]).map(|_| ())
        }))
    }))
}
