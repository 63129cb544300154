// SPDX-License-Identifier: GPL-2.0
//! What a person sees while a benchmark runs, on standard error: a bar, or now and then a line where
//! that is no terminal.

use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};

/// A line is enough in this time.
const BETWEEN_LINES: Duration = Duration::from_secs(5);

/// How far it is.
#[derive(Debug)]
pub(super) struct Progress {
    bar: ProgressBar,
    said: Option<Instant>,
}

impl Progress {
    /// Of so many steps.
    pub(super) fn new(steps: usize) -> Progress {
        let bar = ProgressBar::new(steps as u64);
        if let Ok(style) =
            ProgressStyle::with_template("[{elapsed}] {bar:20} {pos} of {len}: {msg}")
        {
            bar.set_style(style);
        }
        Progress { bar, said: None }
    }

    /// Says what the next step is.
    pub(super) fn begin(&mut self, what: String) {
        let is_due = self.said.is_none_or(|said| said.elapsed() >= BETWEEN_LINES);
        if self.bar.is_hidden() && is_due {
            let (at, len) = (self.bar.position(), self.bar.length().unwrap_or(0));
            let seconds = self.bar.elapsed().as_secs();
            eprintln!("guplab: {at} of {len} measured in {seconds} s; now {what}");
            self.said = Some(Instant::now());
        }
        self.bar.set_message(what);
    }

    /// So many steps are done, or not made.
    pub(super) fn end(&self, steps: usize) {
        self.bar.inc(steps as u64);
    }

    /// Says something that stays.
    pub(super) fn say(&self, text: &str) {
        self.bar.suspend(|| eprintln!("guplab: {text}"));
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}
