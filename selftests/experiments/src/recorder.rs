// SPDX-License-Identifier: GPL-2.0
//! Keeps the trace of the round that is worth looking at.

use std::collections::BTreeMap;

use guplab::{Event, Tracer};
use serde::{Deserialize, Serialize};

/// Events of each thread that are kept before and after the one that a trace is about: a round in
/// which a loop pins can have many thousands.
const BEFORE: usize = 250;
const AFTER: usize = 150;

/// The trace of one round.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Recording {
    /// The round: the first one with a violation, else the first one with a hit.
    #[serde(rename = "trace_round")]
    pub round: Option<u64>,
    /// Its events.
    #[serde(rename = "trace")]
    pub events: Option<Vec<Event>>,
}

/// Hits and violations so far.
pub(crate) type SoFar = (u64, u64);

/// Watches for that round.
#[derive(Debug)]
pub(crate) struct Recorder {
    tracer: Tracer,
    at_mark: SoFar,
    has_violation: bool,
    kept: Recording,
}

impl Recorder {
    /// The error is the reason why nothing can be traced here.
    pub(crate) fn start() -> Result<Recorder, String> {
        Ok(Recorder {
            tracer: Tracer::start()?,
            at_mark: (0, 0),
            has_violation: false,
            kept: Recording::default(),
        })
    }

    /// A round begins: what comes from now on is its trace.
    pub(crate) fn begins(&mut self, now: SoFar) {
        self.at_mark = now;
        self.tracer.mark();
    }

    /// A round has ended, with this.
    pub(crate) fn ended(&mut self, round: u64, now: SoFar) {
        let (hit, violation) = (now.0 > self.at_mark.0, now.1 > self.at_mark.1);
        let is_wanted = match self.kept.round {
            None => hit || violation,
            Some(_) => violation && !self.has_violation,
        };
        if !is_wanted {
            return;
        }
        // A trace that can't be read is one that isn't there.
        if let Ok(events) = self.tracer.take() {
            self.has_violation = violation;
            self.kept = Recording {
                round: Some(round),
                events: Some(around(events)),
            };
        }
    }

    /// What was kept.
    pub(crate) fn finish(self) -> Recording {
        self.kept
    }
}

fn is_focus(event: &Event) -> bool {
    event.name == "guplab_violation" || event.field("met") == Some("1")
}

/// The events around the first one that shows a violation or a meeting, else the last ones.
fn around(events: Vec<Event>) -> Vec<Event> {
    let focus = events.iter().position(is_focus).unwrap_or(events.len());
    let mut kept = vec![false; events.len()];
    let mut keep = |order: &mut dyn Iterator<Item = usize>, most: usize| {
        let mut of_thread = BTreeMap::<i32, usize>::new();
        for at in order {
            let nth = of_thread.entry(events[at].pid).or_default();
            kept[at] = *nth < most;
            *nth += 1;
        }
    };
    keep(&mut (0..focus).rev(), BEFORE);
    keep(&mut (focus..events.len()), AFTER);
    let events = events.into_iter().zip(kept);
    events
        .filter_map(|(event, kept)| kept.then_some(event))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn events(count: u64, met: Option<u64>) -> Vec<Event> {
        (0..count)
            .map(|ns| Event {
                ns,
                cpu: 0,
                pid: 1,
                name: "guplab_window".into(),
                fields: (Some(ns) == met)
                    .then(|| ("met".into(), "1".into()))
                    .into_iter()
                    .collect(),
            })
            .collect()
    }

    fn kept(count: u64, met: Option<u64>) -> Option<(u64, u64)> {
        let kept = around(events(count, met));
        Some((kept.first()?.ns, kept.last()?.ns))
    }

    #[test]
    fn what_is_kept_is_around_the_meeting() {
        assert_eq!(kept(10, Some(3)), Some((0, 9)));
        assert_eq!(kept(10_000, Some(5000)), Some((4750, 5149)));
        assert_eq!(kept(10_000, Some(9999)), Some((9749, 9999)));
        assert_eq!(kept(10_000, None), Some((9750, 9999)));
        assert_eq!(kept(0, None), None);
    }

    #[test]
    fn a_busy_thread_does_not_push_out_another() {
        let mut events = events(10_000, Some(9000));
        events[100].pid = 2;
        let kept = around(events);
        assert_eq!(kept[0].pid, 2);
        assert_eq!(kept.len(), 1 + BEFORE + AFTER);
    }
}
