// SPDX-License-Identifier: GPL-2.0
//! What of a long trace is left out.

use super::picture::{Row, What};
use super::step::{Edge, Step};

/// Rows of a picture that can be taken in at a glance.
const MAX_ROWS: usize = 40;

/// Rows before the meeting, of those.
const BEFORE: usize = 14;

/// So many rows of one thread alone are shown; of more only the first and the last ones.
const MAX_RUN: usize = 7;

/// And so many of them at each end.
const ENDS: usize = 2;

/// Where fast GUP backs off, which shows best what a meeting leads to.
const BACK_OFF: [&str; 2] = ["gup_put_folio", "__gup_longterm_locked"];

fn step(row: &Row) -> Option<&Step> {
    match &row.what {
        What::Step { step, .. } => Some(step),
        What::LeftOut(_) => None,
    }
}

fn is_met(row: &Row) -> bool {
    step(row).is_some_and(|step| step.met)
}

fn is_violation(row: &Row) -> bool {
    step(row).is_some_and(|step| step.violation)
}

fn backs_off(row: &Row) -> bool {
    step(row).is_some_and(|step| BACK_OFF.contains(&step.name.as_str()))
}

fn is(row: &Row, edges: &[Edge]) -> bool {
    step(row).is_some_and(|step| edges.contains(&step.edge))
}

fn lane(row: &Row) -> Option<usize> {
    match row.what {
        What::Step { lane, .. } => Some(lane),
        What::LeftOut(_) => None,
    }
}

/// The row that the picture is about, if there is one: the last meeting before what it led to,
/// else the first one.
fn focus(rows: &[Row]) -> Option<usize> {
    let led_to = rows
        .iter()
        .position(is_violation)
        .or_else(|| rows.iter().position(backs_off));
    let before = led_to.and_then(|end| rows[..end].iter().rposition(is_met));
    before.or_else(|| rows.iter().position(is_met)).or(led_to)
}

/// The entry nearest before the focus, and the return nearest after it, of everything that a
/// thread is in at the focus.
fn enclosing(rows: &[Row], focus: usize) -> Vec<usize> {
    let mut found = Vec::new();
    for in_lane in 0..rows[focus].before.len() {
        let depth = |row: &Row| row.before[in_lane].len().max(row.after[in_lane].len());
        for level in 0..depth(&rows[focus]) {
            let ends = |row: &Row, edge| {
                lane(row) == Some(in_lane) && row.depth(in_lane) == level && is(row, &[edge])
            };
            let entry = rows[..=focus]
                .iter()
                .rposition(|row| ends(row, Edge::Enter));
            let leave = rows[focus..].iter().position(|row| ends(row, Edge::Leave));
            found.extend(entry);
            found.extend(leave.map(|at| focus + at));
        }
    }
    found
}

/// Rows that are shown after the last thread has left what it was in, for what came of it.
const AFTERWARDS: usize = 3;

/// Drops what came before any thread entered what it was in at the meeting, and what comes after
/// all have left it: that is another story.
fn cut(rows: &[Row], enclosing: &[usize], focus: usize, kept: &mut [bool]) {
    let first = enclosing.iter().copied().filter(|&at| at < focus).min();
    if let Some(first) = first {
        kept[..first].fill(false);
    }
    let last = enclosing.iter().copied().filter(|&at| at > focus).max();
    if let Some(last) = last {
        let flushes = |row: &Row| step(row).is_some_and(|step| step.name == "tlb_flush");
        let mut afterwards = 0;
        for (row, kept) in rows[last + 1..].iter().zip(&mut kept[last + 1..]) {
            *kept = afterwards < AFTERWARDS && !flushes(row);
            afterwards += usize::from(*kept);
        }
    }
}

/// Leaves out what doesn't help to see the meeting.
pub(crate) fn condense(rows: Vec<Row>) -> Vec<Row> {
    let mut needed = vec![false; rows.len()];
    let mut kept = vec![true; rows.len()];
    let focus = focus(&rows);
    if let Some(focus) = focus {
        needed[focus] = true;
        let enclosing = enclosing(&rows, focus);
        for &at in &enclosing {
            needed[at] = true;
        }
        cut(&rows, &enclosing, focus, &mut kept);
    }
    if let Some(at) = rows.iter().position(is_violation) {
        needed[at] = true;
    }

    shorten_runs(&rows, &mut kept);
    // Of what is left, the rows around the meeting.
    let left: Vec<usize> = (0..rows.len()).filter(|&at| kept[at]).collect();
    if left.len() > MAX_ROWS {
        let middle = left.partition_point(|&at| Some(at) < focus);
        let first = middle.saturating_sub(BEFORE).min(left.len() - MAX_ROWS);
        for (nth, &at) in left.iter().enumerate() {
            kept[at] = (first..first + MAX_ROWS).contains(&nth);
        }
    }
    for (kept, needed) in kept.iter_mut().zip(&needed) {
        *kept |= needed;
    }
    fill_single(&mut kept);
    let mut shown = leave_out(rows, &kept);
    // Nobody asks what came before all that is shown, or after it.
    if shown.last().is_some_and(|row| step(row).is_none()) {
        shown.pop();
    }
    if shown.first().is_some_and(|row| step(row).is_none()) {
        shown.remove(0);
    }
    shown
}

/// Of many rows of one thread in which no other one does anything, keeps the ends.
fn shorten_runs(rows: &[Row], kept: &mut [bool]) {
    // With one thread there is nothing but this run.
    let alone = rows.first().is_none_or(|row| row.before.len() == 1);
    let ends = if alone { MAX_ROWS / 2 - 1 } else { ENDS };
    let mut start = 0;
    for end in 1..=rows.len() {
        if end < rows.len() && lane(&rows[end]) == lane(&rows[start]) {
            continue;
        }
        if end - start > MAX_RUN.max(2 * ends) {
            kept[start + ends..end - ends].fill(false);
        }
        start = end;
    }
}

/// A row that says that one row is left out is no gain.
fn fill_single(kept: &mut [bool]) {
    for at in 0..kept.len() {
        let before = at == 0 || kept[at - 1];
        let after = kept.get(at + 1).copied().unwrap_or(true);
        kept[at] |= before && after;
    }
}

fn leave_out(rows: Vec<Row>, kept: &[bool]) -> Vec<Row> {
    let mut shown: Vec<Row> = Vec::new();
    for (row, &keep) in rows.into_iter().zip(kept) {
        let (Some(lane), false) = (lane(&row), keep) else {
            shown.push(row);
            continue;
        };
        let is_call = is(&row, &[Edge::Enter, Edge::Point]);
        let lanes = row.before.len();
        if !matches!(
            shown.last(),
            Some(Row {
                what: What::LeftOut(_),
                ..
            })
        ) {
            shown.push(Row {
                what: What::LeftOut(vec![(0, 0); lanes]),
                ..row.clone()
            });
        }
        if let Some(Row {
            what: What::LeftOut(counts),
            after,
            ..
        }) = shown.last_mut()
        {
            counts[lane].0 += usize::from(is_call);
            counts[lane].1 += 1;
            *after = row.after;
        }
    }
    shown
}

/// What is said of the steps that are left out.
pub(crate) fn left_out((calls, steps): (usize, usize)) -> String {
    match (calls, steps) {
        (_, 0) => String::new(),
        (0, 1) => "... 1 more step ...".to_owned(),
        (0, _) => format!("... {steps} more steps ..."),
        (1, _) => "... 1 more call ...".to_owned(),
        _ => format!("... {calls} more calls ..."),
    }
}

#[cfg(test)]
mod tests {
    use guplab::Event;

    use super::*;
    use crate::show::picture::Picture;

    fn window(cpu: u32, us: u64, point: &str, side: &str, met: u8) -> Event {
        let line = format!(
            "<...>-{} [00{cpu}] ..... 5.{us:06}: guplab_window: point={point} side={side} \
             held_ns=0 met={met} addr=0x7f0000000000",
            100 + cpu
        );
        Event::parse(&line).expect("readable")
    }

    /// A collapse on one CPU during a hundred pins on another, and they meet in the 60th.
    fn long() -> Vec<Event> {
        let mut events = vec![window(0, 1, "collapse", "entry", 0)];
        for call in 0..100 {
            let us = 10 * (call + 1);
            events.push(window(1, us, "grab", "entry", u8::from(call == 59)));
            if call == 59 {
                events.push(window(0, us + 1, "flush", "entry", 1));
            }
            events.push(window(1, us + 2, "grab", "return", 0));
            if call == 59 {
                events.push(window(0, us + 3, "flush", "return", 0));
            }
        }
        events.push(window(0, 2000, "collapse", "return", 0));
        events
    }

    #[test]
    fn a_loop_is_condensed_around_the_meeting() {
        let picture = Picture::of(&long()).expect("there are events");
        assert!(picture.rows.len() < 20, "{}", picture.rows.len());
        let gaps: Vec<String> = picture
            .rows
            .iter()
            .filter_map(|row| match &row.what {
                What::LeftOut(counts) => Some(left_out(counts[1])),
                What::Step { .. } => None,
            })
            .collect();
        assert_eq!(gaps, ["... 56 more calls ...", "... 36 more calls ..."]);
        assert_eq!(picture.rows.iter().filter(|row| is_met(row)).count(), 2);
    }

    #[test]
    fn what_encloses_the_meeting_stays() {
        // No run is long enough to be shortened: the two take turns.
        let mut events = vec![window(0, 1, "outer", "entry", 0)];
        for us in 2..200 {
            let (cpu, name, met) = ((us % 2) as u32, format!("f{us}"), u8::from(us == 150));
            events.push(window(cpu, us, &name, "entry", met));
            events.push(window(cpu, us, &name, "return", 0));
        }
        events.push(window(0, 300, "outer", "return", 0));
        let picture = Picture::of(&events).expect("there are events");
        assert!(picture.rows.len() <= MAX_ROWS + 4);
        let text = |row: Option<&Row>| row.and_then(step).map(Step::text);
        assert_eq!(text(picture.rows.first()).as_deref(), Some("outer() {"));
        assert_eq!(text(picture.rows.last()).as_deref(), Some("} /* outer */"));
        assert!(picture.rows.iter().any(is_met));
    }
}
