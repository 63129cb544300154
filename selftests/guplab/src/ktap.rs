// SPDX-License-Identifier: GPL-2.0
//! Results in KTAP version 1, as kernel tests write them.

use std::io::{self, Write};

/// The result of one test.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It passed.
    Pass,
    /// It failed, with lines that say how.
    Fail(Vec<String>),
    /// It was not run, for this reason.
    Skip(String),
    /// It failed as it was expected to, for this reason, with lines that say how.
    ExpectedFail(String, Vec<String>),
}

/// Exit codes of kernel selftests.
pub mod exit {
    /// All passed, or some passed and the others were skipped.
    pub const PASS: u8 = 0;
    /// Something failed.
    pub const FAIL: u8 = 1;
    /// Everything was skipped.
    pub const SKIP: u8 = 4;
}

/// A writer of results. Each line is flushed, so that a crash loses nothing.
#[derive(Debug)]
pub struct Ktap<W: Write> {
    out: W,
    levels: Vec<Level>,
}

/// The tests at one depth.
#[derive(Debug)]
struct Level {
    name: String,
    planned: usize,
    done: usize,
    passed: usize,
    failed: usize,
    skipped: usize,
    expected: usize,
}

/// A description that stays the same from run to run: one line, and without '#', which would begin
/// a directive.
fn description(text: &str) -> String {
    text.replace(['#', '\n', '\r'], " ")
}

impl Level {
    fn new(name: &str, planned: usize) -> Level {
        Level {
            name: name.to_owned(),
            planned,
            done: 0,
            passed: 0,
            failed: 0,
            skipped: 0,
            expected: 0,
        }
    }

    /// What the parts make of the whole.
    fn outcome(&self) -> Outcome {
        if self.failed > 0 || self.done != self.planned {
            return Outcome::Fail(Vec::new());
        }
        if self.skipped > 0 && self.passed + self.expected == 0 {
            return Outcome::Skip("every part was skipped".into());
        }
        Outcome::Pass
    }
}

impl<W: Write> Ktap<W> {
    /// Begins with the version and the plan.
    pub fn new(out: W, planned: usize) -> io::Result<Ktap<W>> {
        let mut ktap = Ktap {
            out,
            levels: Vec::new(),
        };
        ktap.begin("", planned)?;
        Ok(ktap)
    }

    /// Writes the results of a whole program that could not run.
    pub fn skip_all(mut out: W, reason: &str) -> io::Result<()> {
        writeln!(out, "KTAP version 1")?;
        writeln!(out, "1..0 # SKIP {}", reason.replace('\n', " "))?;
        out.flush()
    }

    fn line(&mut self, text: &str) -> io::Result<()> {
        let indent = 2 * self.levels.len().saturating_sub(1);
        writeln!(self.out, "{:indent$}{text}", "")?;
        self.out.flush()
    }

    fn begin(&mut self, name: &str, planned: usize) -> io::Result<()> {
        self.levels.push(Level::new(name, planned));
        self.line("KTAP version 1")?;
        if !name.is_empty() {
            self.line(&format!("# Subtest: {}", description(name)))?;
        }
        self.line(&format!("1..{planned}"))
    }

    /// Writes what is no result: times, counters, reasons.
    pub fn diagnostic(&mut self, text: &str) -> io::Result<()> {
        for line in text.lines() {
            self.line(format!("# {line}").trim_end())?;
        }
        Ok(())
    }

    /// Begins a test that has parts: the results up to [`Ktap::end_subtest`] are theirs.
    pub fn subtest(&mut self, name: &str, planned: usize) -> io::Result<()> {
        self.begin(name, planned)
    }

    /// Ends a test that has parts, and writes its own result.
    pub fn end_subtest(&mut self) -> io::Result<()> {
        assert!(self.levels.len() > 1, "no subtest was begun");
        let Some(level) = self.levels.pop() else {
            return Ok(());
        };
        self.result(&level.name, &level.outcome())
    }

    /// Writes a result.
    pub fn result(&mut self, name: &str, outcome: &Outcome) -> io::Result<()> {
        let Some(level) = self.levels.last_mut() else {
            return Ok(());
        };
        level.done += 1;
        match outcome {
            Outcome::Pass => level.passed += 1,
            Outcome::Fail(_) => level.failed += 1,
            Outcome::Skip(_) => level.skipped += 1,
            Outcome::ExpectedFail(..) => level.expected += 1,
        }
        let (number, name) = (level.done, description(name));
        match outcome {
            Outcome::Pass => self.line(&format!("ok {number} {name}")),
            Outcome::Fail(lines) => {
                for line in lines {
                    self.diagnostic(line)?;
                }
                self.line(&format!("not ok {number} {name}"))
            }
            Outcome::Skip(reason) => {
                let reason = reason.replace(['\n', '\r'], " ");
                self.line(&format!("ok {number} {name} # SKIP {reason}"))
            }
            Outcome::ExpectedFail(reason, lines) => {
                for line in lines {
                    self.diagnostic(line)?;
                }
                let reason = reason.replace(['\n', '\r'], " ");
                self.line(&format!("ok {number} {name} # XFAIL {reason}"))
            }
        }
    }

    /// Writes the totals, and returns the exit code of the program.
    pub fn finish(mut self) -> io::Result<u8> {
        while self.levels.len() > 1 {
            self.end_subtest()?;
        }
        let Some(level) = self.levels.last() else {
            return Ok(exit::FAIL);
        };
        let (outcome, totals) = (
            level.outcome(),
            format!(
                "Totals: pass:{} fail:{} xfail:{} xpass:0 skip:{} error:0",
                level.passed, level.failed, level.expected, level.skipped
            ),
        );
        self.diagnostic(&totals)?;
        Ok(match outcome {
            Outcome::Pass | Outcome::ExpectedFail(..) => exit::PASS,
            Outcome::Fail(_) => exit::FAIL,
            Outcome::Skip(_) => exit::SKIP,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(write: impl FnOnce(&mut Vec<u8>) -> io::Result<u8>) -> (String, u8) {
        let mut out = Vec::new();
        let code = write(&mut out).expect("memory can be written");
        (String::from_utf8(out).expect("it is text"), code)
    }

    #[test]
    fn nested_results() {
        let (text, code) = written(|out| {
            let mut top = Ktap::new(out, 2)?;
            top.subtest("a", 2)?;
            top.result("x", &Outcome::Pass)?;
            top.result("y", &Outcome::Skip("no\nmemory".into()))?;
            top.end_subtest()?;
            top.result("b # 1", &Outcome::Fail(vec!["line 1\nline 2".into()]))?;
            top.finish()
        });
        assert_eq!(
            text,
            "KTAP version 1\n1..2\n  KTAP version 1\n  # Subtest: a\n  1..2\n  ok 1 x\n  \
             ok 2 y # SKIP no memory\nok 1 a\n# line 1\n# line 2\nnot ok 2 b   1\n\
             # Totals: pass:1 fail:1 xfail:0 xpass:0 skip:0 error:0\n"
        );
        assert_eq!(code, exit::FAIL);
    }

    #[test]
    fn all_skipped_is_a_skip() {
        let (_, code) = written(|out| {
            let mut top = Ktap::new(out, 1)?;
            top.result("a", &Outcome::Skip("why".into()))?;
            top.finish()
        });
        assert_eq!(code, exit::SKIP);
    }

    #[test]
    fn a_missing_result_is_a_failure() {
        let (_, code) = written(|out| {
            let mut top = Ktap::new(out, 2)?;
            top.result("a", &Outcome::Pass)?;
            top.finish()
        });
        assert_eq!(code, exit::FAIL);
    }

    #[test]
    fn a_program_that_cannot_run_says_why() {
        let mut out = Vec::new();
        Ktap::skip_all(&mut out, "no module").expect("memory can be written");
        assert_eq!(
            String::from_utf8_lossy(&out),
            "KTAP version 1\n1..0 # SKIP no module\n"
        );
    }
}
