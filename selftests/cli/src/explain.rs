// SPDX-License-Identifier: GPL-2.0
//! `guplab explain`.

mod entry;
mod fast;
mod slow;
mod text;

use std::io::Write;

use guplab::pagemap::Entry;
use guplab::slow_path::{Asked, Known, foretell};
use guplab::vma::Vma;
use guplab::{Errno, Session, sys};
use serde::Serialize;

use crate::cli::ExplainArgs;
use crate::inspect::no_answer;

/// All that is told, as `--json` writes it. Addresses and entries are strings, for many readers of
/// JSON can't take numbers of 64 bits.
#[derive(Debug, Serialize)]
struct Report {
    addr: String,
    pid: i32,
    command: String,
    /// The call that is asked about.
    call: String,
    vma: Option<VmaReport>,
    #[serde(flatten)]
    answer: Answer,
}

#[derive(Debug, Serialize)]
struct VmaReport {
    start: String,
    end: String,
    perms: String,
    backing: &'static str,
    name: String,
    flags: Vec<String>,
}

#[derive(Debug, Serialize)]
#[serde(untagged)]
enum Answer {
    /// The address is none of user space: the walk doesn't begin.
    Outside { fast: fast::Fast },
    /// It is.
    Inside {
        entry: entry::EntryReport,
        page: Option<entry::PageReport>,
        fast: fast::Fast,
        /// Nothing where the walk takes the page.
        slow: Option<slow::Slow>,
    },
}

pub(crate) fn explain(args: &ExplainArgs, out: &mut impl Write) -> anyhow::Result<()> {
    let session = Session::open()?;
    let report = report(&session, args)?;
    match args.json {
        true => writeln!(out, "{}", serde_json::to_string_pretty(&report)?)?,
        false => write!(out, "{}", text::text(&report))?,
    }
    Ok(())
}

fn asked(args: &ExplainArgs) -> Asked {
    let flags = [
        (args.write, sys::GUPLAB_PIN_WRITE),
        (args.longterm, sys::GUPLAB_PIN_LONGTERM),
        (args.force, sys::GUPLAB_PIN_FORCE),
        (args.nofault, sys::GUPLAB_PIN_NOFAULT),
        (args.honor_numa_fault, sys::GUPLAB_PIN_HONOR_NUMA_FAULT),
    ];
    let set = flags.into_iter().filter(|(on, _)| *on);
    Asked {
        flags: set.fold(0, |all, (_, flag)| all | flag),
        get: args.get,
    }
}

/// The call as a driver would write it.
fn call(asked: Asked) -> String {
    let names = [
        (sys::GUPLAB_PIN_WRITE, "FOLL_WRITE"),
        (sys::GUPLAB_PIN_LONGTERM, "FOLL_LONGTERM"),
        (sys::GUPLAB_PIN_FORCE, "FOLL_FORCE"),
        (sys::GUPLAB_PIN_NOFAULT, "FOLL_NOFAULT"),
        (sys::GUPLAB_PIN_HONOR_NUMA_FAULT, "FOLL_HONOR_NUMA_FAULT"),
    ];
    let set = names.iter().filter(|(flag, _)| asked.flags & flag != 0);
    let names: Vec<&str> = set.map(|(_, name)| *name).collect();
    let function = match asked.get {
        true => "get_user_pages_fast",
        false => "pin_user_pages_fast",
    };
    match names.is_empty() {
        true => format!("{function}()"),
        false => format!("{function}({})", names.join(" | ")),
    }
}

fn report(session: &Session, args: &ExplainArgs) -> anyhow::Result<Report> {
    let page_size = u64::from(session.info().page_size);
    let (pid, addr, asked) = (args.pid, args.addr / page_size * page_size, asked(args));
    let vma = Vma::at(pid, addr);
    let answer = match session.explain(pid, addr as usize, asked.flags, asked.get) {
        Ok(seen) => {
            let page = session.inspect(pid, addr as usize, 1).ok();
            let page = page.as_ref().and_then(|pages| pages.first());
            let known = Known {
                addr,
                vma: vma.as_ref().map_err(Clone::clone)?.as_ref(),
                seen: &seen,
                page,
                pagemap: Entry::read_of(pid, addr as usize).ok(),
            };
            let slow = (!seen.is_taken()).then(|| slow::Slow::new(&foretell(asked, &known)));
            Answer::Inside {
                entry: entry::EntryReport::new(&seen, known.pagemap),
                page: entry::PageReport::new(page),
                fast: fast::Fast::new(asked, &seen),
                slow,
            }
        }
        // Its flags are all known to the module: it is the address.
        Err(Errno::INVAL) => Answer::Outside {
            fast: fast::Fast::outside(addr.checked_add(page_size).is_none()),
        },
        Err(error) => return Err(no_answer(error, pid, addr)),
    };
    Ok(Report {
        addr: format!("{addr:#x}"),
        pid: match pid {
            0 => std::process::id() as i32,
            pid => pid,
        },
        command: command(pid),
        call: call(asked),
        vma: vma.ok().flatten().map(VmaReport::new),
        answer,
    })
}

impl VmaReport {
    fn new(vma: Vma) -> VmaReport {
        VmaReport {
            start: format!("{:#x}", vma.start),
            end: format!("{:#x}", vma.end),
            perms: vma.perms,
            backing: vma.backing.name(),
            name: vma.name,
            flags: vma.flags,
        }
    }
}

fn command(pid: i32) -> String {
    let path = match pid {
        0 => "/proc/self/comm".to_owned(),
        pid => format!("/proc/{pid}/comm"),
    };
    let name = std::fs::read_to_string(path).unwrap_or_default();
    name.trim_end().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_is_written_as_in_c() {
        let flags = sys::GUPLAB_PIN_WRITE | sys::GUPLAB_PIN_LONGTERM;
        let pin = call(Asked { flags, get: false });
        assert_eq!(pin, "pin_user_pages_fast(FOLL_WRITE | FOLL_LONGTERM)");
        let get = call(Asked {
            flags: 0,
            get: true,
        });
        assert_eq!(get, "get_user_pages_fast()");
    }
}
