// SPDX-License-Identifier: GPL-2.0
//! What INSPECT says about one page.

use std::fmt;

use crate::sys;
use crate::walk::Level;

/// One page as the module saw it.
#[derive(Clone, Copy, Debug)]
pub struct Page(pub sys::guplab_page);

const PAGE_FLAGS: [(u32, &str); 12] = [
    (sys::GUPLAB_PAGE_PRESENT, "present"),
    (sys::GUPLAB_PAGE_ANON, "anon"),
    (sys::GUPLAB_PAGE_EXCLUSIVE, "exclusive"),
    (sys::GUPLAB_PAGE_DMA_PINNED, "dma-pinned"),
    (sys::GUPLAB_PAGE_LARGE, "large"),
    (sys::GUPLAB_PAGE_HUGETLB, "hugetlb"),
    (sys::GUPLAB_PAGE_KSM, "ksm"),
    (sys::GUPLAB_PAGE_SWAPCACHE, "swapcache"),
    (sys::GUPLAB_PAGE_LRU, "lru"),
    (sys::GUPLAB_PAGE_DIRTY, "dirty"),
    (sys::GUPLAB_PAGE_ZERO, "zero"),
    (sys::GUPLAB_PAGE_LONGTERM_OK, "longterm-ok"),
];

const LEAF_FLAGS: [(u32, &str); 9] = [
    (sys::GUPLAB_LEAF_MAPPED, "mapped"),
    (sys::GUPLAB_LEAF_WRITE, "write"),
    (sys::GUPLAB_LEAF_DIRTY, "dirty"),
    (sys::GUPLAB_LEAF_YOUNG, "young"),
    (sys::GUPLAB_LEAF_PROTNONE, "protnone"),
    (sys::GUPLAB_LEAF_SPECIAL, "special"),
    (sys::GUPLAB_LEAF_NONPRESENT, "nonpresent"),
    (sys::GUPLAB_LEAF_UFFD_WP, "uffd-wp"),
    (sys::GUPLAB_LEAF_SOFT_DIRTY, "soft-dirty"),
];

fn names(flags: u32, table: &[(u32, &str)]) -> String {
    let mut known = 0;
    let mut names: Vec<String> = Vec::new();
    for (bit, name) in table {
        known |= bit;
        if flags & bit != 0 {
            names.push((*name).to_owned());
        }
    }
    if flags & !known != 0 {
        names.push(format!("{:#x}", flags & !known));
    }
    if names.is_empty() {
        return "-".to_owned();
    }
    names.join(",")
}

impl Page {
    /// Whether there is a page.
    pub fn present(&self) -> bool {
        self.has(sys::GUPLAB_PAGE_PRESENT)
    }

    /// Whether it has the `GUPLAB_PAGE_*` bits.
    pub fn has(&self, flags: u32) -> bool {
        self.0.flags & flags == flags
    }

    /// The page frame that the page table maps at the address now.
    pub fn mapped(&self) -> Option<u64> {
        (self.0.leaf_flags & sys::GUPLAB_LEAF_MAPPED != 0).then_some(self.0.map_pfn)
    }

    /// Whether a PMD maps the address as one leaf.
    pub fn is_pmd_leaf(&self) -> bool {
        self.mapped().is_some() && self.0.level == sys::GUPLAB_LEVEL_PMD
    }

    /// The names of its page flags.
    pub fn flag_names(&self) -> String {
        names(self.0.flags, &PAGE_FLAGS)
    }

    /// The names of the flags of its page-table entry.
    pub fn leaf_names(&self) -> String {
        names(self.0.leaf_flags, &LEAF_FLAGS)
    }

    /// The name of the level where the walk ended.
    pub fn level_name(&self) -> &'static str {
        Level::of(self.0.level).unwrap_or(Level::Top).name()
    }
}

impl fmt::Display for Page {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let p = &self.0;
        write!(f, "addr {:#x}", p.addr)?;
        if self.present() {
            write!(
                f,
                " pfn {:#x} refcount {} pincount {} mapcount {} order {} nid {} [{}]",
                p.pfn,
                p.refcount,
                p.pincount,
                p.mapcount,
                p.order,
                p.nid,
                self.flag_names()
            )?;
        }
        match self.mapped() {
            Some(pfn) => write!(f, " maps {pfn:#x}")?,
            None => write!(f, " maps nothing")?,
        }
        write!(f, " at {} [{}]", self.level_name(), self.leaf_names())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags_have_names_and_unknown_ones_show() {
        assert_eq!(names(0, &PAGE_FLAGS), "-");
        assert_eq!(names(3, &PAGE_FLAGS), "present,anon");
        assert_eq!(names(1 | 1 << 30, &PAGE_FLAGS), "present,0x40000000");
    }

    #[test]
    fn an_absent_page_says_so() {
        let text = Page(sys::guplab_page {
            addr: 0x1000,
            level: sys::GUPLAB_LEVEL_PMD,
            ..Default::default()
        })
        .to_string();
        assert_eq!(text, "addr 0x1000 maps nothing at pmd [-]");
    }
}
