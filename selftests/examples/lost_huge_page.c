// SPDX-License-Identifier: GPL-2.0
/*
 * A huge page that is unmapped while it is PROT_NONE does not come back, on 32-bit ARM with LPAE.
 * No right is needed, and no guplab. With CONFIG_DEBUG_VM the kernel oopses when the process ends.
 *
 *	cc -O2 -o lost_huge_page lost_huge_page.c && ./lost_huge_page
 *
 * Exit code: 0 if all pages came back, 1 if not, 4 if it can't be tried.
 */
#define _DEFAULT_SOURCE
#include <stdint.h>
#include <stdio.h>
#include <sys/mman.h>

#define SIZE	(2UL << 20)
#define COUNT	8

/* AnonHugePages of /proc/meminfo, in kB. */
static long huge_kb(void)
{
	FILE *file = fopen("/proc/meminfo", "r");
	char line[128];
	long kb = -1;

	while (file && fgets(line, sizeof(line), file))
		if (sscanf(line, "AnonHugePages: %ld", &kb) == 1)
			break;
	if (file)
		fclose(file);
	return kb;
}

int main(void)
{
	long before = huge_kb(), most = before, after;
	int i;

	for (i = 0; i < COUNT; i++) {
		char *memory = mmap(NULL, 2 * SIZE, PROT_READ | PROT_WRITE,
				    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
		char *huge = (char *)(((uintptr_t)memory + SIZE - 1) & -SIZE);

		if (memory == MAP_FAILED || madvise(huge, SIZE, MADV_HUGEPAGE))
			return 4;
		__atomic_store_n(huge, 1, __ATOMIC_RELAXED);
		if (huge_kb() > most)
			most = huge_kb();
		if (mprotect(huge, SIZE, PROT_NONE) || munmap(memory, 2 * SIZE))
			return 4;
	}
	after = huge_kb();
	printf("AnonHugePages: %ld kB before, at most %ld kB, %ld kB when all was unmapped\n",
	       before, most, after);
	if (most == before)
		return 4;
	return after > before;
}
