// SPDX-License-Identifier: GPL-2.0
//! Generates the bindings from the only copy of the interface, `rust/uapi/guplab.h`.

use std::env;
use std::path::PathBuf;

fn main() {
    let header = PathBuf::from(env::var("CARGO_MANIFEST_DIR").expect("cargo sets it"))
        .join("../../rust/uapi/guplab.h");
    let out = PathBuf::from(env::var("OUT_DIR").expect("cargo sets it"));
    println!("cargo::rerun-if-changed={}", header.display());

    bindgen::Builder::default()
        .header(header.to_str().expect("the path is UTF-8"))
        .allowlist_item("(GUPLAB|guplab)_.*")
        // The ioctl numbers are macros with a sizeof in them, which need a compiler to evaluate.
        .clang_macro_fallback()
        .clang_macro_fallback_build_dir(&out)
        .prepend_enum_name(false)
        .derive_default(true)
        .derive_eq(true)
        .use_core()
        .generate()
        .unwrap_or_else(|e| panic!("bindgen on {}: {e}", header.display()))
        .write_to_file(out.join("guplab.rs"))
        .expect("OUT_DIR can be written");
}
