// SPDX-License-Identifier: GPL-2.0
//! What does each way of pinning do with pages that NUMA balancing itself has hinted?
//!
//! ```text
//! a thread that uses its CPU               the pinning thread
//! task_tick_numa()
//!   task_numa_work()
//!     change_prot_numa()                   waits until it sees hints
//!   ends                                   mbind(): from now on the memory is left alone
//!                                          pins, loads, stores: as in hinted_pin
//! ```

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use guplab::numa::{Balancing, Pace};
use guplab::{Mapping, cpu};

use super::act::Act;
use super::hinting::{
    can_be_hinted, count_faults, fill, is_protnone, look, quiet, settle, switch_on,
};
use super::judged_act::Target;
use crate::{Experiment, Family, Stop, Trial};

/// The experiment.
pub const EXPERIMENT: Experiment = Experiment {
    family: Family::NumaHint,
    name: "hint_natural",
    about: "pinning treats the hints of NUMA balancing itself as it treats those on demand",
    hit: "an act on pages that NUMA balancing had hinted",
    windows: &[],
    fits: can_be_hinted,
    run,
};

/// How long hints are waited for. A new process is not scanned for its first second, and then by
/// the CPU time that it uses.
const PATIENCE: Duration = Duration::from_secs(8);
/// Pages that each act is for, and how far apart they are: as far as large folios reach.
const PAGES: usize = 4;
const STRIDE: usize = 16;

fn run(trial: &mut Trial<'_>) -> Result<(), Stop> {
    let skip = |reason: guplab::Unsupported| Stop::Skip(reason.to_string());
    let _switch = switch_on()?;
    let _balancing = Balancing::on(&Pace::default()).map_err(skip)?;
    let _unbound = cpu::bind(trial.cpus.0);
    let acts = Act::all(trial.session);
    let mut next = trial.rng.usize(0..acts.len());
    while trial.next_round() {
        trial.variant("waiting for hints");
        // Memory that is new is scanned whoever uses it, and older one only for its users.
        let mapping = trial.mapping(1)?;
        quiet(&mapping)?;
        fill(&mapping);
        let waited = Instant::now();
        if !wait_for_hints(trial, &mapping)? {
            if trial.round() == 1 {
                let seconds = PATIENCE.as_secs();
                return Err(Stop::Skip(format!("no hint was set in {seconds} s")));
            }
            trial.count("never_hinted", 1);
            continue;
        }
        trial.count("hinted_after_ms", waited.elapsed().as_millis() as u64);
        settle(&mapping)?;
        let faults = count_faults(trial.session, &mapping);
        for first in (0..mapping.pages()).step_by(STRIDE) {
            let act = acts[next % acts.len()];
            trial.variant(format!("{}, pages {first}+{PAGES}", act.name()));
            let target = Target {
                mapping: &mapping,
                first,
                nr_pages: PAGES,
                faults: faults.as_ref(),
            };
            // The first fault in a huge page takes all of its hints away.
            if !target.act(trial, act)? {
                break;
            }
            next += 1;
            trial.hit();
        }
    }
    Ok(())
}

/// Lets a thread use its CPU until the whole mapping is hinted; false if that takes too long.
fn wait_for_hints(trial: &Trial<'_>, mapping: &Mapping) -> Result<bool, Stop> {
    let done = AtomicBool::new(false);
    let second = trial.cpus.1;
    thread::scope(|scope| {
        scope.spawn(|| {
            let _unbound = cpu::bind(second);
            while !done.load(Ordering::Relaxed) {
                std::hint::spin_loop();
            }
        });
        let end = Instant::now() + PATIENCE;
        let hinted = loop {
            let seen = look(trial, mapping, (0, mapping.pages()));
            let hinted = seen.map(|pages| pages.iter().all(is_protnone));
            if !matches!(hinted, Ok(false)) || Instant::now() > end {
                break hinted;
            }
            thread::sleep(Duration::from_millis(2));
        };
        done.store(true, Ordering::Relaxed);
        hinted
    })
}
