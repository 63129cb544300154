// SPDX-License-Identifier: GPL-2.0
//! The VMA at an address of any process, as far as the slow path of GUP looks at it.
//!
//! smaps is read here and not by the crate `procfs`, which doesn't know flags as new as shadow
//! stacks and userfaultfd's minor faults, and reads all VMAs where one is wanted.

mod backing;

use std::fs::File;
use std::io::{BufRead, BufReader};

use crate::unsupported::Unsupported;

pub use backing::Backing;

/// A VMA.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Vma {
    /// Its first address.
    pub start: u64,
    /// The address behind it.
    pub end: u64,
    /// As in /proc/PID/maps: `rw-p`.
    pub perms: String,
    /// Where in the file it starts, in bytes.
    pub offset: u64,
    /// The file, or what stands in its place: `[heap]`. Empty for most anonymous memory.
    pub name: String,
    /// The names of its flags, as in smaps: `rd`, `wr`.
    pub flags: Vec<String>,
    /// What its pages come from.
    pub backing: Backing,
    /// Bytes of the file, for those that have an end behind which there are no pages.
    pub file_len: Option<u64>,
    inode: u64,
}

impl Vma {
    /// The one at an address of a process, 0 for the own one; none if nothing is mapped there.
    pub fn at(pid: i32, addr: u64) -> Result<Option<Vma>, Unsupported> {
        let process = match pid {
            0 => "self".to_owned(),
            pid => pid.to_string(),
        };
        let path = format!("/proc/{process}/smaps");
        let fail = |e| Unsupported::new(&path, e);
        let file = File::open(&path).map_err(fail)?;
        let Some(mut vma) = find(BufReader::new(file), addr).map_err(fail)? else {
            return Ok(None);
        };
        let (backing, file_len) = backing::of(&process, &vma);
        (vma.backing, vma.file_len) = (backing, file_len);
        Ok(Some(vma))
    }

    /// Whether it has a flag, by its name in smaps.
    pub fn has(&self, flag: &str) -> bool {
        self.flags.iter().any(|name| name == flag)
    }

    /// VM_WRITE.
    pub fn is_writable(&self) -> bool {
        self.has("wr")
    }

    /// vma_is_accessible(): NUMA hints are possible, for PROT_NONE would forbid every access.
    pub fn is_accessible(&self) -> bool {
        self.has("rd") || self.has("wr") || self.has("ex")
    }

    /// is_cow_mapping(): private, and may be written.
    pub fn is_cow(&self) -> bool {
        self.has("mw") && !self.has("sh")
    }

    /// VM_SHARED or VM_MAYSHARE.
    pub fn is_shared(&self) -> bool {
        self.has("sh") || self.has("ms")
    }

    /// vma_is_anonymous().
    pub fn is_anonymous(&self) -> bool {
        self.backing == Backing::Anonymous
    }

    /// Whether an address is behind the end of the file.
    pub fn is_past_end(&self, addr: u64) -> bool {
        let at = self.offset + (addr - self.start);
        self.file_len.is_some_and(|len| at >= len)
    }
}

/// The VMA in smaps that has the address. What follows is not read.
fn find(smaps: impl BufRead, addr: u64) -> std::io::Result<Option<Vma>> {
    let mut found: Option<Vma> = None;
    for line in smaps.lines() {
        let line = line?;
        // The fields of a VMA begin with a capital letter, its first line with a number.
        if !line.starts_with(|c: char| c.is_ascii_uppercase()) {
            match (found.is_some(), header(&line)) {
                (true, _) => break,
                (false, Some(vma)) if (vma.start..vma.end).contains(&addr) => found = Some(vma),
                _ => {}
            }
        } else if let (Some(vma), Some(flags)) = (&mut found, line.strip_prefix("VmFlags:")) {
            vma.flags = flags.split_whitespace().map(str::to_owned).collect();
        }
    }
    Ok(found)
}

/// A line as /proc/PID/maps has it.
fn header(line: &str) -> Option<Vma> {
    let mut words = line.splitn(6, ' ');
    let (start, end) = words.next()?.split_once('-')?;
    let perms = words.next()?.to_owned();
    let offset = words.next()?;
    let inode = words.nth(1)?;
    Some(Vma {
        start: u64::from_str_radix(start, 16).ok()?,
        end: u64::from_str_radix(end, 16).ok()?,
        perms,
        offset: u64::from_str_radix(offset, 16).ok()?,
        name: words.next().unwrap_or_default().trim_start().to_owned(),
        flags: Vec::new(),
        backing: Backing::Anonymous,
        file_len: None,
        inode: inode.parse().ok()?,
    })
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// A VMA with these flags, for tests of what is concluded from them.
    pub(crate) fn vma(flags: &str, backing: Backing) -> Vma {
        Vma {
            start: 0x1000,
            end: 0x20_0000,
            perms: "rw-p".into(),
            offset: 0,
            name: String::new(),
            flags: flags.split_whitespace().map(str::to_owned).collect(),
            backing,
            file_len: None,
            inode: 0,
        }
    }

    const SMAPS: &str = "\
00400000-00401000 r-xp 00001000 fe:01 1234                               /bin/a file
Size:                  4 kB
ProtectionKey:         0
VmFlags: rd ex mr mw me
7f0000000000-7f0000200000 rw-p 00000000 00:00 0 
Size:               2048 kB
VmFlags: rd wr mr mw me ac uw ss
7f0000200000-7f0000201000 ---p 00000000 00:00 0                          [x]
VmFlags: mr mw me
";

    #[test]
    fn a_vma_is_found_by_an_address_in_it() {
        let vma = |addr| find(SMAPS.as_bytes(), addr).expect("no error");
        let code = vma(0x400fff).expect("it is there");
        assert_eq!((code.perms.as_str(), code.offset), ("r-xp", 0x1000));
        assert_eq!(code.name, "/bin/a file");
        assert!(code.has("ex") && !code.has("wr") && code.is_cow());
        let anon = vma(0x7f00_0000_0000).expect("it is there");
        assert_eq!((anon.name.as_str(), anon.inode), ("", 0));
        assert!(anon.is_writable() && anon.has("uw") && anon.has("ss"));
        assert!(!vma(0x7f00_0020_0000).expect("it is there").is_accessible());
        assert_eq!(vma(0x401000), None);
    }

    #[test]
    fn the_own_stack_is_anonymous() {
        let word = 7u64;
        // A sandbox may lack smaps.
        if let Ok(found) = Vma::at(0, std::ptr::from_ref(&word) as u64) {
            let vma = found.expect("it is mapped");
            assert!(vma.is_writable() && vma.is_accessible() && vma.is_anonymous());
            assert!(vma.is_cow() && !vma.is_shared());
        }
    }

    #[test]
    fn a_file_has_an_end() {
        let mut vma = vma("rd mr sh", Backing::Shmem);
        vma.offset = 0x2000;
        assert!(!vma.is_past_end(0x1_0000));
        vma.file_len = Some(0x3001);
        assert!(!vma.is_past_end(0x2000));
        assert!(vma.is_past_end(0x3000));
    }
}
