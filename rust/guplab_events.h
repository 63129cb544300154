/* SPDX-License-Identifier: GPL-2.0 */
#undef TRACE_SYSTEM
#define TRACE_SYSTEM guplab

#if !defined(_GUPLAB_EVENTS_H) || defined(TRACE_HEADER_MULTI_READ)
#define _GUPLAB_EVENTS_H

#include <linux/tracepoint.h>

#include "uapi/guplab.h"

TRACE_DEFINE_ENUM(GUPLAB_WAY_PIN_FAST);
TRACE_DEFINE_ENUM(GUPLAB_WAY_PIN);
TRACE_DEFINE_ENUM(GUPLAB_WAY_PIN_REMOTE);
TRACE_DEFINE_ENUM(GUPLAB_WAY_GET_FAST);
TRACE_DEFINE_ENUM(GUPLAB_WAY_GET_FAST_ONLY);
TRACE_DEFINE_ENUM(GUPLAB_WAY_PIN_FAST_ONLY);
TRACE_DEFINE_ENUM(GUPLAB_WAY_WALK);
TRACE_DEFINE_ENUM(GUPLAB_WAY_WALK_ONLY);
TRACE_DEFINE_ENUM(GUPLAB_WAY_WALK_GET);
TRACE_DEFINE_ENUM(GUPLAB_WAY_WALK_GET_ONLY);

#define show_guplab_way(way) __print_symbolic(way,			\
	{ GUPLAB_WAY_PIN_FAST,		"pin_user_pages_fast" },	\
	{ GUPLAB_WAY_PIN,		"pin_user_pages_unlocked" },		\
	{ GUPLAB_WAY_PIN_REMOTE,	"pin_user_pages_remote" },	\
	{ GUPLAB_WAY_GET_FAST,		"get_user_pages_fast" },	\
	{ GUPLAB_WAY_GET_FAST_ONLY,	"get_user_pages_fast_only" },	\
	{ GUPLAB_WAY_PIN_FAST_ONLY,	"gup_fast_fallback" },		\
	{ GUPLAB_WAY_WALK,		"walk" },			\
	{ GUPLAB_WAY_WALK_ONLY,		"walk_only" },			\
	{ GUPLAB_WAY_WALK_GET,		"walk_get" },			\
	{ GUPLAB_WAY_WALK_GET_ONLY,	"walk_get_only" })

/* The numbers are those of uapi/guplab.h, which perf and trace-cmd don't know. */
#define show_guplab_exclusion(exclusion) __print_symbolic(exclusion,	\
	{ 0, "irqs_off" }, { 1, "rcu" }, { 2, "readers" }, { 3, "none" })

#define show_guplab_level(level) __print_symbolic(level,		\
	{ 0, "pte" }, { 1, "pmd" }, { 2, "pud" }, { 3, "top" })

#define show_guplab_steps(steps) __print_flags(steps, "|",		\
	{ 1 << 0, "SEQCOUNT" }, { 1 << 1, "PERMISSION" },		\
	{ 1 << 2, "PROTNONE" }, { 1 << 3, "FOLIO_SAME" },		\
	{ 1 << 4, "PMD_RECHECK" }, { 1 << 5, "PTE_RECHECK" },		\
	{ 1 << 6, "LEAF_RECHECK" }, { 1 << 7, "FILE_LONGTERM" },	\
	{ 1 << 8, "UNSHARE" }, { 1 << 9, "HAS_PINNED" })

#define show_guplab_stop(stop) __print_symbolic(stop,			\
	{ 0, "none" }, { 1, "fork" }, { 2, "forked" }, { 3, "limit" },	\
	{ 4, "empty" }, { 5, "nonpresent" }, { 6, "protnone" },		\
	{ 7, "permission" }, { 8, "special" }, { 9, "no_page" },	\
	{ 10, "p2pdma" }, { 11, "folio_gone" }, { 12, "placement" },	\
	{ 13, "pmd_changed" }, { 14, "changed" }, { 15, "file" },	\
	{ 16, "unshare" })

#define show_guplab_pin_flags(flags) __print_flags(flags, "|",		\
	{ 1 << 0, "WRITE" },						\
	{ 1 << 1, "LONGTERM" },						\
	{ 1 << 2, "FORCE" },						\
	{ 1 << 3, "NOFAULT" },						\
	{ 1 << 4, "HONOR_NUMA_FAULT" },					\
	{ 1 << 5, "INTERRUPTIBLE" },					\
	{ 1 << 6, "SPLIT_PMD" })

TRACE_EVENT(guplab_pin,
	TP_PROTO(unsigned long addr, unsigned int nr_pages, unsigned int way,
		 unsigned int flags, long ret, unsigned long pfn),
	TP_ARGS(addr, nr_pages, way, flags, ret, pfn),
	TP_STRUCT__entry(
		__field(unsigned long, addr)
		__field(unsigned int, nr_pages)
		__field(unsigned int, way)
		__field(unsigned int, flags)
		__field(long, ret)
		__field(unsigned long, pfn)
	),
	TP_fast_assign(
		__entry->addr = addr;
		__entry->nr_pages = nr_pages;
		__entry->way = way;
		__entry->flags = flags;
		__entry->ret = ret;
		__entry->pfn = pfn;
	),
	TP_printk("addr=0x%lx nr_pages=%u way=%s flags=%s ret=%ld pfn=0x%lx",
		  __entry->addr, __entry->nr_pages, show_guplab_way(__entry->way),
		  show_guplab_pin_flags(__entry->flags), __entry->ret, __entry->pfn)
);

/* A walk of guplab's own: what protected it, what it took, and what ended it. */
TRACE_EVENT(guplab_walk,
	TP_PROTO(unsigned long addr, unsigned int nr_pages, unsigned int exclusion,
		 unsigned int steps_off, unsigned int taken, unsigned int stop,
		 unsigned int level),
	TP_ARGS(addr, nr_pages, exclusion, steps_off, taken, stop, level),
	TP_STRUCT__entry(
		__field(unsigned long, addr)
		__field(unsigned int, nr_pages)
		__field(unsigned int, exclusion)
		__field(unsigned int, steps_off)
		__field(unsigned int, taken)
		__field(unsigned int, stop)
		__field(unsigned int, level)
	),
	TP_fast_assign(
		__entry->addr = addr;
		__entry->nr_pages = nr_pages;
		__entry->exclusion = exclusion;
		__entry->steps_off = steps_off;
		__entry->taken = taken;
		__entry->stop = stop;
		__entry->level = level;
	),
	TP_printk("addr=0x%lx nr_pages=%u exclusion=%s steps_off=%s taken=%u stop=%s level=%s",
		  __entry->addr, __entry->nr_pages, show_guplab_exclusion(__entry->exclusion),
		  show_guplab_steps(__entry->steps_off), __entry->taken,
		  show_guplab_stop(__entry->stop), show_guplab_level(__entry->level))
);

/* An entry that such a walk has read. */
TRACE_EVENT(guplab_walk_entry,
	TP_PROTO(unsigned int level, unsigned long addr, u64 value),
	TP_ARGS(level, addr, value),
	TP_STRUCT__entry(
		__field(unsigned int, level)
		__field(unsigned long, addr)
		__field(u64, value)
	),
	TP_fast_assign(
		__entry->level = level;
		__entry->addr = addr;
		__entry->value = value;
	),
	TP_printk("level=%s addr=0x%lx value=0x%llx", show_guplab_level(__entry->level),
		  __entry->addr, __entry->value)
);

TRACE_EVENT(guplab_unpin,
	TP_PROTO(unsigned long addr, unsigned long nr_pages, unsigned long pfn),
	TP_ARGS(addr, nr_pages, pfn),
	TP_STRUCT__entry(
		__field(unsigned long, addr)
		__field(unsigned long, nr_pages)
		__field(unsigned long, pfn)
	),
	TP_fast_assign(
		__entry->addr = addr;
		__entry->nr_pages = nr_pages;
		__entry->pfn = pfn;
	),
	TP_printk("addr=0x%lx nr_pages=%lu pfn=0x%lx",
		  __entry->addr, __entry->nr_pages, __entry->pfn)
);

TRACE_EVENT(guplab_collapse,
	TP_PROTO(unsigned long addr, unsigned long len, int ret, u64 ns),
	TP_ARGS(addr, len, ret, ns),
	TP_STRUCT__entry(
		__field(unsigned long, addr)
		__field(unsigned long, len)
		__field(int, ret)
		__field(u64, ns)
	),
	TP_fast_assign(
		__entry->addr = addr;
		__entry->len = len;
		__entry->ret = ret;
		__entry->ns = ns;
	),
	TP_printk("addr=0x%lx len=0x%lx ret=%d ns=%llu",
		  __entry->addr, __entry->len, __entry->ret, __entry->ns)
);

TRACE_EVENT(guplab_check,
	TP_PROTO(unsigned long addr, unsigned int same, unsigned int differs,
		 unsigned int absent, unsigned int unpinned),
	TP_ARGS(addr, same, differs, absent, unpinned),
	TP_STRUCT__entry(
		__field(unsigned long, addr)
		__field(unsigned int, same)
		__field(unsigned int, differs)
		__field(unsigned int, absent)
		__field(unsigned int, unpinned)
	),
	TP_fast_assign(
		__entry->addr = addr;
		__entry->same = same;
		__entry->differs = differs;
		__entry->absent = absent;
		__entry->unpinned = unpinned;
	),
	TP_printk("addr=0x%lx same=%u differs=%u absent=%u unpinned=%u",
		  __entry->addr, __entry->same, __entry->differs, __entry->absent,
		  __entry->unpinned)
);

TRACE_EVENT(guplab_hammer,
	TP_PROTO(unsigned long addr, unsigned int nr_pages, u64 calls, u64 pages,
		 u64 mismatches, u64 ns),
	TP_ARGS(addr, nr_pages, calls, pages, mismatches, ns),
	TP_STRUCT__entry(
		__field(unsigned long, addr)
		__field(unsigned int, nr_pages)
		__field(u64, calls)
		__field(u64, pages)
		__field(u64, mismatches)
		__field(u64, ns)
	),
	TP_fast_assign(
		__entry->addr = addr;
		__entry->nr_pages = nr_pages;
		__entry->calls = calls;
		__entry->pages = pages;
		__entry->mismatches = mismatches;
		__entry->ns = ns;
	),
	TP_printk("addr=0x%lx nr_pages=%u calls=%llu pages=%llu mismatches=%llu ns=%llu",
		  __entry->addr, __entry->nr_pages, __entry->calls, __entry->pages,
		  __entry->mismatches, __entry->ns)
);

/* A command of gup_test, by its number in mm/gup_test.h. */
TRACE_EVENT(guplab_gup_test,
	TP_PROTO(unsigned int cmd, u64 addr, u64 size, u64 pages, u64 get_ns, u64 put_ns),
	TP_ARGS(cmd, addr, size, pages, get_ns, put_ns),
	TP_STRUCT__entry(
		__field(unsigned int, cmd)
		__field(u64, addr)
		__field(u64, size)
		__field(u64, pages)
		__field(u64, get_ns)
		__field(u64, put_ns)
	),
	TP_fast_assign(
		__entry->cmd = _IOC_NR(cmd);
		__entry->addr = addr;
		__entry->size = size;
		__entry->pages = pages;
		__entry->get_ns = get_ns;
		__entry->put_ns = put_ns;
	),
	TP_printk("cmd=%s addr=0x%llx size=%llu pages=%llu get_ns=%llu put_ns=%llu",
		  __print_symbolic(__entry->cmd, { 1, "GUP_FAST_BENCHMARK" },
				   { 2, "PIN_FAST_BENCHMARK" }, { 3, "PIN_LONGTERM_BENCHMARK" },
				   { 4, "GUP_BASIC_TEST" }, { 5, "PIN_BASIC_TEST" },
				   { 6, "DUMP_USER_PAGES_TEST" },
				   { 7, "PIN_LONGTERM_TEST_START" }),
		  __entry->addr, __entry->size, __entry->pages, __entry->get_ns,
		  __entry->put_ns)
);

/* A task came to a delay point at @at_ns, and was held there for a while or not at all. */
TRACE_EVENT(guplab_window,
	TP_PROTO(const char *point, bool is_return, u64 at_ns, u64 held_ns, bool met,
		 unsigned long addr),
	TP_ARGS(point, is_return, at_ns, held_ns, met, addr),
	TP_STRUCT__entry(
		__string(point, point)
		__field(bool, is_return)
		__field(bool, met)
		__field(u64, at_ns)
		__field(u64, held_ns)
		__field(unsigned long, addr)
	),
	TP_fast_assign(
		__assign_str(point);
		__entry->is_return = is_return;
		__entry->met = met;
		__entry->at_ns = at_ns;
		__entry->held_ns = held_ns;
		__entry->addr = addr;
	),
	TP_printk("point=%s side=%s at_ns=%llu held_ns=%llu met=%d addr=0x%lx",
		  __get_str(point), __entry->is_return ? "return" : "entry",
		  __entry->at_ns, __entry->held_ns, __entry->met, __entry->addr)
);

/* A pin and its mapping disagree, and whoever asked said that they must not. */
TRACE_EVENT(guplab_violation,
	TP_PROTO(unsigned long addr, unsigned long pfn, unsigned long map_pfn),
	TP_ARGS(addr, pfn, map_pfn),
	TP_STRUCT__entry(
		__field(unsigned long, addr)
		__field(unsigned long, pfn)
		__field(unsigned long, map_pfn)
	),
	TP_fast_assign(
		__entry->addr = addr;
		__entry->pfn = pfn;
		__entry->map_pfn = map_pfn;
	),
	TP_printk("addr=0x%lx pfn=0x%lx map_pfn=0x%lx",
		  __entry->addr, __entry->pfn, __entry->map_pfn)
);

#endif /* _GUPLAB_EVENTS_H */

#undef TRACE_INCLUDE_PATH
#define TRACE_INCLUDE_PATH .
#undef TRACE_INCLUDE_FILE
#define TRACE_INCLUDE_FILE guplab_events
#include <trace/define_trace.h>
