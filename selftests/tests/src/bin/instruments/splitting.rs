// SPDX-License-Identifier: GPL-2.0
//! Huge pages are split.

use guplab::split::{Splitter, split_pmd, unmap_partially};
use guplab::{Kind, Mapping, Session, page_size, sys};
use guplab_tests::{Not, Test, Tested, While, ensure, ensure_eq, memory, open, request};

use crate::{expect_numbers, look, number_pages, or_skip};

pub(crate) fn tests() -> Vec<Test> {
    vec![
        Test::new("split: a folio mapped by a PMD", || folio(Kind::AnonThp)),
        Test::new("split: a folio mapped by PTEs", || folio(Kind::AnonPteThp)),
        Test::new("split: a folio of 64 KiB", || folio(Kind::AnonMthp)),
        Test::new("split: a folio in the page cache", || folio(Kind::ShmemThp)),
        Test::new("split: a folio of a file", file),
        Test::new("split: a pinned folio stays", pinned_stays),
        Test::new("split: the PMD and not the folio", pmd_only),
        Test::new("split: by unmapping a page", partial),
    ]
}

fn order(session: &Session, mapping: &Mapping, page: usize) -> Result<u32, Not> {
    Ok(look(session, mapping, page)?.0.order)
}

fn folio(kind: Kind) -> Tested {
    let session = open()?;
    let splitter = or_skip(Splitter::open())?;
    let mapping = memory(&session, kind, 1)?;
    for to in [2, 0] {
        mapping.renew(&session).while_("making it anew")?;
        number_pages(&mapping);
        let whole = order(&session, &mapping, 0)?;
        ensure!(whole > 2, "there is no huge page to split");
        let last = mapping.pages() - 1;
        splitter.split(0, &mapping, 0, 1, to).while_("splitting")?;
        // A folio of the page cache is unmapped when it is split.
        expect_numbers(&mapping, "after the split")?;
        ensure_eq!(
            order(&session, &mapping, 0)?,
            to,
            "the order of the first page"
        );
        let expected = if whole == session.pmd_order() {
            to
        } else {
            whole
        };
        ensure_eq!(
            order(&session, &mapping, last)?,
            expected,
            "the order of the last page"
        );
    }
    Ok(())
}

fn file() -> Tested {
    let session = open()?;
    let splitter = or_skip(Splitter::open())?;
    let mapping = memory(&session, Kind::ShmemThp, 2)?;
    let file = mapping.file().while_("it has no file")?;
    number_pages(&mapping);
    splitter.split_file(file, 0, 1, 0).while_("splitting")?;
    expect_numbers(&mapping, "after the split")?;
    ensure_eq!(
        order(&session, &mapping, 0)?,
        0,
        "the order of the first page"
    );
    let other = order(&session, &mapping, mapping.pages() - 1)?;
    ensure_eq!(other, session.pmd_order(), "the order of the other folio");
    Ok(())
}

fn pinned_stays() -> Tested {
    let session = open()?;
    let splitter = or_skip(Splitter::open())?;
    let mapping = memory(&session, Kind::AnonThp, 1)?;
    let pin = session.pin(&request(&mapping, 1)).while_("PIN")?;
    splitter.split(0, &mapping, 0, 1, 0).while_("splitting")?;
    let whole = session.pmd_order();
    ensure_eq!(
        order(&session, &mapping, 0)?,
        whole,
        "the order of a pinned folio"
    );
    drop(pin);
    splitter.split(0, &mapping, 0, 1, 0).while_("splitting")?;
    ensure_eq!(
        order(&session, &mapping, 0)?,
        0,
        "the order when it is unpinned"
    );
    Ok(())
}

fn pmd_only() -> Tested {
    let session = open()?;
    let mapping = memory(&session, Kind::AnonThp, 1)?;
    number_pages(&mapping);
    let before = look(&session, &mapping, 0)?.mapped();
    split_pmd(&mapping, 7).while_("splitting")?;
    let seen = look(&session, &mapping, 0)?;
    ensure_eq!(seen.0.level, sys::GUPLAB_LEVEL_PTE, "the level");
    ensure_eq!(seen.0.order, session.pmd_order(), "the order");
    ensure_eq!(seen.mapped(), before, "the page");
    expect_numbers(&mapping, "after the split")
}

fn partial() -> Tested {
    let session = open()?;
    let mapping = memory(&session, Kind::AnonThp, 1)?;
    number_pages(&mapping);
    unmap_partially(&mapping, 7).while_("MADV_DONTNEED")?;
    let gone = look(&session, &mapping, 7)?;
    ensure!(gone.mapped().is_none(), "the unmapped page: {gone}");
    let seen = look(&session, &mapping, 8)?;
    ensure_eq!(seen.0.level, sys::GUPLAB_LEVEL_PTE, "the level");
    ensure_eq!(mapping.read(7 * page_size()), 0, "the word of the page");
    ensure_eq!(mapping.read(8 * page_size()), 9, "the word of the next one");
    Ok(())
}
