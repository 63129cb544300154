// SPDX-License-Identifier: GPL-2.0
//! All experiments, briefly: what `guplab run --format ktap --seconds 0.3` does.

use std::error::Error;
use std::io;
use std::process::ExitCode;
use std::time::Duration;

use guplab::ktap::exit;
use guplab_experiments::ktap::run_as_ktap;
use guplab_experiments::trial::Budget;
use guplab_experiments::{Options, RunReport, select};

fn main() -> ExitCode {
    match conduct() {
        Ok(report) => ExitCode::from(report.map_or(exit::SKIP, |report| report.exit_code())),
        Err(error) => {
            eprintln!("{error}");
            ExitCode::from(exit::FAIL)
        }
    }
}

fn conduct() -> Result<Option<RunReport>, Box<dyn Error + Send + Sync>> {
    let budget = Budget::of(Duration::from_millis(300));
    let cpus = guplab::cpu::allowed()?.into_iter().take(2).collect();
    let options = Options::new(budget, fastrand::u64(1..1_000_000), cpus);
    run_as_ktap(io::stdout(), &select(&[], &[]), &options)
}
