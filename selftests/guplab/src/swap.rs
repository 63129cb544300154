// SPDX-License-Identifier: GPL-2.0
//! A swap device in memory, and swapping pages out to it.

use std::ffi::CString;
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::thread::sleep;
use std::time::{Duration, Instant};

use crate::knob::number;
use crate::mapping::{Advice, Mapping};
use crate::unsupported::Unsupported;
use crate::{Errno, Result, page_size};

const CONTROL: &str = "/sys/class/zram-control";

/// A zram device that is in use as swap. It is gone when this is dropped.
#[derive(Debug)]
pub struct Zram {
    device: Device,
    node: CString,
}

/// A zram device.
#[derive(Debug)]
struct Device(u64);

impl Zram {
    /// Makes a device of its own, for so many bytes, and swaps to it.
    pub fn new(bytes: usize) -> std::result::Result<Zram, Unsupported> {
        let fail = |what: &'static str| move |e: io::Error| Unsupported::new(what, e);
        // Reading this makes a new device.
        let device = Device(number(format!("{CONTROL}/hot_add"))?);
        let node = format!("/dev/zram{}", device.0);
        let size = format!("/sys/block/zram{}/disksize", device.0);
        std::fs::write(size, bytes.to_string()).map_err(fail("the size of a zram device"))?;
        make_swap(&node, bytes).map_err(fail("a swap header on a zram device"))?;
        let node = CString::new(node).map_err(|e| Unsupported::new("zram", e))?;
        // SAFETY: The path is a live string, and the device is of our own making.
        if unsafe { libc::swapon(node.as_ptr(), 0) } != 0 {
            return Err(fail("swapon")(io::Error::last_os_error()));
        }
        Ok(Zram { device, node })
    }

    /// Its number, as in `/dev/zram0`.
    pub fn number(&self) -> u64 {
        self.device.0
    }
}

impl Drop for Zram {
    fn drop(&mut self) {
        // What can't be swapped in again stays, and the device with it.
        // SAFETY: The path is a live string.
        let _stays = unsafe { libc::swapoff(self.node.as_ptr()) };
    }
}

impl Drop for Device {
    fn drop(&mut self) {
        // Somebody may be looking at the device, as udev does with a new one.
        for _ in 0..50 {
            if std::fs::write(format!("{CONTROL}/hot_remove"), self.0.to_string()).is_ok() {
                break;
            }
            sleep(Duration::from_millis(20));
        }
    }
}

/// Writes what swapon(2) wants to see in the first page.
fn make_swap(node: &str, bytes: usize) -> io::Result<()> {
    let end = Instant::now() + Duration::from_secs(5);
    let mut file = loop {
        match open_node(node) {
            // The node of a new device may take a moment.
            Err(e) if e.kind() == io::ErrorKind::NotFound && Instant::now() < end => {
                sleep(Duration::from_millis(10));
            }
            opened => break opened?,
        }
    };
    file.write_all(&header(bytes))?;
    file.sync_all()
}

fn open_node(node: &str) -> io::Result<File> {
    OpenOptions::new()
        .write(true)
        .custom_flags(libc::O_CLOEXEC)
        .open(node)
}

/// The first page of a swap area: union swap_header of include/linux/swap.h.
fn header(bytes: usize) -> Vec<u8> {
    const VERSION_AT: usize = 1024;
    const MAGIC: &[u8] = b"SWAPSPACE2";
    let mut page = vec![0; page_size()];
    let last_page = (bytes / page_size()) as u32 - 1;
    page[VERSION_AT..VERSION_AT + 4].copy_from_slice(&1u32.to_ne_bytes());
    page[VERSION_AT + 4..VERSION_AT + 8].copy_from_slice(&last_page.to_ne_bytes());
    let magic_at = page_size() - MAGIC.len();
    page[magic_at..].copy_from_slice(MAGIC);
    page
}

/// Whether a page is swapped out. EOPNOTSUPP for shared memory: its swapped pages are in no page
/// table, and pagemap doesn't tell them from pages that were never there.
pub fn is_swapped(mapping: &Mapping, page: usize) -> Result<bool> {
    if !mapping.kind().is_private() {
        return Err(Errno::OPNOTSUPP);
    }
    mapping.pagemap(page).map(|entry| entry.is_swap())
}

/// Swaps pages out, and returns how many are out then. It tries for as long as `limit`: a page
/// can't be reclaimed while it waits in some CPU's batch to come to the LRU list, and never while
/// it is pinned.
pub fn swap_out(
    mapping: &Mapping,
    first: usize,
    nr_pages: usize,
    limit: Duration,
) -> Result<usize> {
    let end = Instant::now() + limit;
    loop {
        mapping.advise(first, nr_pages, Advice::PageOut)?;
        let mut swapped = 0;
        for page in first..first + nr_pages {
            swapped += usize::from(is_swapped(mapping, page)?);
        }
        if swapped == nr_pages || Instant::now() >= end {
            return Ok(swapped);
        }
        sleep(Duration::from_millis(5));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_is_what_the_kernel_expects() {
        let page = header(64 * page_size());
        assert_eq!(&page[page_size() - 10..], b"SWAPSPACE2");
        assert_eq!(page[1024..1028], 1u32.to_ne_bytes());
        assert_eq!(page[1028..1032], 63u32.to_ne_bytes());
    }
}
