// SPDX-License-Identifier: GPL-2.0
//! The kinds of memory.

use std::fmt;

use crate::page::Page;
use crate::{page_size, sys};

/// What memory is made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// Private anonymous memory in base pages.
    #[serde(rename = "anon-4k")]
    Anon4k,
    /// A transparent huge page mapped by a PMD.
    AnonThp,
    /// A transparent huge page mapped by PTEs.
    AnonPteThp,
    /// Transparent huge pages of 64 KiB, which PTEs map.
    AnonMthp,
    /// A memfd, mapped shared, in base pages.
    Shmem,
    /// A memfd, mapped shared: a huge page of the page cache, mapped by a PMD.
    ShmemThp,
    /// A memfd, mapped private and written: anonymous base pages over the page cache.
    PrivateShmem,
    /// A private hugetlb mapping with pages of the PMD's size.
    Hugetlb,
}

/// Bytes of a folio of [`Kind::AnonMthp`].
pub(crate) const MTHP_SIZE: usize = 64 << 10;

/// What PROT_NONE does to a PMD of 32-bit ARM is taken for no page (7.2.13; Documentation/findings.rst):
/// nothing brings it back, and at the end of the process the kernel notices that it is missing.
pub(super) const LOSES_INACCESSIBLE_PMDS: bool = cfg!(target_arch = "arm");

impl Kind {
    /// All of them.
    pub const ALL: [Kind; 8] = [
        Kind::Anon4k,
        Kind::AnonThp,
        Kind::AnonPteThp,
        Kind::AnonMthp,
        Kind::Shmem,
        Kind::ShmemThp,
        Kind::PrivateShmem,
        Kind::Hugetlb,
    ];

    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Kind::Anon4k => "anon-4k",
            Kind::AnonThp => "anon-thp",
            Kind::AnonPteThp => "anon-pte-thp",
            Kind::AnonMthp => "anon-mthp",
            Kind::Shmem => "shmem",
            Kind::ShmemThp => "shmem-thp",
            Kind::PrivateShmem => "private-shmem",
            Kind::Hugetlb => "hugetlb",
        }
    }

    /// Whether a forked child gets memory of its own.
    pub fn is_private(self) -> bool {
        !matches!(self, Kind::Shmem | Kind::ShmemThp)
    }

    /// Whether there is a file under it.
    pub fn has_file(self) -> bool {
        matches!(self, Kind::Shmem | Kind::ShmemThp | Kind::PrivateShmem)
    }

    /// Whether it may be made PROT_NONE, or why not: with a kernel that loses what a PMD maps then.
    pub fn can_be_inaccessible(self) -> std::result::Result<(), &'static str> {
        match self {
            Kind::Anon4k | Kind::Shmem | Kind::PrivateShmem => Ok(()),
            // khugepaged makes huge pages of the others, too.
            _ if LOSES_INACCESSIBLE_PMDS => Err(
                "a page that a PMD maps is lost when it is PROT_NONE (Documentation/findings.rst)",
            ),
            _ => Ok(()),
        }
    }

    /// Whether memory of this kind has such pages.
    pub(crate) fn has(self, page: &Page, pmd_order: u32) -> bool {
        let (order, anon) = (page.0.order, page.has(sys::GUPLAB_PAGE_ANON));
        let hugetlb = page.has(sys::GUPLAB_PAGE_HUGETLB);
        let pte = page.mapped().is_some() && page.0.level == sys::GUPLAB_LEVEL_PTE;
        let huge = order == pmd_order;
        page.present()
            && match self {
                Kind::Anon4k | Kind::PrivateShmem => pte && order == 0 && anon,
                Kind::AnonThp => page.is_pmd_leaf() && huge && anon && !hugetlb,
                Kind::AnonPteThp => pte && huge && anon,
                Kind::AnonMthp => pte && MTHP_SIZE == page_size() << order && anon,
                Kind::Shmem => pte && order == 0 && !anon,
                Kind::ShmemThp => page.is_pmd_leaf() && huge && !anon && !hugetlb,
                Kind::Hugetlb => page.is_pmd_leaf() && huge && hugetlb,
            }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_distinct() {
        let mut names: Vec<&str> = Kind::ALL.iter().map(|kind| kind.name()).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), Kind::ALL.len());
    }

    #[test]
    fn no_page_is_of_no_kind() {
        let page = Page(sys::guplab_page::default());
        assert!(Kind::ALL.iter().all(|kind| !kind.has(&page, 9)));
    }
}
