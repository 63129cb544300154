// SPDX-License-Identifier: GPL-2.0
/*
 * pin_user_pages_fast() of no pages pins what is mapped there, and writes behind the array that it
 * was given. Shown by the kernel's own CONFIG_GUP_TEST, as root; no guplab is needed.
 *
 *	cc -O2 -o no_pages no_pages.c && ./no_pages
 *
 * Five pages and eight bytes are five pages in one call, and none in a second one. The array for
 * five is 64 bytes of slab, in which three more fit: nothing is overwritten that is in use.
 *
 * Exit code: 0 if five pages were pinned, 1 if there were more, 4 if it can't be tried.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

/* mm/gup_test.h, which is not installed. */
struct gup_test {
	unsigned long long get_delta_usec;
	unsigned long long put_delta_usec;
	unsigned long long addr;
	unsigned long long size;
	unsigned int nr_pages_per_call;
	unsigned int gup_flags;
	unsigned int test_flags;
	unsigned int which_pages[8];
};

#define PIN_FAST_BENCHMARK	_IOWR('g', 2, struct gup_test)
#define FOLL_WRITE		1

#define PAGE	4096UL

static long pinned(void)
{
	char line[128], name[64];
	FILE *vmstat;
	long count, found = -1;
	int refresh = open("/proc/sys/vm/stat_refresh", O_WRONLY);

	if (refresh < 0 || write(refresh, "1", 1) != 1)
		return -1;
	close(refresh);
	vmstat = fopen("/proc/vmstat", "r");
	while (vmstat && fgets(line, sizeof(line), vmstat))
		if (sscanf(line, "%63s %ld", name, &count) == 2 &&
		    !strcmp(name, "nr_foll_pin_acquired"))
			found = count;
	if (vmstat)
		fclose(vmstat);
	return found;
}

int main(void)
{
	struct gup_test test = { .nr_pages_per_call = 5, .gup_flags = FOLL_WRITE };
	int driver = open("/sys/kernel/debug/gup_test", O_RDWR);
	long before, after;
	char *pages;

	pages = mmap(NULL, 9 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (driver < 0 || pages == MAP_FAILED || madvise(pages, 9 * PAGE, MADV_NOHUGEPAGE))
		return 4;
	/* Behind the eighth is nothing. */
	memset(pages, 1, 8 * PAGE);
	if (munmap(pages + 8 * PAGE, PAGE))
		return 4;

	test.addr = (unsigned long)pages;
	test.size = 5 * PAGE + 8;
	before = pinned();
	if (before < 0 || ioctl(driver, PIN_FAST_BENCHMARK, &test))
		return 4;
	after = pinned();
	printf("asked for 5 pages: %ld were pinned, in %llu bytes\n", after - before, test.size);
	return after - before > 5;
}
