// SPDX-License-Identifier: GPL-2.0
//! What the test programs share: a table of tests, run one after the other under a watchdog.

pub mod balance;
pub mod ground;
pub mod solo;

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::ExitCode;
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use guplab::ktap::exit;
use guplab::uffd::{Faults, Uffd};
use guplab::{
    KernelState, Kind, Ktap, Mapping, Outcome, PinRequest, Session, Way, khugepaged, sys,
};

/// Why a test didn't pass.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Not {
    /// It failed, in this way.
    Failed(String),
    /// It can't be run here, for this reason.
    Skipped(String),
}

/// What a test returns.
pub type Tested = Result<(), Not>;

/// One test.
#[derive(Clone)]
pub struct Test {
    name: &'static str,
    run: Arc<dyn Fn() -> Tested + Send + Sync>,
}

impl Test {
    /// A test. Its name never changes, for results are compared by it.
    pub fn new(name: &'static str, run: impl Fn() -> Tested + Send + Sync + 'static) -> Test {
        Test {
            name,
            run: Arc::new(run),
        }
    }
}

/// A test that takes longer hangs.
const WATCHDOG: Duration = Duration::from_secs(60);

/// Fails, with a text as by format!().
#[macro_export]
macro_rules! fail {
    ($($text:tt)*) => {
        return Err($crate::Not::Failed(format!($($text)*)))
    };
}

/// Skips, with a text as by format!().
#[macro_export]
macro_rules! skip {
    ($($text:tt)*) => {
        return Err($crate::Not::Skipped(format!($($text)*)))
    };
}

/// Fails unless the condition holds.
#[macro_export]
macro_rules! ensure {
    ($holds:expr, $($text:tt)*) => {
        if !$holds {
            $crate::fail!($($text)*)
        }
    };
}

/// Fails unless both are equal.
#[macro_export]
macro_rules! ensure_eq {
    ($seen:expr, $expected:expr, $what:expr) => {
        let (seen, expected) = (&$seen, &$expected);
        if seen != expected {
            $crate::fail!("{}: expected {expected:?}, got {seen:?}", $what)
        }
    };
}

/// Says what was being done when something failed that should have worked.
pub trait While<T> {
    /// Turns an error into a failure.
    fn while_(self, doing: &str) -> Result<T, Not>;
}

impl<T, E: std::fmt::Display> While<T> for Result<T, E> {
    fn while_(self, doing: &str) -> Result<T, Not> {
        self.map_err(|error| Not::Failed(format!("{doing}: {error}")))
    }
}

impl<T> While<T> for Option<T> {
    fn while_(self, doing: &str) -> Result<T, Not> {
        self.ok_or_else(|| Not::Failed(doing.to_owned()))
    }
}

/// A session, for a test.
pub fn open() -> Result<Session, Not> {
    Session::open().while_("opening a session")
}

/// The seed of what is done at random: `GUPLAB_SEED`, or 1.
pub fn seed() -> Result<u64, Not> {
    match std::env::var("GUPLAB_SEED") {
        Ok(text) => text
            .parse()
            .while_(&format!("GUPLAB_SEED is '{text}', not a decimal number")),
        Err(_) => Ok(1),
    }
}

/// Memory of a kind, or a skip.
pub fn memory(session: &Session, kind: Kind, pmds: usize) -> Result<Mapping, Not> {
    Mapping::new(session, kind, pmds).map_err(|reason| Not::Skipped(reason.to_string()))
}

/// Has a page of a mapping brought by userfaultfd, from now on; or a skip.
pub fn watch(mapping: &Mapping, page: usize) -> Result<Uffd, Not> {
    let uffd = Uffd::open(&[]).map_err(|why| Not::Skipped(why.to_string()))?;
    mapping.discard_pages(page, 1).while_("MADV_DONTNEED")?;
    uffd.register(mapping, page, 1, Faults::Missing)
        .while_("UFFDIO_REGISTER")?;
    Ok(uffd)
}

/// A request to pin pages of a mapping from its start, for writing.
pub fn request(mapping: &Mapping, nr_pages: u32) -> PinRequest {
    PinRequest::new(
        mapping.addr(),
        nr_pages,
        Way::PinFast,
        sys::GUPLAB_PIN_WRITE,
    )
}

/// The last test of a program: what the kernel says for itself of all that came before.
pub fn kernel_agrees(before: KernelState) -> Test {
    let before = Mutex::new(Some(before));
    Test::new(
        "the kernel does not complain, and no pin is left",
        move || {
            let before = before.lock().unwrap_or_else(PoisonError::into_inner).take();
            for check in before.while_("it is asked once")?.compare() {
                if let Some(reason) = check.unavailable {
                    println!("# {}: {reason}", check.name);
                }
                ensure!(
                    check.complaints.is_empty(),
                    "{}: {}",
                    check.name,
                    check.complaints.join("\n")
                );
            }
            Ok(())
        },
    )
}

/// Runs all tests, and writes KTAP.
pub fn run_all(tests: &[Test]) -> ExitCode {
    run_all_within(tests, WATCHDOG)
}

/// Runs all tests, of which each may take so long, and writes KTAP.
pub fn run_all_within(tests: &[Test], limit: Duration) -> ExitCode {
    match write_all(tests, limit) {
        Ok(code) => ExitCode::from(code),
        Err(error) => {
            eprintln!("writing the results: {error}");
            ExitCode::from(exit::FAIL)
        }
    }
}

fn write_all(tests: &[Test], limit: Duration) -> io::Result<u8> {
    let pmd_size = match Session::open() {
        Ok(session) => session.pmd_size(),
        Err(error) if error.is_no_module() => {
            Ktap::skip_all(io::stdout(), &error.to_string())?;
            return Ok(exit::SKIP);
        }
        Err(error) => {
            eprintln!("{error}");
            return Ok(exit::FAIL);
        }
    };
    // Where that is nobody's to say, there may be no khugepaged.
    let _away = khugepaged::keep_away(pmd_size);
    let mut ktap = Ktap::new(io::stdout(), tests.len())?;
    let mut hung = false;
    for test in tests {
        let started = Instant::now();
        let outcome = if hung {
            Outcome::Fail(vec!["not run, because an earlier test hangs".into()])
        } else {
            run_one(test, limit).unwrap_or_else(|hang| {
                hung = true;
                hang
            })
        };
        ktap.diagnostic(&format!(
            "{}: {:.2} s",
            test.name,
            started.elapsed().as_secs_f64()
        ))?;
        ktap.result(test.name, &outcome)?;
    }
    ktap.finish()
}

/// The error is the outcome of a test that hangs, which leaves its thread behind.
fn run_one(test: &Test, limit: Duration) -> Result<Outcome, Outcome> {
    let (sender, receiver) = channel();
    let run = Arc::clone(&test.run);
    thread::spawn(move || {
        let tested = catch_unwind(AssertUnwindSafe(|| run()))
            .unwrap_or_else(|_| Err(Not::Failed("it panicked".into())));
        // Nobody listens any more after a hang.
        let _nobody = sender.send(tested);
    });
    match receiver.recv_timeout(limit) {
        Ok(Ok(())) => Ok(Outcome::Pass),
        Ok(Err(Not::Failed(how))) => Ok(Outcome::Fail(vec![how])),
        Ok(Err(Not::Skipped(why))) => Ok(Outcome::Skip(why)),
        Err(RecvTimeoutError::Disconnected) => {
            Ok(Outcome::Fail(vec!["it ended without a result".into()]))
        }
        Err(RecvTimeoutError::Timeout) => Err(Outcome::Fail(vec![format!(
            "it hangs: no end in {} s",
            limit.as_secs()
        )])),
    }
}
