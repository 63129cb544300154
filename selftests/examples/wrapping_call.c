// SPDX-License-Identifier: GPL-2.0
/*
 * On 32 bits mm/gup_test.c asks GUP for as many pages as a call is to have, and not for as many
 * as it has room for, if the end of the call wraps. Shown by the kernel's own CONFIG_GUP_TEST, as
 * root; no guplab is needed.
 *
 *	arm-linux-gnueabihf-gcc -static -O2 -o wrapping_call wrapping_call.c && ./wrapping_call
 *
 * The range has one page, and a call 2^20, which are 4 GiB. The array for one page is 64 bytes of
 * slab, in which fifteen more fit, and eleven more are mapped: nothing is overwritten that is in
 * use.
 *
 * Exit code: 0 if one page was pinned, 1 if there were more, 4 if it can't be tried.
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

#define PIN_BASIC_TEST		_IOWR('g', 5, struct gup_test)
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
	struct gup_test test = { .nr_pages_per_call = 1 << 20, .gup_flags = FOLL_WRITE };
	int driver = open("/sys/kernel/debug/gup_test", O_RDWR);
	long before, after;
	char *pages;

	pages = mmap(NULL, 13 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (driver < 0 || pages == MAP_FAILED || madvise(pages, 13 * PAGE, MADV_NOHUGEPAGE))
		return 4;
	/* Behind the twelfth is nothing. */
	memset(pages, 1, 12 * PAGE);
	if (munmap(pages + 12 * PAGE, PAGE))
		return 4;

	test.addr = (unsigned long)pages;
	test.size = PAGE;
	before = pinned();
	if (before < 0 || ioctl(driver, PIN_BASIC_TEST, &test))
		return 4;
	after = pinned();
	printf("a range of 1 page: %ld were pinned\n", after - before);
	return after - before > 1;
}
