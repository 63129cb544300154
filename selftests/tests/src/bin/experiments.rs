// SPDX-License-Identifier: GPL-2.0
//! All experiments, briefly: what `guplab run --format ktap --seconds 1` does.

use std::error::Error;
use std::io;
use std::process::ExitCode;
use std::time::Duration;

use guplab::ktap::exit;
use guplab_experiments::ktap::run_as_ktap;
use guplab_experiments::trial::Budget;
use guplab_experiments::{Options, select};

fn main() -> ExitCode {
    match conduct() {
        Ok(code) => ExitCode::from(code),
        Err(error) => {
            eprintln!("{error}");
            ExitCode::from(exit::FAIL)
        }
    }
}

fn conduct() -> Result<u8, Box<dyn Error + Send + Sync>> {
    let options = Options {
        budget: Budget {
            time: Duration::from_secs(1),
            rounds: None,
        },
        seed: fastrand::u64(1..1_000_000),
        cpus: guplab::cpu::allowed()?.into_iter().take(2).collect(),
    };
    run_as_ktap(io::stdout(), &select(&[]), &options)
}
