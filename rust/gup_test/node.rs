// SPDX-License-Identifier: GPL-2.0

//! A file in debugfs that has operations of its own, which `kernel::debugfs` doesn't offer.

use crate::bindings;
use core::ptr::{
    self,
    NonNull, //
};
use kernel::{
    bindings::{
        dentry,
        file_operations, //
    },
    error::from_err_ptr,
    prelude::*,
    str::CStrExt,
    sync::SetOnce, //
};

const NAME: &CStr = c"gup_test";

static KERNEL_HAS_ITS_OWN: SetOnce<bool> = SetOnce::new();

/// Looks for the driver of the kernel. Called before there is ours.
pub(super) fn look_for_the_kernels_own() {
    KERNEL_HAS_ITS_OWN.populate(lookup(NAME).is_some());
}

/// Returns whether the kernel has CONFIG_GUP_TEST.
pub(crate) fn kernel_has_its_own() -> bool {
    KERNEL_HAS_ITS_OWN.as_ref().copied().unwrap_or_default()
}

/// A reference to what debugfs has by a name.
struct Found(NonNull<dentry>);

/// Looks for a name at the top of debugfs.
fn lookup(name: &CStr) -> Option<Found> {
    // SAFETY: The name is a string; no parent is the top.
    let found = unsafe { bindings::guplab_debugfs_lookup(name.as_char_ptr()) };
    from_err_ptr(found).ok().and_then(NonNull::new).map(Found)
}

impl Drop for Found {
    fn drop(&mut self) {
        // SAFETY: The lookup took the reference that is given back here.
        unsafe { kernel::bindings::dput(self.0.as_ptr()) };
    }
}

/// The file, there as long as this lives.
///
/// # Invariants
///
/// The file was made here, and nobody else removes it.
pub(super) struct Node(NonNull<dentry>);

impl Node {
    /// Makes the file, in guplab's folder or at the top. Returns nothing, and says so in the log,
    /// where that isn't possible, as without debugfs.
    ///
    /// # Safety
    ///
    /// `fops` has an owner and is valid for as long as this lives and as a file is open.
    pub(super) unsafe fn new(in_folder: bool, fops: *const file_operations) -> Option<Self> {
        let folder = if in_folder {
            Some(lookup(c"guplab")?)
        } else {
            None
        };
        let parent = folder.as_ref().map_or(ptr::null_mut(), |f| f.0.as_ptr());
        // SAFETY: The name is a string, the parent is referenced, and for the operations the caller
        // promises it.
        let made =
            unsafe { bindings::guplab_debugfs_create_file(NAME.as_char_ptr(), parent, fops) };
        match from_err_ptr(made) {
            // INVARIANT: It was just made.
            Ok(made) => NonNull::new(made).map(Self),
            Err(error) => {
                pr_info!("no gup_test in debugfs: error {}\n", error.to_errno());
                None
            }
        }
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        // SAFETY: By the type invariant the file is there.
        unsafe { bindings::guplab_debugfs_remove(self.0.as_ptr()) };
    }
}
