// SPDX-License-Identifier: GPL-2.0
//! The faults of a userfaultfd: which ones it is told, and what it is told of them.

use linux_raw_sys::general::{
    UFFD_PAGEFAULT_FLAG_WP, UFFD_PAGEFAULT_FLAG_WRITE, UFFDIO_REGISTER_MODE_MISSING,
    UFFDIO_REGISTER_MODE_WP,
};

/// Which faults a userfaultfd is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Faults {
    /// Accesses to pages that are missing.
    Missing,
    /// Writes to pages that it has write-protected.
    WriteProtect,
    /// Both.
    Both,
}

impl Faults {
    pub(super) fn mode(self) -> u32 {
        match self {
            Faults::Missing => UFFDIO_REGISTER_MODE_MISSING,
            Faults::WriteProtect => UFFDIO_REGISTER_MODE_WP,
            Faults::Both => UFFDIO_REGISTER_MODE_MISSING | UFFDIO_REGISTER_MODE_WP,
        }
    }
}

/// A fault that waits for an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fault {
    /// The address.
    pub addr: usize,
    /// Whether it was a write.
    pub is_write: bool,
    /// Whether the page is there and write-protected; else it is missing.
    pub is_protected: bool,
}

/// Bytes of a struct uffd_msg, whose layout is the same on every machine.
pub(super) const MESSAGE: usize = 32;

pub(super) fn parse(message: &[u8; MESSAGE]) -> Option<Fault> {
    const PAGEFAULT: u8 = 0x12;
    let word = |at: usize| {
        let mut bytes = [0; 8];
        bytes.copy_from_slice(&message[at..at + 8]);
        u64::from_ne_bytes(bytes)
    };
    // Nobody asks for other events.
    (message[0] == PAGEFAULT).then(|| Fault {
        addr: word(16) as usize,
        is_write: word(8) & u64::from(UFFD_PAGEFAULT_FLAG_WRITE) != 0,
        is_protected: word(8) & u64::from(UFFD_PAGEFAULT_FLAG_WP) != 0,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn faults_are_read() {
        let mut message = [0; MESSAGE];
        message[0] = 0x12;
        message[8] = 3;
        message[16..24].copy_from_slice(&0x7000u64.to_ne_bytes());
        let fault = parse(&message).expect("a fault");
        assert_eq!(
            (fault.addr, fault.is_write, fault.is_protected),
            (0x7000, true, true)
        );
        message[0] = 0x13;
        assert_eq!(parse(&message), None);
    }
}
