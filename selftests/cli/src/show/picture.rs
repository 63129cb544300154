// SPDX-License-Identifier: GPL-2.0
//! A race as rows of time and columns of threads.

use std::collections::{BTreeMap, BTreeSet};

use guplab::Event;
use guplab::trace::LOST;
use serde::Serialize;

use super::condense::condense;
use super::step::{Edge, Step, steps};

/// More columns than this can't be read.
const MAX_LANES: usize = 4;

/// A function that a thread is in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Open {
    /// The function.
    pub(crate) name: String,
    /// Whether the thread is delayed in it at this moment.
    pub(crate) held: bool,
}

/// The functions that a thread is in, from the outermost.
pub(crate) type Stack = Vec<Open>;

/// A thread, and its column.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Lane {
    /// The thread.
    pub(crate) pid: i32,
    /// The CPU that it was on most of the time.
    pub(crate) cpu: u32,
    /// What stands above the column.
    pub(crate) title: String,
}

/// A row.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Row {
    /// Microseconds since the first row.
    pub(crate) us: u64,
    /// What happens.
    #[serde(flatten)]
    pub(crate) what: What,
    /// What every thread is in before the row.
    #[serde(skip)]
    pub(crate) before: Vec<Stack>,
    /// What every thread is in after it.
    #[serde(skip)]
    pub(crate) after: Vec<Stack>,
}

/// What happens in a row.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum What {
    /// A step of one thread.
    Step {
        /// Its column.
        lane: usize,
        /// The step.
        #[serde(flatten)]
        step: Step,
    },
    /// Steps that are left out: calls and steps of each thread.
    LeftOut(Vec<(usize, usize)>),
}

/// A race.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Picture {
    /// The address that "addr" stands for.
    pub(crate) addr: Option<u64>,
    /// The threads.
    pub(crate) lanes: Vec<Lane>,
    /// Threads that did something and have no column.
    pub(crate) left_out: usize,
    /// Whether the kernel's buffer had no room for all events.
    pub(crate) has_gaps: bool,
    /// The rows.
    pub(crate) rows: Vec<Row>,
}

impl Picture {
    /// Makes a picture of events; none if they show nothing.
    pub(crate) fn of(events: &[Event]) -> Option<Picture> {
        let addr = base(events);
        let (lanes, left_out) = lanes(events);
        let lane_of = |pid| lanes.iter().position(|lane| lane.pid == pid);
        let mut steps: Vec<(usize, Step)> = events
            .iter()
            .flat_map(|event| steps(event, addr))
            .filter_map(|step| Some((lane_of(step.pid)?, step)))
            .collect();
        steps.sort_by_key(|(_, step)| step.ns);
        without_return(&mut steps);
        let start = steps.first()?.1.ns;
        let mut rows = condense(rows(merged(steps), lanes.len(), start));
        let start = rows.first()?.us;
        for row in &mut rows {
            row.us -= start;
        }
        Some(Picture {
            addr,
            lanes,
            left_out,
            has_gaps: events.iter().any(|event| event.name == LOST),
            rows,
        })
    }
}

/// The huge page that most addresses are in.
fn base(events: &[Event]) -> Option<u64> {
    const HUGE: u64 = 2 << 20;
    let mut counts: BTreeMap<u64, usize> = BTreeMap::new();
    let ours = events.iter().filter(|e| e.name.starts_with("guplab_"));
    for addr in ours.filter_map(|event| event.number("addr")) {
        *counts.entry(addr - addr % HUGE).or_default() += 1;
    }
    counts.remove(&0);
    // Of several with equally many, the first in memory.
    let most = counts.values().copied().max()?;
    counts
        .into_iter()
        .find(|(_, n)| *n == most)
        .map(|(addr, _)| addr)
}

/// The threads that take part, and how many others there are. Who passes a delay point comes
/// first, then who is in other events of ours, then who else did anything.
fn lanes(events: &[Event]) -> (Vec<Lane>, usize) {
    let mut pids: Vec<(u32, i32)> = Vec::new();
    for event in events {
        let rank = match event.name.as_str() {
            "guplab_window" => 0,
            name if name.starts_with("guplab_") => 1,
            "tlb_flush" | LOST => continue,
            _ => 2,
        };
        match pids.iter_mut().find(|(_, pid)| *pid == event.pid) {
            Some((old, _)) => *old = rank.min(*old),
            None => pids.push((rank, event.pid)),
        }
    }
    pids.sort_by_key(|(rank, _)| *rank);
    // Others than the actors only matter if there is just one.
    let actors = pids.iter().filter(|(rank, _)| *rank < 2).count();
    let shown = actors.max(2).min(pids.len()).min(MAX_LANES);
    let left_out = pids.len() - shown;
    let mut lanes: Vec<Lane> = pids[..shown]
        .iter()
        .map(|(_, pid)| lane(*pid, events))
        .collect();
    lanes.sort_by_key(|lane| (lane.cpu, lane.pid));
    (lanes, left_out)
}

fn lane(pid: i32, events: &[Event]) -> Lane {
    let mut cpus: BTreeMap<u32, usize> = BTreeMap::new();
    let its = || events.iter().filter(|event| event.pid == pid);
    for event in its() {
        *cpus.entry(event.cpu).or_default() += 1;
    }
    let cpu = cpus
        .into_iter()
        .max_by_key(|(_, n)| *n)
        .map_or(0, |(c, _)| c);
    let comm = its().find_map(|event| event.field("comm"));
    let title = match comm {
        Some(comm) => format!("CPU{cpu} ({comm})"),
        None => format!("CPU{cpu} (thread {pid})"),
    };
    Lane { pid, cpu, title }
}

/// Of a delay point that only counts, the return is not traced: its calls are moments.
fn without_return(steps: &mut [(usize, Step)]) {
    let left: BTreeSet<(usize, String)> = steps
        .iter()
        .filter(|(_, step)| step.edge == Edge::Leave)
        .map(|(lane, step)| (*lane, step.name.clone()))
        .collect();
    for (lane, step) in steps {
        if step.edge == Edge::Enter && !left.contains(&(*lane, step.name.clone())) {
            step.edge = Edge::Point;
        }
    }
}

/// Makes one step of those between which nobody did anything: the start and the end of a delay,
/// the entry to a function and its return.
fn merged(steps: Vec<(usize, Step)>) -> Vec<(usize, Step)> {
    let mut merged: Vec<(usize, Step)> = Vec::with_capacity(steps.len());
    for (lane, mut step) in steps {
        let follows = merged
            .last()
            .filter(|(last, before)| *last == lane && before.name == step.name)
            .map(|(_, before)| before.edge);
        let edge = match (follows, step.edge) {
            (Some(Edge::Enter), Edge::Resume) => Edge::Enter,
            (Some(Edge::Enter), Edge::Leave) => Edge::Point,
            (Some(Edge::Held), Edge::Leave) => Edge::Leave,
            _ => {
                merged.push((lane, step));
                continue;
            }
        };
        let Some((_, before)) = merged.last_mut() else {
            continue;
        };
        match before.edge {
            // It was only said that it will be held, not for how long.
            Edge::Held => *before = step,
            _ => {
                before.notes.append(&mut step.notes);
                before.result = step.result;
                before.met |= step.met;
            }
        }
        before.edge = edge;
    }
    merged
}

fn rows(steps: Vec<(usize, Step)>, lanes: usize, start: u64) -> Vec<Row> {
    let mut stacks: Vec<Stack> = vec![Stack::new(); lanes];
    let mut rows = Vec::with_capacity(steps.len());
    for (at, (lane, step)) in steps.iter().enumerate() {
        let before = stacks.clone();
        let stack = &mut stacks[*lane];
        match step.edge {
            Edge::Enter => stack.push(Open {
                name: step.name.clone(),
                held: is_held(&steps[at + 1..], *lane, &step.name),
            }),
            Edge::Held | Edge::Resume => {
                if let Some(open) = stack.iter_mut().rfind(|open| open.name == step.name) {
                    open.held = step.edge == Edge::Held;
                }
            }
            // What it was in inside that function is left as well.
            Edge::Leave => {
                if let Some(depth) = stack.iter().rposition(|open| open.name == step.name) {
                    stack.truncate(depth);
                }
            }
            Edge::Point => {}
        }
        rows.push(Row {
            us: (step.ns - start) / 1000,
            what: What::Step {
                lane: *lane,
                step: step.clone(),
            },
            before,
            after: stacks.clone(),
        });
    }
    rows
}

/// Whether the thread that has just entered a function is held in it.
fn is_held(next: &[(usize, Step)], lane: usize, name: &str) -> bool {
    next.iter()
        .find(|(of, step)| *of == lane && step.name == name)
        .is_some_and(|(_, step)| step.edge == Edge::Resume)
}

impl Row {
    /// How deep the words of this row stand in a column.
    pub(crate) fn depth(&self, lane: usize) -> usize {
        self.before[lane].len().min(self.after[lane].len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::show::sample;

    fn texts(picture: &Picture) -> Vec<String> {
        let rows = picture.rows.iter();
        rows.map(|row| match &row.what {
            What::Step { lane, step } => format!("{} {lane} {}", row.us, step.text()),
            What::LeftOut(counts) => format!("{counts:?}"),
        })
        .collect()
    }

    #[test]
    fn a_race_has_two_columns() {
        let picture = Picture::of(&sample::collapse_against_pin()).expect("there are events");
        let titles: Vec<&str> = picture.lanes.iter().map(|l| l.title.as_str()).collect();
        assert_eq!(titles, ["CPU0 (thread 312)", "CPU1 (thread 313)"]);
        assert_eq!(picture.addr, Some(0x7f12_a4c0_0000));
        let rows = texts(&picture);
        assert_eq!(rows[0], "0 0 madvise(addr, 2M, MADV_COLLAPSE) {");
        assert!(rows.iter().any(|row| row.contains("<== met")), "{rows:#?}");
        let last = picture.rows.last().expect("there are rows");
        assert!(last.after.iter().all(Vec::is_empty), "{last:?}");
    }

    #[test]
    fn a_function_in_which_nothing_happens_is_one_row() {
        let lines = "\
a-1 [000] d.... 5.000001: guplab_window: point=f side=entry held_ns=2000 met=1 addr=0x1000
a-1 [000] ..... 5.000003: guplab_window: point=f side=return held_ns=0 met=0 addr=0x1000
b-2 [001] ..... 5.000004: guplab_window: point=g side=entry held_ns=0 met=0 addr=0x1000
a-1 [000] ..... 5.000005: guplab_window: point=h side=entry held_ns=0 met=0 addr=0x1000
b-2 [001] ..... 5.000009: guplab_window: point=g side=return held_ns=3000 met=0 addr=0x1000
";
        let events: Vec<Event> = lines.lines().filter_map(Event::parse).collect();
        let picture = Picture::of(&events).expect("there are events");
        assert_eq!(
            texts(&picture),
            [
                "0 0 f() /* irqs off, held 2.0 us */ <== met",
                "5 1 g() {",
                "6 0 h()",
                "10 1 } /* g, held 3.0 us */",
            ]
        );
    }

    #[test]
    fn a_return_without_an_entry_is_shown() {
        let line = "a-1 [000] ..... 5.000003: sys_munmap -> 0x0";
        let events = [Event::parse(line).expect("readable")];
        let picture = Picture::of(&events).expect("there is an event");
        assert_eq!(texts(&picture), ["0 0 } = 0 /* munmap */"]);
        assert!(Picture::of(&[]).is_none());
    }
}
