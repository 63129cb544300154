// SPDX-License-Identifier: GPL-2.0
//! Who makes the requests, and keeps account of them. Nothing here allocates, locks or prints: a
//! forked child does it too.

use std::io::Write;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::sync::atomic::{AtomicI32, AtomicU32, AtomicU64, AtomicUsize, Ordering};

use guplab::address::Range;
use guplab::device::{DEVICE_PATH, raw_ioctl};
use guplab::shared::WORDS;
use guplab::{Errno, Result, Rng, SharedPage, page_size, sys};
use rustix::fd::OwnedFd;
use rustix::fs::{MemfdFlags, Mode, OFlags, ftruncate, memfd_create};

use crate::request::{Ingredients, Passed, Request};
use crate::zoo::Zoo;

/// Handles that a ledger has lines for; there are never as many.
const HANDLES: usize = 1 << 15;
/// The line says that the pin was released.
const RELEASED: u32 = 1 << 31;

/// Bit by which a command's size, and so its number, becomes another's.
const OTHER_SIZE: u32 = 1 << 28;

/// What one session must have counted.
pub(crate) struct Ledger {
    /// Pages of each handle.
    pins: Vec<AtomicU32>,
    newest: AtomicU64,
    checks: AtomicU64,
    dma_bytes: AtomicU64,
    hammer_calls: AtomicU64,
    hammer_pages: AtomicU64,
    collapses: AtomicU64,
    /// The last delays that were armed, and how many there were in all.
    delays: [AtomicU32; sys::GUPLAB_MAX_DELAYS as usize],
    armed: AtomicUsize,
}

impl Ledger {
    pub(crate) fn new() -> Ledger {
        Ledger {
            pins: (0..HANDLES).map(|_| AtomicU32::new(0)).collect(),
            newest: AtomicU64::new(0),
            checks: AtomicU64::new(0),
            dma_bytes: AtomicU64::new(0),
            hammer_calls: AtomicU64::new(0),
            hammer_pages: AtomicU64::new(0),
            collapses: AtomicU64::new(0),
            delays: [const { AtomicU32::new(0) }; sys::GUPLAB_MAX_DELAYS as usize],
            armed: AtomicUsize::new(0),
        }
    }

    fn pin(&self, handle: u64) -> Option<&AtomicU32> {
        self.pins.get(usize::try_from(handle).ok()?)
    }

    /// Enters what a request did that succeeded, or was interrupted.
    fn enter(&self, request: &Request) {
        let add = |counter: &AtomicU64, n| counter.fetch_add(n, Ordering::Relaxed);
        match request {
            Request::Pin(r) => {
                self.newest.fetch_max(r.handle, Ordering::Relaxed);
                if let Some(pin) = self.pin(r.handle) {
                    // Another thread may have guessed the handle, and released it already.
                    pin.fetch_add(r.pinned, Ordering::Relaxed);
                }
            }
            Request::Unpin(r) => {
                if let Some(pin) = self.pin(r.handle) {
                    pin.fetch_or(RELEASED, Ordering::Relaxed);
                }
            }
            Request::Dma(r) => {
                add(&self.dma_bytes, r.len.into());
            }
            Request::Check(_) => {
                add(&self.checks, 1);
            }
            Request::Hammer(r) => {
                add(&self.hammer_calls, r.calls);
                add(&self.hammer_pages, r.pages);
            }
            Request::Collapse(_) => {
                add(&self.collapses, 1);
            }
            Request::Delay(r) if r.op == sys::GUPLAB_DELAY_ARM => {
                let at = self.armed.fetch_add(1, Ordering::Relaxed) % self.delays.len();
                self.delays[at].store(r.id, Ordering::Relaxed);
            }
            Request::Info(_)
            | Request::Inspect(_)
            | Request::Stats(_)
            | Request::Delay(_)
            | Request::Hint(_)
            | Request::Walk(_)
            | Request::Explain(_)
            | Request::Compare(_) => {}
        }
    }

    /// What STATS must tell when nobody works any more: each counter's name, and its value here and
    /// there.
    pub(crate) fn compare(&self, stats: &sys::guplab_stats) -> [(&'static str, u64, u64); 8] {
        let held = || {
            let lines = self.pins.iter().map(|pin| pin.load(Ordering::Relaxed));
            lines.filter(|&pages| pages != 0 && pages & RELEASED == 0)
        };
        let get = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let left = stats.pin_pages.wrapping_sub(stats.unpin_pages);
        [
            ("handles", held().count() as u64, stats.handles),
            ("held_pages", held().map(u64::from).sum(), stats.held_pages),
            ("pin_pages - unpin_pages", stats.held_pages, left),
            ("checks", get(&self.checks), stats.checks),
            ("dma_bytes", get(&self.dma_bytes), stats.dma_bytes),
            ("hammer_calls", get(&self.hammer_calls), stats.hammer_calls),
            ("hammer_pages", get(&self.hammer_pages), stats.hammer_pages),
            ("collapses", get(&self.collapses), stats.collapses),
        ]
    }
}

/// Words of a text on the board, which has three numbers for each command as well.
const TEXT: usize = WORDS / sys::COMMANDS.len() - 3;

/// Where everyone, children too, puts answers that the header doesn't allow.
pub(crate) struct Board(SharedPage);

impl Board {
    pub(crate) fn new() -> Result<Board> {
        SharedPage::new().map(Board)
    }

    fn made(command: usize) -> usize {
        command
    }

    fn succeeded(command: usize) -> usize {
        sys::COMMANDS.len() + command
    }

    fn wrong(command: usize) -> usize {
        2 * sys::COMMANDS.len() + command
    }

    fn text(command: usize) -> std::ops::Range<usize> {
        let first = 3 * sys::COMMANDS.len() + command * TEXT;
        first..first + TEXT
    }

    fn count(&self, command: usize, answer: Result<()>) {
        self.0[Board::made(command)].fetch_add(1, Ordering::Relaxed);
        if answer.is_ok() {
            self.0[Board::succeeded(command)].fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Counts a wrong answer, and keeps the first one's text as far as it fits.
    fn accuse(&self, command: usize, passed: Passed, request: &Request, answer: Result<()>) {
        if self.0[Board::wrong(command)].fetch_add(1, Ordering::Relaxed) != 0 {
            return;
        }
        let mut text = [[0; 8]; TEXT];
        // What doesn't fit is cut off.
        let _cut = write!(text.as_flattened_mut(), "{answer:?} {passed:?} {request:?}");
        for (word, bytes) in Board::text(command).zip(text) {
            self.0[word].store(u64::from_ne_bytes(bytes), Ordering::Relaxed);
        }
    }

    /// What came of a command.
    pub(crate) fn verdict(&self, command: usize) -> Verdict {
        let bytes: Vec<u8> = Board::text(command)
            .flat_map(|word| self.0.get(word).to_ne_bytes())
            .take_while(|&byte| byte != 0)
            .collect();
        Verdict {
            made: self.0.get(Board::made(command)),
            succeeded: self.0.get(Board::succeeded(command)),
            wrong: self.0.get(Board::wrong(command)),
            first: String::from_utf8_lossy(&bytes).into_owned(),
        }
    }
}

/// What came of a command.
pub(crate) struct Verdict {
    pub(crate) made: u64,
    pub(crate) succeeded: u64,
    /// Answers that the header doesn't allow, and the first of them.
    pub(crate) wrong: u64,
    pub(crate) first: String,
}

/// Opens a session.
pub(crate) fn open() -> Result<OwnedFd> {
    rustix::fs::open(DEVICE_PATH, OFlags::RDWR | OFlags::CLOEXEC, Mode::empty())
}

/// Reads the counters of a session, or of the module.
pub(crate) fn stats(session: BorrowedFd<'_>, scope: u32) -> Result<sys::guplab_stats> {
    let mut request = sys::guplab_stats {
        scope,
        ..Default::default()
    };
    let arg = std::ptr::from_mut(&mut request) as usize;
    // SAFETY: The request is live, and names no other memory.
    unsafe { raw_ioctl(session, sys::GUPLAB_IOC_STATS, arg) }?;
    Ok(request)
}

/// Buffers of one worker.
pub(crate) struct Scratch {
    buffer: Range,
    /// One page, mapped for writing and for reading.
    written: Range,
    read: Range,
}

impl Scratch {
    pub(crate) fn new() -> Result<Scratch> {
        let page = memfd_create("guplab-fuzz-request", MemfdFlags::CLOEXEC)?;
        ftruncate(&page, page_size() as u64)?;
        let shared = || Range::map(page_size(), page_size(), libc::MAP_SHARED, page.as_raw_fd());
        let anonymous = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;
        let scratch = Scratch {
            buffer: Range::map(sys::GUPLAB_MAX_DMA as usize, page_size(), anonymous, -1)?,
            written: shared()?,
            read: shared()?,
        };
        scratch.read.protect(0, page_size(), libc::PROT_READ)?;
        Ok(scratch)
    }
}

/// One who makes requests.
#[derive(Clone, Copy)]
pub(crate) struct Worker<'a> {
    pub(crate) session: BorrowedFd<'a>,
    pub(crate) ledger: &'a Ledger,
    pub(crate) scratch: &'a Scratch,
    pub(crate) zoo: &'a Zoo,
    pub(crate) board: &'a Board,
    /// A process with the same addresses.
    pub(crate) other: &'a AtomicI32,
}

impl Worker<'_> {
    /// Makes so many requests.
    pub(crate) fn work(&self, mut rng: Rng, requests: u32) {
        for _ in 0..requests {
            let ingredients = Ingredients {
                zoo: self.zoo,
                buffer: self.scratch.buffer.addr() as u64,
                pid: self.other.load(Ordering::Relaxed),
                newest: self.ledger.newest.load(Ordering::Relaxed),
                armed: self.ledger.delays[rng.usize(0..self.ledger.delays.len())]
                    .load(Ordering::Relaxed),
            };
            let mut request = ingredients.request(&mut rng);
            let passed = match rng.u32(0..48) {
                0 => Passed::Null,
                1 => Passed::AsUnknown,
                2 | 3 if request.is_known_without_reply() => Passed::ReadOnly,
                _ => Passed::Plainly,
            };
            self.one(&mut request, passed);
        }
    }

    fn one(&self, request: &mut Request, passed: Passed) {
        let asked = *request;
        let (command, arg) = request.parts();
        let (_, size, number) = sys::COMMANDS[command];
        let answer = match passed {
            Passed::Plainly => self.call(number, arg as usize),
            Passed::AsUnknown => self.call(number ^ OTHER_SIZE, arg as usize),
            Passed::Null => self.call(number, 0),
            Passed::ReadOnly => {
                let page = self.scratch.written.addr() as *mut u8;
                // SAFETY: The page has the room, and only this worker uses it.
                unsafe { std::ptr::copy_nonoverlapping(arg, page, size) };
                self.call(number, self.scratch.read.addr())
            }
        };
        self.board.count(command, answer);
        if !asked.allows(passed, answer, request) {
            self.board.accuse(command, passed, &asked, answer);
        }
        let done = match answer {
            Ok(()) => true,
            Err(Errno::INTR) => request.counts_when_interrupted(),
            // CHECK has no other reason for EFAULT than its reply.
            Err(Errno::FAULT) => passed == Passed::ReadOnly && matches!(request, Request::Check(_)),
            Err(_) => false,
        };
        if done {
            self.ledger.enter(request);
        }
    }

    fn call(&self, number: u32, arg: usize) -> Result<()> {
        // SAFETY: The request is live or not there at all; what it names is the zoo, the vDSO for
        // reading, the worker's own buffer, or no memory of this program.
        unsafe { raw_ioctl(self.session, number, arg) }
    }
}
