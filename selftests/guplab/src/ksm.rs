// SPDX-License-Identifier: GPL-2.0
//! KSM, which merges pages of equal content.

use std::thread::sleep;
use std::time::{Duration, Instant};

use crate::device::Session;
use crate::knob::{Knob, Knobs, number};
use crate::mapping::Mapping;
use crate::unsupported::Unsupported;
use crate::{Result, sys};

const DIR: &str = "/sys/kernel/mm/ksm";

/// KSM at work, as long as this lives. Pages stay merged afterwards.
#[derive(Debug)]
pub struct Ksm {
    // In the order in which they are put back: it stops first.
    _run: Knob,
    _pace: Knobs,
    _smart: Option<Knob>,
    _across: Option<Knob>,
}

impl Ksm {
    /// Starts it, in a hurry: equal pages, on whatever nodes they are, merge in its second pass.
    pub fn run() -> std::result::Result<Ksm, Unsupported> {
        let path = |name: &str| format!("{DIR}/{name}");
        // Not on every kernel: without it every pass looks at every page, which is as wished.
        let smart = Knob::set(path("smart_scan"), 0).ok();
        // With one node there is nothing to merge across. With more, it can't be changed while
        // any page is merged.
        let across = match number(path("merge_across_nodes")) {
            Ok(0) => Some(Knob::set(path("merge_across_nodes"), 1)?),
            _ => None,
        };
        let pace = Knobs::set(DIR, &[("pages_to_scan", 10_000), ("sleep_millisecs", 1)])?;
        Ok(Ksm {
            _run: Knob::set(path("run"), 1)?,
            _pace: pace,
            _smart: smart,
            _across: across,
        })
    }

    /// How often it has been through all memory.
    pub fn full_scans(&self) -> std::result::Result<u64, Unsupported> {
        number(format!("{DIR}/full_scans"))
    }

    /// Waits until a page of a mapping is a merged one. False after `limit`.
    pub fn wait_merged(
        &self,
        session: &Session,
        mapping: &Mapping,
        page: usize,
        limit: Duration,
    ) -> Result<bool> {
        let end = Instant::now() + limit;
        loop {
            let seen = session.inspect(0, mapping.page_addr(page), 1)?[0];
            if seen.has(sys::GUPLAB_PAGE_KSM) {
                return Ok(true);
            }
            if Instant::now() >= end {
                return Ok(false);
            }
            sleep(Duration::from_millis(5));
        }
    }
}
