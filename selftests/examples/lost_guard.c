// SPDX-License-Identifier: GPL-2.0
/*
 * MADV_COLLAPSE loses a guard region that is installed meanwhile. Needs neither guplab nor root,
 * but a kernel with guard regions in file mappings (Linux 6.15 and later) and two CPUs.
 *
 *	cc -O2 -pthread -o lost_guard lost_guard.c && ./lost_guard
 *
 * A file's page cache is one huge page, and a mapping of it has a page table. One thread collapses
 * the mapping, that is, has the huge page mapped by the PMD; another one makes a guard region in
 * it. When both calls have returned 0, there must be a guard region.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#ifndef MADV_COLLAPSE
#define MADV_COLLAPSE		25
#endif
#ifndef MADV_GUARD_INSTALL
#define MADV_GUARD_INSTALL	102
#define MADV_GUARD_REMOVE	103
#endif
#define PAGEMAP_GUARD		0x400000000000000ULL	/* bit 58 */

#define HUGE			(2UL << 20)
#define PAGE			4096UL

static char *map;
static atomic_ulong round_nr, ready;
static int collapsed;
static long took;

static long now(void)
{
	struct timespec time;

	clock_gettime(CLOCK_MONOTONIC, &time);
	return time.tv_sec * 1000000000L + time.tv_nsec;
}

static void *collapse(void *unused)
{
	unsigned long seen = 0;

	for (;;) {
		while (round_nr == seen)
			;
		seen = round_nr;
		took = -now();
		collapsed = madvise(map, HUGE, MADV_COLLAPSE);
		took += now();
		ready = seen;
	}
	return unused;
}

int main(int argc, char **argv)
{
	unsigned long rounds = argc > 1 ? strtoul(argv[1], NULL, 0) : 100000;
	unsigned long lost = 0, made = 0, huge = 0, i;
	long usual = 0;
	int fd = memfd_create("lost_guard", 0);
	int pagemap = open("/proc/self/pagemap", O_RDONLY);
	pthread_t thread;
	char *area;

	area = mmap(NULL, 2 * HUGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	map = (char *)(((uintptr_t)area + HUGE - 1) & ~(HUGE - 1));
	if (fd < 0 || pagemap < 0 || ftruncate(fd, HUGE) || area == MAP_FAILED ||
	    mmap(map, HUGE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, fd, 0) == MAP_FAILED) {
		perror("setting up");
		return 1;
	}
	memset(map, 1, HUGE);
	if (madvise(map, HUGE, MADV_COLLAPSE)) {
		perror("MADV_COLLAPSE");
		return 1;
	}
	if (pthread_create(&thread, NULL, collapse, NULL))
		return 1;
	for (i = 1; i <= rounds; i++) {
		char *page = map + PAGE * (16 + rand() % 480);
		long until;
		unsigned long long entry;

		/* A page table, with 16 pages of the huge page mapped in it. */
		madvise(map, HUGE, MADV_GUARD_REMOVE);
		madvise(map, HUGE, MADV_DONTNEED);
		if (madvise(map + PAGE, PAGE, MADV_GUARD_INSTALL) ||
		    madvise(map + PAGE, PAGE, MADV_GUARD_REMOVE)) {
			perror("guard regions");
			return 1;
		}
		__atomic_load_n(map, __ATOMIC_RELAXED);

		round_nr = i;
		/* The first collapses tell how long one takes; the others meet a guard. */
		until = now() + (usual ? rand() % (3 * usual) : 0);
		while (now() < until)
			;
		if (i <= 20)
			page = NULL;
		else if (!madvise(page, PAGE, MADV_GUARD_INSTALL))
			made++;
		while (ready != i)
			;
		huge += !collapsed;
		if (!page) {
			usual = usual && usual < took ? usual : took;
			continue;
		}
		if (pread(pagemap, &entry, 8, (uintptr_t)page / PAGE * 8) != 8)
			return 1;
		if (entry & PAGEMAP_GUARD)
			continue;
		if (lost++ < 3)
			printf("round %lu: no guard at page %lu, which reads %d; pagemap %#llx\n",
			       i, (unsigned long)(page - map) / PAGE, *page, entry);
	}
	printf("%lu rounds, %lu guards, %lu collapsed: %lu guards lost\n",
	       rounds, made, huge, lost);
	return lost != 0;
}
