// SPDX-License-Identifier: GPL-2.0
//! Every kind of memory can be made, changed and made anew.

use guplab::mapping::{Advice, Protection};
use guplab::vmstat::Smaps;
use guplab::{Errno, Kind, Mapping, Session, page_size, sys};
use guplab_tests::{Test, Tested, While, ensure, ensure_eq, memory, open, skip};

use crate::{expect_numbers, look, number_pages, or_skip};

type Body = fn(&Session, &Mapping) -> Tested;

const EACH: [(&str, Body); 4] = [
    ("is made anew", anew),
    ("loses pages and gets others", changed),
    ("moves aside and back", aside),
    ("is protected", protected),
];

pub(crate) fn tests() -> Vec<Test> {
    let mut tests = Vec::new();
    for kind in Kind::ALL {
        for (what, body) in EACH {
            // A program makes its list of tests once.
            let name: &'static str = format!("{kind}: {what}").leak();
            tests.push(Test::new(name, move || {
                let session = open()?;
                let mapping = memory(&session, kind, 2)?;
                body(&session, &mapping)
            }));
        }
    }
    tests.extend([
        Test::new("anon-mthp: puts the policy back", mthp_policy),
        Test::new("private-shmem: has a file of its own content", private_file),
        Test::new("private-shmem: its file gets huge pages", huge_file),
        Test::new("shmem: its file can be punched and truncated", punched),
        Test::new("anon-4k: guards come and go", guards),
        Test::new("anon-4k: one PMD is collapsed", one_pmd),
    ]);
    tests
}

fn anew(session: &Session, mapping: &Mapping) -> Tested {
    number_pages(mapping);
    expect_numbers(mapping, "as written")?;
    for round in 0..3 {
        mapping.renew(session).while_("making it anew")?;
        for page in 0..mapping.pages() {
            let word = mapping.read(page * page_size());
            ensure_eq!(word, 0, format!("page {page} in round {round}"));
        }
        number_pages(mapping);
    }
    mapping.discard().while_("discarding")?;
    for page in [0, mapping.pages() - 1] {
        let seen = look(session, mapping, page)?;
        ensure!(seen.mapped().is_none(), "after discard: {seen}");
    }
    let smaps = or_skip(Smaps::of(mapping))?;
    ensure_eq!(smaps.bytes("Rss"), Some(0), "Rss after discard");
    mapping.renew(session).while_("making it anew")
}

/// Hugetlb pages go and come in whole ones.
fn step(mapping: &Mapping) -> usize {
    match mapping.kind() {
        Kind::Hugetlb => mapping.pmd_size() / page_size(),
        _ => 1,
    }
}

fn changed(session: &Session, mapping: &Mapping) -> Tested {
    let step = step(mapping);
    let first = mapping.pages() - step;
    number_pages(mapping);
    // What is in a file is still there.
    let stays = mapping.kind().has_file() && !mapping.kind().is_private();
    let left = if stays { first as u64 + 1 } else { 0 };

    mapping.discard_pages(first, step).while_("MADV_DONTNEED")?;
    let seen = look(session, mapping, first)?;
    ensure!(seen.mapped().is_none(), "after MADV_DONTNEED: {seen}");
    let at = first * page_size();
    ensure_eq!(mapping.read(at), left, "the word after MADV_DONTNEED");
    ensure_eq!(
        mapping.read(at - page_size()),
        first as u64,
        "the neighbour"
    );

    mapping.unmap_pages(first, step).while_("unmapping")?;
    let seen = look(session, mapping, first)?;
    ensure!(seen.mapped().is_none(), "after unmapping: {seen}");
    let populate = mapping.advise(first, step, Advice::PopulateRead);
    ensure!(populate.is_err(), "there is memory in what was unmapped");
    mapping.remap_pages(first, step).while_("mapping anew")?;
    ensure_eq!(mapping.read(at), left, "the word after mapping anew");
    mapping.write(at, 7);
    ensure_eq!(mapping.read(at), 7, "the word as written");

    mapping
        .remap_pages(0, mapping.pages())
        .while_("mapping all anew")?;
    mapping.renew(session).while_("making it anew")
}

fn aside(session: &Session, mapping: &Mapping) -> Tested {
    number_pages(mapping);
    let half = mapping.pages() / 2;
    for (first, nr_pages) in [(0, half), (half, half), (3, 5), (0, mapping.pages())] {
        let before = look(session, mapping, first)?;
        let aside = match mapping.move_aside(first, nr_pages) {
            Err(Errno::INVAL) if mapping.kind() == Kind::Hugetlb => {
                skip!("the kernel doesn't move hugetlb memory and keep its place");
            }
            moved => moved.while_("moving aside")?,
        };
        let old = look(session, mapping, first)?;
        ensure!(old.mapped().is_none(), "at the old place: {old}");
        let word = aside.word(0).load(std::sync::atomic::Ordering::SeqCst);
        ensure_eq!(word, first as u64 + 1, "the word at the new place");
        let there = session.inspect(0, aside.addr(), 1).while_("INSPECT")?[0];
        ensure_eq!(there.mapped(), before.mapped(), "the page at the new place");
        if nr_pages == half {
            ensure_eq!(there.0.level, before.0.level, "the level at the new place");
        }
        aside.back().while_("moving back")?;
        let after = look(session, mapping, first)?;
        ensure_eq!(after.mapped(), before.mapped(), "the page when it is back");
        expect_numbers(mapping, "when it is back")?;
    }
    // It comes back by itself, too.
    drop(mapping.move_aside(0, half).while_("moving aside")?);
    expect_numbers(mapping, "when it came back by itself")?;
    mapping.renew(session).while_("making it anew")
}

fn protected(session: &Session, mapping: &Mapping) -> Tested {
    let step = step(mapping);
    number_pages(mapping);
    let mut allowed = vec![(Protection::Read, true)];
    if mapping.kind().can_be_inaccessible().is_ok() {
        allowed.push((Protection::None, false));
    }
    for (allow, readable) in allowed {
        mapping.protect(0, step, allow).while_("mprotect")?;
        let seen = look(session, mapping, 0)?;
        let write = seen.0.leaf_flags & sys::GUPLAB_LEAF_WRITE != 0;
        ensure!(!write, "with {allow:?}: {seen}");
        if step == 1 {
            let reading = mapping.advise(0, step, Advice::PopulateRead);
            ensure_eq!(
                reading.is_ok(),
                readable,
                format!("readable with {allow:?}")
            );
        }
    }
    let both = Protection::ReadWrite;
    mapping.protect(0, step, both).while_("mprotect")?;
    expect_numbers(mapping, "when it is writable again")?;
    mapping.renew(session).while_("making it anew")
}

fn mthp_policy() -> Tested {
    let path = "/sys/kernel/mm/transparent_hugepage/hugepages-64kB/enabled";
    let read = || std::fs::read_to_string(path).while_("reading the policy");
    let session = open()?;
    if !std::path::Path::new(path).exists() {
        skip!("this kernel has no {path}");
    }
    let before = read()?;
    let mapping = memory(&session, Kind::AnonMthp, 1)?;
    ensure!(!read()?.contains("[never]"), "the policy is still `never`");
    drop(mapping);
    ensure_eq!(read()?, before, "the policy afterwards");
    Ok(())
}

fn private_file() -> Tested {
    let session = open()?;
    let mapping = memory(&session, Kind::PrivateShmem, 1)?;
    let file = mapping.file().while_("it has no file")?;
    mapping.write(0, 1);
    file.write(0, 2).while_("writing to the file")?;
    ensure_eq!(mapping.read(0), 1, "the private word");
    ensure_eq!(file.read(0), Ok(2), "the word of the file");
    mapping.discard_pages(0, 1).while_("MADV_DONTNEED")?;
    ensure_eq!(mapping.read(0), 2, "the word without a private page");
    let seen = look(&session, &mapping, 0)?;
    ensure!(
        !seen.has(sys::GUPLAB_PAGE_ANON),
        "a page for reading: {seen}"
    );
    mapping.write(0, 3);
    let seen = look(&session, &mapping, 0)?;
    ensure!(seen.has(sys::GUPLAB_PAGE_ANON), "a written page: {seen}");
    ensure_eq!(file.read(0), Ok(2), "the word of the file");
    Ok(())
}

fn huge_file() -> Tested {
    let session = open()?;
    let mapping = memory(&session, Kind::PrivateShmem, 2)?;
    let file = mapping.file().while_("it has no file")?;
    for page in 0..mapping.pages() {
        file.write(page * page_size(), page as u64 + 1)
            .while_("writing to the file")?;
    }
    file.make_huge().while_("collapsing the page cache")?;
    mapping.discard().while_("discarding")?;
    expect_numbers(&mapping, "of the file")?;
    let seen = look(&session, &mapping, mapping.pages() - 1)?;
    ensure_eq!(
        seen.0.order,
        session.pmd_order(),
        "the order in the page cache"
    );
    mapping
        .renew(&session)
        .while_("making private pages over it")?;
    expect_numbers(&mapping, "in the private copy")
}

fn punched() -> Tested {
    let session = open()?;
    let mapping = memory(&session, Kind::Shmem, 1)?;
    let file = mapping.file().while_("it has no file")?;
    number_pages(&mapping);
    file.punch(1, 1).while_("punching")?;
    let seen = look(&session, &mapping, 1)?;
    ensure!(seen.mapped().is_none(), "what was punched out: {seen}");
    ensure_eq!(mapping.read(page_size()), 0, "the word in the hole");
    file.truncate(2).while_("truncating")?;
    let seen = look(&session, &mapping, 2)?;
    ensure!(seen.mapped().is_none(), "behind the end: {seen}");
    file.truncate(mapping.pages()).while_("extending")?;
    ensure_eq!(
        mapping.read(2 * page_size()),
        0,
        "the word behind the old end"
    );
    ensure_eq!(mapping.read(0), 1, "the word before it");
    Ok(())
}

fn guards() -> Tested {
    let session = open()?;
    let mapping = memory(&session, Kind::Anon4k, 1)?;
    match mapping.advise(0, 1, Advice::GuardInstall) {
        Err(Errno::INVAL) => skip!("this kernel has no MADV_GUARD_INSTALL"),
        installed => installed.while_("MADV_GUARD_INSTALL")?,
    }
    let entry = mapping.pagemap(0).while_("pagemap")?;
    ensure!(entry.is_guard(), "pagemap of a guard: {entry:x?}");
    let populate = mapping.advise(0, 1, Advice::PopulateRead);
    ensure!(populate.is_err(), "a guard can be read");
    mapping
        .advise(0, 1, Advice::GuardRemove)
        .while_("MADV_GUARD_REMOVE")?;
    ensure_eq!(mapping.read(0), 0, "the word where the guard was");
    Ok(())
}

fn one_pmd() -> Tested {
    let session = open()?;
    let mapping = memory(&session, Kind::Anon4k, 2)?;
    number_pages(&mapping);
    mapping.collapse_pmd(1).while_("MADV_COLLAPSE")?;
    let (first, second) = (0, mapping.pages() / 2);
    let seen = [
        look(&session, &mapping, first)?,
        look(&session, &mapping, second)?,
    ];
    ensure!(!seen[0].is_pmd_leaf() && seen[1].is_pmd_leaf(), "{seen:?}");
    expect_numbers(&mapping, "after the collapse")
}
