// SPDX-License-Identifier: GPL-2.0
/*
 * nr_hugetlb in /proc/vmstat sinks by a huge page with each migration of one. No right is needed
 * but to some huge pages on each of two nodes:
 *
 *	echo 16 > /proc/sys/vm/nr_hugepages
 *	cc -O2 -o hugetlb_stat hugetlb_stat.c && ./hugetlb_stat
 *
 * Four are mapped, and one of them is moved to and fro. What is less than 0 is shown as 0 there,
 * but not where a write to /proc/sys/vm/stat_refresh logs it.
 *
 * Exit code: 0 if nr_hugetlb says so, 1 if it doesn't, 4 if it can't be tried.
 */
#define _GNU_SOURCE
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#define HUGE_PAGE	(2UL << 20)
#define PAGES		4
#define MOVES		3

static int read_stat(long *nr)
{
	char line[128], name[64];
	FILE *vmstat = fopen("/proc/vmstat", "r");
	int found = 0;

	while (vmstat && !found && fgets(line, sizeof(line), vmstat))
		found = sscanf(line, "%63s %ld", name, nr) == 2 && !strcmp(name, "nr_hugetlb");
	if (vmstat)
		fclose(vmstat);
	return found;
}

int main(void)
{
	long before, after, moved = 0;
	int i, node, status;
	char *pages;

	pages = mmap(NULL, PAGES * HUGE_PAGE, PROT_READ | PROT_WRITE,
		     MAP_PRIVATE | MAP_ANONYMOUS | MAP_HUGETLB, -1, 0);
	if (pages == MAP_FAILED)
		return 4;
	memset(pages, 1, PAGES * HUGE_PAGE);
	/* Counters are kept for each CPU, and added up within seconds. */
	sleep(3);
	if (!read_stat(&before))
		return 4;
	for (i = 0; i < MOVES; i++) {
		node = 1 - i % 2;
		status = -1;
		syscall(SYS_move_pages, 0, 1UL, (void **)&pages, &node, &status, 0);
		moved += status == node;
	}
	sleep(3);
	if (!moved || !read_stat(&after))
		return 4;
	printf("%d huge pages are mapped: nr_hugetlb %ld; after %ld migrations of one: %ld\n",
	       PAGES, before, moved, after);
	return before != after;
}
