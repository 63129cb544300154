/* SPDX-License-Identifier: GPL-2.0 WITH Linux-syscall-note */
/**
 * DOC: The interface between /dev/guplab and userspace
 *
 * Every open file is a session of its own: what it pins is released when the last descriptor of
 * it is closed, and no other session can name it.
 *
 * Common to all commands:
 *
 * * Fields that are not used by a command, and flag bits without a name here, must be zero.
 * * Addresses are user addresses; ranges are whole pages and must not wrap or leave the user part
 *   of the address space.
 * * A command whose size or direction differs from the ones here is an unknown command.
 * * Time stamps are CLOCK_MONOTONIC nanoseconds.
 * * @pid is 0 for the calling process. Any other value names a process in the caller's pid
 *   namespace and needs CAP_SYS_ADMIN.
 *
 * The commands:
 *
 * * %GUPLAB_IOC_INFO, &struct guplab_info: tells what module and kernel can do
 * * %GUPLAB_IOC_PIN, &struct guplab_pin: pins a range and keeps it pinned
 * * %GUPLAB_IOC_UNPIN, &struct guplab_unpin: releases a pin
 * * %GUPLAB_IOC_DMA, &struct guplab_dma: reads or writes pinned pages
 * * %GUPLAB_IOC_INSPECT, &struct guplab_inspect: looks at pages and page tables
 * * %GUPLAB_IOC_CHECK, &struct guplab_check: compares a pin with the mapping
 * * %GUPLAB_IOC_HAMMER, &struct guplab_hammer: pins, uses and unpins in a loop
 * * %GUPLAB_IOC_COLLAPSE, &struct guplab_collapse: MADV_COLLAPSE
 * * %GUPLAB_IOC_STATS, &struct guplab_stats: tells what was done
 * * %GUPLAB_IOC_DELAY, &struct guplab_delay: delays tasks at a point of the kernel
 * * %GUPLAB_IOC_HINT, &struct guplab_hint: sets NUMA hints
 * * %GUPLAB_IOC_WALK, &struct guplab_walk: says how this session's own walks protect themselves
 * * %GUPLAB_IOC_EXPLAIN, &struct guplab_explain: tells what a walk would do at an address
 * * %GUPLAB_IOC_COMPARE, &struct guplab_compare: compares walks with the kernel's own
 *
 * Errors common to all commands:
 *
 * ==========  ====================================================================================
 * EINVAL      malformed request: unknown flag, non-zero unused field, unaligned, empty,
 *             overflowing or too large range, kernel address, flags that this way of pinning
 *             can't take
 * EFAULT      the request or a buffer that it names can't be read or written
 * ENOENT      @handle or @gate names no pin or armed point of this session (never did, or no
 *             longer does)
 * EPERM       CAP_SYS_ADMIN is missing, or the pin was not made for writing
 * ESRCH       no process @pid, or it has no memory of its own any more
 * ENOTTY      unknown command
 * EOPNOTSUPP  this kernel can't do it; GUPLAB_IOC_INFO tells beforehand
 * EINTR       a signal arrived; what was done until then is reported in the request
 * ==========  ====================================================================================
 */
#ifndef _GUPLAB_UAPI_H
#define _GUPLAB_UAPI_H

#include <linux/ioctl.h>
#include <linux/types.h>

#define GUPLAB_DEVICE		"guplab"

/* The version of this interface. It changes when an existing command does. */
#define GUPLAB_ABI_VERSION	3

/* Bounds. */
#define GUPLAB_MAX_PAGES	(1U << 20)	/* pages held by one session */
#define GUPLAB_MAX_HANDLES	(1U << 20)	/* pins held by one session */
#define GUPLAB_MAX_INSPECT	512U		/* pages in one INSPECT */
#define GUPLAB_MAX_DMA		(1U << 20)	/* bytes in one DMA */
#define GUPLAB_MAX_BATCH	(1U << 20)	/* pages that HAMMER holds at a time */
#define GUPLAB_MAX_TIMES	(1U << 20)	/* calls of one HAMMER that are timed */
#define GUPLAB_MAX_NS		60000000000ULL	/* nanoseconds in one HAMMER */
#define GUPLAB_MAX_COLLAPSE	(1UL << 30)	/* bytes in one COLLAPSE */
#define GUPLAB_MAX_HINT		(1UL << 30)	/* bytes in one HINT */
#define GUPLAB_MAX_DELAYS	16U		/* points armed by one session */
#define GUPLAB_MAX_DELAY_NS	20000000U	/* nanoseconds of one delay */
#define GUPLAB_MAX_IRQS_OFF_NS	2000000U	/* the same where interrupts are off */
#define GUPLAB_MAX_GATE_NS	100000000U	/* nanoseconds before a gate opens by itself */
#define GUPLAB_NR_GAPS		32		/* buckets of a histogram of DELAY */

/**
 * enum guplab_feature - bits of &struct guplab_info.features
 * @GUPLAB_FEATURE_COLLAPSE: COLLAPSE works: do_madvise() was found and may be called.
 * @GUPLAB_FEATURE_THP: The kernel has transparent huge pages.
 * @GUPLAB_FEATURE_HUGETLB: The kernel has hugetlb.
 * @GUPLAB_FEATURE_DEBUG_VM: The kernel checks its own mm invariants (CONFIG_DEBUG_VM).
 * @GUPLAB_FEATURE_DELAY: DELAY can arm kernel functions (CONFIG_KRETPROBES); the points that this
 *	kernel has are told by %GUPLAB_DELAY_QUERY.
 * @GUPLAB_FEATURE_NOTIFIER: DELAY can arm %GUPLAB_POINT_NOTIFIER (CONFIG_MMU_NOTIFIER).
 * @GUPLAB_FEATURE_HINT: HINT works: change_prot_numa() was found and may be called.
 * @GUPLAB_FEATURE_UNSAFE_WALKS: The module was loaded with unsafe_walks=1: WALK may leave out
 *	protective steps.
 * @GUPLAB_FEATURE_INLINED: The walk's C primitives were compiled into its Rust code, so that its
 *	speed can be compared.
 * @GUPLAB_FEATURE_IN_TREE_GUP_TEST: The kernel has gup_test of its own (CONFIG_GUP_TEST). That of
 *	guplab is guplab/gup_test in debugfs, with or without it.
 * @GUPLAB_FEATURE_WIDE_ENTRIES: An entry of a page table is wider than a word, so that who reads it
 *	word by word may read halves of two: WALK can leave out %GUPLAB_STEP_ENTRY_WHOLE.
 */
enum guplab_feature {
	GUPLAB_FEATURE_COLLAPSE	= 1 << 0,
	GUPLAB_FEATURE_THP	= 1 << 1,
	GUPLAB_FEATURE_HUGETLB	= 1 << 2,
	GUPLAB_FEATURE_DEBUG_VM	= 1 << 3,
	GUPLAB_FEATURE_DELAY	= 1 << 4,
	GUPLAB_FEATURE_NOTIFIER	= 1 << 5,
	GUPLAB_FEATURE_HINT	= 1 << 6,
	GUPLAB_FEATURE_UNSAFE_WALKS	= 1 << 7,
	GUPLAB_FEATURE_INLINED	= 1 << 8,
	GUPLAB_FEATURE_IN_TREE_GUP_TEST	= 1 << 9,
	GUPLAB_FEATURE_WIDE_ENTRIES	= 1 << 10,
};

/**
 * struct guplab_info - what this module and this kernel can do
 * @abi_version: out: %GUPLAB_ABI_VERSION of the module
 * @page_size: out: bytes in a base page
 * @pmd_size: out: bytes that one PMD maps
 * @features: out: &enum guplab_feature bits
 * @ways: out: one bit for each &enum guplab_way that can be used
 * @pin_flags: out: every &enum guplab_pin_flag that this kernel knows
 * @max_pages: out: %GUPLAB_MAX_PAGES of the module
 * @max_ns: out: %GUPLAB_MAX_NS of the module
 * @reserved: zero
 */
struct guplab_info {
	__u32 abi_version;
	__u32 page_size;
	__aligned_u64 pmd_size;
	__aligned_u64 features;
	__u32 ways;
	__u32 pin_flags;
	__aligned_u64 max_pages;
	__aligned_u64 max_ns;
	__aligned_u64 reserved[3];
};

/**
 * enum guplab_way - the kernel function that pins, or guplab's own walk
 * @GUPLAB_WAY_PIN_FAST: pin_user_pages_fast()
 * @GUPLAB_WAY_PIN: pin_user_pages_unlocked(): the slow path alone, under the mmap lock. It is
 *	pin_user_pages() for callers whose faults may wait.
 * @GUPLAB_WAY_PIN_REMOTE: pin_user_pages_remote(), under the mmap lock; the only way that takes
 *	a @pid
 * @GUPLAB_WAY_GET_FAST: get_user_pages_fast(): a reference, not a pin
 * @GUPLAB_WAY_GET_FAST_ONLY: get_user_pages_fast_only(): a reference, never the slow path
 * @GUPLAB_WAY_PIN_FAST_ONLY: the lockless part of pin_user_pages_fast() alone, for which the kernel
 *	has no function of its own: gup_fast_fallback() with FOLL_PIN and FOLL_FAST_ONLY. Only where
 *	that could be found (&struct guplab_info.ways).
 * @GUPLAB_WAY_WALK: guplab's own lockless walk, as WALK has set it up, which pins; what it leaves
 *	goes to pin_user_pages_unlocked(), as pin_user_pages_fast() does
 * @GUPLAB_WAY_WALK_ONLY: the walk alone, which pins
 * @GUPLAB_WAY_WALK_GET: the walk, which takes references; what it leaves goes to
 *	get_user_pages_unlocked()
 * @GUPLAB_WAY_WALK_GET_ONLY: the walk alone, which takes references
 */
enum guplab_way {
	GUPLAB_WAY_PIN_FAST,
	GUPLAB_WAY_PIN,
	GUPLAB_WAY_PIN_REMOTE,
	GUPLAB_WAY_GET_FAST,
	GUPLAB_WAY_GET_FAST_ONLY,
	GUPLAB_WAY_PIN_FAST_ONLY,
	GUPLAB_WAY_WALK,
	GUPLAB_WAY_WALK_ONLY,
	GUPLAB_WAY_WALK_GET,
	GUPLAB_WAY_WALK_GET_ONLY,
};

/**
 * enum guplab_pin_flag - how to pin
 * @GUPLAB_PIN_WRITE: FOLL_WRITE
 * @GUPLAB_PIN_LONGTERM: FOLL_LONGTERM, charged to RLIMIT_MEMLOCK; not with the GET ways
 * @GUPLAB_PIN_FORCE: FOLL_FORCE
 * @GUPLAB_PIN_NOFAULT: FOLL_NOFAULT
 * @GUPLAB_PIN_HONOR_NUMA_FAULT: FOLL_HONOR_NUMA_FAULT
 * @GUPLAB_PIN_INTERRUPTIBLE: FOLL_INTERRUPTIBLE; PIN and PIN_REMOTE only
 * @GUPLAB_PIN_SPLIT_PMD: FOLL_SPLIT_PMD; PIN and PIN_REMOTE only
 */
enum guplab_pin_flag {
	GUPLAB_PIN_WRITE		= 1 << 0,
	GUPLAB_PIN_LONGTERM		= 1 << 1,
	GUPLAB_PIN_FORCE		= 1 << 2,
	GUPLAB_PIN_NOFAULT		= 1 << 3,
	GUPLAB_PIN_HONOR_NUMA_FAULT	= 1 << 4,
	GUPLAB_PIN_INTERRUPTIBLE	= 1 << 5,
	GUPLAB_PIN_SPLIT_PMD		= 1 << 6,
};

/**
 * struct guplab_pin - pin a range and keep it pinned
 * @addr: in: page-aligned start
 * @nr_pages: in: pages to pin, at most %GUPLAB_MAX_PAGES in the session
 * @way: in: &enum guplab_way
 * @flags: in: &enum guplab_pin_flag bits
 * @pid: in: the process whose memory is pinned; not 0 only with %GUPLAB_WAY_PIN_REMOTE
 * @handle: out: the name of the pin in this session; never used twice
 * @start_ns: out: time before the kernel function was called
 * @end_ns: out: time after it returned
 * @pinned: out: pages that are pinned now. The kernel function is called once, and less than
 *	@nr_pages is a success, as it is in the kernel.
 * @gate: in: 0, or the id of a point that this session has armed by DELAY: begin when a task is
 *	inside its function, or else after %GUPLAB_MAX_GATE_NS
 *
 * Where no page could be pinned the command fails with the kernel function's error, and with EFAULT
 * where that returned 0 (as get_user_pages_fast_only() and all ways named ONLY do). ENOMEM: no
 * memory, or RLIMIT_MEMLOCK is used up. ENOSPC: the session would hold too many pages or pins.
 * EOPNOTSUPP: this kernel doesn't have the way.
 */
struct guplab_pin {
	__aligned_u64 addr;
	__u32 nr_pages;
	__u32 way;
	__u32 flags;
	__s32 pid;
	__aligned_u64 handle;
	__aligned_u64 start_ns;
	__aligned_u64 end_ns;
	__u32 pinned;
	__u32 gate;
};

/**
 * enum guplab_unpin_flag - how to unpin
 * @GUPLAB_UNPIN_DIRTY: Mark the pages dirty, as after a device has written to them.
 */
enum guplab_unpin_flag {
	GUPLAB_UNPIN_DIRTY	= 1 << 0,
};

/**
 * struct guplab_unpin - release a pin; its handle is gone for good
 * @handle: in: from PIN
 * @flags: in: &enum guplab_unpin_flag bits
 * @reserved: in: zero
 *
 * EPERM: %GUPLAB_UNPIN_DIRTY for a pin that was not made for writing.
 */
struct guplab_unpin {
	__aligned_u64 handle;
	__u32 flags;
	__u32 reserved;
};

/**
 * enum guplab_dma_flag - direction of DMA
 * @GUPLAB_DMA_TO_PAGES: Write to the pinned pages. Without it they are read.
 */
enum guplab_dma_flag {
	GUPLAB_DMA_TO_PAGES	= 1 << 0,
};

/**
 * struct guplab_dma - read or write pinned pages as a device would: by page, not by address
 * @handle: in: from PIN
 * @offset: in: bytes from the start of the pin
 * @buf: in: user address to copy from or to
 * @len: in: bytes, at most %GUPLAB_MAX_DMA
 * @flags: in: &enum guplab_dma_flag bits
 *
 * EINVAL: @offset and @len leave the pages that are pinned. EPERM: the pin was not made for
 * writing.
 */
struct guplab_dma {
	__aligned_u64 handle;
	__aligned_u64 offset;
	__aligned_u64 buf;
	__u32 len;
	__u32 flags;
};

/**
 * enum guplab_page_flag - bits of &struct guplab_page.flags, as the page was seen
 * @GUPLAB_PAGE_PRESENT: There is a page: the other page fields are valid.
 * @GUPLAB_PAGE_ANON: anonymous
 * @GUPLAB_PAGE_EXCLUSIVE: PageAnonExclusive()
 * @GUPLAB_PAGE_DMA_PINNED: folio_maybe_dma_pinned()
 * @GUPLAB_PAGE_LARGE: part of a large folio
 * @GUPLAB_PAGE_HUGETLB: hugetlb
 * @GUPLAB_PAGE_KSM: merged by KSM
 * @GUPLAB_PAGE_SWAPCACHE: in the swap cache
 * @GUPLAB_PAGE_LRU: on an LRU list
 * @GUPLAB_PAGE_DIRTY: dirty
 * @GUPLAB_PAGE_ZERO: the shared zero page
 * @GUPLAB_PAGE_LONGTERM_OK: folio_is_longterm_pinnable()
 */
enum guplab_page_flag {
	GUPLAB_PAGE_PRESENT	= 1 << 0,
	GUPLAB_PAGE_ANON	= 1 << 1,
	GUPLAB_PAGE_EXCLUSIVE	= 1 << 2,
	GUPLAB_PAGE_DMA_PINNED	= 1 << 3,
	GUPLAB_PAGE_LARGE	= 1 << 4,
	GUPLAB_PAGE_HUGETLB	= 1 << 5,
	GUPLAB_PAGE_KSM		= 1 << 6,
	GUPLAB_PAGE_SWAPCACHE	= 1 << 7,
	GUPLAB_PAGE_LRU		= 1 << 8,
	GUPLAB_PAGE_DIRTY	= 1 << 9,
	GUPLAB_PAGE_ZERO	= 1 << 10,
	GUPLAB_PAGE_LONGTERM_OK	= 1 << 11,
};

/**
 * enum guplab_leaf_flag - bits of &struct guplab_page.leaf_flags: the page-table entry that maps
 *	the address
 * @GUPLAB_LEAF_MAPPED: The entry is present and maps @map_pfn.
 * @GUPLAB_LEAF_WRITE: writable
 * @GUPLAB_LEAF_DIRTY: dirty
 * @GUPLAB_LEAF_YOUNG: accessed
 * @GUPLAB_LEAF_PROTNONE: PROT_NONE or a NUMA hint
 * @GUPLAB_LEAF_SPECIAL: has no struct page that could be pinned
 * @GUPLAB_LEAF_NONPRESENT: The entry is neither present nor empty: swap, migration, marker.
 * @GUPLAB_LEAF_UFFD_WP: has userfaultfd's bit: write-protected, or, from Linux 7.3 on, protected
 *	against reading as well
 * @GUPLAB_LEAF_SOFT_DIRTY: soft-dirty
 */
enum guplab_leaf_flag {
	GUPLAB_LEAF_MAPPED	= 1 << 0,
	GUPLAB_LEAF_WRITE	= 1 << 1,
	GUPLAB_LEAF_DIRTY	= 1 << 2,
	GUPLAB_LEAF_YOUNG	= 1 << 3,
	GUPLAB_LEAF_PROTNONE	= 1 << 4,
	GUPLAB_LEAF_SPECIAL	= 1 << 5,
	GUPLAB_LEAF_NONPRESENT	= 1 << 6,
	GUPLAB_LEAF_UFFD_WP	= 1 << 7,
	GUPLAB_LEAF_SOFT_DIRTY	= 1 << 8,
};

/**
 * enum guplab_level - where the walk ended
 * @GUPLAB_LEVEL_PTE: at a PTE
 * @GUPLAB_LEVEL_PMD: at a PMD: a leaf, or no PTE table below it
 * @GUPLAB_LEVEL_PUD: at a PUD: a leaf, or no PMD table below it
 * @GUPLAB_LEVEL_TOP: above the PUD: no PUD table
 */
enum guplab_level {
	GUPLAB_LEVEL_PTE,
	GUPLAB_LEVEL_PMD,
	GUPLAB_LEVEL_PUD,
	GUPLAB_LEVEL_TOP,
};

/**
 * struct guplab_page - one page as it was seen
 * @addr: the user address
 * @pfn: the page frame: of the pinned page, or of the mapped page if an address was inspected
 * @map_pfn: the page frame that the page table holds for @addr now, if %GUPLAB_LEAF_MAPPED
 * @refcount: references to the folio; the one that INSPECT itself takes is not counted
 * @pincount: pins of the folio; -1 where it can't be told from references (small folios, which
 *	count 1024 references a pin)
 * @mapcount: how often the folio is mapped
 * @order: the folio's order
 * @nid: the folio's NUMA node
 * @flags: &enum guplab_page_flag bits
 * @leaf_flags: &enum guplab_leaf_flag bits
 * @level: &enum guplab_level
 * @index: the page's number within its folio
 * @reserved: zero
 *
 * Counters and page table are read one after the other without stopping anybody: quiesce the actors
 * where they must agree.
 */
struct guplab_page {
	__aligned_u64 addr;
	__aligned_u64 pfn;
	__aligned_u64 map_pfn;
	__s32 refcount;
	__s32 pincount;
	__s32 mapcount;
	__u32 order;
	__s32 nid;
	__u32 flags;
	__u32 leaf_flags;
	__u32 level;
	__u32 index;
	__u32 reserved;
};

/**
 * struct guplab_inspect - look at the pages of a pin, or at what is mapped at an address
 * @handle: in: a pin of this session, or 0 to look at an address
 * @addr: in: page-aligned address, if @handle is 0
 * @first: in: number of the first page to look at, if @handle is not 0
 * @nr_pages: in: pages, at most %GUPLAB_MAX_INSPECT
 * @pid: in: the process to look at, if @handle is 0; a pin belongs to the process it was made in
 * @buf: in: user address of an array of @nr_pages &struct guplab_page
 * @page_size: in: sizeof(struct guplab_page)
 * @reserved: in: zero
 *
 * EINVAL: @first and @nr_pages leave the pages that are pinned.
 */
struct guplab_inspect {
	__aligned_u64 handle;
	__aligned_u64 addr;
	__u32 first;
	__u32 nr_pages;
	__s32 pid;
	__u32 page_size;
	__aligned_u64 buf;
	__aligned_u64 reserved;
};

/**
 * enum guplab_check_flag - what CHECK makes of a disagreement
 * @GUPLAB_CHECK_EXPECT_SAME: The caller knows that every page of the pin must still be mapped:
 *	a page that differs or is absent is recorded as a violation.
 */
enum guplab_check_flag {
	GUPLAB_CHECK_EXPECT_SAME	= 1 << 0,
};

/**
 * struct guplab_check - do a pin and the mapping agree now?
 * @handle: in: from PIN
 * @flags: in: &enum guplab_check_flag bits
 * @same: out: pages whose address maps the pinned page
 * @differs: out: pages whose address maps another page
 * @absent: out: pages whose address maps nothing at the moment
 * @unpinned: out: pages that do not look pinned (folio_maybe_dma_pinned() is false); the GET ways
 *	don't pin, and the shared zero page is never pinned: those are not counted
 * @bad_index: out: number of the first page that differs or is absent, or ~0 if none
 * @bad_pfn: out: its pinned page frame
 * @bad_map_pfn: out: the page frame that is mapped instead, 0 if none
 */
struct guplab_check {
	__aligned_u64 handle;
	__u32 flags;
	__u32 same;
	__u32 differs;
	__u32 absent;
	__u32 unpinned;
	__u32 bad_index;
	__aligned_u64 bad_pfn;
	__aligned_u64 bad_map_pfn;
};

/**
 * enum guplab_hammer_flag - what HAMMER does between pin and unpin
 * @GUPLAB_HAMMER_WRITE: Write the number of the call to @offset of each page, through the pin.
 * @GUPLAB_HAMMER_CHECK_DATA: After the write, read @offset of each page at its user address: it
 *	must show what was written. Needs %GUPLAB_HAMMER_WRITE, %GUPLAB_PIN_WRITE and that nobody
 *	else writes there.
 * @GUPLAB_HAMMER_CHECK_MAP: Each pinned page must be the one that its address maps; an address that
 *	maps nothing at the moment is not counted.
 * @GUPLAB_HAMMER_RANDOM: Take the batches of the range in a random order given by @seed.
 * @GUPLAB_HAMMER_STOP: End at the first mismatch.
 * @GUPLAB_HAMMER_TIME_UNPIN: Tell @unpin_ns. The clock is read twice each time that pages are
 *	released, which costs much where @hold is small.
 * @GUPLAB_HAMMER_TIME_CALLS: Tell how long each of the first @nr_times calls of the kernel function
 *	took. The clock is read twice for each.
 */
enum guplab_hammer_flag {
	GUPLAB_HAMMER_WRITE		= 1 << 0,
	GUPLAB_HAMMER_CHECK_DATA	= 1 << 1,
	GUPLAB_HAMMER_CHECK_MAP		= 1 << 2,
	GUPLAB_HAMMER_RANDOM		= 1 << 3,
	GUPLAB_HAMMER_STOP		= 1 << 4,
	GUPLAB_HAMMER_TIME_UNPIN	= 1 << 5,
	GUPLAB_HAMMER_TIME_CALLS	= 1 << 6,
};

/**
 * struct guplab_hammer - pin, use and unpin in a loop, inside one call
 * @addr: in: page-aligned start of the range
 * @nr_pages: in: pages in the range, at most %GUPLAB_MAX_PAGES
 * @batch: in: pages in each pin, at most @nr_pages; the last batch of the range may be smaller
 * @way: in: &enum guplab_way, not %GUPLAB_WAY_PIN_REMOTE
 * @pin_flags: in: &enum guplab_pin_flag bits; not %GUPLAB_PIN_LONGTERM
 * @flags: in: &enum guplab_hammer_flag bits
 * @offset: in: byte within each page that is written, a multiple of 8
 * @seed: in: for %GUPLAB_HAMMER_RANDOM
 * @max_calls: in: end after so many pins; 0 for no such bound
 * @max_ns: in: end after this time, at most %GUPLAB_MAX_NS; 0 for no such bound. One of the two
 *	bounds is needed.
 * @calls: out: calls of the kernel function
 * @pages: out: pages that were pinned
 * @short_calls: out: calls that pinned some but not all pages
 * @failed_calls: out: calls that pinned nothing
 * @last_error: out: error number of the last of those, 0 if none
 * @mismatches: out: pages on which a check failed
 * @bad_addr: out: address of the first of those
 * @bad_pfn: out: its pinned page frame
 * @bad_map_pfn: out: the page frame that was mapped instead, 0 if nothing was
 * @bad_call: out: the number of the call, counted from 0
 * @elapsed_ns: out: time from the first to the last call
 * @bad_flags: out: the &enum guplab_hammer_flag whose check failed first
 * @hold: in: pins that are held until all of them are released by one call; 0 is 1. At most
 *	%GUPLAB_MAX_BATCH pages are held at a time.
 * @gate: in: as in &struct guplab_pin
 * @unpin_ns: out: with %GUPLAB_HAMMER_TIME_UNPIN the part of @elapsed_ns in which pages were
 *	released. The rest is pinning, if @flags asks for nothing else.
 * @times: in: with %GUPLAB_HAMMER_TIME_CALLS the address of @nr_times values of 32 bits, which are
 *	nanoseconds; a call that took longer than they can tell has the largest. Values behind the
 *	last call are left as they are. Zero without the flag.
 * @nr_times: in: with that flag, from 1 to %GUPLAB_MAX_TIMES; zero without it
 * @reserved: in: zero
 *
 * The loop allocates nothing, takes no lock of its own and prints nothing. A signal ends it with
 * EINTR and everything that was counted.
 */
struct guplab_hammer {
	__aligned_u64 addr;
	__u32 nr_pages;
	__u32 batch;
	__u32 way;
	__u32 pin_flags;
	__u32 flags;
	__u32 offset;
	__aligned_u64 seed;
	__aligned_u64 max_calls;
	__aligned_u64 max_ns;
	__aligned_u64 calls;
	__aligned_u64 pages;
	__aligned_u64 short_calls;
	__aligned_u64 failed_calls;
	__u32 last_error;
	__u32 bad_flags;
	__aligned_u64 mismatches;
	__aligned_u64 bad_addr;
	__aligned_u64 bad_pfn;
	__aligned_u64 bad_map_pfn;
	__aligned_u64 bad_call;
	__aligned_u64 elapsed_ns;
	__u32 hold;
	__u32 gate;
	__aligned_u64 unpin_ns;
	__aligned_u64 times;
	__u32 nr_times;
	__u32 reserved;
};

/**
 * struct guplab_collapse - MADV_COLLAPSE from the kernel
 * @addr: in: page-aligned start
 * @len: in: bytes, a multiple of the page size, at most %GUPLAB_MAX_COLLAPSE
 * @pid: in: the process whose memory is collapsed
 * @flags: in: zero
 * @result: out: what MADV_COLLAPSE returned: 0 or a negative error number, as from madvise(2).
 *	The command itself succeeds whenever the call was made.
 * @gate: in: as in &struct guplab_pin
 * @start_ns: out: time before the call
 * @end_ns: out: time after it
 *
 * The call is made in steps of 16 huge pages. Unlike madvise(2) it goes on after a step that
 * failed, and @result is that of the last one that did. A fatal signal ends it between two steps.
 *
 * EOPNOTSUPP: the kernel has no transparent huge pages, or do_madvise() can't be called from a
 * module there.
 */
struct guplab_collapse {
	__aligned_u64 addr;
	__aligned_u64 len;
	__s32 pid;
	__u32 flags;
	__s32 result;
	__u32 gate;
	__aligned_u64 start_ns;
	__aligned_u64 end_ns;
};

/**
 * enum guplab_stats_scope - whose counters
 * @GUPLAB_STATS_SESSION: this session's
 * @GUPLAB_STATS_MODULE: those of all sessions since the module was loaded
 */
enum guplab_stats_scope {
	GUPLAB_STATS_SESSION,
	GUPLAB_STATS_MODULE,
};

/**
 * struct guplab_stats - counters
 * @scope: in: &enum guplab_stats_scope
 * @reserved: in: zero
 * @sessions: out: sessions that are open now
 * @handles: out: pins that are held now
 * @held_pages: out: pages that are held now
 * @pin_calls: out: calls of PIN that pinned something
 * @pin_pages: out: pages that they pinned
 * @pin_short: out: those that pinned less than was asked for
 * @pin_failed: out: calls of PIN that pinned nothing
 * @unpin_pages: out: pages of PIN that were released
 * @dma_bytes: out: bytes read and written by DMA
 * @checks: out: calls of CHECK
 * @violations: out: violations that CHECK and HAMMER recorded
 * @hammer_calls: out: kernel calls made by HAMMER
 * @hammer_pages: out: pages that they pinned
 * @collapses: out: calls of COLLAPSE
 * @collapsed: out: those whose result was 0
 * @walk_stops: out: own walks that ended before the end of their range, for whatever reason
 * @unsafe_walks: out: own walks that were made with less than the stock protocol
 */
struct guplab_stats {
	__u32 scope;
	__u32 reserved;
	__aligned_u64 sessions;
	__aligned_u64 handles;
	__aligned_u64 held_pages;
	__aligned_u64 pin_calls;
	__aligned_u64 pin_pages;
	__aligned_u64 pin_short;
	__aligned_u64 pin_failed;
	__aligned_u64 unpin_pages;
	__aligned_u64 dma_bytes;
	__aligned_u64 checks;
	__aligned_u64 violations;
	__aligned_u64 hammer_calls;
	__aligned_u64 hammer_pages;
	__aligned_u64 collapses;
	__aligned_u64 collapsed;
	__aligned_u64 walk_stops;
	__aligned_u64 unsafe_walks;
};

/**
 * enum guplab_point - where tasks can be delayed: kernel functions, at entry and at return
 * @GUPLAB_POINT_TRY_GRAB_FOLIO_FAST: mm/gup.c, interrupts off: entry is after the read of the page
 *	table and before the pin, return is after the pin and before the entry is read again
 * @GUPLAB_POINT_GUP_FAST_FOLIO_ALLOWED: mm/gup.c, interrupts off: after the entry was read again
 * @GUPLAB_POINT_GUP_PUT_FOLIO: mm/gup.c: GUP gives back a page, as fast GUP does to back off
 * @GUPLAB_POINT_GUP_LONGTERM_LOCKED: mm/gup.c __gup_longterm_locked(): the slow path, to which fast
 *	GUP falls back
 * @GUPLAB_POINT_PMDP_COLLAPSE_FLUSH: mm/pgtable-generic.c: entry is before collapse clears the PMD,
 *	return is after that and the TLB flush
 * @GUPLAB_POINT_TLB_REMOVE_TABLE_SYNC_ONE: mm/mmu_gather.c: the IPI after which no fast GUP walks a
 *	page table any more that was unlinked before
 * @GUPLAB_POINT_CLEAR_PTES: include/linux/pgtable.h, as called by mm/khugepaged.c: collapse clears
 *	the PTEs of what it has copied
 * @GUPLAB_POINT_TRY_COLLAPSE_PTE_MAPPED_THP: mm/khugepaged.c: collapse of file memory whose page
 *	cache is huge already
 * @GUPLAB_POINT_PGTABLE_TRANS_HUGE_DEPOSIT: mm/pgtable-generic.c: in fork, between sharing a huge
 *	page and write-protecting its PMD; also in collapse and in huge page faults
 * @GUPLAB_POINT_COPY_PAGE_RANGE: mm/memory.c: fork copies one VMA
 * @GUPLAB_POINT_SPLIT_HUGE_PMD_LOCKED: mm/huge_memory.c: a PMD becomes PTEs
 * @GUPLAB_POINT_FOLIO_SPLIT: mm/huge_memory.c __folio_split(): a folio becomes smaller ones
 * @GUPLAB_POINT_MFILL_ATOMIC_INSTALL_PTE: mm/userfaultfd.c: UFFDIO_COPY maps a page
 * @GUPLAB_POINT_MFILL_ATOMIC_PTE_ZEROPAGE: mm/userfaultfd.c: UFFDIO_ZEROPAGE
 * @GUPLAB_POINT_GUARD_INSTALL_PTE_ENTRY: mm/madvise.c: MADV_GUARD_INSTALL, where there is a page
 *	table
 * @GUPLAB_POINT_ZAP_HUGE_PMD: mm/huge_memory.c: zap of a PMD, which frees the deposited page table
 *	at once
 * @GUPLAB_POINT_TLB_REMOVE_TABLE: mm/mmu_gather.c: a page table is handed over to be freed
 * @GUPLAB_POINT_PTE_FREE_DEFER: mm/pgtable-generic.c: a page table is freed after a grace period
 * @GUPLAB_POINT_CHANGE_PROTECTION: mm/mprotect.c: mprotect(), NUMA hints, userfaultfd's
 *	write-protection
 * @GUPLAB_POINT_NUMA_MIGRATE_CHECK: mm/memory.c: a NUMA hinting fault
 * @GUPLAB_POINT_TRY_TO_MIGRATE_ONE: mm/rmap.c: migration, or a split, unmaps a page
 * @GUPLAB_POINT_TRY_TO_UNMAP_ONE: mm/rmap.c: reclaim unmaps a page
 * @GUPLAB_POINT_GET_FUTEX_KEY: kernel/futex/core.c: pins the page of a shared futex for a moment
 * @GUPLAB_POINT_MOVE_PAGE_TABLES: mm/mremap.c
 * @GUPLAB_POINT_HUGE_PMD_UNSHARE: mm/hugetlb.c __huge_pmd_unshare(): a page table shared between
 *	processes is left
 * @GUPLAB_POINT_REPLACE_PAGE: mm/ksm.c: KSM replaces a page by a merged one
 * @GUPLAB_POINT_GUARD_INSTALL_PMD_ENTRY: mm/madvise.c: MADV_GUARD_INSTALL, before it locks the page
 *	table
 * @GUPLAB_POINT_DO_WP_PAGE: mm/memory.c: a write fault on a page that is mapped for reading only
 * @GUPLAB_POINT_LOCK_VMA: mm/mmap_lock.c lock_vma_under_rcu(): a page fault of userspace begins
 * @GUPLAB_POINT_PTE_OFFSET_MAP_RW_NOLOCK: mm/pgtable-generic.c: a page table is looked up and not
 *	locked: by collapse between its check and its removal of a page table of a file, and by
 *	every page fault
 * @GUPLAB_POINT_USERFAULTFD_REGISTER_RANGE: mm/userfaultfd.c: UFFDIO_REGISTER
 * @GUPLAB_POINT_PTE_OFFSET_MAP: mm/pgtable-generic.c __pte_offset_map(): a page table is looked up,
 *	by fast GUP with interrupts off, and no entry of it has been read yet
 * @GUPLAB_POINT_FILEMAP_GET_ENTRY: mm/filemap.c: a page is looked up in the page cache of a file,
 *	by a fault for one; return is before the folio is locked
 * @GUPLAB_POINT_SHMEM_FAULT: mm/shmem.c: a fault gets the page of a shared memory file; return is
 *	before the page is mapped, with its folio locked
 * @GUPLAB_POINT_TRUNCATE_INODE_FOLIO: mm/truncate.c: a folio, which is locked, is taken out of the
 *	page cache of a file
 * @GUPLAB_POINT_SHMEM_UNDO_RANGE: mm/shmem.c: truncation, or a hole, has unmapped a range of a
 *	shared memory file, and takes its pages out of the page cache
 * @GUPLAB_POINT_TLB_FLUSH_MMU: mm/mmu_gather.c: a zap has gathered all that it can, and flushes and
 *	frees it before it goes on; it does so in its end, too
 * @GUPLAB_POINT_UNPIN_USER_PAGES: mm/gup.c: pages that nobody wrote to are unpinned
 * @GUPLAB_POINT_COPY_MC: copy_mc_user_highpage(): a page is copied, by collapse after it has
 *	counted references, or by a fault. It is inlined: here it is copy_mc_to_kernel() below it,
 *	or copy_user_highpage() where the architecture has no such thing
 * @GUPLAB_POINT_NOTIFIER: the MMU notifiers of the process: entry is invalidate_range_start(),
 *	return is invalidate_range_end()
 * @GUPLAB_POINT_WALK: guplab's own walk (as all that follow): entry is when its exclusion has begun
 *	and nothing has been read yet, return is when everything has been read and the exclusion has
 *	not ended
 * @GUPLAB_POINT_WALK_TABLE: entry is when a PMD was read that points to a page table, of which no
 *	entry has been read yet, return is when all have
 * @GUPLAB_POINT_WALK_GRAB: entry is when an entry was read and found good, before the folio's
 *	reference, return is when the folio was referenced and pinned, before the entry is read
 *	again
 * @GUPLAB_POINT_WALK_RECHECK: entry is between the second look at the PMD and that at the PTEs,
 *	return is after both
 * @GUPLAB_POINT_WALK_UNSHARE: entry is before PageAnonExclusive() is looked at, return is when the
 *	page is about to be handed out
 * @GUPLAB_POINT_WALK_RETRY: entry is when the exclusion has ended, before the sequence count of
 *	fork() is read again, return is after that
 * @GUPLAB_POINT_WALK_BACK_OFF: pages are given back that were referenced
 * @GUPLAB_POINT_WALK_FOLIO: entry is when the folio of a page was looked up, before it is
 *	referenced, return is after that, before it is looked up again
 * @GUPLAB_POINT_WALK_HALVES: entry is between the two halves of a PTE that is read word by word
 *	(%GUPLAB_STEP_ENTRY_WHOLE)
 * @GUPLAB_NR_POINTS: how many there are
 */
enum guplab_point {
	GUPLAB_POINT_TRY_GRAB_FOLIO_FAST,
	GUPLAB_POINT_GUP_FAST_FOLIO_ALLOWED,
	GUPLAB_POINT_GUP_PUT_FOLIO,
	GUPLAB_POINT_GUP_LONGTERM_LOCKED,
	GUPLAB_POINT_PMDP_COLLAPSE_FLUSH,
	GUPLAB_POINT_TLB_REMOVE_TABLE_SYNC_ONE,
	GUPLAB_POINT_CLEAR_PTES,
	GUPLAB_POINT_TRY_COLLAPSE_PTE_MAPPED_THP,
	GUPLAB_POINT_PGTABLE_TRANS_HUGE_DEPOSIT,
	GUPLAB_POINT_COPY_PAGE_RANGE,
	GUPLAB_POINT_SPLIT_HUGE_PMD_LOCKED,
	GUPLAB_POINT_FOLIO_SPLIT,
	GUPLAB_POINT_MFILL_ATOMIC_INSTALL_PTE,
	GUPLAB_POINT_MFILL_ATOMIC_PTE_ZEROPAGE,
	GUPLAB_POINT_GUARD_INSTALL_PTE_ENTRY,
	GUPLAB_POINT_ZAP_HUGE_PMD,
	GUPLAB_POINT_TLB_REMOVE_TABLE,
	GUPLAB_POINT_PTE_FREE_DEFER,
	GUPLAB_POINT_CHANGE_PROTECTION,
	GUPLAB_POINT_NUMA_MIGRATE_CHECK,
	GUPLAB_POINT_TRY_TO_MIGRATE_ONE,
	GUPLAB_POINT_TRY_TO_UNMAP_ONE,
	GUPLAB_POINT_GET_FUTEX_KEY,
	GUPLAB_POINT_MOVE_PAGE_TABLES,
	GUPLAB_POINT_HUGE_PMD_UNSHARE,
	GUPLAB_POINT_REPLACE_PAGE,
	GUPLAB_POINT_GUARD_INSTALL_PMD_ENTRY,
	GUPLAB_POINT_DO_WP_PAGE,
	GUPLAB_POINT_LOCK_VMA,
	GUPLAB_POINT_PTE_OFFSET_MAP_RW_NOLOCK,
	GUPLAB_POINT_USERFAULTFD_REGISTER_RANGE,
	GUPLAB_POINT_PTE_OFFSET_MAP,
	GUPLAB_POINT_FILEMAP_GET_ENTRY,
	GUPLAB_POINT_SHMEM_FAULT,
	GUPLAB_POINT_TRUNCATE_INODE_FOLIO,
	GUPLAB_POINT_SHMEM_UNDO_RANGE,
	GUPLAB_POINT_TLB_FLUSH_MMU,
	GUPLAB_POINT_UNPIN_USER_PAGES,
	GUPLAB_POINT_COPY_MC,
	GUPLAB_POINT_NOTIFIER,
	GUPLAB_POINT_WALK,
	GUPLAB_POINT_WALK_TABLE,
	GUPLAB_POINT_WALK_GRAB,
	GUPLAB_POINT_WALK_RECHECK,
	GUPLAB_POINT_WALK_UNSHARE,
	GUPLAB_POINT_WALK_RETRY,
	GUPLAB_POINT_WALK_BACK_OFF,
	GUPLAB_POINT_WALK_FOLIO,
	GUPLAB_POINT_WALK_HALVES,
	GUPLAB_NR_POINTS,
};

/**
 * enum guplab_delay_op - what DELAY does
 * @GUPLAB_DELAY_QUERY: Tell whether @point can be armed on this kernel, and with which
 *	&enum guplab_delay_flag. Needs no right, and arms nothing.
 * @GUPLAB_DELAY_ARM: Arm @point. Needs CAP_SYS_ADMIN.
 * @GUPLAB_DELAY_DISARM: Disarm @id. Waits until nobody is being delayed there. Closing the session
 *	disarms everything.
 * @GUPLAB_DELAY_READ: Read the counters of @id.
 * @GUPLAB_DELAY_WAIT: Wait until a task is inside the function of @id, @entry_ns at most. ETIMEDOUT
 *	if none came.
 * @GUPLAB_DELAY_PAUSE: Until %GUPLAB_DELAY_RESUME, @id delays nobody, counts nothing, and does not
 *	appear in the trace; a delay that is going on ends. 0 stands for all that the session has
 *	armed now. Who is inside is known nevertheless.
 * @GUPLAB_DELAY_RESUME: @id, or 0 as above, works again, without the rest that a delay before would
 *	have it take.
 */
enum guplab_delay_op {
	GUPLAB_DELAY_QUERY,
	GUPLAB_DELAY_ARM,
	GUPLAB_DELAY_DISARM,
	GUPLAB_DELAY_READ,
	GUPLAB_DELAY_WAIT,
	GUPLAB_DELAY_PAUSE,
	GUPLAB_DELAY_RESUME,
};

/**
 * enum guplab_delay_flag - whom a delay concerns
 * @GUPLAB_DELAY_ANY_TASK: Any task, khugepaged for one, that works on the process's memory, instead
 *	of the process's own threads. For points that are told whose memory they work on. Always
 *	set for %GUPLAB_POINT_NOTIFIER.
 * @GUPLAB_DELAY_ADDR: Only for calls that concern @addr and @len. For points that are told an
 *	address.
 */
enum guplab_delay_flag {
	GUPLAB_DELAY_ANY_TASK	= 1 << 0,
	GUPLAB_DELAY_ADDR	= 1 << 1,
};

/**
 * struct guplab_delay - delay tasks at a point, and count how they meet there
 * @op: in: &enum guplab_delay_op
 * @point: in: &enum guplab_point (QUERY, ARM)
 * @id: in: names the armed point (DISARM, READ, WAIT, PAUSE, RESUME); out: that name, never used
 *	twice (ARM)
 * @flags: in: &enum guplab_delay_flag bits (ARM); out: those that the point can take (QUERY)
 * @pid: in: the process whose threads are delayed (ARM)
 * @partner: in: @id of another armed point of this session whose tasks these are to meet, or 0
 *	(ARM). The two become each other's partner.
 * @addr: in: start of the range with %GUPLAB_DELAY_ADDR (ARM)
 * @len: in: its bytes (ARM)
 * @entry_ns: in: delay at entry, at most %GUPLAB_MAX_DELAY_NS (ARM). With a partner it ends as soon
 *	as a task is inside the partner's function. The longest time to wait, with the same bound
 *	(WAIT).
 * @return_ns: in: the same at return (ARM)
 * @entry_linger_ns: in: what is waited in addition after a task was met at entry, at random up to
 *	this time (ARM)
 * @return_linger_ns: in: the same at return (ARM)
 * @passes: out: calls of the function that concern this delay (READ, as all that follows)
 * @irqs_off: out: those with interrupts off; for gup_put_folio() they are the back-offs of fast GUP
 * @held: out: delays that were made
 * @held_ns: out: time that they took
 * @longest_ns: out: the longest of them
 * @alone: out: delays that ended without having met a task of the partner
 * @met: out: calls of the partner's function while a task was inside this one
 * @missed: out: calls that could not be watched, because too many were going on
 * @gaps: out: calls by the time since the partner's function was entered before, if this is the
 *	first call after that: number i counts times from 2^i ns up to 2^(i+1) ns, the last one all
 *	that are longer
 *
 * A task is inside a function from its entry to its return, delays included. A task waits without
 * sleeping; where interrupts are off never longer than %GUPLAB_MAX_IRQS_OFF_NS, for the other one
 * may need this CPU to answer an interrupt. After a delay the point delays nobody for as long as
 * the delay took, so that a call that passes it often takes twice its time at most.
 *
 * EOPNOTSUPP: this kernel does not have the function, has it only inlined, or has no kprobes; no
 * MMU notifiers. ENOENT: no such @id or @partner in this session. ENOSPC: too many delays are
 * armed, %GUPLAB_MAX_DELAYS in a session and a few times that in all.
 */
struct guplab_delay {
	__u32 op;
	__u32 point;
	__u32 id;
	__u32 flags;
	__s32 pid;
	__u32 partner;
	__aligned_u64 addr;
	__aligned_u64 len;
	__u32 entry_ns;
	__u32 return_ns;
	__u32 entry_linger_ns;
	__u32 return_linger_ns;
	__aligned_u64 passes;
	__aligned_u64 irqs_off;
	__aligned_u64 held;
	__aligned_u64 held_ns;
	__aligned_u64 longest_ns;
	__aligned_u64 alone;
	__aligned_u64 met;
	__aligned_u64 missed;
	__aligned_u64 gaps[GUPLAB_NR_GAPS];
};

/**
 * struct guplab_hint - set NUMA hints, as NUMA balancing does
 * @addr: in: page-aligned start
 * @len: in: bytes, a multiple of the page size, at most %GUPLAB_MAX_HINT; all in one VMA
 * @pid: in: the process whose memory is hinted
 * @gate: in: as in &struct guplab_pin
 * @updated: out: pages whose entry became a hint
 *
 * Where mm/mempolicy.c folio_can_map_prot_numa() sees no use in a hint none is set: above all for
 * pages that are pinned, that other processes share, or that KSM has merged, and for all pages of
 * ordinary memory while kernel.numa_balancing has not bit 0. A VMA that NUMA balancing leaves
 * alone (hugetlb, PROT_NONE, VM_IO, VM_PFNMAP, VM_MIXEDMAP) gets no hint either. Its policy is not
 * looked at.
 *
 * EFAULT: nothing is mapped at @addr. EINVAL: the range ends behind the VMA. EOPNOTSUPP: the kernel
 * has no NUMA balancing, or change_prot_numa() can't be called from a module there.
 */
struct guplab_hint {
	__aligned_u64 addr;
	__aligned_u64 len;
	__s32 pid;
	__u32 gate;
	__aligned_u64 updated;
};

/**
 * enum guplab_exclusion - what keeps page tables in place while a walk reads them
 * @GUPLAB_EXCLUSION_IRQS_OFF: interrupts are off, as in fast GUP: a flush or a
 *	tlb_remove_table_sync_one() waits for the walk, and so does a grace period
 * @GUPLAB_EXCLUSION_RCU: an RCU read-side section: only what is freed after a grace period waits
 * @GUPLAB_EXCLUSION_READERS: a counter of readers, preemption off, as Will Deacon proposed for ARM
 *	in October 2013 (linux-arm-kernel, "get_user_pages_fast"). The writers are hooked:
 *	pmdp_collapse_flush() when it returns, tlb_remove_table_sync_one(), tlb_remove_table() and
 *	pte_free_defer() when they are called wait until nobody reads, %GUPLAB_MAX_GATE_NS at
 *	most, or %GUPLAB_MAX_IRQS_OFF_NS where interrupts are off. Other writers don't wait.
 * @GUPLAB_EXCLUSION_NONE: nothing
 * @GUPLAB_NR_EXCLUSIONS: how many there are
 */
enum guplab_exclusion {
	GUPLAB_EXCLUSION_IRQS_OFF,
	GUPLAB_EXCLUSION_RCU,
	GUPLAB_EXCLUSION_READERS,
	GUPLAB_EXCLUSION_NONE,
	GUPLAB_NR_EXCLUSIONS,
};

/**
 * enum guplab_step - the protective steps of a walk that can be left out
 * @GUPLAB_STEP_SEQCOUNT: a pin during which fork() write-protected the address space is given back,
 *	and none begins while it does (mm->write_protect_seq)
 * @GUPLAB_STEP_PERMISSION: an entry that doesn't permit the access is refused
 * @GUPLAB_STEP_PROTNONE: a PROT_NONE entry, or NUMA hint, is refused
 * @GUPLAB_STEP_FOLIO_SAME: when the folio is referenced, the page must still belong to it
 * @GUPLAB_STEP_PMD_RECHECK: when the page is pinned, the PMD above its PTE must still be the same
 * @GUPLAB_STEP_PTE_RECHECK: and so must the PTE
 * @GUPLAB_STEP_LEAF_RECHECK: and so must a PMD or PUD that maps the page itself
 * @GUPLAB_STEP_FILE_LONGTERM: long-term pins for writing are refused for pages of files other than
 *	shared memory and hugetlb
 * @GUPLAB_STEP_UNSHARE: an anonymous page that is mapped read-only and not exclusive is left to the
 *	slow path, which makes it exclusive before it is pinned
 * @GUPLAB_STEP_HAS_PINNED: the address space is marked as one that has pinned pages, before the
 *	first one is
 * @GUPLAB_STEP_ENTRY_WHOLE: the read of a PTE that names the page is a single one; without it the
 *	word with the present bit is read first, and then the other. Only with
 *	%GUPLAB_FEATURE_WIDE_ENTRIES.
 */
enum guplab_step {
	GUPLAB_STEP_SEQCOUNT		= 1 << 0,
	GUPLAB_STEP_PERMISSION		= 1 << 1,
	GUPLAB_STEP_PROTNONE		= 1 << 2,
	GUPLAB_STEP_FOLIO_SAME		= 1 << 3,
	GUPLAB_STEP_PMD_RECHECK		= 1 << 4,
	GUPLAB_STEP_PTE_RECHECK		= 1 << 5,
	GUPLAB_STEP_LEAF_RECHECK	= 1 << 6,
	GUPLAB_STEP_FILE_LONGTERM	= 1 << 7,
	GUPLAB_STEP_UNSHARE		= 1 << 8,
	GUPLAB_STEP_HAS_PINNED		= 1 << 9,
	GUPLAB_STEP_ENTRY_WHOLE		= 1 << 10,
};

/**
 * enum guplab_stop - why a walk ended at an entry
 * @GUPLAB_STOP_NONE: It did not: the page is taken.
 * @GUPLAB_STOP_FORK: fork() was write-protecting the address space when the walk was to begin.
 * @GUPLAB_STOP_FORKED: It began to do so during the walk: all pins were given back.
 * @GUPLAB_STOP_LIMIT: The range is not one that can be walked.
 * @GUPLAB_STOP_EMPTY: The entry is empty.
 * @GUPLAB_STOP_NONPRESENT: The entry is neither empty nor present: swap, migration, marker.
 * @GUPLAB_STOP_PROTNONE: PROT_NONE or a NUMA hint.
 * @GUPLAB_STOP_PERMISSION: The entry doesn't permit the access.
 * @GUPLAB_STOP_SPECIAL: The entry is special: there is no struct page that could be pinned.
 * @GUPLAB_STOP_NO_PAGE: There is no struct page behind the page frame.
 * @GUPLAB_STOP_P2PDMA: The page is memory of a PCI device.
 * @GUPLAB_STOP_FOLIO_GONE: The folio had no reference any more, and was about to be freed.
 * @GUPLAB_STOP_PLACEMENT: The folio may not stay where it is for a long-term pin.
 * @GUPLAB_STOP_PMD_CHANGED: The PMD above the PTE was another one when it was read again.
 * @GUPLAB_STOP_CHANGED: The entry itself was.
 * @GUPLAB_STOP_FILE: A long-term pin for writing of a page of a file, or secret memory.
 * @GUPLAB_STOP_UNSHARE: The page is not exclusive, and would have to be made so.
 * @GUPLAB_NR_STOPS: how many there are
 */
enum guplab_stop {
	GUPLAB_STOP_NONE,
	GUPLAB_STOP_FORK,
	GUPLAB_STOP_FORKED,
	GUPLAB_STOP_LIMIT,
	GUPLAB_STOP_EMPTY,
	GUPLAB_STOP_NONPRESENT,
	GUPLAB_STOP_PROTNONE,
	GUPLAB_STOP_PERMISSION,
	GUPLAB_STOP_SPECIAL,
	GUPLAB_STOP_NO_PAGE,
	GUPLAB_STOP_P2PDMA,
	GUPLAB_STOP_FOLIO_GONE,
	GUPLAB_STOP_PLACEMENT,
	GUPLAB_STOP_PMD_CHANGED,
	GUPLAB_STOP_CHANGED,
	GUPLAB_STOP_FILE,
	GUPLAB_STOP_UNSHARE,
	GUPLAB_NR_STOPS,
};

#define GUPLAB_NR_LEVELS	4	/* of &enum guplab_level */

/**
 * enum guplab_walk_op - what WALK does
 * @GUPLAB_WALK_SET: From now on the session's walks work as @exclusion, @steps_off and @flags say.
 * @GUPLAB_WALK_GET: Tell how they work, and what they counted.
 */
enum guplab_walk_op {
	GUPLAB_WALK_SET,
	GUPLAB_WALK_GET,
};

/**
 * enum guplab_walk_flag - how a walk works, apart from its protection
 * @GUPLAB_WALK_SINGLY: Take each page by itself, as fast GUP does, and not at once all that a run
 *	of PTEs maps of one folio.
 */
enum guplab_walk_flag {
	GUPLAB_WALK_SINGLY	= 1 << 0,
};

/**
 * struct guplab_walk - how this session's own walks work
 * @op: in: &enum guplab_walk_op
 * @exclusion: in: &enum guplab_exclusion (SET); out (GET)
 * @steps_off: in: &enum guplab_step bits, the steps that are left out (SET); out (GET)
 * @flags: in: &enum guplab_walk_flag bits (SET); out (GET)
 * @retries: out: folios that were another one when they had been referenced, which was tried again
 *	(GET, as all that follows)
 * @unsafe_walks: out: walks with less than the stock protocol
 * @reserved: zero
 * @stops: out: walks that ended before the end of their range, by &enum guplab_stop and by &enum
 *	guplab_level of the entry
 *
 * A new session has the stock protocol: interrupts off, no step left out.
 *
 * EPERM: SET with anything less, without CAP_SYS_ADMIN or where the module was not loaded with
 * unsafe_walks=1. EOPNOTSUPP: %GUPLAB_EXCLUSION_READERS where no writer can be hooked, and without
 * %GUPLAB_STEP_ENTRY_WHOLE where entries are words.
 */
struct guplab_walk {
	__u32 op;
	__u32 exclusion;
	__u32 steps_off;
	__u32 flags;
	__aligned_u64 retries;
	__aligned_u64 unsafe_walks;
	__aligned_u64 reserved[2];
	__aligned_u64 stops[GUPLAB_NR_STOPS][GUPLAB_NR_LEVELS];
};

/**
 * struct guplab_explain - what a walk would do at an address, without pinning anything
 * @addr: in: page-aligned address
 * @pid: in: the process to look at
 * @flags: in: &enum guplab_pin_flag bits of the pin that is asked about
 * @get: in: 1 for a reference, 0 for a pin
 * @stop: out: &enum guplab_stop: the first step that would refuse
 * @level: out: &enum guplab_level of the entry at which the walk ends
 * @leaf_flags: out: &enum guplab_leaf_flag bits of that entry
 * @entry: out: the entry itself, as the architecture defines it
 * @pfn: out: the page frame it maps at @addr, if %GUPLAB_LEAF_MAPPED
 * @run: out: pages from @addr on that would be taken at once, 0 if none is
 * @page_flags: out: &enum guplab_page_flag bits of the page, 0 if there is none
 * @order: out: its folio's order
 * @reserved: zero
 *
 * For a process other than the caller's, protection keys are the caller's. EINVAL: flags that a
 * lockless walk can't take.
 */
struct guplab_explain {
	__aligned_u64 addr;
	__s32 pid;
	__u32 flags;
	__u32 get;
	__u32 stop;
	__u32 level;
	__u32 leaf_flags;
	__aligned_u64 entry;
	__aligned_u64 pfn;
	__u32 run;
	__u32 page_flags;
	__u32 order;
	__u32 reserved;
};

/**
 * enum guplab_difference - in what a walk differed from the kernel's own
 * @GUPLAB_DIFFERENCE_NONE: in nothing
 * @GUPLAB_DIFFERENCE_RETURNED: the number of pages, or the error
 * @GUPLAB_DIFFERENCE_PAGE: a page
 * @GUPLAB_DIFFERENCE_REFCOUNT: the references to its folio, while all pages were held
 * @GUPLAB_DIFFERENCE_PINCOUNT: the pins of its folio, if they are counted
 * @GUPLAB_DIFFERENCE_MAPCOUNT: how often its folio is mapped
 * @GUPLAB_DIFFERENCE_REFERENCED: whether its folio was marked as referenced; by ways ONLY
 */
enum guplab_difference {
	GUPLAB_DIFFERENCE_NONE,
	GUPLAB_DIFFERENCE_RETURNED,
	GUPLAB_DIFFERENCE_PAGE,
	GUPLAB_DIFFERENCE_REFCOUNT,
	GUPLAB_DIFFERENCE_PINCOUNT,
	GUPLAB_DIFFERENCE_MAPCOUNT,
	GUPLAB_DIFFERENCE_REFERENCED,
};

/**
 * struct guplab_compare - compare guplab's walk with the kernel's own, again and again
 * @addr: in: page-aligned start
 * @nr_pages: in: pages, at most %GUPLAB_MAX_PAGES; they need not be mapped
 * @max_pages: in: the most pages of one comparison, at most %GUPLAB_MAX_BATCH
 * @way: in: one of &enum guplab_way's walks, as WALK has set it up; the kernel's function that does
 *	likewise is its counterpart (PIN_FAST of WALK, PIN_FAST_ONLY of WALK_ONLY, and so on)
 * @pin_flags: in: &enum guplab_pin_flag bits of all comparisons
 * @random_flags: in: more of them, each of which a comparison has or has not, at random
 * @count: in: comparisons to make
 * @seed: in: another seed brings other comparisons
 * @pages: out: pages that both returned, in all comparisons
 * @compared: out: comparisons made
 * @unsettled: out: those from which nothing follows, because the memory changed each time
 * @differences: out: those in which the walk's result was another one than the kernel's
 * @difference: out: &enum guplab_difference of the first of these
 * @bad_addr: out: where it started
 * @bad_nr_pages: out: its pages
 * @bad_flags: out: its &enum guplab_pin_flag bits
 * @bad_index: out: number of the page that differed
 * @reserved: in: zero
 * @expected: out: what the kernel's function had there: the pages it returned, or a negative error
 *	number; a page frame; a counter
 * @got: out: what the walk had
 *
 * Each comparison has a part of the range at random. It calls the kernel's function and then the
 * walk; all pages are held together, looked at, and released again, before the next call. Where the
 * results differ, the kernel's function is called once more: only if its result is still the same,
 * it was not the memory that changed. A difference in counters alone has to come several times, for
 * others may hold the same folio for a moment. Ways ONLY change nothing but the mark that a folio
 * was referenced.
 *
 * ENOMEM: no memory, or RLIMIT_MEMLOCK is below @max_pages and a flag is %GUPLAB_PIN_LONGTERM.
 * EOPNOTSUPP: this kernel doesn't have one of the two ways.
 */
struct guplab_compare {
	__aligned_u64 addr;
	__u32 nr_pages;
	__u32 max_pages;
	__u32 way;
	__u32 pin_flags;
	__u32 random_flags;
	__u32 count;
	__aligned_u64 seed;
	__aligned_u64 pages;
	__u32 compared;
	__u32 unsettled;
	__u32 differences;
	__u32 difference;
	__aligned_u64 bad_addr;
	__u32 bad_nr_pages;
	__u32 bad_flags;
	__u32 bad_index;
	__u32 reserved;
	__aligned_u64 expected;
	__aligned_u64 got;
};

#define GUPLAB_IOC_MAGIC	'G'
#define GUPLAB_IOC_INFO		_IOR(GUPLAB_IOC_MAGIC, 0x60, struct guplab_info)
#define GUPLAB_IOC_PIN		_IOWR(GUPLAB_IOC_MAGIC, 0x61, struct guplab_pin)
#define GUPLAB_IOC_UNPIN	_IOW(GUPLAB_IOC_MAGIC, 0x62, struct guplab_unpin)
#define GUPLAB_IOC_DMA		_IOW(GUPLAB_IOC_MAGIC, 0x63, struct guplab_dma)
#define GUPLAB_IOC_INSPECT	_IOW(GUPLAB_IOC_MAGIC, 0x64, struct guplab_inspect)
#define GUPLAB_IOC_CHECK	_IOWR(GUPLAB_IOC_MAGIC, 0x65, struct guplab_check)
#define GUPLAB_IOC_HAMMER	_IOWR(GUPLAB_IOC_MAGIC, 0x66, struct guplab_hammer)
#define GUPLAB_IOC_COLLAPSE	_IOWR(GUPLAB_IOC_MAGIC, 0x67, struct guplab_collapse)
#define GUPLAB_IOC_STATS	_IOWR(GUPLAB_IOC_MAGIC, 0x68, struct guplab_stats)
#define GUPLAB_IOC_DELAY	_IOWR(GUPLAB_IOC_MAGIC, 0x69, struct guplab_delay)
#define GUPLAB_IOC_HINT		_IOWR(GUPLAB_IOC_MAGIC, 0x6a, struct guplab_hint)
#define GUPLAB_IOC_WALK		_IOWR(GUPLAB_IOC_MAGIC, 0x6b, struct guplab_walk)
#define GUPLAB_IOC_EXPLAIN	_IOWR(GUPLAB_IOC_MAGIC, 0x6c, struct guplab_explain)
#define GUPLAB_IOC_COMPARE	_IOWR(GUPLAB_IOC_MAGIC, 0x6d, struct guplab_compare)

#endif /* _GUPLAB_UAPI_H */
