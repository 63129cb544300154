// SPDX-License-Identifier: GPL-2.0
//! userfaultfd.

use std::thread;

use guplab::uffd::{Fault, Faults, Feature, Uffd};
use guplab::{Errno, Kind, page_size};
use guplab_tests::{Test, Tested, While, ensure, ensure_eq, fail, memory, open};

use crate::{LIMIT, or_skip};

pub(crate) fn tests() -> Vec<Test> {
    vec![
        Test::new("uffd: copies into anon-4k", || copies(Kind::Anon4k)),
        Test::new("uffd: copies into shmem", || copies(Kind::Shmem)),
        Test::new("uffd: copies into private-shmem", || {
            copies(Kind::PrivateShmem)
        }),
        Test::new("uffd: a missing page is told and given", missing),
        Test::new("uffd: a write to protected anon-4k is told", || {
            protected(Kind::Anon4k, &[Feature::Wp])
        }),
        Test::new("uffd: a write to protected anon-thp is told", || {
            protected(Kind::AnonThp, &[Feature::Wp])
        }),
        Test::new("uffd: a write to protected private-shmem is told", || {
            protected(Kind::PrivateShmem, &[Feature::WpShmem])
        }),
        Test::new("uffd: a protected copy", protected_copy),
        Test::new("uffd: protection without pages, let through", asynchronous),
        Test::new("uffd: a pin waits for a page", pin_waits),
    ]
}

fn copies(kind: Kind) -> Tested {
    let session = open()?;
    let mapping = memory(&session, kind, 1)?;
    let pages = mapping.pages();
    let uffd = or_skip(Uffd::open(&[]))?;
    uffd.register(&mapping, 0, pages, Faults::Missing)
        .while_("registering")?;
    mapping.discard().while_("discarding")?;

    let source = vec![0x55; 2 * page_size()];
    ensure_eq!(uffd.copy(&mapping, 1, &source), Ok(source.len()), "COPY");
    let word = u64::from_ne_bytes([0x55; 8]);
    for offset in [page_size(), 3 * page_size() - 8] {
        ensure_eq!(mapping.read(offset), word, format!("the word at {offset}"));
    }
    let again = uffd.copy(&mapping, 2, &source[..page_size()]);
    ensure_eq!(again, Err(Errno::EXIST), "COPY over a page");
    let partly = uffd.copy(&mapping, 0, &source);
    ensure_eq!(
        partly,
        Ok(page_size()),
        "COPY of a missing page and another"
    );

    let last = pages - 1;
    ensure_eq!(
        uffd.zeropage(&mapping, last, 1),
        Ok(page_size()),
        "ZEROPAGE"
    );
    ensure_eq!(
        mapping.read(last * page_size()),
        0,
        "the word of a zero page"
    );
    let again = uffd.zeropage(&mapping, last, 1);
    ensure_eq!(again, Err(Errno::EXIST), "ZEROPAGE over a page");

    uffd.unregister(&mapping, 0, pages)
        .while_("unregistering")?;
    let late = uffd.copy(&mapping, 5, &source);
    ensure_eq!(late, Err(Errno::NOENT), "COPY after unregistering");
    Ok(())
}

fn missing() -> Tested {
    let session = open()?;
    let mapping = memory(&session, Kind::Anon4k, 1)?;
    let uffd = or_skip(Uffd::open(&[]))?;
    uffd.register(&mapping, 0, mapping.pages(), Faults::Missing)
        .while_("registering")?;
    mapping.discard().while_("discarding")?;
    let seen = thread::scope(|scope| {
        let reader = scope.spawn(|| mapping.read(3 * page_size()));
        let fault = uffd.next_fault(LIMIT);
        // Whatever was told: the reader goes on.
        let copied = uffd.copy(&mapping, 3, &vec![1; page_size()]);
        (fault, copied, reader.join())
    });
    let expected = Fault {
        addr: mapping.page_addr(3),
        is_write: false,
        is_protected: false,
    };
    ensure_eq!(seen.0, Ok(Some(expected)), "the fault");
    ensure_eq!(seen.1, Ok(page_size()), "COPY");
    let word = u64::from_ne_bytes([1; 8]);
    ensure_eq!(seen.2.ok(), Some(word), "what the reader got");
    ensure_eq!(
        uffd.next_fault(std::time::Duration::ZERO),
        Ok(None),
        "no more"
    );
    Ok(())
}

fn protected(kind: Kind, features: &[Feature]) -> Tested {
    let session = open()?;
    let mapping = memory(&session, kind, 1)?;
    let uffd = or_skip(Uffd::open(features))?;
    uffd.register(&mapping, 0, mapping.pages(), Faults::WriteProtect)
        .while_("registering")?;
    mapping.write(0, 1);
    uffd.protect(&mapping, 0, 1).while_("WRITEPROTECT")?;
    let entry = mapping.pagemap(0).while_("pagemap")?;
    ensure!(entry.is_uffd_wp(), "protected: {entry:x?}");
    ensure_eq!(mapping.read(0), 1, "a read of a protected page");
    let (fault, before, unprotected) = thread::scope(|scope| {
        scope.spawn(|| mapping.write(0, 2));
        let fault = uffd.next_fault(LIMIT);
        let before = mapping.read(0);
        (fault, before, uffd.unprotect(&mapping, 0, 1))
    });
    let Ok(Some(fault)) = fault else {
        fail!("no fault was told: {fault:?}");
    };
    ensure!(fault.is_write && fault.is_protected, "{fault:?}");
    ensure_eq!(fault.addr, mapping.addr(), "the address");
    ensure_eq!(before, 1, "the word while the write waits");
    unprotected.while_("WRITEPROTECT")?;
    ensure_eq!(mapping.read(0), 2, "the word after the write");
    Ok(())
}

fn protected_copy() -> Tested {
    let session = open()?;
    let mapping = memory(&session, Kind::Anon4k, 1)?;
    let uffd = or_skip(Uffd::open(&[Feature::Wp]))?;
    uffd.register(&mapping, 0, mapping.pages(), Faults::Both)
        .while_("registering")?;
    mapping.discard().while_("discarding")?;
    let source = vec![1; page_size()];
    uffd.copy_protected(&mapping, 0, &source).while_("COPY")?;
    uffd.copy(&mapping, 1, &source).while_("COPY")?;
    let protected = |page| mapping.pagemap(page).map(|entry| entry.is_uffd_wp());
    ensure_eq!(protected(0), Ok(true), "a protected copy");
    ensure_eq!(protected(1), Ok(false), "a plain copy");
    Ok(())
}

fn asynchronous() -> Tested {
    let session = open()?;
    let features = [Feature::WpUnpopulated, Feature::WpAsync, Feature::WpShmem];
    for kind in [Kind::Anon4k, Kind::Shmem, Kind::PrivateShmem] {
        let mapping = memory(&session, kind, 1)?;
        let uffd = or_skip(Uffd::open(&features))?;
        uffd.register(&mapping, 0, mapping.pages(), Faults::WriteProtect)
            .while_("registering")?;
        mapping.discard().while_("discarding")?;
        uffd.protect(&mapping, 0, 2).while_("WRITEPROTECT")?;
        let protected = |page| mapping.pagemap(page).map(|entry| entry.is_uffd_wp());
        for (page, expected) in [(0, true), (1, true), (2, false)] {
            ensure_eq!(
                protected(page),
                Ok(expected),
                format!("{kind}, page {page}")
            );
        }
        mapping.write(0, 2);
        ensure_eq!(mapping.read(0), 2, "the word as written");
        ensure_eq!(protected(0), Ok(false), format!("{kind}, written page"));
        ensure_eq!(protected(1), Ok(true), format!("{kind}, its neighbour"));
    }
    Ok(())
}

fn pin_waits() -> Tested {
    let session = open()?;
    let mapping = memory(&session, Kind::Anon4k, 1)?;
    let uffd = or_skip(Uffd::open(&[]))?;
    uffd.register(&mapping, 0, mapping.pages(), Faults::Missing)
        .while_("registering")?;
    mapping.discard().while_("discarding")?;
    let (fault, copied, read) = thread::scope(|scope| {
        let pinner = scope.spawn(|| {
            let pin = session.pin(&guplab_tests::request(&mapping, 1))?;
            pin.read_word(0)
        });
        let fault = uffd.next_fault(LIMIT);
        let copied = uffd.copy(&mapping, 0, &vec![3; page_size()]);
        (fault, copied, pinner.join())
    });
    let told = fault.while_("waiting for a fault")?.map(|fault| fault.addr);
    ensure_eq!(told, Some(mapping.addr()), "the address of the fault");
    ensure_eq!(copied, Ok(page_size()), "COPY");
    let word = read.ok().while_("the pinner panicked")?;
    ensure_eq!(word, Ok(u64::from_ne_bytes([3; 8])), "what the pin read");
    Ok(())
}
