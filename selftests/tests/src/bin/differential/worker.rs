// SPDX-License-Identifier: GPL-2.0
//! A process of its own, which brings memory into one state after the other and compares. It has
//! one thread only: nothing changes while it compares.

use std::process::ExitCode;
use std::time::Duration;

use guplab::ksm::Ksm;
use guplab::mapping::Advice;
use guplab::rng::case_rng;
use guplab::{Errno, Mapping, Rng, Session, SharedPage, Way};
use guplab_tests::Not;
use rustix::process::{Signal, set_parent_process_death_signal};

use crate::area;
use crate::comparer::{Comparer, Window};
use crate::held::Held;
use crate::operations::{OPERATIONS, fork_some};
use crate::own;
use crate::stage::{PEERS, Stage};
use crate::subject::Subject;
use crate::totals::Totals;

/// The memory that is changed, in what one PMD maps.
const PMDS: usize = 3;
/// Operations after which the memory is made anew.
const OPERATIONS_A_LIFE: u32 = 16;
/// How long pages may take to be merged.
const MERGING: Duration = Duration::from_secs(20);

/// What a worker is told in its arguments: the subject's name, a seed, and how many comparisons.
pub(crate) fn arguments(subject: Subject, seed: u64, count: u64) -> [String; 4] {
    [
        FLAG.to_owned(),
        subject.name().to_owned(),
        seed.to_string(),
        count.to_string(),
    ]
}

/// The first argument of a worker.
pub(crate) const FLAG: &str = "--worker";

/// Runs in the worker; its output is the text of [`Totals`].
pub(crate) fn main(arguments: &[String]) -> ExitCode {
    let told = || {
        let [name, seed, count] = arguments else {
            return None;
        };
        Some((Subject::of(name)?, seed.parse().ok()?, count.parse().ok()?))
    };
    let Some((subject, seed, count)) = told() else {
        eprintln!("{FLAG} needs a subject, a seed and a count; it got {arguments:?}");
        return ExitCode::FAILURE;
    };
    match work(subject, seed, count) {
        Ok(totals) => print!("{totals}"),
        Err(Not::Skipped(why)) => print!("{}", Totals::unavailable(why)),
        Err(Not::Failed(how)) => {
            eprintln!("{how}");
            return ExitCode::FAILURE;
        }
    }
    ExitCode::SUCCESS
}

fn work(subject: Subject, seed: u64, count: u64) -> Result<Totals, Not> {
    let fail = |doing: &str, error: Errno| Not::Failed(format!("{doing}: {error}"));
    // Whoever has started this may be stopped.
    set_parent_process_death_signal(Some(Signal::KILL)).map_err(|e| fail("prctl", e))?;
    let session = guplab_tests::open()?;
    if !session.can(Way::PinFastOnly) {
        return Err(Not::Skipped(
            "this kernel's gup_fast_fallback() can't be called".into(),
        ));
    }
    let mut rng = case_rng(seed, subject.name());
    let comparer = Comparer::new(session, Rng::with_seed(rng.u64(..)), count);
    match subject {
        Subject::Own => own::work(comparer),
        Subject::File | Subject::Secret | Subject::PudHugetlb => {
            area::work(subject, comparer, &mut rng)
        }
        Subject::Kind(_) | Subject::ZeroPage | Subject::Ksm => lives(subject, comparer, rng),
    }
}

/// Memory of the library's kinds, made anew again and again.
fn lives(subject: Subject, mut comparer: Comparer, mut rng: Rng) -> Result<Totals, Not> {
    let session = guplab_tests::open()?;
    let kind = subject.kind().ok_or(Not::Failed("no kind".into()))?;
    let mapping = guplab_tests::memory(&session, kind, PMDS)?;
    let fail = |error: Errno| Not::Failed(format!("{subject:?}: {error}"));
    let shared = [(); PEERS].map(|()| SharedPage::new());
    let [Ok(a), Ok(b), Ok(c)] = shared else {
        return Err(fail(Errno::NOMEM));
    };
    let shared = [a, b, c];
    let stage_rng = Rng::with_seed(rng.u64(..));
    let mut stage = Stage::new(&session, &mapping, &shared, stage_rng).map_err(fail)?;
    let held = Held::new(&session, &mapping);
    let all = Window {
        addr: mapping.addr(),
        nr_pages: mapping.pages(),
    };
    let weights: u32 = OPERATIONS.iter().map(|(_, weight, _)| weight).sum();

    prepare(subject, &session, &mapping)?;
    while comparer.goes_on() {
        if rng.bool() {
            // Later few pages are exclusive.
            let _refused = fork_some(&mut stage);
        }
        for _ in 0..OPERATIONS_A_LIFE {
            // The page before and the one after it belong to the mapping's reservation.
            let window = match rng.u32(0..4) {
                0 => all.widened(session.pmd_pages()),
                1 => all.widened(1),
                _ => stage.last(),
            };
            held.compare_around(&mut comparer, window, &mut rng)
                .map_err(fail)?;
            if !comparer.goes_on() {
                break;
            }
            match rng.u32(0..8) {
                0 => comparer
                    .compare_faulting(all.widened(1), kind)
                    .map_err(fail)?,
                _ => {
                    let mut at = rng.u32(0..weights);
                    for (name, weight, operation) in OPERATIONS {
                        if at < *weight {
                            let done = operation(&mut stage);
                            let verb = if done.is_ok() { "did" } else { "refused" };
                            comparer.totals.add(format!("{verb}:{name}"), 1);
                            break;
                        }
                        at -= weight;
                    }
                }
            }
        }
        comparer.totals.add("lives", 1);
        stage.be_alone();
        if comparer.goes_on() {
            make_anew(subject, &session, &mapping)?;
        }
    }
    drop(stage);
    comparer.finish().map_err(fail)
}

fn make_anew(subject: Subject, session: &Session, mapping: &Mapping) -> Result<(), Not> {
    let skip = |why: String| Not::Skipped(format!("the memory can't be made anew: {why}"));
    mapping
        .remap_pages(0, mapping.pages())
        .map_err(|e| skip(e.to_string()))?;
    mapping.renew(session).map_err(|e| skip(e.to_string()))?;
    prepare(subject, session, mapping)
}

/// What makes a subject of memory of the library's kind.
fn prepare(subject: Subject, session: &Session, mapping: &Mapping) -> Result<(), Not> {
    let fail = |error: Errno| Not::Failed(format!("preparing {subject:?}: {error}"));
    let pages = mapping.pages();
    match subject {
        Subject::ZeroPage => {
            mapping.discard().map_err(fail)?;
            // The first page table's part becomes one huge zero page, where the policy lets it.
            let huge = session.pmd_pages();
            mapping.advise(0, huge, Advice::HugePage).map_err(fail)?;
            mapping
                .advise(huge, pages - huge, Advice::NoHugePage)
                .map_err(fail)?;
            mapping.advise(0, pages, Advice::PopulateRead).map_err(fail)
        }
        Subject::Ksm => {
            mapping.advise(0, pages, Advice::Mergeable).map_err(fail)?;
            let skip = |reason: guplab::Unsupported| Not::Skipped(reason.to_string());
            let ksm = Ksm::run().map_err(skip)?;
            for page in [0, pages - 1] {
                if !ksm
                    .wait_merged(session, mapping, page, MERGING)
                    .map_err(fail)?
                {
                    return Err(Not::Skipped(format!("KSM has not merged page {page}")));
                }
            }
            Ok(())
        }
        _ => Ok(()),
    }
}
