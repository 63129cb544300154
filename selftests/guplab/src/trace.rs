// SPDX-License-Identifier: GPL-2.0
//! The kernel's trace of what the actors do.

mod event;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::{fs, io};

use rustix::mount::{MountFlags, mount};

use crate::duel::now_ns;
pub use event::{Event, LOST};

/// Where tracefs is.
const TRACEFS: [&str; 2] = ["/sys/kernel/tracing", "/sys/kernel/debug/tracing"];

/// What an instance is called, before the number of its process.
const PREFIX: &str = "guplab-";

/// Kilobytes for each CPU: some thousand events, of which the newest stay.
const BUFFER_KB: &str = "512";

/// The kernel's own events that belong to these races, as far as a kernel has them: what collapse
/// and migration decide, and who has to flush the TLB. The last column is a filter.
const EVENTS: [(&str, &str); 12] = [
    ("huge_memory/mm_khugepaged_scan_pmd", ""),
    ("huge_memory/mm_khugepaged_scan_file", ""),
    ("huge_memory/mm_khugepaged_collapse_file", ""),
    ("huge_memory/mm_collapse_huge_page", ""),
    ("huge_memory/mm_collapse_huge_page_isolate", ""),
    ("migrate/mm_migrate_pages_start", ""),
    ("migrate/mm_migrate_pages", ""),
    ("migrate/set_migration_pte", ""),
    ("migrate/remove_migration_pte", ""),
    ("thp/set_migration_pmd", ""),
    ("thp/remove_migration_pmd", ""),
    // Without the flushes of every change of task.
    ("tlb/tlb_flush", "reason != 0"),
];

/// The system calls that change a mapping, at entry and return.
const CALLS: [&str; 13] = [
    "madvise",
    "process_madvise",
    "mprotect",
    "munmap",
    "mremap",
    "clone",
    "clone3",
    "fork",
    "vfork",
    "move_pages",
    "mbind",
    "fallocate",
    "ftruncate",
];

/// A tracing instance of this process's own, which is gone when this is.
#[derive(Debug)]
pub struct Tracer {
    dir: PathBuf,
    owner: u32,
    mark: u64,
}

impl Tracer {
    /// Makes an instance and switches its events on. The error is the reason why there is none.
    pub fn start() -> Result<Tracer, String> {
        let tracefs = tracefs()?;
        let instances = tracefs.join("instances");
        remove_stale(&instances);
        let owner = std::process::id();
        let dir = instances.join(format!("{PREFIX}{owner}"));
        create(&tracefs, &dir).map_err(|e| format!("making {}: {e}", dir.display()))?;
        // From here on it is removed whatever happens.
        let tracer = Tracer {
            dir,
            owner,
            mark: 0,
        };
        tracer.set("trace_clock", "mono")?;
        tracer.set("buffer_size_kb", BUFFER_KB)?;
        tracer.set("events/guplab/enable", "1")?;
        for (event, filter) in EVENTS {
            tracer.enable(event, filter);
        }
        for call in CALLS {
            tracer.enable(&format!("syscalls/sys_enter_{call}"), "");
            tracer.enable(&format!("syscalls/sys_exit_{call}"), "");
        }
        Ok(tracer)
    }

    fn set(&self, file: &str, value: &str) -> Result<(), String> {
        let path = self.dir.join(file);
        fs::write(&path, value).map_err(|e| format!("writing {value} to {}: {e}", path.display()))
    }

    /// Switches on an event of the kernel's own. A kernel that hasn't got it shows less, and one
    /// without filters would show too much.
    fn enable(&self, event: &str, filter: &str) {
        let filtered =
            filter.is_empty() || self.set(&format!("events/{event}/filter"), filter).is_ok();
        if filtered {
            let _unknown = self.set(&format!("events/{event}/enable"), "1");
        }
    }

    /// The instance's directory.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// What happened before is of no interest any more.
    pub fn mark(&mut self) {
        self.mark = now_ns();
    }

    /// The events since the mark, in order. An event named [`LOST`] stands where a CPU has had so
    /// many that its first ones since the mark are gone.
    pub fn take(&self) -> Result<Vec<Event>, String> {
        let path = self.dir.join("trace");
        let text = fs::read(&path).map_err(|e| format!("reading {}: {e}", path.display()))?;
        let text = String::from_utf8_lossy(&text);
        Ok(since(self.mark, &text, |cpu| self.overran(cpu)))
    }

    fn overran(&self, cpu: u32) -> bool {
        let path = self.dir.join(format!("per_cpu/cpu{cpu}/stats"));
        let stats = fs::read_to_string(path).unwrap_or_default();
        let overrun = stats
            .lines()
            .find_map(|line| line.strip_prefix("overrun: "));
        overrun.is_some_and(|events| events.trim() != "0")
    }
}

impl Drop for Tracer {
    fn drop(&mut self) {
        // A forked child has a copy of this, and the instance isn't its own.
        if std::process::id() == self.owner {
            // An instance that stays is a nuisance, not a failure.
            let _stays = fs::remove_dir(&self.dir);
        }
    }
}

/// Where tracefs is, mounted now if it isn't yet.
fn tracefs() -> Result<PathBuf, String> {
    let mounted = || {
        let mut places = TRACEFS.into_iter().map(PathBuf::from);
        places.find(|path| path.join("instances").is_dir())
    };
    if let Some(path) = mounted() {
        return Ok(path);
    }
    let place = TRACEFS[0];
    mount("tracefs", place, "tracefs", MountFlags::empty(), None)
        .map_err(|e| format!("there is no tracefs at {place}, and mounting it: {e}"))?;
    mounted().ok_or_else(|| format!("tracefs at {place} has no instances"))
}

/// Makes an instance that doesn't record the names of tasks, if nobody else traces.
///
/// Recording names switches tracepoints of the scheduler with the first event that is enabled, and
/// emulated CPUs don't always survive that. An instance can't have the option changed, it has it
/// from the top level. Changing it there while any event is enabled would unbalance the kernel's
/// count of those that record; and then somebody has switched these tracepoints already.
fn create(tracefs: &Path, dir: &Path) -> io::Result<()> {
    let option = tracefs.join("options/record-cmd");
    let is = |path: &Path, value| fs::read_to_string(path).is_ok_and(|text| text.trim() == value);
    let alone = is(&tracefs.join("events/enable"), "0")
        && fs::read_dir(tracefs.join("instances"))?.next().is_none();
    if !(alone && is(&option, "1")) {
        return fs::create_dir(dir);
    }
    fs::write(&option, "0")?;
    let created = fs::create_dir(dir);
    fs::write(&option, "1")?;
    created
}

/// Removes what processes have left that were killed.
fn remove_stale(instances: &Path) {
    for entry in fs::read_dir(instances).into_iter().flatten().flatten() {
        let name = entry.file_name();
        let owner: Option<u32> = name
            .to_str()
            .and_then(|name| name.strip_prefix(PREFIX)?.parse().ok());
        if owner.is_some_and(|pid| !Path::new(&format!("/proc/{pid}")).exists()) {
            let _stays = fs::remove_dir(entry.path());
        }
    }
}

/// The events of a text since a time.
fn since(mark: u64, text: &str, overran: impl Fn(u32) -> bool) -> Vec<Event> {
    // The text has microseconds.
    let mark = mark - mark % 1000;
    let mut seen: BTreeSet<u32> = BTreeSet::new();
    let mut events = Vec::new();
    for event in text.lines().filter_map(Event::parse) {
        let oldest = seen.insert(event.cpu);
        if event.ns < mark {
            continue;
        }
        // This is the oldest event that this CPU still has: were there others since the mark?
        if oldest && overran(event.cpu) {
            events.push(Event {
                name: LOST.to_owned(),
                fields: Vec::new(),
                ..event.clone()
            });
        }
        events.push(event);
    }
    events
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "\
# tracer: nop
#
# entries-in-buffer/entries-written: 4/9   #P:2
#
           <...>-10      [000] .....     5.000001: guplab_unpin: addr=0x1000 nr_pages=1 pfn=0x1
CPU:1 [LOST 5 EVENTS]
           <...>-11      [001] .....     5.000004: guplab_unpin: addr=0x2000 nr_pages=1 pfn=0x2
           <...>-10      [000] .....     5.000005: guplab_unpin: addr=0x3000 nr_pages=1 pfn=0x3
           <...>-11      [001] .....     5.000005: guplab_unpin: addr=0x4000 nr_pages=1 pfn=0x4
";

    fn names(events: &[Event]) -> Vec<(u32, &str, Option<u64>)> {
        let events = events.iter();
        events
            .map(|e| (e.cpu, e.name.as_str(), e.number("addr")))
            .collect()
    }

    #[test]
    fn events_since_the_mark_are_in_order() {
        let events = since(5_000_004_900, TEXT, |_| false);
        assert_eq!(
            names(&events),
            [
                (1, "guplab_unpin", Some(0x2000)),
                (0, "guplab_unpin", Some(0x3000)),
                (1, "guplab_unpin", Some(0x4000)),
            ]
        );
        assert_eq!(since(6_000_000_000, TEXT, |_| false), []);
        assert_eq!(since(0, TEXT, |_| false).len(), 4);
    }

    #[test]
    fn a_gap_since_the_mark_is_told() {
        // CPU 0 still has an event from before the mark, so nothing since the mark is lost.
        let events = since(5_000_002_000, TEXT, |_| true);
        assert_eq!(
            names(&events),
            [
                (1, LOST, None),
                (1, "guplab_unpin", Some(0x2000)),
                (0, "guplab_unpin", Some(0x3000)),
                (1, "guplab_unpin", Some(0x4000)),
            ]
        );
    }
}
