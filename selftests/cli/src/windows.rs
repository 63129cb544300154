// SPDX-License-Identifier: GPL-2.0
//! `guplab windows`.

use std::collections::HashSet;
use std::fs;
use std::io::Write;

use guplab::{Errno, Point, Session, sys};
use guplab_experiments::{At, Family};

/// Lists the delay points: what happens there, what this kernel has, and who uses them.
pub(crate) fn windows(out: &mut impl Write) -> anyhow::Result<()> {
    let session = Session::open()?;
    let symbols = symbols();
    for point in Point::ALL {
        let here = match session.query_point(point) {
            Ok(flags) => format!("yes; {}", filters(flags)),
            Err(Errno::OPNOTSUPP) => format!("no: {}", why_not(&session, &symbols, point)),
            Err(error) => format!("no: {error}"),
        };
        writeln!(out, "{point}")?;
        writeln!(out, "  what      {}", point.about())?;
        writeln!(out, "  here      {here}")?;
        for user in users(point) {
            writeln!(out, "  used by   {user}")?;
        }
        writeln!(out)?;
    }
    writeln!(
        out,
        "what is held can be told by the process that comes by, and as noted"
    )?;
    Ok(())
}

fn filters(flags: u32) -> &'static str {
    let by_memory = flags & sys::GUPLAB_DELAY_ANY_TASK != 0;
    let by_address = flags & sys::GUPLAB_DELAY_ADDR != 0;
    match (by_memory, by_address) {
        (true, true) => "told by memory and by address",
        (true, false) => "told by memory",
        (false, true) => "told by address",
        (false, false) => "told by process only",
    }
}

/// The names of what the kernel can be asked for; none if it doesn't say.
fn symbols() -> HashSet<String> {
    let text = fs::read_to_string("/proc/kallsyms").unwrap_or_default();
    let name = |line: &str| Some(line.split_whitespace().nth(2)?.to_owned());
    text.lines().filter_map(name).collect()
}

fn why_not(session: &Session, symbols: &HashSet<String>, point: Point) -> &'static str {
    if point == Point::Notifier {
        return "the kernel lacks CONFIG_MMU_NOTIFIER";
    }
    if !session.has(sys::GUPLAB_FEATURE_DELAY) {
        return "the kernel lacks CONFIG_KRETPROBES";
    }
    if symbols.contains(point.name()) {
        return "it must not be probed";
    }
    "the compiler has inlined it everywhere, or the kernel doesn't have it"
}

/// The experiments with a window at this point: at which end, and with what on the other side.
fn users(point: Point) -> Vec<String> {
    let mut users = Vec::new();
    for experiment in Family::ALL.iter().flat_map(|family| family.experiments()) {
        for window in experiment.windows {
            let (first, second) = (window.first, window.second);
            for (own, other) in [(first, second), (second, first)] {
                let walk = match point.is_in_walk() {
                    true => "run --walk, ",
                    false => "",
                };
                let [own, other] = match point.is_in_walk() {
                    true => [own.in_walk(), other.in_walk()],
                    false => [own, other],
                };
                if own.point == point {
                    let end = match own.side {
                        At::Entry => "entry",
                        At::Return => "return",
                    };
                    let (name, other) = (experiment.name, other.point);
                    users.push(format!("{name} ({walk}at {end}, against {other})"));
                }
            }
        }
    }
    users
}
