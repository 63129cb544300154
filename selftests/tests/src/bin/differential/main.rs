// SPDX-License-Identifier: GPL-2.0
//! The walk in Rust against the kernel's own fast GUP: on memory of every kind, in states made at
//! random, both have to bring the same pages, and to leave the same behind.
//!
//! `GUPLAB_COMPARISONS` says how many comparisons there are in all; `GUPLAB_SEED` gives others.

mod area;
mod comparer;
mod file;
mod flaws;
mod held;
mod operations;
mod own;
mod pins;
mod stage;
mod subject;
mod totals;
mod worker;

use std::process::{Child, Command, ExitCode, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use guplab::knob::Knob;
use guplab::swap::Zram;
use guplab::{KernelState, Kind, sys};
use guplab_tests::{Not, Test, Tested, While, ensure, kernel_agrees, open, run_all_within, skip};

use subject::Subject;
use totals::Totals;

const DEFAULT_SEED: u64 = 1;
const DEFAULT_COMPARISONS: u64 = 100_000;
/// What is swapped out must have a place.
const SWAP: usize = 256 << 20;
/// Lets memory have folios of the size that a kind needs.
const MTHP_POLICY: &str = "/sys/kernel/mm/transparent_hugepage/hugepages-64kB/enabled";
/// Comparisons that didn't settle must be fewer than one in so many: else the memory was not at
/// rest, and nothing was compared.
const SETTLED: u64 = 100;

/// Reasons to stop at an entry that have to come up, whatever the seed, if there is such memory.
const STOPS: [(&str, Subject); 10] = [
    ("empty/pte", Subject::Kind(Kind::Anon4k)),
    ("empty/pmd", Subject::Kind(Kind::Anon4k)),
    ("nonpresent/pte", Subject::Kind(Kind::Anon4k)),
    ("protnone/pte", Subject::Kind(Kind::Anon4k)),
    ("protnone/pmd", Subject::Kind(Kind::AnonThp)),
    ("permission/pte", Subject::Kind(Kind::Anon4k)),
    ("permission/pmd", Subject::Kind(Kind::AnonThp)),
    ("unshare/pte", Subject::Kind(Kind::Anon4k)),
    ("unshare/pmd", Subject::Kind(Kind::AnonThp)),
    ("file/pte", Subject::File),
];

fn setting(name: &str, default: u64) -> Result<u64, String> {
    match std::env::var(name) {
        Ok(text) if !text.is_empty() => text
            .parse()
            .map_err(|_| format!("{name} is '{text}', not a decimal number")),
        _ => Ok(default),
    }
}

/// How all of it is done.
#[derive(Clone, Copy)]
struct Plan {
    seed: u64,
    /// For each subject.
    comparisons: u64,
    workers: u64,
}

impl Plan {
    fn read() -> Result<Plan, String> {
        let there = |&subject: &Subject| {
            let special = [Subject::File, Subject::Secret, Subject::PudHugetlb];
            !special.contains(&subject) || area::why_not(subject).is_none()
        };
        let subjects = Subject::all().into_iter().filter(there).count() as u64;
        let comparisons = setting("GUPLAB_COMPARISONS", DEFAULT_COMPARISONS)?;
        let cpus = guplab::cpu::allowed().map_or(1, |cpus| cpus.len());
        Ok(Plan {
            seed: setting("GUPLAB_SEED", DEFAULT_SEED)?,
            comparisons: comparisons.div_ceil(subjects),
            workers: cpus.clamp(1, 4) as u64,
        })
    }

    fn workers(&self, subject: Subject) -> u64 {
        if subject.is_for_many() {
            self.workers
        } else {
            1
        }
    }

    fn start(&self, subject: Subject, number: u64) -> Result<Child, Not> {
        let comparisons = match subject {
            // Each page fault clears a GiB.
            Subject::PudHugetlb => self.comparisons / 8,
            _ => self.comparisons,
        };
        let count = comparisons.div_ceil(self.workers(subject));
        let seed = self.seed.wrapping_mul(1000).wrapping_add(number);
        Command::new("/proc/self/exe")
            .args(worker::arguments(subject, seed, count))
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .while_("starting a worker")
    }

    /// Has workers compare, all at a time.
    fn run(&self, subject: Subject) -> Result<Totals, Not> {
        let children = (0..self.workers(subject))
            .map(|number| self.start(subject, number))
            .collect::<Result<Vec<_>, _>>()?;
        let mut totals = Totals::default();
        let mut failed = None;
        for child in children {
            let output = child.wait_with_output().while_("waiting for a worker")?;
            let said = String::from_utf8_lossy(&output.stderr);
            if !output.status.success() {
                failed = Some(format!("a worker ended with {}: {said}", output.status));
                continue;
            }
            let text = String::from_utf8_lossy(&output.stdout);
            totals.merge(Totals::read(&text).map_err(Not::Failed)?);
        }
        match failed {
            Some(how) => Err(Not::Failed(how)),
            None => Ok(totals),
        }
    }
}

/// What all subjects together have shown.
type All = Arc<Mutex<Totals>>;

fn compare(plan: Plan, subject: Subject, all: &All) -> Tested {
    let totals = plan.run(subject)?;
    let get = |name| totals.get(name);
    println!(
        "# {}: comparisons={} pages={} differences={}",
        subject.name(),
        get("comparisons"),
        get("pages"),
        get("differences")
    );
    println!(
        "# {}: states={} unsettled={} pins={} lives={}",
        subject.name(),
        get("states"),
        get("unsettled"),
        get("pins"),
        get("lives")
    );
    let list = |prefix| -> Vec<String> {
        let items = totals.with_prefix(prefix);
        items.map(|(name, n)| format!("{name} {n}")).collect()
    };
    for prefix in ["did:", "refused:", "stop:"] {
        println!("# {}: {prefix} {}", subject.name(), list(prefix).join(", "));
    }
    if let Some(why) = &totals.unavailable {
        println!("# {}: {why}", subject.name());
    }
    let mut sum = all.lock().unwrap_or_else(PoisonError::into_inner);
    sum.merge(totals.clone());
    sum.add(format!("of:{}", subject.name()), get("comparisons"));
    drop(sum);
    ensure!(
        get("differences") == 0,
        "{} differences, the first:\n{}",
        get("differences"),
        totals.differences.join("\n")
    );
    if let (Some(why), 0) = (&totals.unavailable, get("comparisons")) {
        skip!("{why}");
    }
    ensure!(get("comparisons") > 0, "nothing was compared");
    ensure!(
        get("pages") > 0 || subject == Subject::Secret,
        "no page was ever returned"
    );
    ensure!(
        get("unsettled") * SETTLED < get("comparisons"),
        "the memory was not at rest in {} of {} comparisons",
        get("unsettled"),
        get("comparisons")
    );
    Ok(())
}

fn all_stops(all: &All) -> Tested {
    let all = all.lock().unwrap_or_else(PoisonError::into_inner);
    ensure!(all.get("comparisons") > 0, "nothing was compared");
    println!(
        "# comparisons={} pages={} differences={}",
        all.get("comparisons"),
        all.get("pages"),
        all.get("differences")
    );
    // Without NUMA balancing pte_protnone() and pmd_protnone() are always false.
    let has_hints = open()?.has(sys::GUPLAB_FEATURE_HINT);
    if !has_hints {
        println!("# no NUMA balancing: to this kernel no entry is PROT_NONE");
    }
    let missing: Vec<&str> = STOPS
        .into_iter()
        .filter(|(stop, _)| has_hints || !stop.starts_with("protnone/"))
        .filter(|(_, subject)| all.get(&format!("of:{}", subject.name())) > 0)
        .map(|(stop, _)| stop)
        .filter(|stop| all.get(&format!("stop:{stop}")) == 0)
        .collect();
    ensure!(
        missing.is_empty(),
        "no walk has ended for {}: the states were not what they should be",
        missing.join(", ")
    );
    Ok(())
}

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if let Some((worker::FLAG, rest)) = arguments.split_first().map(|(a, b)| (a.as_str(), b)) {
        return worker::main(rest);
    }
    let plan = match Plan::read() {
        Ok(plan) => plan,
        Err(why) => {
            eprintln!("{why}");
            return ExitCode::FAILURE;
        }
    };
    // Nothing may come before the line with KTAP's version: the first test says it.
    let mut notes = vec![format!("seed {}", plan.seed)];
    let kernel = KernelState::read();
    // Without these there is less to compare, or more that doesn't settle.
    let _swap = Zram::new(SWAP).map_err(|why| notes.push(format!("no swap: {why}")));
    // Each worker would put it back for all.
    let _sizes = Knob::set(MTHP_POLICY, "madvise");

    let all = All::default();
    let mut tests = Vec::new();
    for subject in Subject::all() {
        let all = Arc::clone(&all);
        // A program makes its list of tests once.
        let name: &'static str = format!("{}: the walk brings the same", subject.name()).leak();
        let notes = std::mem::take(&mut notes);
        tests.push(Test::new(name, move || {
            for note in &notes {
                println!("# {note}");
            }
            compare(plan, subject, &all)
        }));
    }
    tests.push(Test::new("walks end for every reason", move || {
        all_stops(&all)
    }));
    tests.push(Test::new("pins are usable", pins::are_usable));
    for kind in [Kind::Anon4k, Kind::AnonThp, Kind::AnonPteThp, Kind::Hugetlb] {
        let name: &'static str = format!("{kind}: pins are counted alike").leak();
        tests.push(Test::new(name, move || pins::are_counted(kind)));
    }
    tests.extend([
        Test::new("without permission the walk differs", flaws::permission),
        Test::new(
            "without file-longterm the walk differs",
            flaws::file_longterm,
        ),
        Test::new("without unshare the walk differs", flaws::unshare),
        kernel_agrees(kernel),
    ]);
    // A hundred comparisons take some milliseconds.
    let limit = Duration::from_secs(60 + plan.comparisons / 500);
    run_all_within(&tests, limit)
}
