// SPDX-License-Identifier: GPL-2.0
//! Trace events and debugfs: do they tell what was done?

use std::fs;
use std::path::Path;
use std::process::ExitCode;

use guplab::gup_test::{Command, Request, Whose};
use guplab::{Event, GupTest, Hammer, Kind, Mapping, PinRequest, Session, Tracer, page_size, sys};
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
        Test::new("a command of gup_test is traced", gup_test),
        Test::new("debugfs shows the session", debugfs_sessions),
        Test::new("debugfs shows the totals", debugfs_totals),
    ])
}

/// What the kernel traces from now on.
struct Trace(Tracer);

impl Trace {
    fn start() -> Result<Trace, Not> {
        if !["/sys/kernel/tracing", "/sys/kernel/debug/tracing"]
            .iter()
            .any(|dir| Path::new(dir).is_dir())
        {
            skip!("this kernel has no tracefs");
        }
        Ok(Trace(Tracer::start().while_("starting a trace")?))
    }

    /// The events of this name at the address.
    fn events(&self, name: &str, addr: usize) -> Result<Vec<Event>, Not> {
        let mut events = self.0.take().while_("reading the trace")?;
        events.retain(|event| event.name == name && event.number("addr") == Some(addr as u64));
        Ok(events)
    }

    /// Expects one such event, with these fields.
    fn expect(&self, name: &str, addr: usize, fields: &[&str]) -> Tested {
        let events = self.events(name, addr)?;
        let [event] = &events[..] else {
            fail!("expected one {name} of {addr:#x}, got {events:?}");
        };
        for expected in fields {
            let (field, value) = expected.split_once('=').unwrap_or((expected, ""));
            ensure!(
                event.field(field) == Some(value),
                "no {expected} in {event:?}"
            );
        }
        Ok(())
    }
}

fn ground() -> Result<(Session, Mapping), Not> {
    let session = open()?;
    let mapping = memory(&session, Kind::Anon4k, 1)?;
    Ok((session, mapping))
}

fn all_events() -> Tested {
    let trace = Trace::start()?;
    for event in [
        "pin",
        "unpin",
        "collapse",
        "check",
        "violation",
        "hammer",
        "gup_test",
    ] {
        let path = format!("events/guplab/guplab_{event}/format");
        ensure!(trace.0.dir().join(&path).exists(), "no {path}");
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
        trace.events("guplab_unpin", mapping.addr())?.is_empty(),
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
    let violations = trace.events("guplab_violation", mapping.addr())?;
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
    if !Path::new("/sys/kernel/debug").join("sched").exists() && !Path::new(DEBUGFS).exists() {
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

fn gup_test() -> Tested {
    let (_session, mapping) = ground()?;
    let Ok(driver) = GupTest::open(Whose::Guplab) else {
        skip!("guplab/gup_test can't be opened");
    };
    let trace = Trace::start()?;
    let (command, pages) = (Command::PinBasicTest, 5);
    let mut request = Request {
        addr: mapping.addr() as u64,
        size: (pages * page_size()) as u64,
        nr_pages_per_call: 2,
        ..Default::default()
    };
    driver
        .command(command, &mut request)
        .while_("PIN_BASIC_TEST")?;
    let size = format!("size={}", request.size);
    trace.expect(
        "guplab_gup_test",
        mapping.addr(),
        &["cmd=PIN_BASIC_TEST", "pages=5", &size],
    )
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
