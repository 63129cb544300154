// SPDX-License-Identifier: GPL-2.0
/*
 * MADV_GUARD_INSTALL of a page of a memfd that userfaultfd write-protects does not return: it zaps
 * what is there, which leaves a marker of the protection, finds the marker, and zaps it again. No
 * right is needed, and no guplab.
 *
 *	cc -O2 -o guard_spins guard_spins.c && ./guard_spins
 *
 * Exit code: 0 if the call returned, 1 if it did not, 4 if it can't be tried.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <linux/userfaultfd.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#ifndef MADV_GUARD_INSTALL
#define MADV_GUARD_INSTALL	102
#endif

#define PAGE	4096UL
#define SECONDS	3

static int install(int protect)
{
	struct uffdio_api api = { .api = UFFD_API, .features = UFFD_FEATURE_WP_HUGETLBFS_SHMEM };
	struct uffdio_register reg = { .mode = UFFDIO_REGISTER_MODE_WP };
	struct uffdio_writeprotect wp = { .mode = UFFDIO_WRITEPROTECT_MODE_WP };
	int uffd = syscall(SYS_userfaultfd, O_CLOEXEC | UFFD_USER_MODE_ONLY);
	int file = memfd_create("guard", 0);
	char *page;

	if (uffd < 0 || file < 0 || ftruncate(file, PAGE) || ioctl(uffd, UFFDIO_API, &api))
		return 4;
	page = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
	if (page == MAP_FAILED)
		return 4;
	*page = 1;
	reg.range.start = (uintptr_t)page;
	reg.range.len = PAGE;
	wp.range = reg.range;
	if (ioctl(uffd, UFFDIO_REGISTER, &reg) ||
	    (protect && ioctl(uffd, UFFDIO_WRITEPROTECT, &wp)))
		return 4;
	return madvise(page, PAGE, MADV_GUARD_INSTALL) ? 4 : 0;
}

static int try(int protect)
{
	struct rusage used;
	int status, i;
	pid_t pid = fork();

	if (pid < 0)
		return 4;
	if (!pid)
		_exit(install(protect));
	for (i = 0; i < SECONDS * 10; i++) {
		if (waitpid(pid, &status, WNOHANG) == pid)
			return WIFEXITED(status) ? WEXITSTATUS(status) : 4;
		usleep(100000);
	}
	kill(pid, SIGKILL);
	wait4(pid, &status, 0, &used);
	printf("it has not returned in %d s, of which it ran %ld.%ld s in the kernel\n",
	       SECONDS, (long)used.ru_stime.tv_sec, (long)used.ru_stime.tv_usec / 100000);
	return 1;
}

int main(void)
{
	int code = try(0);

	if (!code) {
		puts("MADV_GUARD_INSTALL has returned for a page that is not write-protected");
		fflush(stdout);
		code = try(1);
		if (!code)
			puts("and for one that is");
	}
	if (code == 4)
		puts("it can't be tried here");
	return code;
}
