/* SPDX-License-Identifier: GPL-2.0 */
/* What bindgen reads to make bindings_generated.rs. */
#include <linux/mm.h>
#include <uapi/linux/mman.h>

#include "helpers.h"
#include "guplab_events.h"

/* Function-like macros, and constants that the kernel crate does not bind. */
const int RUST_CONST_HELPER_GUPLAB_MADV_COLLAPSE = MADV_COLLAPSE;
const unsigned long RUST_CONST_HELPER_GUPLAB_PMD_SIZE = PMD_SIZE;
const unsigned long RUST_CONST_HELPER_GUPLAB_PUD_SIZE = PUD_SIZE;
const unsigned long RUST_CONST_HELPER_GUPLAB_FOLIO_MAPPING_ANON = FOLIO_MAPPING_ANON;
const unsigned long RUST_CONST_HELPER_GUPLAB_FOLIO_MAPPING_FLAGS = FOLIO_MAPPING_FLAGS;
const size_t RUST_CONST_HELPER_GUPLAB_POINT_ARGS = GUPLAB_POINT_ARGS;
const size_t RUST_CONST_HELPER_GUPLAB_POINT_WATCHERS = GUPLAB_POINT_WATCHERS;
