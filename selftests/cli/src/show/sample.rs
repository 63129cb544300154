// SPDX-License-Identifier: GPL-2.0
//! A race for the tests.

use guplab::Event;
use serde_json::{Value, json};

const TRACE: &str = "\
# tracer: nop
#
           <...>-312     [000] .....   812.400100: sys_madvise(start: 0x7f12a4c00000, \
len_in: 0x200000, behavior: 0x19)
           <...>-312     [000] .....   812.400190: mm_khugepaged_scan_pmd: mm=00000000deadbeef, \
scan_pfn=0x10a3c, referenced=512, none_or_zero=0, status=succeeded, unmapped=0
           <...>-313     [001] d....   812.400612: guplab_window: point=try_grab_folio_fast \
side=entry held_ns=183211 met=1 addr=0x7f12a4c00000
           <...>-313     [001] d....   812.400614: guplab_window: point=try_grab_folio_fast \
side=return held_ns=0 met=0 addr=0x7f12a4c00000
           <...>-313     [001] d....   812.400616: guplab_window: point=gup_put_folio \
side=entry held_ns=0 met=0 addr=0x0
           <...>-312     [000] .....   812.400440: guplab_window: point=pmdp_collapse_flush \
side=entry held_ns=0 met=1 addr=0x7f12a4c00000
           <...>-312     [000] .....   812.400450: tlb_flush: pages:-1 reason:remote IPI send (4)
           <...>-313     [001] d.h..   812.400620: tlb_flush: pages:-1 reason:remote shootdown (1)
           <...>-312     [000] .....   812.400631: guplab_window: point=pmdp_collapse_flush \
side=return held_ns=0 met=0 addr=0x7f12a4c00000
           <...>-313     [001] .....   812.400640: guplab_window: point=__gup_longterm_locked \
side=entry held_ns=0 met=0 addr=0x7f12a4c00000
           <...>-312     [000] .....   812.403777: mm_collapse_huge_page: mm=00000000deadbeef, \
isolated=1, status=succeeded, order=9
           <...>-312     [000] .....   812.403790: sys_madvise -> 0x0
           <...>-313     [001] .....   812.404015: guplab_pin: addr=0x7f12a4c00000 nr_pages=1 \
way=pin_user_pages_fast flags=WRITE ret=1 pfn=0x12200
";

/// Fast GUP is held between its read of the page table and its pin, while collapse clears the PMD.
pub(crate) fn collapse_against_pin() -> Vec<Event> {
    TRACE.lines().filter_map(Event::parse).collect()
}

/// A run of three cases, one of them without a trace.
pub(crate) fn record() -> Value {
    let trace = collapse_against_pin();
    json!({
        "seed": 4711,
        "cpus": [0, 1],
        "machine": {
            "kernel": "7.2.13", "cpu": "QEMU TCG CPU version 2.5+", "cpus": 4,
            "accelerator": "TCG", "date": "2026-11-20",
        },
        "kernel": [],
        "cases": [
            { "experiment": "hint_held_pin", "kind": "anon-4k", "verdict": "pass", "hits": 0 },
            {
                "experiment": "collapse_vs_pinning", "kind": "anon-4k", "verdict": "pass",
                "rounds": 900, "hits": 800, "trace_round": 17, "trace": trace,
            },
            {
                "experiment": "fork_vs_pinning", "kind": "anon-thp", "verdict": "violation",
                "count": 1, "trace": trace,
                "violations": [{
                    "experiment": "fork_vs_pinning", "kind": "anon-thp", "seed": 4711,
                    "cpus": [0, 1], "round": 3, "variant": "fork() against one write pin",
                    "invariant": "the pinned page is the mapped page", "addr": 139_717_017_501_696_u64,
                    "pfn_before": 0x10a3c, "pfn_now": 0x12200, "details": ["page 0 of 512"],
                    "replay": "guplab run 'fork_vs_pinning/anon-thp' --seed 4711 --rounds 3 --cpus 0,1",
                }],
            },
        ],
    })
}
