// SPDX-License-Identifier: GPL-2.0
/* The ABI has one layout for 64-bit and 32-bit callers. "make check" compiles this for both. */
#include "guplab.h"

#define SIZE(name, size) \
	_Static_assert(sizeof(struct name) == (size), #name " has another size")

SIZE(guplab_info, 72);
SIZE(guplab_pin, 56);
SIZE(guplab_unpin, 16);
SIZE(guplab_dma, 32);
SIZE(guplab_page, 64);
SIZE(guplab_inspect, 48);
SIZE(guplab_check, 48);
SIZE(guplab_hammer, 176);
SIZE(guplab_collapse, 48);
SIZE(guplab_stats, 144);
SIZE(guplab_delay, 376);
SIZE(guplab_hint, 32);
SIZE(guplab_walk, 592);
SIZE(guplab_explain, 64);
SIZE(guplab_compare, 104);
