// SPDX-License-Identifier: GPL-2.0
/*
 * 32-bit ARM (LPAE) maps hugetlb where it isn't aligned, and oopses when that is unmapped. No right
 * is needed, and no huge page.
 *
 *	arm-linux-gnueabihf-gcc -static -O2 -o huge_unaligned huge_unaligned.c && ./huge_unaligned
 *
 * Exit code: 0 if the mapping is aligned, 4 if it can't be tried. Else the process dies in exit(),
 * of BUG_ON(start & ~huge_page_mask(h)) in __unmap_hugepage_range(), or the machine does.
 */
#define _GNU_SOURCE
#include <stdio.h>
#include <sys/mman.h>

#define HUGE_PAGE	(2UL << 20)

int main(void)
{
	char *page = mmap(NULL, HUGE_PAGE, PROT_READ | PROT_WRITE,
			  MAP_PRIVATE | MAP_ANONYMOUS | MAP_HUGETLB | MAP_NORESERVE, -1, 0);

	if (page == MAP_FAILED)
		return 4;
	printf("a huge page at %p\n", (void *)page);
	fflush(stdout);
	return !!((unsigned long)page % HUGE_PAGE);
}
