// SPDX-License-Identifier: GPL-2.0
//! The command line.

mod compare;
mod explain;
mod measure;
mod protocol;

use std::io::{self, Write};
use std::path::PathBuf;

use clap::{Args, CommandFactory, Parser, Subcommand, ValueEnum};
use guplab_experiments::Family;
use guplab_mutants::{Arch, Class};

pub(crate) use compare::CompareArgs;
pub(crate) use explain::ExplainArgs;
pub(crate) use measure::{BenchArgs, BenchFormat, MatrixArgs};
pub(crate) use protocol::ProtocolArgs;

const EXIT_CODES: &str = "Exit codes: 0 passed, 1 failed or an invariant was violated, 2 wrong \
    usage, 4 everything was skipped or no module is loaded (as in kselftest).";

/// A laboratory for get_user_pages() races
#[derive(Debug, Parser)]
#[command(name = "guplab", version, after_help = EXIT_CODES)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Tell what the loaded module and this kernel can do
    Info,
    /// List the experiments and mapping kinds
    List,
    /// List the delay points: what this kernel has, and which experiments use it
    Windows,
    /// Run experiments on this kernel's mm
    Run(RunArgs),
    /// Draw a hit or a violation of a recorded run, one column for each actor
    Show(ShowArgs),
    /// Leave out protective steps of the mm, on a kernel that has switches for them
    #[command(subcommand)]
    Mutants(MutantsCommand),
    /// Try out what protects a lockless walk against each writer of page tables
    Matrix(MatrixArgs),
    /// Look at the pages that a process has at an address
    Inspect(InspectArgs),
    /// Tell what GUP would do at an address of a process: the lockless walk, and then the slow path
    Explain(ExplainArgs),
    /// Measure pinning: the kernel's own gup_test beside guplab's, HAMMER, and guplab's walk
    Bench(BenchArgs),
    /// Print a completion script
    Completions {
        /// The shell it is for
        shell: clap_complete::Shell,
    },
    /// Print the manual page
    Man,
}

#[derive(Args, Debug)]
pub(crate) struct RunArgs {
    /// Run the cases whose name (EXPERIMENT/KIND) contains this; `*` stands for any text
    #[arg(value_name = "PATTERN")]
    pub(crate) patterns: Vec<String>,
    /// Run the experiments of this question only: 0 to 4, or its name
    #[arg(long = "family", value_name = "FAMILY", value_parser = family)]
    pub(crate) families: Vec<Family>,
    /// Time for each case; by default, everything is done within about four minutes
    #[arg(long, value_name = "N", default_value = "0.8", value_parser = seconds)]
    pub(crate) seconds: f64,
    /// Rounds for each case, instead of a time
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) rounds: Option<u64>,
    /// End each case with its first violation
    #[arg(long)]
    pub(crate) until_violation: bool,
    /// Seed of the schedule; another one in each run if not given
    #[arg(long, value_name = "N")]
    pub(crate) seed: Option<u64>,
    /// Run everything once for each of so many seeds, one after the other
    #[arg(long, value_name = "N", default_value = "1",
          value_parser = clap::value_parser!(u64).range(1..=1000))]
    pub(crate) seeds: u64,
    /// Hold actors at delay points inside the windows; the default
    #[arg(long, overrides_with = "no_aim")]
    pub(crate) aim: bool,
    /// Hold nobody: delay points only count
    #[arg(long, overrides_with = "aim")]
    pub(crate) no_aim: bool,
    /// Run each case that has a window unaimed and then aimed, and compare
    #[arg(long, conflicts_with_all = ["aim", "no_aim"])]
    pub(crate) compare: bool,
    /// Use guplab's own lockless walk in the place of fast GUP
    #[arg(long)]
    pub(crate) walk: bool,
    #[command(flatten)]
    pub(crate) protocol: ProtocolArgs,
    /// CPUs of the actors, such as 0,2 or 0-1; the first two allowed ones if not given
    #[arg(long, value_name = "LIST", value_parser = cpus)]
    pub(crate) cpus: Option<Cpus>,
    /// How results are written
    #[arg(long, value_enum, default_value_t = Format::Human)]
    pub(crate) format: Format,
    /// Write the whole run to this file as JSON as well, with a trace of each case
    #[arg(long, value_name = "FILE")]
    pub(crate) record: Option<PathBuf>,
    /// Show how closely the two sides met
    #[arg(long, short)]
    pub(crate) verbose: bool,
}

/// A list of CPUs.
#[derive(Clone, Debug)]
pub(crate) struct Cpus(pub(crate) Vec<usize>);

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// A table for each question, and a summary
    Human,
    /// KTAP version 1, as kernel tests write it
    Ktap,
    /// One JSON object
    Json,
    /// Tables in reST, for Documentation/; with --compare
    Rst,
}

#[derive(Debug, Subcommand)]
pub(crate) enum MutantsCommand {
    /// List the steps
    List(MutantsListArgs),
    /// Leave out one after the other, and run experiments until one of them notices
    Run(MutantsRunArgs),
    /// Print the kill matrix of journals
    Show(MutantsShowArgs),
}

#[derive(Args, Debug)]
pub(crate) struct MutantsListArgs {
    /// What is to be expected on this architecture only: x86 or arm64
    #[arg(long, value_name = "ARCH", value_parser = arch, conflicts_with = "rst")]
    pub(crate) arch: Option<Arch>,
    /// Write all that is known of them, in reST for Documentation/
    #[arg(long)]
    pub(crate) rst: bool,
}

#[derive(Args, Debug)]
pub(crate) struct MutantsRunArgs {
    /// Only the steps and pairs with these names; `*` stands for any text
    #[arg(value_name = "PATTERN")]
    pub(crate) patterns: Vec<String>,
    /// Only those of this class on this machine's architecture: deterministic, race, equivalent or
    /// barrier
    #[arg(long = "class", value_name = "CLASS", value_parser = class)]
    pub(crate) classes: Vec<Class>,
    /// Only these experiments hunt: names, or parts of them, as for `guplab run`
    #[arg(long, value_name = "EXPERIMENT")]
    pub(crate) by: Vec<String>,
    /// Only those that are noticed so fast that a test can wait for it
    #[arg(long)]
    pub(crate) quick: bool,
    /// Go on in a kernel in which a mutant was noticed, unless it complains: this saves boots, and a
    /// mutant may be blamed for what an earlier one has broken
    #[arg(long)]
    pub(crate) keep_kernel: bool,
    /// Longest time for one mutant
    #[arg(long, value_name = "N", default_value = "60", value_parser = seconds)]
    pub(crate) seconds: f64,
    /// Before that, run everything for so long with every step in force
    #[arg(long, value_name = "N", value_parser = seconds)]
    pub(crate) control: Option<f64>,
    /// Seed of the first schedule; another one in each run if not given
    #[arg(long, value_name = "N")]
    pub(crate) seed: Option<u64>,
    /// Hunt each mutant once for each of so many seeds
    #[arg(long, value_name = "N", default_value = "1",
          value_parser = clap::value_parser!(u64).range(1..=1000))]
    pub(crate) seeds: u64,
    /// Hold nobody, as for `guplab run`
    #[arg(long)]
    pub(crate) no_aim: bool,
    /// CPUs of the actors, as for `guplab run`
    #[arg(long, value_name = "LIST", value_parser = cpus)]
    pub(crate) cpus: Option<Cpus>,
    /// A directory with programs of tools/testing/selftests/mm, which hunt as well
    #[arg(long, value_name = "DIR")]
    pub(crate) in_tree: Option<PathBuf>,
    /// Leave the hunting to them
    #[arg(long, requires = "in_tree")]
    pub(crate) in_tree_only: bool,
    /// Go on with this journal, or begin it
    #[arg(long, value_name = "FILE")]
    pub(crate) journal: Option<PathBuf>,
}

#[derive(Args, Debug)]
pub(crate) struct MutantsShowArgs {
    /// What `guplab mutants run --journal` has written
    #[arg(required = true)]
    pub(crate) journals: Vec<PathBuf>,
    /// All that `guplab mutants run --quick` hunts for has to be there
    #[arg(long)]
    pub(crate) quick: bool,
    /// How the matrix is written
    #[arg(long, value_enum, default_value_t = MatrixFormat::Human)]
    pub(crate) format: MatrixFormat,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum MatrixFormat {
    /// A table
    Human,
    /// KTAP version 1
    Ktap,
    /// A JSON array with one object for each architecture
    Json,
    /// Tables in reST, for Documentation/
    Rst,
}

#[derive(Args, Debug)]
pub(crate) struct ShowArgs {
    /// What `guplab run --record` has written
    pub(crate) file: PathBuf,
    /// The case (EXPERIMENT/KIND), or a part of its name; the first violation if not given, or the
    /// first case in which both sides met
    pub(crate) case: Option<String>,
    /// What is drawn
    #[arg(long, value_enum, default_value_t = Drawing::Text)]
    pub(crate) format: Drawing,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Drawing {
    /// A table in plain ASCII, for mails
    Text,
    /// A picture, for browsers
    Svg,
    /// The rows as a JSON object
    Json,
}

#[derive(Args, Debug)]
pub(crate) struct InspectArgs {
    /// The process; 0 is guplab itself
    pub(crate) pid: i32,
    /// The address, in hexadecimal with 0x or in decimal
    #[arg(value_parser = number)]
    pub(crate) addr: u64,
    /// Bytes, one page if not given; K, M and G are understood
    #[arg(value_parser = number)]
    pub(crate) len: Option<u64>,
}

fn seconds(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(seconds) if seconds > 0.0 && seconds <= 86400.0 => Ok(seconds),
        _ => Err("a number of seconds, more than 0 and at most 86400".into()),
    }
}

fn family(text: &str) -> Result<Family, String> {
    Family::parse(text).ok_or_else(|| {
        let names = Family::ALL.map(|family| format!("{} or {family}", family.number()));
        format!("none of: {}", names.join(", "))
    })
}

fn class(text: &str) -> Result<Class, String> {
    let found = Class::ALL.into_iter().find(|class| class.name() == text);
    found.ok_or_else(|| format!("none of: {}", Class::ALL.map(Class::name).join(", ")))
}

fn arch(text: &str) -> Result<Arch, String> {
    let found = Arch::ALL.into_iter().find(|arch| arch.name() == text);
    found.ok_or_else(|| format!("none of: {}", Arch::ALL.map(Arch::name).join(", ")))
}

fn cpus(text: &str) -> Result<Cpus, String> {
    guplab::cpu::parse_list(text).map(Cpus)
}

fn number(text: &str) -> Result<u64, String> {
    let (digits, radix) = match text.strip_prefix("0x").or(text.strip_prefix("0X")) {
        Some(digits) => (digits, 16),
        None => (text, 10),
    };
    let (digits, shift) = match digits.as_bytes().last() {
        Some(b'K') => (&digits[..digits.len() - 1], 10),
        Some(b'M') => (&digits[..digits.len() - 1], 20),
        Some(b'G') => (&digits[..digits.len() - 1], 30),
        _ => (digits, 0),
    };
    u64::from_str_radix(digits, radix)
        .ok()
        .and_then(|number| number.checked_mul(1 << shift))
        .ok_or_else(|| format!("`{text}` is no number"))
}

/// Writes the manual page, with the options of every command.
pub(crate) fn man(out: &mut impl Write) -> io::Result<()> {
    let command = Cli::command();
    let page = clap_mangen::Man::new(command.clone());
    page.render_title(out)?;
    page.render_name_section(out)?;
    page.render_synopsis_section(out)?;
    page.render_description_section(out)?;
    for sub in command.get_subcommands() {
        writeln!(out, ".SH \"GUPLAB {}\"", sub.get_name().to_uppercase())?;
        let name = format!("guplab {}", sub.get_name());
        let page = clap_mangen::Man::new(sub.clone().bin_name(name));
        page.render_synopsis_section(out)?;
        page.render_description_section(out)?;
        page.render_options_section(out)?;
    }
    writeln!(out, ".SH \"EXIT STATUS\"\n{EXIT_CODES}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_definition_is_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn numbers_are_read() {
        assert_eq!(number("0x1000"), Ok(4096));
        assert_eq!(number("2M"), Ok(2 << 20));
        assert!(number("x").is_err());
        assert!(number("").is_err());
        assert!(number("18446744073709551615G").is_err());
    }

    #[test]
    fn options_have_bounds() {
        let parse = |args: &[&str]| Cli::try_parse_from([&["guplab"], args].concat());
        assert!(parse(&["run", "--seconds", "0.5", "fork"]).is_ok());
        assert!(parse(&["run", "--seconds", "0"]).is_err());
        assert!(parse(&["run", "--seconds", "nan"]).is_err());
        assert!(parse(&["run", "--rounds", "0"]).is_err());
        assert!(parse(&["run", "--cpus", "1-0"]).is_err());
        assert!(parse(&["run", "--family", "2", "--family", "fork-pin"]).is_ok());
        assert!(parse(&["run", "--family", "5"]).is_err());
        assert!(parse(&["run", "--compare", "--no-aim"]).is_err());
        let walk = [
            "run",
            "--walk",
            "--exclusion",
            "rcu",
            "--without",
            "unshare,seqcount",
        ];
        assert!(parse(&walk).is_ok());
        assert!(parse(&["run", "--walk", "--exclusion", "irqs"]).is_err());
        assert!(parse(&["run", "--walk", "--without", "x"]).is_err());
        assert!(parse(&["run", "--singly"]).is_err());
        assert!(parse(&["mutants", "run", "--class", "race", "fork_*"]).is_ok());
        assert!(parse(&["mutants", "run", "--class", "other"]).is_err());
        assert!(parse(&["mutants", "show"]).is_err());
        assert!(parse(&["show", "record.json", "fork", "--format", "svg"]).is_ok());
        assert!(parse(&["inspect", "1", "0x7f0000000000", "2M"]).is_ok());
        assert!(parse(&["explain", "1", "0x7f0000000000", "--write", "--longterm"]).is_ok());
        assert!(parse(&["explain", "1", "0", "--get", "--longterm"]).is_err());
        assert!(parse(&[]).is_err());
    }

    #[test]
    fn the_manual_names_every_command() {
        let mut page = Vec::new();
        man(&mut page).expect("memory can be written");
        let page = String::from_utf8(page).expect("it is text");
        for command in ["RUN", "SHOW", "INSPECT", "EXPLAIN", "BENCH", "LIST", "INFO"] {
            assert!(page.contains(&format!("GUPLAB {command}")), "{command}");
        }
        assert!(page.contains("EXIT STATUS"));
    }
}
