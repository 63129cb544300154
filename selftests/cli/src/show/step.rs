// SPDX-License-Identifier: GPL-2.0
//! What a thread did, step by step.

mod walk;

use guplab::Event;
use guplab::trace::LOST;
use serde::Serialize;

use super::words::{address, argument, pin_flags, result, size};

/// How a step changes what the thread is in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Edge {
    /// It enters a function.
    Enter,
    /// It is delayed from here on.
    Held,
    /// It has been delayed, and goes on.
    Resume,
    /// It leaves a function.
    Leave,
    /// It does something of which only one moment is known.
    Point,
}

/// A step of one thread.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Step {
    /// When.
    pub(crate) ns: u64,
    /// Who.
    pub(crate) pid: i32,
    /// Where.
    pub(crate) cpu: u32,
    /// What it changes.
    pub(crate) edge: Edge,
    /// The function.
    pub(crate) name: String,
    /// The function with its arguments, without them when it is left; or what else was done.
    pub(crate) call: String,
    /// What came of it, with the sign before it.
    pub(crate) result: String,
    /// What else is known.
    pub(crate) notes: Vec<String>,
    /// Whether the other side was in its function at this moment.
    pub(crate) met: bool,
    /// Whether an invariant was seen broken here.
    pub(crate) violation: bool,
}

impl Step {
    fn new(event: &Event, edge: Edge, name: &str, call: String) -> Step {
        Step {
            ns: event.ns,
            pid: event.pid,
            cpu: event.cpu,
            edge,
            name: name.to_owned(),
            call,
            result: String::new(),
            notes: Vec::new(),
            met: false,
            violation: false,
        }
    }

    /// Moves it back in time. What an event says of its duration is exact, its time has
    /// microseconds.
    fn earlier(mut self, ns: u64) -> Step {
        self.ns = self.ns.saturating_sub(ns.next_multiple_of(1000));
        self
    }

    fn result(mut self, result: String) -> Step {
        self.result = result;
        self
    }

    fn note(mut self, note: impl Into<String>) -> Step {
        self.notes.push(note.into());
        self
    }

    /// The step in one line.
    pub(crate) fn text(&self) -> String {
        let notes = self.notes.join(", ");
        let (start, comment) = match self.edge {
            Edge::Enter => (format!("{} {{", self.call), notes),
            Edge::Leave if notes.is_empty() => (format!("}}{}", self.result), self.call.clone()),
            Edge::Leave => (
                format!("}}{}", self.result),
                format!("{}, {notes}", self.call),
            ),
            Edge::Point => (format!("{}{}", self.call, self.result), notes),
            Edge::Held | Edge::Resume => (String::new(), notes),
        };
        let comment = match comment.is_empty() {
            true => comment,
            false => format!("/* {comment} */"),
        };
        let met = if self.met { "<== met" } else { "" };
        let words = [start.as_str(), &comment, met];
        let words: Vec<&str> = words.into_iter().filter(|word| !word.is_empty()).collect();
        words.join(" ")
    }

    /// The step as a label, where a drawing shows what is entered and left.
    pub(crate) fn label(&self) -> String {
        let mut words = match self.edge {
            Edge::Enter | Edge::Point => vec![format!("{}{}", self.call, self.result)],
            Edge::Leave => vec![format!(
                "{} returns{}",
                self.call,
                self.result.replace(" =", "")
            )],
            Edge::Held | Edge::Resume => Vec::new(),
        };
        words.extend(self.notes.iter().cloned());
        words.join(", ")
    }
}

/// A time in microseconds, with the decimals that matter.
pub(crate) fn micros(ns: u64) -> String {
    match ns {
        0..100_000 => format!("{:.1} us", ns as f64 / 1e3),
        100_000..10_000_000 => format!("{} us", ns / 1000),
        _ => format!("{} ms", ns / 1_000_000),
    }
}

/// The steps that an event stands for, in order.
pub(crate) fn steps(event: &Event, base: Option<u64>) -> Vec<Step> {
    let field = |name: &str| event.field(name).unwrap_or("?");
    let addr = || {
        let number = event.number("addr");
        number.map_or_else(|| field("addr").to_owned(), |addr| address(addr, base))
    };
    let point = |call: String| Step::new(event, Edge::Point, &event.name, call);
    match event.name.as_str() {
        LOST => Vec::new(),
        "guplab_window" => window(event),
        "guplab_pin" => {
            let (way, pages, flags) = (field("way"), field("nr_pages"), field("flags"));
            let call = format!("{way}({}, {pages}, {})", addr(), pin_flags(flags));
            let ret = field("ret").parse().unwrap_or(0);
            let step = point(call).result(format!(" = {}", result(ret)));
            vec![match ret {
                1.. => step.note(format!("pfn {}", field("pfn"))),
                _ => step,
            }]
        }
        "guplab_walk_entry" => vec![walk::entry(event, &addr())],
        "guplab_walk" => vec![walk::end(event, &addr())],
        "guplab_unpin" => {
            let call = format!("unpin({}, {})", addr(), field("nr_pages"));
            vec![point(call).note(format!("pfn {}", field("pfn")))]
        }
        "guplab_collapse" => {
            let len = event.number("len").map(size).unwrap_or_default();
            let ret = field("ret").parse().unwrap_or(0);
            let call = format!("do_madvise({}, {len}, MADV_COLLAPSE)", addr());
            timed(event, "do_madvise", call, format!(" = {}", result(ret)))
        }
        "guplab_hammer" => {
            let call = format!("HAMMER({}, {})", addr(), field("nr_pages"));
            let mut steps = timed(event, "HAMMER", call, String::new());
            if let Some(last) = steps.last_mut() {
                last.notes.push(format!("{} calls", field("calls")));
                match field("mismatches") {
                    "0" => {}
                    number => last.notes.push(format!("{number} MISMATCHES")),
                }
            }
            steps
        }
        "guplab_check" => {
            let counts = ["same", "differs", "absent", "unpinned"];
            let seen: Vec<String> = counts
                .into_iter()
                .filter(|&name| field(name) != "0")
                .map(|name| format!("{} {name}", field(name)))
                .collect();
            vec![point(format!(
                "check pins at {}: {}",
                addr(),
                seen.join(", ")
            ))]
        }
        "guplab_violation" => {
            let (pfn, map_pfn) = (field("pfn"), field("map_pfn"));
            let call = format!(
                "VIOLATION at {}: pinned pfn {pfn}, mapped {map_pfn}",
                addr()
            );
            let mut step = point(call);
            step.violation = true;
            vec![step]
        }
        "tlb_flush" => flush(field("reason")).map(point).into_iter().collect(),
        call if call.starts_with("sys_") => vec![system_call(event, &call[4..], base)],
        _ => vec![point(plain(event))],
    }
}

/// A delay point that was passed. The event comes after the delay.
fn window(event: &Event) -> Vec<Step> {
    let name = event.field("point").unwrap_or("?");
    let entry = event.field("side") == Some("entry");
    let held = event.number("held_ns").unwrap_or(0);
    let function = match (name, entry) {
        // The two notifiers are one window.
        ("mmu_notifier", true) => "invalidate_range_start",
        ("mmu_notifier", false) => "invalidate_range_end",
        _ => name,
    };
    let call = match entry {
        true => format!("{function}()"),
        false => function.to_owned(),
    };
    // An event is written some time after the thread has arrived, which it may tell.
    let arrived = event.number("at_ns");
    let step = |edge| {
        let mut step = Step::new(event, edge, name, call.clone());
        step.ns = arrived.map_or(step.ns, |at| at + held);
        step
    };
    let irqs = event.field("irqs").map(|state| format!("irqs {state}"));
    let mut steps = match (entry, held) {
        (true, 0) => vec![step(Edge::Enter)],
        (true, _) => vec![
            held_from(step(Edge::Enter), arrived, held),
            step(Edge::Resume).note(format!("held {}", micros(held))),
        ],
        (false, 0) => vec![step(Edge::Leave)],
        (false, _) => vec![
            held_from(step(Edge::Held), arrived, held).note("held before it returns"),
            step(Edge::Leave).note(format!("held {}", micros(held))),
        ],
    };
    if entry {
        steps[0].notes.extend(irqs);
    }
    if let Some(last) = steps.last_mut() {
        last.met = event.field("met") == Some("1");
    }
    steps
}

/// The step at the start of a delay, made from the one at its end.
fn held_from(step: Step, arrived: Option<u64>, held: u64) -> Step {
    match arrived {
        Some(ns) => Step { ns, ..step },
        None => step.earlier(held),
    }
}

/// A call of which one event at its end tells how long it took.
fn timed(event: &Event, name: &str, call: String, result: String) -> Vec<Step> {
    let ns = event.number("ns").unwrap_or(0);
    vec![
        Step::new(event, Edge::Enter, name, call).earlier(ns),
        Step::new(event, Edge::Leave, name, name.to_owned()).result(result),
    ]
}

fn system_call(event: &Event, name: &str, base: Option<u64>) -> Step {
    if let Some(ret) = event.number("ret") {
        let step = Step::new(event, Edge::Leave, name, name.to_owned());
        // CAST: the kernel writes a long as an unsigned number.
        return step.result(format!(" = {}", result(ret as i64)));
    }
    let arguments: Vec<String> = event
        .fields
        .iter()
        .filter(|(field, _)| !["irqs", "comm"].contains(&field.as_str()))
        .map(|(field, value)| argument(field, value, base))
        .collect();
    let call = match name {
        // Its flags say more than its arguments, and fork() is what it is about.
        "clone" | "clone3" => format!("{name}()"),
        _ => format!("{name}({})", arguments.join(", ")),
    };
    Step::new(event, Edge::Enter, name, call)
}

/// Who flushes a TLB, from a reason such as "remote IPI send (4)". Nobody waits for the flush of
/// one's own TLB.
fn flush(reason: &str) -> Option<String> {
    let reason = reason.split(" (").next().unwrap_or(reason);
    let what = match reason {
        "remote IPI send" => "sends IPI",
        "remote shootdown" => "handles IPI",
        "local shootdown" | "local MM shootdown" => return None,
        _ => reason,
    };
    Some(format!("TLB flush: {what}"))
}

/// An event of the kernel's own, as it is, without what tells nothing to a reader.
fn plain(event: &Event) -> String {
    let fields: Vec<String> = event
        .fields
        .iter()
        .filter(|(name, _)| !["irqs", "comm", "mm", "filename"].contains(&name.as_str()))
        .filter(|(name, value)| value != "0" && name != "isolated")
        .map(|(name, value)| format!("{name}={value}"))
        .collect();
    format!("{}: {}", event.name, fields.join(" "))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(line: &str) -> Vec<String> {
        let line = format!("<...>-7 [001] ..... 5.000100: {line}");
        let event = Event::parse(&line).expect("readable");
        let steps = steps(&event, Some(0x7f00_0000_0000));
        steps.iter().map(Step::text).collect()
    }

    #[test]
    fn events_of_ours_read_like_the_kernel() {
        let pin = "guplab_pin: addr=0x7f0000003000 nr_pages=4 way=pin_user_pages_fast";
        assert_eq!(
            texts(&format!("{pin} flags=WRITE|LONGTERM ret=4 pfn=0x12")),
            ["pin_user_pages_fast(addr+0x3000, 4, FOLL_WRITE|FOLL_LONGTERM) = 4 /* pfn 0x12 */"]
        );
        assert_eq!(
            texts(&format!("{pin} flags= ret=-14 pfn=0x0")),
            ["pin_user_pages_fast(addr+0x3000, 4, 0) = -EFAULT"]
        );
        assert_eq!(
            texts("guplab_collapse: addr=0x7f0000000000 len=0x200000 ret=-11 ns=5000"),
            [
                "do_madvise(addr, 2M, MADV_COLLAPSE) {",
                "} = -EAGAIN /* do_madvise */"
            ]
        );
        let hammer = "guplab_hammer: addr=0x7f0000000000 nr_pages=8 calls=7 pages=14";
        assert_eq!(
            texts(&format!("{hammer} mismatches=2 ns=5000")),
            ["HAMMER(addr, 8) {", "} /* HAMMER, 7 calls, 2 MISMATCHES */"]
        );
        assert_eq!(
            texts("guplab_check: addr=0x7f0000000000 same=5 differs=1 absent=0 unpinned=0"),
            ["check pins at addr: 5 same, 1 differs"]
        );
        assert_eq!(
            texts("guplab_violation: addr=0x7f0000001000 pfn=0x1 map_pfn=0x2"),
            ["VIOLATION at addr+0x1000: pinned pfn 0x1, mapped 0x2"]
        );
    }

    #[test]
    fn a_delay_ends_when_its_event_is_written() {
        let window = "guplab_window: point=f side=entry held_ns=20500 met=1 addr=0x0";
        let line = format!("<...>-7 [001] ..... 5.000100: {window}");
        let steps = steps(&Event::parse(&line).expect("readable"), None);
        let times: Vec<u64> = steps.iter().map(|step| step.ns).collect();
        assert_eq!(times, [5_000_079_000, 5_000_100_000]);
        assert_eq!(steps[1].text(), "/* held 20.5 us */ <== met");
        let steps = super::steps(
            &Event::parse(&format!("{line} at_ns=5000078123")).expect("readable"),
            None,
        );
        let times: Vec<u64> = steps.iter().map(|step| step.ns).collect();
        assert_eq!(times, [5_000_078_123, 5_000_098_623]);
        assert_eq!(
            texts("guplab_window: point=f side=return held_ns=20500 met=0 addr=0x0"),
            ["/* held before it returns */", "} /* f, held 20.5 us */"]
        );
        assert_eq!(
            texts("guplab_window: point=mmu_notifier side=entry held_ns=0 met=0 addr=0x0"),
            ["invalidate_range_start() {"]
        );
    }

    #[test]
    fn events_of_the_kernel_are_shortened() {
        assert_eq!(
            texts("mm_collapse_huge_page: mm=1, isolated=1, status=failed, order=9"),
            ["mm_collapse_huge_page: status=failed order=9"]
        );
        assert_eq!(
            texts("sys_mprotect(start: 0x7f0000000000, len: 0x1000, prot: 0)"),
            ["mprotect(addr, 4K, PROT_NONE) {"]
        );
        assert_eq!(
            texts("tlb_flush: pages:1 reason:remote wrong CPU (5)"),
            ["TLB flush: remote wrong CPU"]
        );
    }
}
