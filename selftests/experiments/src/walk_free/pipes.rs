// SPDX-License-Identifier: GPL-2.0
//! A pipe that takes pages as soon as they are free.
//!
//! Its pages can't be moved, as little as those of a page table. So the allocator has one list for
//! both, and what a CPU frees there last is what it takes first; memory of processes is on another
//! list.

use rustix::fd::OwnedFd;
use rustix::io::{Errno, read, write};
use rustix::pipe::{PipeFlags, pipe_with};

use guplab::page_size;

/// Pages that are taken at a time: half of what a pipe has room for. Along with a page table some
/// others are freed.
const PAGES: usize = 8;
const WORD: usize = size_of::<u64>();

/// The pipe, and what is in it.
#[derive(Debug)]
pub(super) struct Pipe {
    reader: OwnedFd,
    writer: OwnedFd,
    written: Vec<u8>,
    /// Bytes that are in the pipe.
    inside: usize,
    seen: Vec<u8>,
}

impl Pipe {
    pub(super) fn new() -> guplab::Result<Pipe> {
        let (reader, writer) = pipe_with(PipeFlags::CLOEXEC | PipeFlags::NONBLOCK)?;
        let len = PAGES * page_size();
        Ok(Pipe {
            reader,
            writer,
            written: vec![1; len],
            inside: 0,
            seen: vec![1; len],
        })
    }

    /// Fills it with a word, unless it is in use. What doesn't go in stays out.
    pub(super) fn fill(&mut self, word: u64) {
        if self.inside > 0 {
            return;
        }
        let word = word.to_ne_bytes();
        if self.written[..WORD] != word {
            let words = self.written.chunks_exact_mut(WORD);
            words.for_each(|place| place.copy_from_slice(&word));
        }
        self.inside = write(&self.writer, &self.written).unwrap_or(0);
    }

    /// Empties it. Returns the first word that is another than was written, with its number.
    pub(super) fn drain(&mut self) -> guplab::Result<Option<(usize, u64, u64)>> {
        let (mut all, inside) = (0, std::mem::take(&mut self.inside));
        while all < inside {
            match read(&self.reader, &mut self.seen[all..inside])? {
                0 => return Err(Errno::PIPE),
                some => all += some,
            }
        }
        let (written, seen) = (&self.written[..inside], &self.seen[..inside]);
        if written == seen {
            return Ok(None);
        }
        let word = |bytes: &[u8]| bytes.try_into().map_or(0, u64::from_ne_bytes);
        let pairs = written.chunks(WORD).zip(seen.chunks(WORD)).enumerate();
        Ok(pairs
            .map(|(number, (written, seen))| (number, word(written), word(seen)))
            .find(|&(_, written, seen)| written != seen))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pipe_gives_back_what_was_written() {
        let mut pipe = Pipe::new().expect("a pipe");
        for word in [7, 7, 9] {
            pipe.fill(word);
            pipe.fill(word);
            assert!(pipe.inside > 0);
            assert_eq!(pipe.drain(), Ok(None));
        }
        assert_eq!(pipe.drain(), Ok(None));
    }

    #[test]
    fn another_word_is_found() {
        let mut pipe = Pipe::new().expect("a pipe");
        pipe.fill(7);
        pipe.written[3 * WORD..4 * WORD].copy_from_slice(&5u64.to_ne_bytes());
        assert_eq!(pipe.drain(), Ok(Some((3, 5, 7))));
    }
}
