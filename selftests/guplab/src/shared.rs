// SPDX-License-Identifier: GPL-2.0
//! A page shared between a process and its children, for reports and rendezvous.

use std::ops::Index;
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use rustix::event::Timespec;
use rustix::thread::futex;

use crate::{Errno, Result, page_size};

/// Words in a [`SharedPage`].
pub const WORDS: usize = 504;

/// What a [`Peer`](crate::peer::Peer) and its caller tell each other.
#[derive(Debug)]
#[repr(C)]
pub(crate) struct Calls {
    /// Not zero while a peer uses the page.
    pub(crate) taken: AtomicU64,
    /// How many calls were made.
    pub(crate) made: AtomicU64,
    /// How many of them are answered.
    pub(crate) answered: AtomicU64,
    /// The operation that is called.
    pub(crate) op: AtomicU64,
    /// Its argument.
    pub(crate) arg: AtomicU64,
    /// Its result.
    pub(crate) answer: AtomicU64,
}

/// What the page holds.
#[derive(Debug)]
#[repr(C)]
struct Content {
    words: [AtomicU64; WORDS],
    calls: Calls,
    /// Counts changes; who waits for one sleeps here. A waiter that polled instead would keep its
    /// CPU busy, and each TLB flush would have to wait for it to answer.
    changes: AtomicU32,
}

/// A page of 64-bit words that stays shared over fork().
#[derive(Debug)]
pub struct SharedPage {
    content: NonNull<Content>,
}

// SAFETY: The page lives as long as the value, and consists of atomics only.
unsafe impl Send for SharedPage {}
// SAFETY: As above.
unsafe impl Sync for SharedPage {}

impl SharedPage {
    /// Maps a page full of zeroes.
    pub fn new() -> Result<SharedPage> {
        assert!(page_size() >= size_of::<Content>());
        // SAFETY: A new anonymous mapping touches no memory that is in use.
        let page = unsafe {
            libc::mmap(
                std::ptr::null_mut(),
                page_size(),
                libc::PROT_READ | libc::PROT_WRITE,
                libc::MAP_SHARED | libc::MAP_ANONYMOUS,
                -1,
                0,
            )
        };
        if page == libc::MAP_FAILED {
            return Err(Errno::NOMEM);
        }
        let content = NonNull::new(page.cast()).ok_or(Errno::NOMEM)?;
        Ok(SharedPage { content })
    }

    fn content(&self) -> &Content {
        // SAFETY: The page is mapped as long as `self` lives, and any bytes are valid atomics.
        unsafe { self.content.as_ref() }
    }

    /// Sets a word for the other side to see, after everything that was written before.
    pub fn set(&self, word: usize, value: u64) {
        self[word].store(value, Ordering::Release);
        self.wake();
    }

    pub(crate) fn calls(&self) -> &Calls {
        &self.content().calls
    }

    /// Lets those who wait look again.
    pub(crate) fn wake(&self) {
        let changes = &self.content().changes;
        changes.fetch_add(1, Ordering::AcqRel);
        // Without anybody who sleeps there is nobody to wake.
        let _nobody = futex::wake(changes, futex::Flags::empty(), u32::MAX >> 1);
    }

    /// Reads a word.
    pub fn get(&self, word: usize) -> u64 {
        self[word].load(Ordering::Acquire)
    }

    /// Sleeps until the word has the value. False after `limit`.
    /// Safe to call in a forked child: it neither allocates nor locks.
    pub fn wait_for(&self, word: usize, value: u64, limit: Duration) -> bool {
        self.wait_until(limit, || self.get(word) == value)
    }

    /// Sleeps until something is so that was made so before [`SharedPage::wake`].
    pub(crate) fn wait_until(&self, limit: Duration, so: impl Fn() -> bool) -> bool {
        let end = Instant::now() + limit;
        let changes = &self.content().changes;
        loop {
            let seen = changes.load(Ordering::Acquire);
            if so() {
                return true;
            }
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return false;
            }
            let timeout = Timespec {
                tv_sec: left.as_secs() as i64,
                tv_nsec: i64::from(left.subsec_nanos()),
            };
            // However it ends, the word is looked at again.
            let _ended = futex::wait(changes, futex::Flags::empty(), seen, Some(&timeout));
        }
    }

    /// Sets every word to zero. A [`Peer`](crate::peer::Peer) on the page goes on undisturbed.
    pub fn clear(&self) {
        for word in 0..WORDS {
            self.set(word, 0);
        }
    }
}

impl Index<usize> for SharedPage {
    type Output = AtomicU64;

    fn index(&self, word: usize) -> &AtomicU64 {
        &self.content().words[word]
    }
}

impl Drop for SharedPage {
    fn drop(&mut self) {
        // SAFETY: The page is ours, and no reference into it can outlive `self`.
        unsafe { libc::munmap(self.content.as_ptr().cast(), page_size()) };
    }
}
