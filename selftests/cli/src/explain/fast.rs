// SPDX-License-Identifier: GPL-2.0
//! What the lockless walk does, and which line of mm/gup.c refuses. The functions are those of
//! Linux 7.2.

use guplab::slow_path::Asked;
use guplab::sys;
use guplab::walk::{Explanation, Level, Stop};
use serde::Serialize;

/// The verdict of the lockless walk.
#[derive(Debug, Serialize)]
pub(super) struct Fast {
    pub(super) taken: bool,
    /// Pages from the address on that are taken at once.
    pub(super) run: u32,
    /// The name of the reason.
    pub(super) stop: &'static str,
    /// Where in mm/gup.c the walk ends.
    pub(super) function: Option<&'static str>,
    pub(super) why: String,
}

/// The names of one level: what walks its table, what takes a leaf of it, and the letters that the
/// tests of its entries begin with.
struct Names {
    range: &'static str,
    leaf: &'static str,
    prefix: &'static str,
}

fn names(level: Level) -> Names {
    let (range, leaf, prefix) = match level {
        Level::Pte => ("gup_fast_pte_range()", "gup_fast_pte_range()", "pte"),
        Level::Pmd => ("gup_fast_pmd_range()", "gup_fast_pmd_leaf()", "pmd"),
        Level::Pud => ("gup_fast_pud_range()", "gup_fast_pud_leaf()", "pud"),
        Level::Top => ("gup_fast_pgd_range()", "gup_fast_p4d_range()", "p4d"),
    };
    Names {
        range,
        leaf,
        prefix,
    }
}

/// Function and reason.
type Why = (&'static str, String);

fn not_present(level: Level, what: &str) -> Why {
    let Names { range, prefix, .. } = names(level);
    let why = match level {
        // GUP-fast has no check of its own for that.
        Level::Pte => format!("pte_access_permitted() refuses: the entry is {what}"),
        Level::Top => "there is no table of PUDs (pgd_none() or p4d_present())".to_owned(),
        _ => format!("{prefix}_present() is false: the entry is {what}"),
    };
    (range, why)
}

fn permission(asked: Asked, seen: &Explanation, level: Level) -> Why {
    let Names { leaf, prefix, .. } = names(level);
    let is_writable = seen.0.leaf_flags & sys::GUPLAB_LEAF_WRITE != 0;
    let why = match asked.is_write() && !is_writable {
        true => "the entry is read-only",
        false => "the entry's protection key denies it to whoever asks",
    };
    (leaf, format!("{prefix}_access_permitted() refuses: {why}"))
}

fn unshare(seen: &Explanation) -> String {
    let why = match seen.0.page_flags & sys::GUPLAB_PAGE_ANON != 0 {
        true => "the page is mapped read-only and not exclusive",
        false => "a long-term pin, and without the VMA nobody knows whether the mapping is private",
    };
    format!("gup_must_unshare() refuses: {why}")
}

fn file(asked: Asked) -> String {
    let why = match asked.is_write() && asked.is_longterm() {
        true => "a long-term pin for writing, and the page is neither anonymous, shmem nor hugetlb",
        false => "the page is secret memory, or belongs to no file any more",
    };
    format!("gup_fast_folio_allowed() refuses: {why}")
}

fn refusal(asked: Asked, seen: &Explanation, stop: Stop, level: Level) -> Why {
    let Names {
        range,
        leaf,
        prefix,
    } = names(level);
    let what = match stop {
        Stop::None => return ("", String::new()),
        Stop::Fork => {
            let why = "raw_seqcount_try_begin() fails: fork() is copying the page tables";
            return ("gup_fast()", why.to_owned());
        }
        Stop::Forked => {
            let why = "read_seqcount_retry(): fork() began to copy the page tables meanwhile";
            return ("gup_fast()", why.to_owned());
        }
        Stop::Limit => {
            let why = "gup_fast_permitted() refuses: the address is none of user space";
            return ("gup_fast()", why.to_owned());
        }
        Stop::Empty => return not_present(level, "empty"),
        Stop::Nonpresent => return not_present(level, "not present"),
        Stop::Permission => return permission(asked, seen, level),
        Stop::Protnone if level == Level::Pmd => {
            let why = "pmd_protnone(): PROT_NONE, or a NUMA hint";
            return (range, why.to_owned());
        }
        Stop::Protnone if level == Level::Pte => {
            "pte_protnone(): PROT_NONE, or a NUMA hint".to_owned()
        }
        Stop::Protnone => format!("{prefix}_access_permitted() refuses: PROT_NONE"),
        Stop::Special => format!("{prefix}_special(): the zero page, or a bare page frame"),
        Stop::NoPage => "there is no struct page, or the table can't be reached".to_owned(),
        Stop::P2pdma => "try_grab_folio_fast() refuses: is_pci_p2pdma_page()".to_owned(),
        Stop::FolioGone => {
            "try_grab_folio_fast() refuses: the folio is being freed (try_get_folio())".to_owned()
        }
        Stop::Placement => "try_grab_folio_fast() refuses: folio_is_longterm_pinnable() is false: \
            ZONE_MOVABLE, CMA or isolated"
            .to_owned(),
        Stop::PmdChanged => "the PMD changed meanwhile".to_owned(),
        Stop::Changed => "the entry changed meanwhile".to_owned(),
        Stop::File => file(asked),
        Stop::Unshare => unshare(seen),
    };
    (leaf, what)
}

impl Fast {
    pub(super) fn new(asked: Asked, seen: &Explanation) -> Fast {
        let level = seen.level().unwrap_or(Level::Top);
        let stop = seen.stop();
        let taken = seen.is_taken();
        let (function, why) = match stop {
            Some(stop) if !taken => {
                let (function, why) = refusal(asked, seen, stop, level);
                (Some(function), why)
            }
            Some(_) => (None, String::new()),
            None => (None, format!("for a reason of number {}", seen.0.stop)),
        };
        Fast {
            taken,
            run: seen.0.run,
            stop: stop.map_or("unknown", Stop::name),
            function,
            why,
        }
    }

    /// At an address that is none of user space; the last page of all has no end.
    pub(super) fn outside(is_last: bool) -> Fast {
        let why = match is_last {
            true => "fails with -EOVERFLOW: the range has no end",
            false => "fails with -EFAULT: the address is behind TASK_SIZE_MAX",
        };
        Fast {
            taken: false,
            run: 0,
            stop: Stop::Limit.name(),
            function: Some("gup_fast_fallback()"),
            why: why.to_owned(),
        }
    }

    /// In one line.
    pub(super) fn line(&self) -> String {
        match (self.taken, self.run, self.function) {
            (true, 0 | 1, _) => "takes the page".to_owned(),
            (true, 2, _) => "takes the page, and the next one of the folio with it".to_owned(),
            (true, run, _) => {
                let more = run - 1;
                format!("takes the page, and the next {more} of the folio with it")
            }
            (false, _, Some(function)) if self.why.starts_with("fails") => {
                format!("{function} {}", self.why)
            }
            (false, _, Some(function)) => format!("{function}: {}", self.why),
            (false, _, None) => format!("refuses, {}", self.why),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(flags: u32, stop: Stop, level: Level, leaf_flags: u32, page_flags: u32) -> String {
        let seen = Explanation(sys::guplab_explain {
            stop: stop.number(),
            level: level.number(),
            leaf_flags,
            page_flags,
            run: 16,
            ..Default::default()
        });
        Fast::new(Asked { flags, get: false }, &seen).line()
    }

    #[test]
    fn every_refusal_names_a_function_of_gup() {
        for stop in Stop::ALL {
            for level in Level::ALL {
                let text = line(0, stop, level, 0, 0);
                match stop {
                    Stop::None => assert!(text.starts_with("takes"), "{text}"),
                    _ => assert!(text.starts_with("gup_fast"), "{text}"),
                }
            }
        }
    }

    #[test]
    fn the_check_is_told() {
        let write = sys::GUPLAB_PIN_WRITE;
        let mapped = sys::GUPLAB_LEAF_MAPPED;
        assert_eq!(
            line(write, Stop::Permission, Level::Pte, mapped, 0),
            "gup_fast_pte_range(): pte_access_permitted() refuses: the entry is read-only"
        );
        let key = line(0, Stop::Permission, Level::Pmd, mapped, 0);
        assert!(key.starts_with("gup_fast_pmd_leaf(): pmd_access_permitted()"));
        assert!(key.contains("protection key"));
        assert_eq!(
            line(0, Stop::Empty, Level::Pmd, 0, 0),
            "gup_fast_pmd_range(): pmd_present() is false: the entry is empty"
        );
        assert_eq!(
            line(0, Stop::Protnone, Level::Pmd, mapped, 0),
            "gup_fast_pmd_range(): pmd_protnone(): PROT_NONE, or a NUMA hint"
        );
        assert_eq!(
            line(0, Stop::Unshare, Level::Pte, mapped, sys::GUPLAB_PAGE_ANON),
            "gup_fast_pte_range(): gup_must_unshare() refuses: the page is mapped read-only and \
             not exclusive"
        );
        assert_eq!(
            line(0, Stop::None, Level::Pte, mapped, 0),
            "takes the page, and the next 15 of the folio with it"
        );
        assert!(Fast::outside(false).line().contains("-EFAULT"));
    }
}
