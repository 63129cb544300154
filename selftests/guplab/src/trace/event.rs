// SPDX-License-Identifier: GPL-2.0
//! One event of a trace, and how it is read from the kernel's text.

use serde::{Deserialize, Serialize};

/// The name of the event that stands for events which the ring buffer of a CPU had no room for.
pub const LOST: &str = "lost";

/// One event of a trace.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Event {
    /// When, by CLOCK_MONOTONIC. The kernel writes microseconds; the order of events with equal
    /// times is that of the kernel.
    pub ns: u64,
    /// The CPU.
    pub cpu: u32,
    /// The thread.
    pub pid: i32,
    /// The name of the event; of a system call's entry or return it is `sys_` with its name.
    pub name: String,
    /// Its fields in order. `irqs=off` is the first of them where interrupts were off, and a
    /// system call that returns has the only field `ret`.
    pub fields: Vec<(String, String)>,
}

impl Event {
    /// Reads a line of the file `trace`; none if there is no event in it.
    pub fn parse(line: &str) -> Option<Event> {
        if line.starts_with('#') {
            return None;
        }
        // The name of the task comes first and may hold anything, so look for what can't be
        // part of it: a CPU that is followed by a time.
        line.match_indices('[').find_map(|(at, _)| {
            let (task, rest) = (&line[..at], &line[at + 1..]);
            let (cpu, rest) = rest.split_once("] ")?;
            let cpu = cpu.parse().ok()?;
            let pid = pid(task)?;
            let (flags, rest) = context(rest)?;
            let (time, what) = rest.split_once(": ")?;
            let ns = nanoseconds(time)?;
            let (name, fields) = content(what.trim())?;
            let irqs_off = flags.starts_with(['d', 'D']);
            let irqs = irqs_off.then(|| ("irqs".to_owned(), "off".to_owned()));
            Some(Event {
                ns,
                cpu,
                pid,
                name,
                fields: irqs.into_iter().chain(fields).collect(),
            })
        })
    }

    /// The value of a field.
    pub fn field(&self, name: &str) -> Option<&str> {
        self.fields
            .iter()
            .find_map(|(field, value)| (field == name).then_some(value.as_str()))
    }

    /// The value of a field that is a number, in decimal or with 0x in hexadecimal.
    pub fn number(&self, name: &str) -> Option<u64> {
        let text = self.field(name)?;
        match text.strip_prefix("0x") {
            Some(digits) => u64::from_str_radix(digits, 16).ok(),
            None => text.parse().ok(),
        }
    }
}

/// The thread in "comm-123", behind which its process may stand in parentheses.
fn pid(task: &str) -> Option<i32> {
    let task = task.trim_end();
    let task = match task.strip_suffix(')') {
        Some(with_tgid) => with_tgid.rsplit_once('(')?.0.trim_end(),
        None => task,
    };
    task.rsplit_once('-')?.1.parse().ok()
}

/// Splits off the letters for interrupts and preemption, which an option of the kernel leaves out.
fn context(rest: &str) -> Option<(&str, &str)> {
    let rest = rest.trim_start();
    if rest.starts_with(|c: char| c.is_ascii_digit()) && !rest.split(' ').next()?.ends_with(':') {
        return None;
    }
    match rest.split_once(' ') {
        Some((first, _)) if first.ends_with(':') => Some(("", rest)),
        Some((flags, rest)) => Some((flags, rest.trim_start())),
        None => None,
    }
}

/// A time in seconds with six decimals, or in nanoseconds without any.
fn nanoseconds(time: &str) -> Option<u64> {
    let Some((seconds, micros)) = time.split_once('.') else {
        return time.parse().ok();
    };
    let (seconds, micros): (u64, u64) = (seconds.parse().ok()?, micros.parse().ok()?);
    seconds
        .checked_mul(1_000_000)?
        .checked_add(micros)?
        .checked_mul(1000)
}

type Content = (String, Vec<(String, String)>);

fn is_name(text: &str) -> bool {
    !text.is_empty() && text.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
}

/// What an event says: "name: field=value field=value", or a system call.
fn content(what: &str) -> Option<Content> {
    if let Some((call, args)) = what.split_once('(') {
        if call.starts_with("sys_") && is_name(call) {
            let args = args.strip_suffix(')').unwrap_or(args);
            return Some((call.to_owned(), arguments(args)));
        }
    }
    if let Some((call, ret)) = what.split_once(" -> ") {
        if call.starts_with("sys_") && is_name(call) {
            return Some((call.to_owned(), vec![("ret".into(), ret.to_owned())]));
        }
    }
    let (name, rest) = what.split_once(':')?;
    is_name(name).then(|| (name.to_owned(), fields(rest.trim())))
}

/// The arguments of a system call: "start: 0x1000, behavior: 4".
fn arguments(text: &str) -> Vec<(String, String)> {
    text.split(", ")
        .filter_map(|argument| argument.split_once(": "))
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect()
}

/// Fields such as "mm=1, status=failed order=9". A value goes on up to the next field, for some
/// hold spaces. A few old events write a colon instead of the equals sign.
fn fields(text: &str) -> Vec<(String, String)> {
    let sign = if text.contains('=') { '=' } else { ':' };
    let mut fields: Vec<(String, String)> = Vec::new();
    for word in text.split(' ') {
        match word.split_once(sign) {
            Some((name, value)) if is_name(name) => {
                fields.push((name.to_owned(), value.to_owned()));
            }
            _ => {
                if let Some((_, value)) = fields.last_mut() {
                    value.push(' ');
                    value.push_str(word);
                }
            }
        }
    }
    for (_, value) in &mut fields {
        let len = value.trim_end().trim_end_matches(',').len();
        value.truncate(len);
    }
    fields
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(line: &str) -> Event {
        Event::parse(line).unwrap_or_else(|| panic!("not read: {line}"))
    }

    fn pairs(event: &Event) -> Vec<(&str, &str)> {
        let fields = event.fields.iter();
        fields.map(|(n, v)| (n.as_str(), v.as_str())).collect()
    }

    #[test]
    fn an_event_of_ours_is_read() {
        let event = parsed(
            "           <...>-313     [001] d..1.    12.345678: guplab_window: \
             point=try_grab_folio_fast side=entry held_ns=183211 met=1 addr=0x7f12a4c00000",
        );
        assert_eq!((event.ns, event.cpu, event.pid), (12_345_678_000, 1, 313));
        assert_eq!(event.name, "guplab_window");
        assert_eq!(event.field("irqs"), Some("off"));
        assert_eq!(event.field("point"), Some("try_grab_folio_fast"));
        assert_eq!(event.number("held_ns"), Some(183_211));
        assert_eq!(event.number("addr"), Some(0x7f12_a4c0_0000));
        assert_eq!(event.number("side"), None);
    }

    #[test]
    fn commas_and_spaces_are_understood() {
        let event = parsed(
            "      khugepaged-41      [000] .....    99.000001: mm_collapse_huge_page: \
             mm=00000000cafe, isolated=1, status=not_suitable_page_count, order=9",
        );
        assert_eq!(event.field("status"), Some("not_suitable_page_count"));
        assert_eq!(event.number("order"), Some(9));
        let event = parsed(
            "           <...>-300     [000] d..2.   100.000002: tlb_flush: \
             pages:-1 reason:remote IPI send (4)",
        );
        assert_eq!(
            pairs(&event)[1..],
            [("pages", "-1"), ("reason", "remote IPI send (4)")]
        );
        let event =
            parsed("a-1 [000] ..... 5.000000: set_migration_pte: addr=7f00, pte=c00 order=0");
        assert_eq!(
            pairs(&event),
            [("addr", "7f00"), ("pte", "c00"), ("order", "0")]
        );
    }

    #[test]
    fn system_calls_are_read_at_both_ends() {
        let entry = parsed(
            "guplab-300     [000] .....   100.000002: \
             sys_madvise(start: 0x7f0000000000, len_in: 0x200000, behavior: 0x19)",
        );
        assert_eq!(entry.name, "sys_madvise");
        assert_eq!(entry.number("behavior"), Some(25));
        let exit = parsed("guplab-300 [000] ..... 100.000003: sys_madvise -> 0xfffffffffffffff5");
        assert_eq!(pairs(&exit), [("ret", "0xfffffffffffffff5")]);
        let none = parsed("guplab-300 [000] ..... 100.000004: sys_fork()");
        assert_eq!((none.name.as_str(), none.fields.len()), ("sys_fork", 0));
    }

    #[test]
    fn other_prefixes_are_understood() {
        // A name with spaces, brackets and a dash; the process; no letters; nanoseconds.
        let rest = "guplab_unpin: addr=0x1000 nr_pages=1 pfn=0x2";
        for prefix in [
            "  my [1] task-x-77      [003] .N.1.     7.000009: ",
            "           <...>-77      (     77) [003] .....     7.000009: ",
            "           <...>-77      (-------) [003]     7.000009: ",
            "           <...>-77      [003] .....  7000009000: ",
        ] {
            let event = parsed(&format!("{prefix}{rest}"));
            assert_eq!((event.pid, event.cpu, event.ns), (77, 3, 7_000_009_000));
            assert_eq!(event.number("pfn"), Some(2), "{prefix}");
        }
    }

    #[test]
    fn what_is_no_event_is_none() {
        for line in [
            "",
            "# tracer: nop",
            "#              | |         |   |||||     |         |",
            "CPU:1 [LOST 234 EVENTS]",
            "CPU:1 [LOST EVENTS]",
            "           <...>-77      [003] .....     7.0",
        ] {
            assert_eq!(Event::parse(line), None, "{line}");
        }
    }
}
