// SPDX-License-Identifier: GPL-2.0
//! Mappings of files, and of what the kernel maps by itself.

use std::fs::File;
use std::os::fd::AsRawFd;
use std::path::PathBuf;

use guplab::address::Range;
use guplab::{Advice, Kind, Mapping, Protection, page_size};
use guplab_tests::{Not, While, skip};

use crate::places::{PAGES, Place, mappings};
use crate::{Scene, Stage};

pub(crate) const SCENES: &[Scene] = &[
    ("shmem", |session| {
        Ok(mappings(session, Kind::Shmem, |_| Ok(())))
    }),
    ("shmem that isn't mapped", |session| {
        Ok(mappings(session, Kind::Shmem, |mapping| {
            mapping.discard_pages(0, 1).while_("MADV_DONTNEED")
        }))
    }),
    ("shmem that isn't there", |session| {
        Ok(mappings(session, Kind::Shmem, |mapping| {
            mapping.discard().while_("MADV_REMOVE")
        }))
    }),
    ("shmem that was made read-only", |session| {
        Ok(mappings(session, Kind::Shmem, |mapping| {
            protect(mapping, Protection::Read)
        }))
    }),
    ("shmem behind the end of the file", |session| {
        Ok(mappings(session, Kind::Shmem, |mapping| {
            let file = mapping.file().while_("it has no file")?;
            file.truncate(0).while_("truncating")
        }))
    }),
    ("shmem in a huge page", |session| {
        Ok(mappings(session, Kind::ShmemThp, |_| Ok(())))
    }),
    ("shmem in a huge page, read-only", |session| {
        Ok(mappings(session, Kind::ShmemThp, |mapping| {
            protect(mapping, Protection::Read)
        }))
    }),
    ("a private page over shmem", |session| {
        Ok(mappings(session, Kind::PrivateShmem, |_| Ok(())))
    }),
    ("a page of shmem, mapped private", |session| {
        Ok(mappings(session, Kind::PrivateShmem, private_read))
    }),
    ("shmem that isn't mapped, private", |session| {
        Ok(mappings(session, Kind::PrivateShmem, |mapping| {
            mapping.discard().while_("MADV_DONTNEED")
        }))
    }),
    ("a huge page of shmem, mapped private", |session| {
        Ok(mappings(session, Kind::PrivateShmem, private_huge))
    }),
    ("a page of a file, mapped shared", |_| {
        file(libc::MAP_SHARED, true)
    }),
    ("a file that isn't mapped, shared", |_| {
        file(libc::MAP_SHARED, false)
    }),
    ("a page of a file, mapped private", |_| {
        file(libc::MAP_PRIVATE, true)
    }),
    ("a file that isn't mapped, private", |_| {
        file(libc::MAP_PRIVATE, false)
    }),
    ("a page of this program's code", |_| Ok(Box::new(code))),
    ("the vDSO", |_| special("[vdso]")),
    ("the time that the kernel shows", |_| special("[vvar]")),
];

fn protect(mapping: &Mapping, allow: Protection) -> Result<(), Not> {
    let pages = mapping.pages();
    mapping.protect(0, pages, allow).while_("mprotect")
}

fn private_read(mapping: &Mapping) -> Result<(), Not> {
    mapping.discard().while_("MADV_DONTNEED")?;
    let pages = mapping.pages();
    let read = mapping.advise(0, pages, Advice::PopulateRead);
    read.while_("populating")
}

fn private_huge(mapping: &Mapping) -> Result<(), Not> {
    let file = mapping.file().while_("it has no file")?;
    if let Err(error) = file.make_huge() {
        skip!("collapsing the page cache: {error}");
    }
    private_read(mapping)
}

/// A filesystem that wants to know of writes, unlike tmpfs.
struct Ramfs(PathBuf);

impl Ramfs {
    fn mount() -> Result<Ramfs, Not> {
        let path = std::env::temp_dir().join(format!("guplab-ramfs-{}", std::process::id()));
        std::fs::create_dir_all(&path).while_("a directory")?;
        let ramfs = Ramfs(path);
        let flags = rustix::mount::MountFlags::empty();
        match rustix::mount::mount("guplab", &ramfs.0, "ramfs", flags, None) {
            Ok(()) => Ok(ramfs),
            Err(error) => skip!("mounting a ramfs: {error}"),
        }
    }
}

impl Drop for Ramfs {
    fn drop(&mut self) {
        // What is still in use goes with its last user.
        let detach = rustix::mount::UnmountFlags::DETACH;
        let _gone = rustix::mount::unmount(&self.0, detach);
        let _gone = std::fs::remove_dir(&self.0);
    }
}

fn file(flags: libc::c_int, read: bool) -> Result<Stage<'static>, Not> {
    let ramfs = Ramfs::mount()?;
    let len = PAGES * page_size();
    Ok(Box::new(move || {
        let path = ramfs.0.join("file");
        std::fs::write(&path, vec![1; len]).while_("writing a file")?;
        let both = File::options().read(true).write(true).open(&path);
        let file = both.while_("opening a file")?;
        let range = Range::map(len, page_size(), flags, file.as_raw_fd()).while_("mmap")?;
        if read {
            let populate = range.advise(0, len, libc::MADV_POPULATE_READ);
            populate.while_("populating")?;
        }
        Ok(Place::new(range.addr() + page_size(), range))
    }))
}

fn code() -> Result<Place, Not> {
    let addr = code as *const () as usize;
    Ok(Place::bare(addr / page_size() * page_size()))
}

/// What the kernel has mapped under this name.
fn special(name: &'static str) -> Result<Stage<'static>, Not> {
    let maps = std::fs::read_to_string("/proc/self/maps").while_("maps")?;
    let Some(line) = maps.lines().find(|line| line.ends_with(name)) else {
        skip!("there is no {name}");
    };
    let start = line.split('-').next().unwrap_or_default();
    let addr = usize::from_str_radix(start, 16).while_("an address")?;
    Ok(Box::new(move || {
        // So that something is mapped there.
        let clock = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
        std::hint::black_box(clock);
        Ok(Place::bare(addr))
    }))
}
