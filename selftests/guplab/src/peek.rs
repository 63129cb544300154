// SPDX-License-Identifier: GPL-2.0
//! Ways to read memory, or about memory, that are no access by the CPU at its address.

use std::fs::File;
use std::os::unix::fs::FileExt;

use libc::c_ulong;

use crate::mapping::Mapping;
use crate::{Errno, Result, page_size};

fn last_error() -> Errno {
    Errno::from_io_error(&std::io::Error::last_os_error()).unwrap_or(Errno::IO)
}

/// Reads a word of a mapping with process_vm_readv(2) of this process: the kernel pins the page
/// (FOLL_PIN) to copy from it.
pub fn process_vm_read(mapping: &Mapping, offset: usize) -> Result<u64> {
    assert!(offset % 8 == 0 && offset < mapping.len());
    let mut word = [0u8; 8];
    let local = libc::iovec {
        iov_base: word.as_mut_ptr().cast(),
        iov_len: word.len(),
    };
    let remote = libc::iovec {
        iov_base: (mapping.addr() + offset) as *mut libc::c_void,
        iov_len: word.len(),
    };
    let (none, one): (c_ulong, c_ulong) = (0, 1);
    let pid = std::process::id() as libc::pid_t;
    // SAFETY: Only `word` is written to, which is as long as `local` says.
    match unsafe { libc::process_vm_readv(pid, &local, one, &remote, one, none) } {
        8 => Ok(u64::from_ne_bytes(word)),
        _ => Err(last_error()),
    }
}

/// Reads a word of a mapping in /proc/self/mem, as a debugger would (FOLL_FORCE).
pub fn proc_mem_read(mapping: &Mapping, offset: usize) -> std::io::Result<u64> {
    assert!(offset % 8 == 0 && offset < mapping.len());
    let mut word = [0; 8];
    let at = (mapping.addr() + offset) as u64;
    File::open("/proc/self/mem")?.read_exact_at(&mut word, at)?;
    Ok(u64::from_ne_bytes(word))
}

/// How many pages of a mapping are in memory, as mincore(2) tells.
pub fn resident(mapping: &Mapping) -> Result<usize> {
    let mut pages = vec![0u8; mapping.len() / page_size()];
    let addr = mapping.addr() as *mut libc::c_void;
    // SAFETY: The kernel writes one byte for each page, and that is how many there are.
    match unsafe { libc::mincore(addr, mapping.len(), pages.as_mut_ptr()) } {
        0 => Ok(pages.iter().filter(|&page| page & 1 != 0).count()),
        _ => Err(last_error()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mapping::Kind;

    #[test]
    fn every_way_reads_what_was_written() {
        let mapping = Mapping::unverified(Kind::Anon4k);
        let at = 3 * page_size() + 8;
        mapping.write(at, 7);
        // Some sandboxes forbid one or the other.
        if let Ok(seen) = process_vm_read(&mapping, at) {
            assert_eq!(seen, 7);
        }
        if let Ok(seen) = proc_mem_read(&mapping, at) {
            assert_eq!(seen, 7);
        }
        assert!(resident(&mapping).is_ok_and(|pages| pages >= 1));
    }
}
