// SPDX-License-Identifier: GPL-2.0

//! The module's own C functions and tracepoints, generated from `bindings_helper.h`.

#![allow(
    clippy::all,
    clippy::undocumented_unsafe_blocks,
    dead_code,
    improper_ctypes,
    missing_docs,
    unreachable_pub
)]

// The types in the signatures below, from the kernel's own bindings.
use kernel::{
    bindings::*,
    ffi, //
};

include!(concat!(env!("GUPLAB_OBJ"), "/bindings_generated.rs"));
