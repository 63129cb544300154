// SPDX-License-Identifier: GPL-2.0
//! What guplab's own walk reads, and where it ends.

use guplab::Event;

use super::{Edge, Step};

fn field<'e>(event: &'e Event, name: &str) -> &'e str {
    event.field(name).unwrap_or("?")
}

/// A name in a trace as `guplab run` spells it.
fn spelled(name: &str) -> String {
    name.to_lowercase().replace('_', "-").replace('|', ",")
}

/// An entry that it has read.
pub(super) fn entry(event: &Event, addr: &str) -> Step {
    let call = format!("{}({addr})", field(event, "level"));
    let step = Step::new(event, Edge::Point, &event.name, call);
    step.result(format!(" = {}", field(event, "value")))
}

/// Its end: what it took, and why it took no more. What is as in fast GUP isn't said.
pub(super) fn end(event: &Event, addr: &str) -> Step {
    let call = format!("walk({addr}, {})", field(event, "nr_pages"));
    let mut step = Step::new(event, Edge::Point, &event.name, call);
    step = step.result(format!(" = {}", field(event, "taken")));
    match field(event, "stop") {
        "none" => {}
        stop => step = step.note(format!("{} at {}", spelled(stop), field(event, "level"))),
    }
    match field(event, "exclusion") {
        "irqs_off" => {}
        exclusion => step = step.note(spelled(exclusion)),
    }
    match field(event, "steps_off") {
        "" => step,
        steps => step.note(format!("without {}", spelled(steps))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(line: &str, step: fn(&Event, &str) -> Step) -> String {
        let line = format!("<...>-7 [001] ..... 5.000100: {line}");
        step(&Event::parse(&line).expect("readable"), "addr").text()
    }

    #[test]
    fn a_walk_is_told_by_what_it_reads_and_takes() {
        let read = "guplab_walk_entry: level=pte addr=0x7f0000000000 value=0x8067";
        assert_eq!(text(read, entry), "pte(addr) = 0x8067");
        let walk = "guplab_walk: addr=0x7f0000000000 nr_pages=3";
        assert_eq!(
            text(
                &format!("{walk} exclusion=irqs_off steps_off= taken=3 stop=none level=pte"),
                end
            ),
            "walk(addr, 3) = 3"
        );
        assert_eq!(
            text(
                &format!(
                    "{walk} exclusion=rcu steps_off=PTE_RECHECK|UNSHARE taken=0 stop=no_page level=pmd"
                ),
                end
            ),
            "walk(addr, 3) = 0 /* no-page at pmd, rcu, without pte-recheck,unshare */"
        );
    }
}
