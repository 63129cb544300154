// SPDX-License-Identifier: GPL-2.0
//! Passes of several threads at the same time.
//!
//! A pass can be shorter than it takes to start a thread. So each thread makes passes until all
//! threads have had enough of them, and a pass counts only if every other thread was making passes
//! from its begin to its end.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::Context;
use guplab::{Mapping, cpu};

use super::pinner::{Pinner, Span, Took};
use super::report::Contestant;

/// A thread has had enough passes when they are so many and took so long, ...
const ENOUGH: (usize, Duration) = (3, Duration::from_millis(8));

/// ... or took this long.
const LONG: Duration = Duration::from_millis(50);

/// What one thread does, and where.
#[derive(Clone, Copy, Debug)]
pub(super) struct Share<'a> {
    pub(super) pinner: &'a Pinner,
    pub(super) cpu: usize,
    pub(super) span: Span,
}

/// How far the threads are.
#[derive(Debug)]
struct Meeting {
    threads: usize,
    /// Those that have made their first pass.
    running: AtomicUsize,
    /// Those that have counted enough passes.
    content: AtomicUsize,
    /// One has left.
    is_over: AtomicBool,
}

/// Ends the meeting for all, also where a thread fails.
struct Leave<'a>(&'a AtomicBool);

impl Drop for Leave<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::SeqCst);
    }
}

/// Has each share done by a thread of its own, and returns the passes of each that count.
pub(super) fn run(
    shares: &[Share<'_>],
    who: Contestant,
    mapping: &Mapping,
    pages_per_call: u32,
) -> anyhow::Result<Vec<Vec<Took>>> {
    run_passes(shares.len(), |index| {
        let share = shares[index];
        cpu::bind(share.cpu).with_context(|| format!("running on CPU {}", share.cpu))?;
        Ok(move || share.pinner.pass(who, mapping, share.span, pages_per_call))
    })
}

fn run_passes<P>(
    threads: usize,
    begin: impl Fn(usize) -> anyhow::Result<P> + Sync,
) -> anyhow::Result<Vec<Vec<Took>>>
where
    P: FnMut() -> anyhow::Result<Took>,
{
    let meeting = Meeting {
        threads,
        // A thread alone needs no pass to wait for others.
        running: AtomicUsize::new(usize::from(threads == 1)),
        content: AtomicUsize::new(0),
        is_over: AtomicBool::new(false),
    };
    thread::scope(|scope| {
        let spawn = |index| {
            let (meeting, begin) = (&meeting, &begin);
            scope.spawn(move || {
                let _leave = Leave(&meeting.is_over);
                meeting.attend(begin(index)?)
            })
        };
        let handles: Vec<_> = (0..threads).map(spawn).collect();
        handles
            .into_iter()
            .map(|handle| {
                handle
                    .join()
                    .unwrap_or_else(|_| Err(anyhow::anyhow!("a thread panicked")))
            })
            .collect()
    })
}

impl Meeting {
    fn attend(&self, mut pass: impl FnMut() -> anyhow::Result<Took>) -> anyhow::Result<Vec<Took>> {
        let mut counted = Vec::new();
        let mut since = None;
        let (mut is_running, mut is_content) = (self.threads == 1, false);
        while self.content.load(Ordering::SeqCst) < self.threads && !self.is_over() {
            let all_run = self.running.load(Ordering::SeqCst) == self.threads;
            let start = Instant::now();
            let took = pass()?;
            if !is_running {
                is_running = true;
                self.running.fetch_add(1, Ordering::SeqCst);
            }
            if !all_run || self.is_over() {
                continue;
            }
            counted.push(took);
            let since = *since.get_or_insert(start);
            let time = since.elapsed();
            let is_enough = (counted.len() >= ENOUGH.0 && time >= ENOUGH.1) || time >= LONG;
            if is_enough && !is_content {
                is_content = true;
                self.content.fetch_add(1, Ordering::SeqCst);
            }
        }
        Ok(counted)
    }

    fn is_over(&self) -> bool {
        self.is_over.load(Ordering::SeqCst)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;

    /// One of the threads starts late and is slow: the passes of the others count only meanwhile.
    #[test]
    fn passes_count_while_all_threads_make_some() {
        let spans = Mutex::new(Vec::new());
        let start = Instant::now();
        let took = run_passes(2, |index| {
            let spans = &spans;
            if index == 1 {
                thread::sleep(Duration::from_millis(20));
            }
            Ok(move || {
                let began = start.elapsed();
                thread::sleep(Duration::from_millis(1 + 9 * index as u64));
                let mut spans = spans.lock().expect("no panic");
                spans.push((index, began..start.elapsed()));
                Ok(Took::default())
            })
        })
        .expect("no pass fails");
        let spans = spans.into_inner().expect("no panic");
        let of = |thread| spans.iter().filter(move |(index, _)| *index == thread);
        let late = of(1).map(|(_, span)| span).collect::<Vec<_>>();
        let others = late[0].end..late[late.len() - 1].end;
        let among = |span: &&(usize, std::ops::Range<Duration>)| {
            span.1.start >= others.start && span.1.end <= others.end
        };
        assert!(took[0].len() <= of(0).filter(among).count());
        assert!(took[0].len() < of(0).count());
        for took in took {
            assert!(took.len() >= 3, "{took:?}");
        }
    }

    #[test]
    fn a_thread_that_fails_ends_all() {
        let failed = run_passes(2, |index| {
            Ok(move || {
                anyhow::ensure!(index == 0, "it fails");
                thread::sleep(Duration::from_millis(1));
                Ok(Took::default())
            })
        });
        assert!(failed.is_err());
    }

    #[test]
    fn a_thread_alone_counts_all_its_passes() {
        let counter = AtomicUsize::new(0);
        let took = run_passes(1, |_| {
            Ok(|| {
                counter.fetch_add(1, Ordering::SeqCst);
                thread::sleep(Duration::from_millis(3));
                Ok(Took::default())
            })
        })
        .expect("no pass fails");
        assert_eq!(took[0].len(), counter.into_inner());
    }
}
