// SPDX-License-Identifier: GPL-2.0
//! What the kernel does by itself: merging, collapsing and swapping.

use std::fs;
use std::thread::sleep;
use std::time::{Duration, Instant};

use guplab::khugepaged::{self, Khugepaged};
use guplab::ksm::Ksm;
use guplab::mapping::Advice;
use guplab::swap::{Zram, is_swapped, swap_out};
use guplab::vmstat::Smaps;
use guplab::{Errno, Kind, page_size, sys};
use guplab_tests::{Not, Test, Tested, While, ensure, ensure_eq, memory, open, request, skip};

use crate::{LIMIT, expect_numbers, look, number_pages, or_skip};

pub(crate) fn tests() -> Vec<Test> {
    vec![
        Test::new("ksm: equal pages merge and come apart", merges),
        Test::new("ksm: its settings are put back", ksm_settings),
        Test::new("khugepaged: is there and can be told apart", khugepaged_pid),
        Test::new(
            "khugepaged: collapses what is advised",
            khugepaged_collapses,
        ),
        Test::new("khugepaged: can be kept away", khugepaged_kept_away),
        Test::new("khugepaged: its settings are put back", khugepaged_settings),
        Test::new("swap: pages go out and come back", swaps),
        Test::new("swap: a pinned page stays", pinned_stays),
        Test::new("swap: the device is gone afterwards", no_device_left),
        Test::new("cold pages stay mapped", cold),
    ]
}

/// The settings in a directory.
fn settings(dir: &str, names: &[&str]) -> Vec<Option<String>> {
    let read = |name| fs::read_to_string(format!("{dir}/{name}")).ok();
    names.iter().map(read).collect()
}

const KSM: &str = "/sys/kernel/mm/ksm";
const KSM_NAMES: [&str; 5] = [
    "run",
    "pages_to_scan",
    "sleep_millisecs",
    "smart_scan",
    "merge_across_nodes",
];

fn merges() -> Tested {
    let session = open()?;
    let mapping = memory(&session, Kind::Anon4k, 1)?;
    let content = u64::from(std::process::id()) << 32 | 0x6775_706c;
    for offset in (0..4 * page_size()).step_by(8) {
        mapping.write(offset, content);
    }
    mapping
        .advise(0, 4, Advice::Mergeable)
        .while_("MADV_MERGEABLE")?;
    let ksm = or_skip(Ksm::run())?;
    for page in 0..4 {
        let merged = ksm
            .wait_merged(&session, &mapping, page, LIMIT)
            .while_("INSPECT")?;
        ensure!(merged, "page {page} was not merged in {LIMIT:?}");
    }
    ensure!(or_skip(ksm.full_scans())? > 0, "no scan was counted");
    let (first, second) = (look(&session, &mapping, 0)?, look(&session, &mapping, 1)?);
    ensure_eq!(second.mapped(), first.mapped(), "the merged page");
    mapping.write(0, 1);
    let written = look(&session, &mapping, 0)?;
    ensure!(
        !written.has(sys::GUPLAB_PAGE_KSM),
        "a written page: {written}"
    );
    ensure_eq!(mapping.read(page_size()), content, "the other page's word");
    mapping
        .advise(0, 4, Advice::Unmergeable)
        .while_("MADV_UNMERGEABLE")?;
    let apart = look(&session, &mapping, 1)?;
    ensure!(!apart.has(sys::GUPLAB_PAGE_KSM), "taken apart: {apart}");
    ensure_eq!(mapping.read(page_size()), content, "its word");
    Ok(())
}

fn ksm_settings() -> Tested {
    let before = settings(KSM, &KSM_NAMES);
    let ksm = or_skip(Ksm::run())?;
    let during = settings(KSM, &KSM_NAMES);
    ensure_eq!(during[0].as_deref(), Some("1\n"), "run");
    drop(ksm);
    ensure_eq!(settings(KSM, &KSM_NAMES), before, "the settings afterwards");
    Ok(())
}

fn khugepaged_pid() -> Tested {
    let pid = or_skip(khugepaged::pid())?;
    let comm = fs::read_to_string(format!("/proc/{pid}/comm")).while_("reading its name")?;
    ensure_eq!(comm, "khugepaged\n", "its name");
    Ok(())
}

fn khugepaged_collapses() -> Tested {
    let session = open()?;
    let mapping = memory(&session, Kind::Anon4k, 2)?;
    number_pages(&mapping);
    mapping
        .advise(0, mapping.pages(), Advice::HugePage)
        .while_("MADV_HUGEPAGE")?;
    let before = or_skip(khugepaged::pages_collapsed())?;
    let _hurry = or_skip(Khugepaged::hurry(511))?;
    let end = Instant::now() + LIMIT;
    let all_huge = || -> Result<bool, Not> {
        let half = mapping.pages() / 2;
        Ok(look(&session, &mapping, 0)?.is_pmd_leaf()
            && look(&session, &mapping, half)?.is_pmd_leaf())
    };
    while !all_huge()? {
        ensure!(Instant::now() < end, "nothing was collapsed in {LIMIT:?}");
        sleep(Duration::from_millis(5));
    }
    let scanned = or_skip(khugepaged::wait_scanned(LIMIT))?;
    ensure!(scanned, "it did not get through in {LIMIT:?}");
    let collapsed = or_skip(khugepaged::pages_collapsed())? - before;
    ensure!(collapsed >= 2, "{collapsed} collapses were counted");
    expect_numbers(&mapping, "after the collapse")
}

/// In a hurry it would collapse the mapping within milliseconds.
fn khugepaged_kept_away() -> Tested {
    let session = open()?;
    let mapping = memory(&session, Kind::Anon4k, 2)?;
    let before = or_skip(khugepaged::pages_collapsed())?;
    let _hurry = or_skip(Khugepaged::hurry(511))?;
    let _away = or_skip(khugepaged::keep_away(session.pmd_size()))?;
    mapping
        .advise(0, mapping.pages(), Advice::HugePage)
        .while_("MADV_HUGEPAGE")?;
    sleep(Duration::from_millis(300));
    let collapsed = or_skip(khugepaged::pages_collapsed())? - before;
    ensure_eq!(collapsed, 0, "collapses");
    Ok(())
}

fn khugepaged_settings() -> Tested {
    let dir = "/sys/kernel/mm/transparent_hugepage/khugepaged";
    let names = [
        "scan_sleep_millisecs",
        "alloc_sleep_millisecs",
        "pages_to_scan",
        "max_ptes_none",
    ];
    let before = settings(dir, &names);
    let at_rest = or_skip(Khugepaged::at_rest())?;
    let hurry = or_skip(Khugepaged::hurry(0))?;
    ensure!(settings(dir, &names) != before, "nothing was changed");
    drop((hurry, at_rest));
    ensure_eq!(settings(dir, &names), before, "the settings afterwards");
    Ok(())
}

fn swaps() -> Tested {
    let session = open()?;
    let _zram = or_skip(Zram::new(64 << 20))?;
    for kind in [
        Kind::Anon4k,
        Kind::PrivateShmem,
        Kind::AnonThp,
        Kind::AnonMthp,
    ] {
        let mapping = memory(&session, kind, 1)?;
        number_pages(&mapping);
        let out = swap_out(&mapping, 0, mapping.pages(), LIMIT).while_("MADV_PAGEOUT")?;
        ensure_eq!(out, mapping.pages(), format!("{kind}: pages that are out"));
        let seen = look(&session, &mapping, 0)?;
        ensure!(seen.mapped().is_none(), "{kind}, swapped out: {seen}");
        let smaps = or_skip(Smaps::of(&mapping))?;
        let swapped = smaps.bytes("Swap");
        ensure_eq!(swapped, Some(mapping.len() as u64), format!("{kind}: Swap"));
        expect_numbers(&mapping, "when it is back")?;
        ensure_eq!(
            is_swapped(&mapping, 0),
            Ok(false),
            "is a page out that is back"
        );
    }
    let shared = memory(&session, Kind::Shmem, 1)?;
    let out = swap_out(&shared, 0, 1, LIMIT);
    ensure_eq!(out, Err(Errno::OPNOTSUPP), "whether shared memory is out");
    Ok(())
}

fn pinned_stays() -> Tested {
    let session = open()?;
    let _zram = or_skip(Zram::new(64 << 20))?;
    let mapping = memory(&session, Kind::Anon4k, 1)?;
    let pin = session.pin(&request(&mapping, 1)).while_("PIN")?;
    let pages = mapping.pages();
    let out = swap_out(&mapping, 0, pages, Duration::from_millis(500));
    ensure_eq!(out, Ok(pages - 1), "pages that are out");
    ensure_eq!(is_swapped(&mapping, 0), Ok(false), "is the pinned page out");
    pin.write_word(0, 7).while_("DMA")?;
    ensure_eq!(mapping.read(0), 7, "the word");
    Ok(())
}

fn no_device_left() -> Tested {
    let swaps = || fs::read_to_string("/proc/swaps").while_("reading /proc/swaps");
    let before = swaps()?;
    let zram = or_skip(Zram::new(16 << 20))?;
    let node = format!("/dev/zram{}", zram.number());
    ensure!(swaps()?.contains(&node), "{node} is not in use");
    drop(zram);
    ensure_eq!(swaps()?, before, "/proc/swaps");
    ensure!(
        !std::path::Path::new(&node).exists(),
        "{node} is still there"
    );
    Ok(())
}

fn cold() -> Tested {
    let session = open()?;
    let mapping = memory(&session, Kind::AnonThp, 1)?;
    number_pages(&mapping);
    match mapping.advise(0, mapping.pages(), Advice::Cold) {
        Err(Errno::INVAL) => skip!("this kernel has no MADV_COLD"),
        done => done.while_("MADV_COLD")?,
    }
    let seen = look(&session, &mapping, 0)?;
    ensure!(seen.is_pmd_leaf(), "after MADV_COLD: {seen}");
    ensure!(
        seen.0.leaf_flags & sys::GUPLAB_LEAF_YOUNG == 0,
        "still young: {seen}"
    );
    expect_numbers(&mapping, "after MADV_COLD")
}
