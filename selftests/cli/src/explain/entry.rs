// SPDX-License-Identifier: GPL-2.0
//! The page-table entry and the page, in words.

use guplab::pagemap::Entry;
use guplab::slow_path::Nonpresent;
use guplab::walk::{Explanation, Level};
use guplab::{Page, sys};
use serde::Serialize;

/// The entry at which the walk ends.
#[derive(Debug, Serialize)]
pub(super) struct EntryReport {
    pub(super) level: &'static str,
    /// As the architecture defines it; nothing where there is no table at all.
    pub(super) value: Option<String>,
    pub(super) pfn: Option<String>,
    pub(super) what: Vec<&'static str>,
}

/// What is said of a flag that is set, and of one that isn't. Nothing is said of the usual.
const FLAGS: [(u32, &str, &str); 8] = [
    (sys::GUPLAB_LEAF_MAPPED, "present", ""),
    (sys::GUPLAB_LEAF_PROTNONE, "protnone", ""),
    (sys::GUPLAB_LEAF_WRITE, "writable", "read-only"),
    (sys::GUPLAB_LEAF_YOUNG, "young", "old"),
    (sys::GUPLAB_LEAF_DIRTY, "dirty", "clean"),
    (sys::GUPLAB_LEAF_SPECIAL, "special", ""),
    (sys::GUPLAB_LEAF_UFFD_WP, "uffd-wp", ""),
    (sys::GUPLAB_LEAF_SOFT_DIRTY, "soft-dirty", ""),
];

fn nonpresent(entry: Nonpresent) -> &'static str {
    match entry {
        Nonpresent::Swap { uffd_wp: false } => "swap entry",
        Nonpresent::Swap { uffd_wp: true } => "swap entry, uffd-wp",
        Nonpresent::Guard => "marker of a guard region",
        Nonpresent::UffdWp => "uffd-wp marker",
        Nonpresent::Poisoned => "marker of poisoned memory",
        Nonpresent::Other => "not present: migration, device or hwpoison entry",
    }
}

impl EntryReport {
    pub(super) fn new(seen: &Explanation, pagemap: Option<Entry>) -> EntryReport {
        let leaf = seen.0.leaf_flags;
        let is_mapped = leaf & sys::GUPLAB_LEAF_MAPPED != 0;
        let level = seen.level().unwrap_or(Level::Top);
        let what = if is_mapped {
            let said = FLAGS.map(|(flag, set, clear)| match leaf & flag != 0 {
                true => set,
                false => clear,
            });
            said.into_iter().filter(|text| !text.is_empty()).collect()
        } else if leaf & sys::GUPLAB_LEAF_NONPRESENT != 0 {
            vec![nonpresent(Nonpresent::of(pagemap))]
        } else {
            vec![match level {
                Level::Pte => "empty",
                Level::Pmd => "empty: no page table",
                Level::Pud => "empty: no PMD table",
                Level::Top => "empty: no PUD table",
            }]
        };
        EntryReport {
            level: match level {
                Level::Pte => "PTE",
                Level::Pmd => "PMD",
                Level::Pud => "PUD",
                Level::Top => "PGD/P4D",
            },
            value: (level != Level::Top).then(|| format!("{:#x}", seen.0.entry)),
            pfn: is_mapped.then(|| format!("{:#x}", seen.0.pfn)),
            what,
        }
    }

    /// In one line.
    pub(super) fn line(&self) -> String {
        let mut line = match &self.value {
            Some(value) => format!("{value}: "),
            None => String::new(),
        };
        line += &self.what.join(", ");
        if let Some(pfn) = &self.pfn {
            line += &format!("; pfn {pfn}");
        }
        line
    }
}

/// The page that is mapped, and its folio.
#[derive(Debug, Serialize)]
pub(super) struct PageReport {
    pub(super) order: u32,
    pub(super) index: u32,
    pub(super) nid: i32,
    pub(super) references: i32,
    pub(super) mapcount: i32,
    /// Nothing where pins can't be told from references.
    pub(super) pins: Option<i32>,
    pub(super) what: Vec<&'static str>,
}

impl PageReport {
    pub(super) fn new(page: Option<&Page>) -> Option<PageReport> {
        let page = page.filter(|page| page.present())?;
        let mut what = Vec::new();
        if page.has(sys::GUPLAB_PAGE_ZERO) {
            what.push("the zero page");
        } else if page.has(sys::GUPLAB_PAGE_ANON) {
            what.push("anonymous");
            what.push(match page.has(sys::GUPLAB_PAGE_EXCLUSIVE) {
                true => "exclusive",
                false => "not exclusive",
            });
        } else {
            what.push("not anonymous");
        }
        let flags = [
            (sys::GUPLAB_PAGE_HUGETLB, "hugetlb"),
            (sys::GUPLAB_PAGE_KSM, "KSM"),
            (sys::GUPLAB_PAGE_SWAPCACHE, "in the swap cache"),
            (sys::GUPLAB_PAGE_DMA_PINNED, "maybe pinned"),
        ];
        what.extend(flags.iter().filter(|(f, _)| page.has(*f)).map(|(_, n)| n));
        if !page.has(sys::GUPLAB_PAGE_LONGTERM_OK) {
            what.push("not for long-term pins (ZONE_MOVABLE, CMA, isolated)");
        }
        Some(PageReport {
            order: page.0.order,
            index: page.0.index,
            nid: page.0.nid,
            references: page.0.refcount,
            mapcount: page.0.mapcount,
            pins: (page.0.pincount >= 0).then_some(page.0.pincount),
            what,
        })
    }

    /// In one line.
    pub(super) fn line(&self) -> String {
        let mut line = self.what.join(", ");
        if self.order > 0 {
            line += &format!("; page {} of a folio of order {}", self.index, self.order);
        } else {
            line += "; folio of order 0";
        }
        line += &format!(", refcount {}, mapcount {}", self.references, self.mapcount);
        if let Some(pins) = self.pins.filter(|&pins| pins > 0) {
            line += &format!(", pincount {pins}");
        }
        line
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_is_decoded() {
        let mut raw = sys::guplab_explain {
            entry: 0x8000_0001_2345_6865,
            pfn: 0x12_3456,
            leaf_flags: sys::GUPLAB_LEAF_MAPPED | sys::GUPLAB_LEAF_YOUNG | sys::GUPLAB_LEAF_DIRTY,
            ..Default::default()
        };
        let line = EntryReport::new(&Explanation(raw), None).line();
        let expected = "0x8000000123456865: present, read-only, young, dirty; pfn 0x123456";
        assert_eq!(line, expected);
        raw.leaf_flags = sys::GUPLAB_LEAF_NONPRESENT;
        raw.entry = 0x60;
        let swap = EntryReport::new(&Explanation(raw), Some(Entry(1 << 62)));
        assert_eq!(swap.line(), "0x60: swap entry");
        raw.leaf_flags = 0;
        raw.level = sys::GUPLAB_LEVEL_TOP;
        let top = EntryReport::new(&Explanation(raw), None);
        assert_eq!(top.line(), "empty: no PUD table");
    }

    #[test]
    fn a_page_is_described() {
        let flags = sys::GUPLAB_PAGE_PRESENT | sys::GUPLAB_PAGE_ANON | sys::GUPLAB_PAGE_LARGE;
        let mut page = Page(sys::guplab_page {
            flags: flags | sys::GUPLAB_PAGE_LONGTERM_OK,
            order: 9,
            index: 3,
            refcount: 514,
            mapcount: 2,
            pincount: 0,
            ..Default::default()
        });
        let line = |page: &Page| PageReport::new(Some(page)).expect("a page").line();
        let expected = "anonymous, not exclusive; page 3 of a folio of order 9, refcount 514, \
            mapcount 2";
        assert_eq!(line(&page), expected);
        page.0.flags = sys::GUPLAB_PAGE_PRESENT;
        assert!(line(&page).starts_with("not anonymous, not for long-term pins"));
        page.0.flags = 0;
        assert!(PageReport::new(Some(&page)).is_none());
    }
}
