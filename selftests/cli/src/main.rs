// SPDX-License-Identifier: GPL-2.0
//! The `guplab` program.

mod bench;
mod cli;
mod explain;
mod inspect;
mod listing;
mod matrix;
mod mutants;
mod output;
mod run;
mod show;
mod windows;

use std::io::{self, Write};
use std::process::ExitCode;

use anyhow::Context;
use clap::{CommandFactory, Parser};
use guplab::OpenError;
use guplab::ktap::exit;

use crate::cli::{Cli, Command};

fn main() -> ExitCode {
    match dispatch(Cli::parse().command) {
        Ok(code) => ExitCode::from(code),
        // Nobody reads on: `guplab list | head`.
        Err(error) if is_broken_pipe(&error) => ExitCode::from(exit::PASS),
        Err(error) => {
            eprintln!("guplab: {error:#}");
            ExitCode::from(match error.downcast_ref::<OpenError>() {
                Some(error) if error.is_no_module() => exit::SKIP,
                _ => exit::FAIL,
            })
        }
    }
}

fn is_broken_pipe(error: &anyhow::Error) -> bool {
    error
        .downcast_ref::<io::Error>()
        .is_some_and(|error| error.kind() == io::ErrorKind::BrokenPipe)
}

fn dispatch(command: Command) -> anyhow::Result<u8> {
    let out = &mut io::stdout();
    match command {
        Command::Info => listing::info(out)?,
        Command::List => listing::list(out)?,
        Command::Windows => windows::windows(out)?,
        Command::Run(args) => return run::run(&args, out),
        Command::Show(args) => show::show(&args, out)?,
        Command::Mutants(command) => return mutants::mutants(&command, out),
        Command::Matrix(args) => return matrix::matrix(&args, out),
        Command::Inspect(args) => inspect::inspect(&args, out)?,
        Command::Explain(args) => explain::explain(&args, out)?,
        Command::Bench(args) => return bench::bench(&args, out),
        Command::Completions { shell } => {
            clap_complete::generate(shell, &mut Cli::command(), "guplab", out);
        }
        Command::Man => {
            let mut page = Vec::new();
            cli::man(&mut page).context("writing the manual page")?;
            out.write_all(&page)?;
        }
    }
    Ok(exit::PASS)
}
