// SPDX-License-Identifier: GPL-2.0

//! Kernel functions that are not exported, found by name; and the answer where there is none.

use crate::bindings;
use kernel::{
    bindings::EOPNOTSUPP,
    prelude::*,
    str::CStrExt, //
};

/// Returns the address of a kernel function, unless this kernel lacks it or a module can't call it.
pub(crate) fn address(name: &'static CStr) -> Option<usize> {
    // SAFETY: The name is a C string.
    let address = unsafe { bindings::guplab_symbol_address(name.as_char_ptr()) };
    (address != 0).then_some(address)
}

/// This kernel can't do it.
pub(crate) fn unsupported() -> Error {
    // CAST: Error numbers are small.
    Error::from_errno(-(EOPNOTSUPP as i32))
}
