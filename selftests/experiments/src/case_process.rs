// SPDX-License-Identifier: GPL-2.0
//! A process of its own for a case: its own mm, whose end the kernel checks, and one that can be
//! killed if it hangs.

use std::fs::read_to_string;
use std::io::{self, ErrorKind, Read, Write};
use std::os::unix::net::UnixStream;
use std::sync::atomic::Ordering;
use std::thread::sleep;
use std::time::{Duration, Instant};

use guplab::{Child, Ended, SharedPage, fork_child};
use rustix::process::{
    Pid, Signal, getpid, getppid, kill_process_group, set_parent_process_death_signal, setpgid,
};

use crate::trial::ROUNDS;

/// How long a process may take.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    /// For a round.
    pub(crate) round: Duration,
    /// For all that it does.
    pub(crate) whole: Option<Duration>,
    /// For dying when it is killed.
    pub(crate) death: Duration,
}

/// What became of a process.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    /// It sent this, and exited.
    Sent(Vec<u8>),
    /// It ended before that, in this way.
    Died(String),
    /// It took too long, and was killed.
    Hung(String),
    /// It took too long, and can't be killed: the kernel doesn't let go of it.
    Stuck(String),
}

const TICK: Duration = Duration::from_millis(100);

/// Forks. The child runs `body`, which tells its rounds in the page, sends what that returns, and
/// exits. No other thread may run meanwhile: `body` allocates.
pub(crate) fn in_process(
    limits: &Limits,
    watched: &SharedPage,
    body: impl FnOnce() -> Vec<u8>,
    mut on_round: impl FnMut(u64),
) -> io::Result<Fate> {
    let (reader, mut writer) = UnixStream::pair()?;
    reader.set_read_timeout(Some(TICK))?;
    watched[ROUNDS].store(0, Ordering::Relaxed);
    let parent = getpid();
    let child = fork_child(move || {
        // Neither can fail; if one did, a case that hangs would leave processes behind.
        let _own_group = setpgid(None, None);
        let _dies_with_us = set_parent_process_death_signal(Some(Signal::KILL));
        if getppid() != Some(parent) {
            return 1;
        }
        i32::from(writer.write_all(&body()).is_err())
    })?;
    let mut process = Process {
        child,
        reader,
        sent: Vec::new(),
    };
    let started = Instant::now();
    let (mut rounds, mut since) = (0, started);
    loop {
        let at_end = process.receive()?;
        if let Some(ended) = process.child.try_wait()? {
            return process.ended(ended, watched);
        }
        if at_end {
            // It has only its exit before it.
            sleep(Duration::from_millis(1));
        }
        let now = watched[ROUNDS].load(Ordering::Relaxed);
        if now != rounds {
            (rounds, since) = (now, Instant::now());
        }
        on_round(rounds);
        if since.elapsed() > limits.round {
            let seconds = limits.round.as_secs();
            return Ok(process.kill(limits, format!("no end of round {rounds} in {seconds} s")));
        }
        if let Some(whole) = limits.whole.filter(|&whole| started.elapsed() > whole) {
            let seconds = whole.as_secs();
            return Ok(process.kill(limits, format!("in round {rounds} still after {seconds} s")));
        }
    }
}

#[derive(Debug)]
struct Process {
    child: Child,
    reader: UnixStream,
    sent: Vec<u8>,
}

impl Process {
    /// Reads what there is, or waits a moment for more. True if there won't be any.
    fn receive(&mut self) -> io::Result<bool> {
        let mut piece = [0; 1 << 16];
        match self.reader.read(&mut piece) {
            Ok(0) => Ok(true),
            Ok(len) => {
                self.sent.extend_from_slice(&piece[..len]);
                Ok(false)
            }
            Err(error) => match error.kind() {
                ErrorKind::WouldBlock | ErrorKind::TimedOut | ErrorKind::Interrupted => Ok(false),
                _ => Err(error),
            },
        }
    }

    fn ended(mut self, ended: Ended, watched: &SharedPage) -> io::Result<Fate> {
        self.kill_group();
        // Children of the child may have the other end open: so this doesn't wait for the end.
        self.reader.set_nonblocking(true)?;
        let mut before = usize::MAX;
        while before != self.sent.len() {
            before = self.sent.len();
            self.receive()?;
        }
        let round = watched[ROUNDS].load(Ordering::Relaxed);
        Ok(match ended {
            Ended::Code(0) => Fate::Sent(self.sent),
            Ended::Code(code) => Fate::Died(format!("exited with code {code} in round {round}")),
            Ended::Signal(signal) => {
                let name = signal_name(signal);
                Fate::Died(format!("ended by {name} in round {round}"))
            }
            Ended::TimedOut => Fate::Died(format!("was killed in round {round}")),
        })
    }

    fn kill(mut self, limits: &Limits, why: String) -> Fate {
        let mut text = format!("hangs: {why}");
        let pid = self.child.pid();
        for line in where_threads_are(pid) {
            text += &format!("\n  {line}");
        }
        self.kill_group();
        let killed = Instant::now();
        while killed.elapsed() < limits.death {
            // What it still sends must not keep it from dying.
            if self.receive().is_ok_and(|at_end| at_end) {
                sleep(Duration::from_millis(1));
            }
            if let Ok(Some(_)) = self.child.try_wait() {
                return Fate::Hung(text);
            }
        }
        let seconds = limits.death.as_secs();
        text += &format!("\n  process {pid} is stuck in the kernel {seconds} s after SIGKILL:");
        for line in where_threads_are(pid) {
            text += &format!("\n  {line}");
        }
        self.child.abandon();
        Fate::Stuck(text)
    }

    /// Kills it, and the children that it has left.
    fn kill_group(&self) {
        let Some(pid) = Pid::from_raw(self.child.pid()) else {
            return;
        };
        // Mostly nobody is left.
        let _nobody = kill_process_group(pid, Signal::KILL);
    }
}

/// For each thread of a process where it is in the kernel, as far as this may be read.
fn where_threads_are(pid: i32) -> Vec<String> {
    let Ok(threads) = std::fs::read_dir(format!("/proc/{pid}/task")) else {
        return Vec::new();
    };
    let mut lines = Vec::new();
    for thread in threads.flatten() {
        let read = |name| read_to_string(thread.path().join(name)).unwrap_or_default();
        let (status, wchan, stack) = (read("status"), read("wchan"), read("stack"));
        let state = status
            .lines()
            .find_map(|line| line.strip_prefix("State:"))
            .unwrap_or("unknown");
        lines.push(format!(
            "thread {}: {}, wchan {wchan}",
            thread.file_name().to_string_lossy(),
            state.trim()
        ));
        lines.extend(stack.lines().map(|line| format!("  {line}")));
    }
    lines
}

fn signal_name(signal: i32) -> String {
    let name = match signal {
        libc::SIGABRT => "SIGABRT",
        libc::SIGBUS => "SIGBUS",
        libc::SIGFPE => "SIGFPE",
        libc::SIGILL => "SIGILL",
        libc::SIGKILL => "SIGKILL, as the kernel does when memory runs out,",
        libc::SIGSEGV => "SIGSEGV",
        libc::SIGSYS => "SIGSYS",
        libc::SIGTERM => "SIGTERM",
        libc::SIGTRAP => "SIGTRAP",
        _ => return format!("signal {signal}"),
    };
    name.to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: Limits = Limits {
        round: Duration::from_millis(300),
        whole: Some(Duration::from_millis(600)),
        death: Duration::from_secs(10),
    };

    fn fate(body: impl FnOnce(&SharedPage) -> Vec<u8>) -> (Fate, u64) {
        fate_within(&LIMITS, body)
    }

    fn fate_within(limits: &Limits, body: impl FnOnce(&SharedPage) -> Vec<u8>) -> (Fate, u64) {
        let watched = SharedPage::new().expect("memory");
        let mut last = 0;
        let fate = in_process(limits, &watched, || body(&watched), |round| last = round);
        (fate.expect("fork works"), last)
    }

    #[test]
    fn what_is_sent_comes_back_whole() {
        let text = vec![b'x'; 1 << 20];
        let (sent, _) = fate(|_| text.clone());
        assert_eq!(sent, Fate::Sent(text));
    }

    #[test]
    fn a_signal_is_named_with_the_round() {
        let (died, _) = fate(|watched| {
            watched[ROUNDS].store(7, Ordering::Relaxed);
            std::process::abort()
        });
        assert_eq!(died, Fate::Died("ended by SIGABRT in round 7".into()));
    }

    #[test]
    fn a_round_without_end_is_killed() {
        let (hung, last) = fate(|watched| {
            watched[ROUNDS].store(2, Ordering::Relaxed);
            sleep(Duration::from_secs(60));
            Vec::new()
        });
        let Fate::Hung(text) = hung else {
            panic!("{hung:?}");
        };
        assert!(
            text.starts_with("hangs: no end of round 2 in 0 s\n  thread "),
            "{text}"
        );
        assert_eq!(last, 2);
    }

    #[test]
    fn a_process_that_does_not_die_is_left_behind() {
        let at_once = Limits {
            death: Duration::ZERO,
            ..LIMITS
        };
        let (stuck, _) = fate_within(&at_once, |_| {
            sleep(Duration::from_secs(60));
            Vec::new()
        });
        assert!(matches!(stuck, Fate::Stuck(text) if text.contains("is stuck in the kernel")));
    }

    #[test]
    fn rounds_without_end_are_killed() {
        let (hung, _) = fate(|watched| {
            for round in 1.. {
                watched[ROUNDS].store(round, Ordering::Relaxed);
                sleep(Duration::from_millis(10));
            }
            Vec::new()
        });
        assert!(matches!(hung, Fate::Hung(text) if text.contains(" still after ")));
    }
}
