// SPDX-License-Identifier: GPL-2.0
//! NUMA nodes, migration and compaction.

use std::time::{Duration, Instant};

use guplab::numa::{self, Balancing, Moving, Pace};
use guplab::vmstat::Vmstat;
use guplab::{Advice, Ended, Errno, Kind, SharedPage, fork_child, page_size, reclaim, sys};
use guplab_tests::{Test, Tested, While, ensure, ensure_eq, fail, memory, open, request, skip};

use crate::{LIMIT, expect_numbers, look, number_pages, or_skip};

pub(crate) fn tests() -> Vec<Test> {
    vec![
        Test::new("numa: a page moves to a node", moves),
        Test::new("numa: a huge page moves to a node", moves_huge),
        Test::new("numa: a pinned page stays", pinned_stays),
        Test::new("numa: a page that others have moves, too", moves_shared),
        Test::new("numa: mbind moves pages", binds),
        Test::new("numa: balancing sets hints and is put back", balances),
        Test::new("reclaim: memory is compacted", compacts),
    ]
}

fn moves() -> Tested {
    let (first, second) = or_skip(numa::two_nodes())?;
    let session = open()?;
    for kind in [Kind::Anon4k, Kind::Shmem, Kind::PrivateShmem] {
        let mapping = memory(&session, kind, 1)?;
        number_pages(&mapping);
        for node in [first, second, first] {
            let moved = numa::move_page(&mapping, 1, node, Moving::Own);
            ensure_eq!(moved, Ok(node), format!("{kind}: the node after moving"));
            ensure_eq!(numa::node_of(&mapping, 1), Ok(node), "the node as asked");
            let seen = look(&session, &mapping, 1)?.0.nid;
            ensure_eq!(seen as u32, node, "the node that INSPECT tells");
        }
        let all = mapping.pages();
        let moved = numa::move_pages(&mapping, 0, all, second, Moving::Own);
        let moved = moved.while_("move_pages")?;
        ensure_eq!(moved, vec![Ok(second); all], "the nodes after moving");
        let nodes = numa::nodes_of(&mapping, 0, all).while_("move_pages")?;
        ensure_eq!(nodes, vec![Ok(second); all], "the nodes as asked");
        expect_numbers(&mapping, "after moving")?;
    }
    let mapping = memory(&session, Kind::Anon4k, 1)?;
    mapping.discard_pages(0, 1).while_("MADV_DONTNEED")?;
    let absent = numa::node_of(&mapping, 0);
    ensure_eq!(absent, Err(Errno::NOENT), "the node of no page");
    Ok(())
}

fn moves_huge() -> Tested {
    let (first, second) = or_skip(numa::two_nodes())?;
    let session = open()?;
    let mapping = memory(&session, Kind::AnonThp, 1)?;
    number_pages(&mapping);
    for node in [first, second, first] {
        let moved = numa::move_page(&mapping, 5, node, Moving::Own);
        ensure_eq!(moved, Ok(node), "the node after moving");
        let seen = look(&session, &mapping, 0)?;
        ensure!(seen.is_pmd_leaf(), "after moving: {seen}");
    }
    expect_numbers(&mapping, "after moving")
}

fn pinned_stays() -> Tested {
    let (first, second) = or_skip(numa::two_nodes())?;
    let session = open()?;
    let mapping = memory(&session, Kind::Anon4k, 1)?;
    numa::move_page(&mapping, 0, first, Moving::Own).while_("moving")?;
    let pin = session.pin(&request(&mapping, 1)).while_("PIN")?;
    let moved = numa::move_page(&mapping, 0, second, Moving::Own);
    ensure_eq!(moved, Err(Errno::BUSY), "moving a pinned page");
    ensure_eq!(numa::node_of(&mapping, 0), Ok(first), "its node");
    drop(pin);
    let moved = numa::move_page(&mapping, 0, second, Moving::Own);
    ensure_eq!(moved, Ok(second), "moving it when it is unpinned");
    Ok(())
}

fn moves_shared() -> Tested {
    let (first, second) = or_skip(numa::two_nodes())?;
    let session = open()?;
    let mapping = memory(&session, Kind::Anon4k, 1)?;
    numa::move_page(&mapping, 0, first, Moving::Own).while_("moving")?;
    let shared = SharedPage::new().while_("memory for reports")?;
    let child = fork_child(|| i32::from(!shared.wait_for(0, 1, LIMIT))).while_("fork")?;
    let own = numa::move_page(&mapping, 0, second, Moving::Own);
    ensure_eq!(own, Err(Errno::ACCESS), "moving what a child has as well");
    let moved = numa::move_page(&mapping, 0, second, Moving::Shared);
    ensure_eq!(moved, Ok(second), "moving it nevertheless");
    shared.set(0, 1);
    child.wait(LIMIT).while_("waiting for the child")?;
    Ok(())
}

fn binds() -> Tested {
    let (first, second) = or_skip(numa::two_nodes())?;
    let session = open()?;
    let mapping = memory(&session, Kind::Anon4k, 1)?;
    number_pages(&mapping);
    for node in [first, second] {
        numa::bind(&mapping, 0, mapping.pages(), node).while_("mbind")?;
        let nodes = numa::nodes_of(&mapping, 0, mapping.pages()).while_("move_pages")?;
        ensure!(nodes.iter().all(|at| *at == Ok(node)), "not all on {node}");
    }
    expect_numbers(&mapping, "after mbind")?;
    mapping.renew(&session).while_("making it anew")?;
    ensure_eq!(
        numa::node_of(&mapping, 0),
        Ok(second),
        "the node of new pages"
    );
    Ok(())
}

fn balances() -> Tested {
    let read = || {
        let dir = "/sys/kernel/debug/sched/numa_balancing";
        let files = ["scan_delay_ms", "scan_period_min_ms", "scan_size_mb"];
        let paths = files.map(|name| format!("{dir}/{name}"));
        let mut all = vec![std::fs::read_to_string("/proc/sys/kernel/numa_balancing").ok()];
        all.extend(paths.map(|path| std::fs::read_to_string(path).ok()));
        all
    };
    let before = read();
    let balancing = or_skip(Balancing::on(&Pace::default()))?;
    ensure!(read() != before, "nothing was changed: {before:?}");
    let hinted = hints();
    drop(balancing);
    ensure_eq!(read(), before, "the settings afterwards");
    hinted
}

/// Uses memory in a child, which starts with the new pace, until the kernel has set a hint in it.
fn hints() -> Tested {
    let (first, second) = or_skip(numa::two_nodes())?;
    let session = open()?;
    let mapping = memory(&session, Kind::Anon4k, 1)?;
    let shared = SharedPage::new().while_("memory for reports")?;
    let vmstat = or_skip(Vmstat::fresh())?;
    let child = fork_child(|| {
        // Where there is one thread only, no hint is set for what is on its own node. On whatever
        // node it runs, one half is elsewhere.
        let half = mapping.pages() / 2;
        let placed = mapping
            .remap_pages(0, mapping.pages())
            .and_then(|()| mapping.advise(0, mapping.pages(), Advice::PopulateWrite))
            .and_then(|()| numa::bind(&mapping, 0, half, first))
            .and_then(|()| numa::bind(&mapping, half, half, second))
            .and_then(|()| numa::unbind(&mapping, 0, mapping.pages()));
        if let Err(error) = placed {
            return error.raw_os_error();
        }
        while shared.get(0) == 0 {
            for page in 0..mapping.pages() {
                mapping.write(page * page_size(), 1);
            }
        }
        0
    })
    .while_("fork")?;
    let end = Instant::now() + LIMIT;
    let mut seen = false;
    while !seen && Instant::now() < end {
        let pages = match session.inspect(child.pid(), mapping.addr(), mapping.pages() as u32) {
            // It says at its end why it could not do its part.
            Err(Errno::SRCH) => break,
            pages => pages.while_("INSPECT")?,
        };
        seen = pages
            .iter()
            .any(|page| page.0.leaf_flags & sys::GUPLAB_LEAF_PROTNONE != 0);
        std::thread::sleep(Duration::from_millis(1));
    }
    shared.set(0, 1);
    let ended = child.wait(LIMIT).while_("waiting for the child")?;
    ensure_eq!(ended, Ended::Code(0), "the end of the child");
    let now = or_skip(Vmstat::fresh())?;
    let updates = or_skip(now.since(&vmstat, "numa_pte_updates"))?;
    let faults = or_skip(now.since(&vmstat, "numa_hint_faults"))?;
    if !seen {
        fail!("no hint was seen; {updates} were set, {faults} were met");
    }
    ensure!(updates > 0, "a hint was seen, and none was counted");
    Ok(())
}

fn compacts() -> Tested {
    let before = or_skip(Vmstat::fresh())?;
    let session = open()?;
    let mapping = memory(&session, Kind::Anon4k, 4)?;
    number_pages(&mapping);
    // Holes for it to fill.
    for page in (0..mapping.pages()).step_by(2) {
        mapping.discard_pages(page, 1).while_("MADV_DONTNEED")?;
        mapping.write(page * page_size(), page as u64 + 1);
    }
    or_skip(reclaim::compact())?;
    let now = or_skip(Vmstat::fresh())?;
    let scanned = now.since(&before, "compact_migrate_scanned");
    let Ok(scanned) = scanned else {
        skip!("this kernel doesn't count what compaction does");
    };
    ensure!(scanned > 0, "compaction has looked at nothing");
    expect_numbers(&mapping, "after compaction")
}
