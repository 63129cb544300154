// SPDX-License-Identifier: GPL-2.0
//! The report as text that can be pasted into a mail.

use crate::explain::{Answer, Report, VmaReport};
use crate::show::wrap::wrap;

const WIDTH: usize = 100;

/// Columns before the text of a line.
const INDENT: usize = 11;

fn field(out: &mut String, name: &str, text: &str) {
    let room = WIDTH - INDENT;
    for (number, line) in wrap(text, room, room).iter().enumerate() {
        let name = match (number, name) {
            (0, "") | (1.., _) => String::new(),
            _ => format!("{name}:"),
        };
        *out += format!("{name:INDENT$}{line}").trim_end();
        out.push('\n');
    }
}

fn vma(vma: &VmaReport) -> String {
    let name = match vma.name.is_empty() {
        true => String::new(),
        false => format!(" {}", vma.name),
    };
    let flags = vma.flags.join(" ");
    format!(
        "{}-{} {} {}{name}; VmFlags {flags}",
        vma.start, vma.end, vma.perms, vma.backing
    )
}

pub(super) fn text(report: &Report) -> String {
    let mut out = format!(
        "{} of {} ({}), {}\n",
        report.addr, report.pid, report.command, report.call
    );
    match &report.vma {
        Some(found) => field(&mut out, "VMA", &vma(found)),
        None => field(&mut out, "VMA", "none"),
    }
    match &report.answer {
        Answer::Outside { fast } => field(&mut out, "GUP-fast", &fast.line()),
        Answer::Inside {
            entry,
            page,
            fast,
            slow,
        } => {
            field(&mut out, entry.level, &entry.line());
            if let Some(page) = page {
                field(&mut out, "page", &page.line());
            }
            field(&mut out, "GUP-fast", &fast.line());
            if let Some(slow) = slow {
                let mut name = "slow path";
                for sentence in slow.steps.iter().chain([&slow.end]) {
                    field(&mut out, name, sentence);
                    name = "";
                }
            }
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::explain::{entry, fast, slow};
    use guplab::slow_path::{Asked, Copied, End, Foretold, Step, Which};
    use guplab::walk::Explanation;
    use guplab::{Page, sys};

    #[test]
    fn a_report_fits_into_a_mail() {
        let seen = Explanation(sys::guplab_explain {
            addr: 0x7f12_a460_0000,
            stop: sys::GUPLAB_STOP_PERMISSION,
            level: sys::GUPLAB_LEVEL_PTE,
            leaf_flags: sys::GUPLAB_LEAF_MAPPED | sys::GUPLAB_LEAF_YOUNG,
            entry: 0x8000_0001_2345_6025,
            pfn: 0x12_3456,
            ..Default::default()
        });
        let page = Page(sys::guplab_page {
            flags: sys::GUPLAB_PAGE_PRESENT | sys::GUPLAB_PAGE_ANON | sys::GUPLAB_PAGE_LONGTERM_OK,
            refcount: 2,
            mapcount: 2,
            pincount: -1,
            ..Default::default()
        });
        let asked = Asked {
            flags: sys::GUPLAB_PIN_WRITE,
            get: false,
        };
        let copy = Step::Copy {
            unshare: false,
            huge: false,
            what: Copied::Shared,
        };
        let report = Report {
            addr: format!("{:#x}", seen.0.addr),
            pid: 1234,
            command: "cat".into(),
            call: crate::explain::call(asked),
            vma: Some(VmaReport {
                start: "0x7f12a4600000".into(),
                end: "0x7f12a4621000".into(),
                perms: "rw-p".into(),
                backing: "anonymous",
                name: "[heap]".into(),
                flags: ["rd", "wr", "mr", "mw", "me", "ac", "sd"]
                    .map(str::to_owned)
                    .into(),
            }),
            answer: Answer::Inside {
                entry: entry::EntryReport::new(&seen, None),
                page: entry::PageReport::new(Some(&page)),
                fast: fast::Fast::new(asked, &seen),
                slow: Some(slow::Slow::new(&Foretold {
                    steps: vec![copy],
                    end: End::Takes(Which::Another),
                })),
            },
        };
        let expected = "\
0x7f12a4600000 of 1234 (cat), pin_user_pages_fast(FOLL_WRITE)
VMA:       0x7f12a4600000-0x7f12a4621000 rw-p anonymous [heap]; VmFlags rd wr mr mw me ac sd
PTE:       0x8000000123456025: present, read-only, young, clean; pfn 0x123456
page:      anonymous, not exclusive; folio of order 0, refcount 2, mapcount 2
GUP-fast:  gup_fast_pte_range(): pte_access_permitted() refuses: the entry is read-only
slow path: do_wp_page() copies the page (wp_page_copy()), for others have mapped it as well
           then takes that page
";
        assert_eq!(text(&report), expected);
    }

    #[test]
    fn no_line_is_too_long() {
        let mut out = String::new();
        field(&mut out, "slow path", &"word ".repeat(60));
        assert!(out.lines().all(|line| line.len() <= WIDTH));
        assert!(
            out.lines()
                .skip(1)
                .all(|line| line.starts_with("           word"))
        );
    }
}
