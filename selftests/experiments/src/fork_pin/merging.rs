// SPDX-License-Identifier: GPL-2.0
//! Two pages that KSM has merged, and a third one that it may merge with them.

use guplab::ksm::Ksm;
use guplab::mapping::Advice;
use guplab::{Kind, Mapping, page_size};

use super::ksm_held_pin::{LIMIT, is_merged};
use crate::trial::Context;
use crate::{Stop, Trial};

/// The pages that are merged before.
pub(super) const PAIR: [usize; 2] = [0, 1];
/// The page that is merged with them.
pub(super) const TARGET: usize = 2;
/// The word in which it differs from them.
pub(super) const WORD: usize = 64;

/// For [`crate::Experiment::fits`]: kinds whose pages KSM merges as they are.
pub(super) fn is_merged_alone(kind: Kind) -> Result<(), &'static str> {
    is_merged(kind)?;
    match kind {
        Kind::Anon4k | Kind::PrivateShmem => Ok(()),
        _ => Err("KSM splits a huge page before it merges a page of it, which then is as anon-4k"),
    }
}

/// Starts KSM, and waits until the two pages are one. Returns what they have in their word.
pub(super) fn merged_pair(trial: &mut Trial<'_>, mapping: &Mapping) -> Result<(Ksm, u64), Stop> {
    let ksm = Ksm::run().map_err(|e| Stop::Skip(e.to_string()))?;
    let content = trial.rng.u64(..) | 1;
    for page in PAIR {
        mapping.write(page * page_size() + WORD, content);
    }
    mapping
        .advise(0, PAIR.len(), Advice::Mergeable)
        .context("MADV_MERGEABLE")?;
    let came = ksm.wait_merged(trial.session, mapping, PAIR[0], LIMIT);
    match came.context("INSPECT")? {
        true => Ok((ksm, content)),
        false => Err(none_merged()),
    }
}

/// Lets KSM look at the third page, or keeps it away.
pub(super) fn advise_target(mapping: &Mapping, advice: Advice) -> Result<(), Stop> {
    mapping
        .advise(TARGET, 1, advice)
        .context("madvise(2) for KSM")
}

/// Why there is nothing to see where KSM does nothing.
pub(super) fn none_merged() -> Stop {
    Stop::Skip(format!(
        "KSM did not merge equal pages within {} s",
        LIMIT.as_secs()
    ))
}
