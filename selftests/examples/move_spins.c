// SPDX-License-Identifier: GPL-2.0
/*
 * UFFDIO_MOVE of a page of a large folio to which somebody has a reference
 * does not return: split_folio() fails with EAGAIN, and move_pages() tries
 * again until a fatal signal comes. The reference here is one of vmsplice(),
 * to another page of the folio. No right is needed, and no guplab.
 *
 *	cc -O2 -o move_spins move_spins.c && ./move_spins
 *
 * Exit code: 0 if the call returned, 1 if it did not, 4 if it can't be tried.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <linux/userfaultfd.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

/* Headers older than Linux 6.8 don't have it. */
#ifndef UFFDIO_MOVE
#define UFFD_FEATURE_MOVE	0x10000
struct uffdio_move {
	__u64 dst, src, len, mode;
	__s64 move;
};

#define UFFDIO_MOVE		_IOWR(UFFDIO, 0x05, struct uffdio_move)
#endif

#define HUGE	(2UL << 20)
#define PAGE	4096UL
#define SECONDS	3

static char *huge(void)
{
	char *p = mmap(NULL, 2 * HUGE, PROT_READ | PROT_WRITE,
		       MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (p == MAP_FAILED)
		return NULL;
	p = (char *)(((uintptr_t)p + HUGE - 1) & ~(HUGE - 1));
	madvise(p, HUGE, MADV_HUGEPAGE);
	return p;
}

static int move(void)
{
	struct uffdio_api api = { .api = UFFD_API, .features = UFFD_FEATURE_MOVE };
	struct uffdio_register reg = { .mode = UFFDIO_REGISTER_MODE_MISSING };
	struct uffdio_move move = { .len = PAGE };
	int uffd = syscall(SYS_userfaultfd, O_CLOEXEC | UFFD_USER_MODE_ONLY);
	char *from = huge(), *to = huge();
	struct iovec iov = { .iov_len = PAGE };
	int pipes[2];

	if (uffd < 0 || !from || !to || ioctl(uffd, UFFDIO_API, &api) || pipe(pipes))
		return 4;
	memset(from, 1, HUGE);
	iov.iov_base = from + PAGE;
	reg.range.start = (uintptr_t)to;
	reg.range.len = HUGE;
	if (vmsplice(pipes[1], &iov, 1, 0) != (ssize_t)PAGE ||
	    ioctl(uffd, UFFDIO_REGISTER, &reg))
		return 4;
	move.src = (uintptr_t)from;
	move.dst = (uintptr_t)to;
	ioctl(uffd, UFFDIO_MOVE, &move);
	return 0;
}

int main(void)
{
	struct rusage used;
	int status, i;
	pid_t pid = fork();

	if (pid < 0)
		return 4;
	if (!pid)
		_exit(move());
	for (i = 0; i < SECONDS * 10; i++) {
		if (waitpid(pid, &status, WNOHANG) == pid) {
			int code = WIFEXITED(status) ? WEXITSTATUS(status) : 4;

			puts(code ? "it can't be tried here" : "UFFDIO_MOVE has returned");
			return code;
		}
		usleep(100000);
	}
	kill(pid, SIGKILL);
	wait4(pid, &status, 0, &used);
	printf("UFFDIO_MOVE has not returned in %d s, of which it ran %ld.%ld s in the kernel\n",
	       SECONDS, (long)used.ru_stime.tv_sec, (long)used.ru_stime.tv_usec / 100000);
	return 1;
}
