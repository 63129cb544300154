// SPDX-License-Identifier: GPL-2.0
//! The progress bar: on standard error, and only where that is a terminal.

use guplab_experiments::Progress;
use indicatif::{ProgressBar, ProgressStyle};

/// Shows how far a run is.
#[derive(Debug)]
pub(crate) struct Bar(ProgressBar);

impl Bar {
    /// A bar for so many cases. It hides itself where there is no terminal. It must not tick by
    /// itself: that would be a thread, and the runner forks.
    pub(crate) fn new(cases: u64) -> Bar {
        let bar = ProgressBar::new(cases);
        if let Ok(style) =
            ProgressStyle::with_template("[{elapsed}] {bar:20} case {pos} of {len}: {msg}")
        {
            bar.set_style(style);
        }
        Bar(bar)
    }

    /// Shows news.
    pub(crate) fn show(&self, progress: &Progress<'_>) {
        match progress {
            Progress::Begins(case) => self.0.set_message(case.name()),
            Progress::GoesOn(case, rounds) => {
                self.0
                    .set_message(format!("{}, round {rounds}", case.name()));
            }
            Progress::Ended(report) => {
                self.0.inc(1);
                if report.verdict.is_failure() {
                    self.0
                        .println(format!("{}: {}", report.name(), report.verdict.name()));
                }
            }
        }
    }

    /// Takes it away.
    pub(crate) fn finish(&self) {
        self.0.finish_and_clear();
    }
}
