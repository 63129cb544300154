// SPDX-License-Identifier: GPL-2.0
//! Requests at random, in many threads and in children that are killed, on memory of every kind
//! that changes meanwhile. No input may bring a wrong answer, a complaint of the kernel or a pin
//! that stays.
//!
//! `GUPLAB_SEED` gives other requests. What they meet depends on the schedule, too.
//!
//! Ranges with userfaultfd are left out, for nobody would resolve their faults: "lifetime" has them.

mod answer;
mod compare;
mod delay;
mod hint;
mod keeper;
mod request;
mod walk;
mod worker;
mod zoo;

use std::os::fd::AsFd;
use std::process::ExitCode;
use std::sync::atomic::{AtomicI32, Ordering};
use std::sync::{Arc, OnceLock};
use std::thread;
use std::time::Duration;

use guplab::rng::case_rng;
use guplab::{Child, Ended, KernelCheck, KernelState, Rng, fork_child, sys};
use guplab_tests::{Not, Test, Tested, While, ensure, ensure_eq, fail, run_all, seed, skip};
use rustix::fd::OwnedFd;
use rustix::process::Signal;

use keeper::Keeper;
use worker::{Board, Ledger, Scratch, Verdict, Worker, open, stats};
use zoo::Zoo;

/// The session of each worker: two share one.
const SESSIONS_OF_WORKERS: [usize; 4] = [0, 0, 1, 2];
const SESSIONS: usize = 3;
const REQUESTS: u32 = 1000;
const DISTURBANCES: u32 = 200;
const CHILDREN: u32 = 16;
/// A killed child must be gone after this time.
const LIMIT: Duration = Duration::from_secs(20);

/// What a run has shown.
struct Report {
    board: Board,
    counters: Tested,
    delays: Tested,
    children: Tested,
    kernel: Vec<KernelCheck>,
}

fn run() -> Result<Report, Not> {
    let seed = seed()?;
    println!("# seed {seed}; GUPLAB_SEED={seed} gives the same requests");
    let kernel = KernelState::read();
    let board = Board::new().while_("a shared page")?;
    let (zoo, absent) = Zoo::new().while_("mapping memory")?;
    if !absent.is_empty() {
        println!("# not to be had here: {}", absent.join(", "));
    }
    let sessions = (0..SESSIONS)
        .map(|_| Ok((open()?, Ledger::new())))
        .collect::<guplab::Result<Vec<_>>>()
        .while_("opening sessions")?;
    let armed = armed_delays();
    let keeper = Keeper::hire().while_("arming what must not change")?;
    let before = totals(&sessions)?;

    let children = fuzz(seed, &zoo, &board, &sessions)?;
    let counters = add_up(&sessions);
    let children =
        children.and_then(|()| ensure_nothing_else(before, totals(&sessions)?, &sessions));
    drop(sessions);
    drop(keeper);
    let delays = compare_delays(armed, armed_delays());
    drop(zoo);
    Ok(Report {
        board,
        counters,
        delays,
        children,
        kernel: kernel.compare(),
    })
}

/// Does all the work. Returns whether each child ended as it had to.
fn fuzz(
    seed: u64,
    zoo: &Zoo,
    board: &Board,
    sessions: &[(OwnedFd, Ledger)],
) -> Result<Tested, Not> {
    let own_pid = std::process::id() as i32;
    let other = AtomicI32::new(own_pid);
    let scratches = (0..=SESSIONS_OF_WORKERS.len())
        .map(|_| Scratch::new())
        .collect::<guplab::Result<Vec<_>>>()
        .while_("mapping buffers")?;
    // Each child writes to a copy of its own.
    let spare = Ledger::new();
    let in_child = Worker {
        session: sessions[0].0.as_fd(),
        ledger: &spare,
        scratch: &scratches[SESSIONS_OF_WORKERS.len()],
        zoo,
        board,
        other: &other,
    };
    let ended = thread::scope(|scope| {
        let mut threads = Vec::new();
        for (number, &session) in SESSIONS_OF_WORKERS.iter().enumerate() {
            let (fd, ledger) = &sessions[session];
            let worker = Worker {
                session: fd.as_fd(),
                ledger,
                scratch: &scratches[number],
                ..in_child
            };
            let rng = case_rng(seed, &format!("worker {number}"));
            threads.push(scope.spawn(move || worker.work(rng, REQUESTS)));
        }
        let mut rng = case_rng(seed, "disturbances");
        threads.push(scope.spawn(move || {
            for _ in 0..DISTURBANCES {
                zoo.disturb(&mut rng);
            }
        }));
        let mut rng = case_rng(seed, "children");
        let killed: Tested = (0..CHILDREN).try_for_each(|_| {
            let child_rng = Rng::with_seed(rng.u64(..));
            let child = fork_child(|| match open() {
                Ok(session) => {
                    let session = session.as_fd();
                    Worker {
                        session,
                        ..in_child
                    }
                    .work(child_rng, u32::MAX);
                    0
                }
                Err(error) => error.raw_os_error(),
            })
            .while_("fork")?;
            other.store(child.pid(), Ordering::Relaxed);
            thread::sleep(Duration::from_micros(rng.u64(0..150_000)));
            let ended = kill(child);
            other.store(own_pid, Ordering::Relaxed);
            ended
        });
        let panicked = threads.into_iter().any(|thread| thread.join().is_err());
        (killed, panicked)
    });
    ensure!(!ended.1, "a thread panicked");
    Ok(ended.0)
}

fn kill(child: Child) -> Tested {
    child.signal(Signal::KILL).while_("killing a child")?;
    match child.wait(LIMIT).while_("waiting for a child")? {
        Ended::Signal(libc::SIGKILL) => Ok(()),
        Ended::TimedOut => fail!("a killed child was still there after {LIMIT:?}"),
        ended => fail!("a child ended by itself: {ended:?}"),
    }
}

/// What all sessions of the module hold: sessions, pins and pages.
fn totals(sessions: &[(OwnedFd, Ledger)]) -> Result<[u64; 3], Not> {
    let all = stats(sessions[0].0.as_fd(), sys::GUPLAB_STATS_MODULE).while_("STATS")?;
    Ok([all.sessions, all.handles, all.held_pages])
}

/// How many delays are armed, in all sessions.
fn armed_delays() -> Option<usize> {
    let text = std::fs::read_to_string("/sys/kernel/debug/guplab/delays").ok()?;
    Some(text.lines().count())
}

fn compare_delays(before: Option<usize>, now: Option<usize>) -> Tested {
    let (Some(before), Some(now)) = (before, now) else {
        skip!("there is no debugfs to tell what is armed");
    };
    ensure_eq!(now, before, "delays that are armed");
    Ok(())
}

fn add_up(sessions: &[(OwnedFd, Ledger)]) -> Tested {
    for (number, (session, ledger)) in sessions.iter().enumerate() {
        let told = stats(session.as_fd(), sys::GUPLAB_STATS_SESSION).while_("STATS")?;
        for (counter, expected, told) in ledger.compare(&told) {
            ensure_eq!(told, expected, format!("{counter} of session {number}"));
        }
    }
    Ok(())
}

/// Fails if anybody but the workers' sessions holds more than before.
fn ensure_nothing_else(
    before: [u64; 3],
    mut now: [u64; 3],
    sessions: &[(OwnedFd, Ledger)],
) -> Tested {
    for (session, _) in sessions {
        let own = stats(session.as_fd(), sys::GUPLAB_STATS_SESSION).while_("STATS")?;
        now[1] -= own.handles;
        now[2] -= own.held_pages;
    }
    ensure_eq!(now, before, "sessions, pins and pages that children left");
    Ok(())
}

fn judge_command(report: &Report, command: usize) -> Tested {
    let Verdict {
        made,
        succeeded,
        wrong,
        first,
    } = report.board.verdict(command);
    println!("# {made} requests, {succeeded} successes");
    ensure!(
        wrong == 0,
        "{wrong} of {made} answers were wrong; the first: {first}"
    );
    if sys::COMMANDS[command].0 == "HINT" && !guplab_tests::open()?.has(sys::GUPLAB_FEATURE_HINT) {
        ensure!(succeeded == 0, "INFO says that there is no HINT");
        skip!("this kernel has no NUMA hints; no answer was wrong");
    }
    // A run that does nothing shows nothing.
    ensure!(succeeded > 0, "none of {made} requests succeeded");
    Ok(())
}

/// Passes on what the kernel says for itself under these names.
fn judge_kernel(report: &Report, names: &[&str]) -> Tested {
    for check in &report.kernel {
        if !names.contains(&check.name) {
            continue;
        }
        if let Some(reason) = &check.unavailable {
            skip!("{reason}");
        }
        ensure!(
            check.complaints.is_empty(),
            "{}",
            check.complaints.join("\n")
        );
    }
    Ok(())
}

fn main() -> ExitCode {
    const COMMANDS: [&str; sys::COMMANDS.len()] = [
        "every answer to INFO is allowed",
        "every answer to PIN is allowed",
        "every answer to UNPIN is allowed",
        "every answer to DMA is allowed",
        "every answer to INSPECT is allowed",
        "every answer to CHECK is allowed",
        "every answer to HAMMER is allowed",
        "every answer to COLLAPSE is allowed",
        "every answer to STATS is allowed",
        "every answer to DELAY is allowed",
        "every answer to HINT is allowed",
        "every answer to WALK is allowed",
        "every answer to EXPLAIN is allowed",
        "every answer to COMPARE is allowed",
    ];
    let once: Arc<OnceLock<Result<Report, Not>>> = Arc::default();
    let test = |name, judge: Box<dyn Fn(&Report) -> Tested + Send + Sync>| {
        let once = Arc::clone(&once);
        Test::new(name, move || match once.get_or_init(run) {
            Ok(report) => judge(report),
            Err(not) => Err(not.clone()),
        })
    };
    let mut tests: Vec<Test> = COMMANDS
        .into_iter()
        .enumerate()
        .map(|(command, name)| test(name, Box::new(move |report| judge_command(report, command))))
        .collect();
    tests.push(test(
        "the counters of a session add up",
        Box::new(|report| report.counters.clone()),
    ));
    tests.push(test(
        "no killed child leaves a pin",
        Box::new(|report| report.children.clone()),
    ));
    tests.push(test(
        "no delay is left armed",
        Box::new(|report| report.delays.clone()),
    ));
    tests.push(test(
        "no pin is left",
        Box::new(|report| judge_kernel(report, &["kernel_pins"])),
    ));
    tests.push(test(
        "the kernel does not complain",
        Box::new(|report| judge_kernel(report, &["kernel_log", "kernel_taint"])),
    ));
    run_all(&tests)
}
