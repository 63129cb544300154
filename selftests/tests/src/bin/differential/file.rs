// SPDX-License-Identifier: GPL-2.0
//! Files that are no shared memory.

use std::os::fd::FromRawFd;

use guplab::Errno;
use rustix::fd::OwnedFd;
use rustix::fs::{Mode, OFlags, ftruncate, openat};
use rustix::mount::{FsMountFlags, FsOpenFlags, MountAttrFlags, fsconfig_create, fsmount, fsopen};

/// A file in a ramfs that is mounted nowhere. The reason where there can't be one.
pub(crate) fn in_ramfs(len: usize) -> Result<OwnedFd, String> {
    let open = || {
        let context = fsopen("ramfs", FsOpenFlags::FSOPEN_CLOEXEC)?;
        fsconfig_create(&context)?;
        let mount = fsmount(
            &context,
            FsMountFlags::FSMOUNT_CLOEXEC,
            MountAttrFlags::empty(),
        )?;
        let flags = OFlags::RDWR | OFlags::CREATE | OFlags::CLOEXEC;
        let file = openat(&mount, "guplab", flags, Mode::RUSR | Mode::WUSR)?;
        ftruncate(&file, len as u64)?;
        Ok(file)
    };
    open().map_err(|e: Errno| format!("a file in a ramfs: {e}"))
}

/// Memory that the kernel itself can't reach.
pub(crate) fn secret(len: usize) -> Result<OwnedFd, String> {
    let fail = |e: std::io::Error| format!("memfd_secret: {e}");
    // SAFETY: It makes a new descriptor and touches no memory.
    let fd = unsafe { libc::syscall(libc::SYS_memfd_secret, libc::O_CLOEXEC) };
    let fd = i32::try_from(fd).unwrap_or(-1);
    if fd < 0 {
        return Err(fail(std::io::Error::last_os_error()));
    }
    // SAFETY: The descriptor is new, and nobody else's.
    let file = unsafe { OwnedFd::from_raw_fd(fd) };
    ftruncate(&file, len as u64).map_err(|e| fail(e.into()))?;
    Ok(file)
}
