// SPDX-License-Identifier: GPL-2.0
//! The kernel's own tests that come nearest to these races, run against the same mutants.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process_group};

/// A test program of tools/testing/selftests/mm.
#[derive(Clone, Debug)]
pub struct Program {
    path: PathBuf,
    /// The arguments of each run.
    runs: Runs,
}

/// What a program said.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Said {
    /// The tests that failed, by name.
    pub(crate) failed: BTreeSet<String>,
    /// Tests with a result.
    pub(crate) tests: u64,
    /// How it ended, if not by itself with the code of a test program.
    pub(crate) ended: Option<String>,
}

type Runs = &'static [&'static [&'static str]];

/// The programs, and how they are run. khugepaged gets what needs no file system of its own.
const KNOWN: [(&str, Runs); 3] = [
    ("cow", &[&[]]),
    ("gup_longterm", &[&[]]),
    ("khugepaged", &[&["all:anon"], &["all:shmem"]]),
];

const TICK: Duration = Duration::from_millis(50);

impl Program {
    /// The programs that a directory has, of those that are known.
    pub fn in_dir(dir: &Path) -> Vec<Program> {
        KNOWN
            .into_iter()
            .map(|(name, runs)| Program {
                path: dir.join(name),
                runs,
            })
            .filter(|program| program.path.is_file())
            .collect()
    }

    /// Its name.
    pub fn name(&self) -> &str {
        self.path
            .file_name()
            .and_then(|name| name.to_str())
            .unwrap_or_default()
    }

    /// Runs it, for so long at most.
    pub(crate) fn run(&self, limit: Duration) -> io::Result<Said> {
        let mut all = Said::default();
        let started = Instant::now();
        for args in self.runs {
            let said = self.run_with(args, limit.saturating_sub(started.elapsed()))?;
            let named = said
                .failed
                .iter()
                .map(|name| [args.join(" "), name.clone()].join(" ").trim().to_owned());
            all.failed.extend(named);
            all.tests += said.tests;
            all.ended = all.ended.or(said.ended);
        }
        Ok(all)
    }

    fn run_with(&self, args: &[&str], limit: Duration) -> io::Result<Said> {
        let output = std::env::temp_dir().join(format!("{}.{}", self.name(), std::process::id()));
        let file = File::create(&output)?;
        let mut child = Command::new(&self.path)
            .args(args)
            .current_dir(self.path.parent().unwrap_or(Path::new("/")))
            .stdin(Stdio::null())
            .stdout(file.try_clone()?)
            .stderr(file)
            .process_group(0)
            .spawn()?;
        let started = Instant::now();
        let status = loop {
            if let Some(status) = child.try_wait()? {
                break Some(status);
            }
            if started.elapsed() > limit {
                break None;
            }
            sleep(TICK);
        };
        if let Some(group) = Pid::from_raw(child.id() as i32) {
            // What it has started may outlive it. Nobody may be left.
            let _nobody = kill_process_group(group, Signal::KILL);
        }
        if status.is_none() {
            child.wait()?;
        }
        let text = String::from_utf8_lossy(&fs::read(&output)?).into_owned();
        fs::remove_file(&output)?;
        Ok(Said {
            ended: ended(status, limit),
            ..results(&text)
        })
    }
}

fn ended(status: Option<ExitStatus>, limit: Duration) -> Option<String> {
    match status {
        None => Some(format!("did not end in {} s", limit.as_secs())),
        Some(status) => status
            .signal()
            .map(|signal| format!("ended by signal {signal}")),
    }
}

/// The results in a text of KTAP.
fn results(text: &str) -> Said {
    let mut said = Said::default();
    for (passed, name) in text.lines().filter_map(|line| ktap(line.trim())) {
        said.tests += 1;
        if !passed {
            said.failed.insert(name.trim().to_owned());
        }
    }
    said
}

/// The name of a test, and whether it passed.
fn ktap(line: &str) -> Option<(bool, &str)> {
    let (passed, rest) = match line.strip_prefix("not ok ") {
        Some(rest) => (false, rest),
        None => (true, line.strip_prefix("ok ")?),
    };
    let (_number, name) = rest.split_once(' ')?;
    let (name, directive) = name.split_once('#').unwrap_or((name, ""));
    // What is skipped, or fails as expected, tells nothing.
    let tells = !["SKIP", "XFAIL"]
        .iter()
        .any(|word| directive.trim().starts_with(word));
    tells.then_some((passed, name.trim_start_matches("- ")))
}

impl Said {
    /// The first thing that is worse than in what was said without a mutant.
    pub(crate) fn worse_than(&self, before: &Said) -> Option<String> {
        let new: Vec<&String> = self.failed.difference(&before.failed).collect();
        if let Some(first) = new.first() {
            return Some(format!(
                "{} of {} tests fail: {first}",
                new.len(),
                self.tests
            ));
        }
        match &self.ended {
            Some(ended) if self.ended != before.ended => Some(ended.clone()),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_are_read() {
        let text = "TAP version 13\n1..4\n# [RUN] x\nok 1 vmsplice() after fork\n\
                    not ok 2 R/O pin of THP\nok 3 swapped # SKIP no swap\nok 4 - last\n";
        let said = results(text);
        assert_eq!(said.tests, 3);
        assert_eq!(said.failed, BTreeSet::from(["R/O pin of THP".to_owned()]));
    }

    #[test]
    fn only_what_is_new_counts() {
        let said = |text| results(text);
        let before = said("not ok 1 a\nok 2 b\n");
        assert_eq!(before.worse_than(&before), None);
        assert_eq!(said("ok 1 a\nok 2 b\n").worse_than(&before), None);
        let worse = said("not ok 1 a\nnot ok 2 b\n").worse_than(&before);
        assert_eq!(worse.as_deref(), Some("1 of 2 tests fail: b"));
        let killed = Said {
            ended: Some("ended by signal 11".into()),
            ..before.clone()
        };
        assert_eq!(
            killed.worse_than(&before),
            Some("ended by signal 11".into())
        );
    }

    #[test]
    fn what_does_not_end_is_killed() {
        let program = Program {
            path: "/bin/sleep".into(),
            runs: &[&["60"]],
        };
        let said = program.run(Duration::from_millis(200)).expect("it starts");
        assert!(
            said.ended
                .is_some_and(|ended| ended.starts_with("did not end"))
        );
    }
}
