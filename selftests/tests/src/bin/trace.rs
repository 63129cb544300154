// SPDX-License-Identifier: GPL-2.0
//! Trace events and debugfs: do they tell what was done?

use std::fs;
use std::path::PathBuf;
use std::process::ExitCode;

use guplab::{Hammer, Kind, Mapping, PinRequest, Session, page_size, sys};
use guplab_tests::{
    Not, Test, Tested, While, ensure, ensure_eq, fail, memory, open, request, run_all, skip,
};

const DEBUGFS: &str = "/sys/kernel/debug/guplab";

fn main() -> ExitCode {
    run_all(&[
        Test::new("every event is there", all_events),
        Test::new("pin and unpin are traced", pin_and_unpin),
        Test::new("a pin that fails is traced", failed_pin),
        Test::new("check is traced", check),
        Test::new("a violation is traced and counted", violation),
        Test::new("hammer is traced", hammer),
        Test::new("collapse is traced", collapse),
        Test::new("debugfs shows the session", debugfs_sessions),
        Test::new("debugfs shows the totals", debugfs_totals),
    ])
}

/// A tracing instance of this test's own, in which the events of guplab are on.
struct Trace(PathBuf);

impl Trace {
    fn start() -> Result<Trace, Not> {
        let tracefs = ["/sys/kernel/tracing", "/sys/kernel/debug/tracing"]
            .into_iter()
            .map(PathBuf::from)
            .find(|path| path.join("instances").is_dir());
        let Some(tracefs) = tracefs else {
            skip!("no tracefs in /sys/kernel/tracing");
        };
        let name = format!("guplab-test-{}", std::process::id());
        let trace = Trace(tracefs.join("instances").join(name));
        fs::create_dir(&trace.0).while_("making a tracing instance")?;
        fs::write(trace.0.join("events/guplab/enable"), "1").while_("enabling the events")?;
        Ok(trace)
    }

    /// The lines of an event that name the address.
    fn lines(&self, event: &str, addr: usize) -> Result<Vec<String>, Not> {
        let text = fs::read_to_string(self.0.join("trace")).while_("reading the trace")?;
        let (event, addr) = (format!(" {event}: "), format!("addr={addr:#x} "));
        Ok(text
            .lines()
            .filter(|line| line.contains(&event) && line.contains(&addr))
            .map(str::to_owned)
            .collect())
    }

    /// Expects one line of the event, with these fields.
    fn expect(&self, event: &str, addr: usize, fields: &[&str]) -> Tested {
        let lines = self.lines(event, addr)?;
        let [line] = &lines[..] else {
            fail!("expected one {event} of {addr:#x}, got {lines:?}");
        };
        let words: Vec<&str> = line.split_whitespace().collect();
        for field in fields {
            ensure!(words.contains(field), "no {field} in: {line}");
        }
        Ok(())
    }
}

impl Drop for Trace {
    fn drop(&mut self) {
        // An instance that stays is a nuisance, not a failure.
        let _stays = fs::remove_dir(&self.0);
    }
}

fn ground() -> Result<(Session, Mapping), Not> {
    let session = open()?;
    let mapping = memory(&session, Kind::Anon4k, 1)?;
    Ok((session, mapping))
}

fn all_events() -> Tested {
    let trace = Trace::start()?;
    for event in ["pin", "unpin", "collapse", "check", "violation", "hammer"] {
        let path = trace.0.join(format!("events/guplab/guplab_{event}/format"));
        ensure!(path.exists(), "no {}", path.display());
    }
    Ok(())
}

fn pin_and_unpin() -> Tested {
    let (session, mapping) = ground()?;
    let trace = Trace::start()?;
    let pin = session.pin(&request(&mapping, 3)).while_("PIN")?;
    let pfn = pin.pages().while_("INSPECT")?[0].0.pfn;
    let pfn = format!("pfn={pfn:#x}");
    trace.expect(
        "guplab_pin",
        mapping.addr(),
        &[
            "nr_pages=3",
            "way=pin_user_pages_fast",
            "flags=WRITE",
            "ret=3",
            &pfn,
        ],
    )?;
    ensure!(
        trace.lines("guplab_unpin", mapping.addr())?.is_empty(),
        "UNPIN was traced before it took place"
    );
    pin.unpin(0).while_("UNPIN")?;
    trace.expect("guplab_unpin", mapping.addr(), &["nr_pages=3", &pfn])
}

fn failed_pin() -> Tested {
    let (session, mapping) = ground()?;
    let trace = Trace::start()?;
    let addr = mapping.addr() - page_size();
    let hole = PinRequest {
        addr,
        ..request(&mapping, 1)
    };
    ensure!(
        session.pin(&hole).is_err(),
        "memory without access was pinned"
    );
    let ret = format!("ret={}", -libc::EFAULT);
    trace.expect("guplab_pin", addr, &["nr_pages=1", &ret])
}

fn check() -> Tested {
    let (session, mapping) = ground()?;
    let pin = session.pin(&request(&mapping, 5)).while_("PIN")?;
    let trace = Trace::start()?;
    pin.check(true).while_("CHECK")?;
    trace.expect(
        "guplab_check",
        mapping.addr(),
        &["same=5", "differs=0", "absent=0", "unpinned=0"],
    )?;
    let violations = trace.lines("guplab_violation", mapping.addr())?;
    ensure!(violations.is_empty(), "{violations:?}");
    Ok(())
}

/// A violation of our own making: the caller says that the page must be the same, which it isn't.
fn violation() -> Tested {
    let (session, mapping) = ground()?;
    let pin = session.pin(&request(&mapping, 1)).while_("PIN")?;
    mapping.discard().while_("MADV_DONTNEED")?;
    mapping.write(0, 1);
    let trace = Trace::start()?;
    let seen = pin.check(true).while_("CHECK")?;
    ensure_eq!(seen.differs, 1, "pages that differ");
    trace.expect(
        "guplab_violation",
        mapping.addr(),
        &[
            &format!("pfn={:#x}", seen.bad_pfn),
            &format!("map_pfn={:#x}", seen.bad_map_pfn),
        ],
    )?;
    let stats = session.stats(sys::GUPLAB_STATS_SESSION).while_("STATS")?;
    ensure_eq!(stats.violations, 1, "violations of the session");
    Ok(())
}

fn hammer() -> Tested {
    let (session, mapping) = ground()?;
    let trace = Trace::start()?;
    let mut hammer = Hammer {
        addr: mapping.addr() as u64,
        nr_pages: 8,
        batch: 2,
        max_calls: 7,
        ..Default::default()
    };
    session.hammer(&mapping, &mut hammer).while_("HAMMER")?;
    trace.expect(
        "guplab_hammer",
        mapping.addr(),
        &["nr_pages=8", "calls=7", "pages=14", "mismatches=0"],
    )
}

fn collapse() -> Tested {
    let (session, mapping) = ground()?;
    if !session.has(sys::GUPLAB_FEATURE_COLLAPSE) {
        skip!("COLLAPSE does not work on this kernel");
    }
    let trace = Trace::start()?;
    let done = session
        .collapse(0, mapping.addr(), mapping.len())
        .while_("COLLAPSE")?;
    let len = format!("len={:#x}", mapping.len());
    let ret = format!("ret={}", done.result);
    trace.expect("guplab_collapse", mapping.addr(), &[&len, &ret])
}

fn debugfs(file: &str) -> Result<String, Not> {
    if !PathBuf::from("/sys/kernel/debug").join("sched").exists()
        && !PathBuf::from(DEBUGFS).exists()
    {
        skip!("debugfs is not mounted at /sys/kernel/debug");
    }
    fs::read_to_string(format!("{DEBUGFS}/{file}")).while_("reading debugfs")
}

/// A counter in lines of "name value".
fn counter(text: &str, name: &str) -> Result<u64, Not> {
    text.lines()
        .find_map(|line| line.trim().strip_prefix(name)?.strip_prefix(' '))
        .and_then(|value| value.trim().parse().ok())
        .while_(&format!("no counter {name} in: {text}"))
}

fn debugfs_sessions() -> Tested {
    let (session, mapping) = ground()?;
    let pin = session.pin(&request(&mapping, 9)).while_("PIN")?;
    let text = debugfs("sessions")?;
    // The thread that opened it is this one.
    let pid = format!(" pid {}", rustix::thread::gettid().as_raw_nonzero());
    let ours = text
        .split("session ")
        .find(|block| {
            block
                .lines()
                .next()
                .is_some_and(|line| line.ends_with(&pid))
        })
        .while_(&format!("no session with{pid} in: {text}"))?;
    ensure_eq!(counter(ours, "held_pages")?, 9, "held_pages");
    ensure_eq!(counter(ours, "pin_calls")?, 1, "pin_calls");
    drop(pin);
    drop(session);
    let text = debugfs("sessions")?;
    ensure!(!text.contains(&pid), "a closed session is shown: {text}");
    Ok(())
}

fn debugfs_totals() -> Tested {
    let (session, mapping) = ground()?;
    let before = counter(&debugfs("totals")?, "pin_pages")?;
    let pin = session.pin(&request(&mapping, 9)).while_("PIN")?;
    let text = debugfs("totals")?;
    ensure!(
        counter(&text, "pin_pages")? >= before + 9,
        "pin_pages was {before}, and now: {text}"
    );
    let stats = session.stats(sys::GUPLAB_STATS_MODULE).while_("STATS")?;
    ensure!(counter(&text, "held_pages")? >= 9, "held_pages: {text}");
    ensure!(stats.held_pages >= 9, "held_pages of STATS: {stats:?}");
    drop(pin);
    Ok(())
}
