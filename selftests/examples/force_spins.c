// SPDX-License-Identifier: GPL-2.0
/*
 * PTRACE_POKEDATA, a write by force (FOLL_FORCE), to a page of a private hugetlb mapping that may
 * only be read, and was only read, does not return when the mapping is tracked for soft-dirty: GUP
 * wants a write fault first, and the fault changes nothing. No right is needed, and no guplab; one
 * huge page has to be free.
 *
 *	cc -O2 -o force_spins force_spins.c && ./force_spins
 *
 * Exit code: 0 if the call returned, 1 if it did not, 4 if it can't be tried.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#ifndef MADV_POPULATE_READ
#define MADV_POPULATE_READ	22
#endif

#define HUGE	(2UL << 20)
#define SECONDS	3

/* Who is written to. */
static int tracee(void *page, int tracked)
{
	int refs = open("/proc/self/clear_refs", O_WRONLY);

	if (madvise(page, HUGE, MADV_POPULATE_READ))
		return 4;
	if (refs < 0 || (tracked && write(refs, "4", 1) != 1))
		return 4;
	if (ptrace(PTRACE_TRACEME, 0, NULL, NULL))
		return 4;
	raise(SIGSTOP);
	return 4;
}

/* Who writes. */
static int tracer(int tracked)
{
	void *page = mmap(NULL, HUGE, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_HUGETLB, -1, 0);
	int status;
	pid_t pid;

	if (page == MAP_FAILED)
		return 4;
	pid = fork();
	if (!pid)
		_exit(tracee(page, tracked));
	if (waitpid(pid, &status, 0) != pid || !WIFSTOPPED(status) ||
	    ptrace(PTRACE_SETOPTIONS, pid, NULL, (void *)PTRACE_O_EXITKILL))
		return 4;
	return ptrace(PTRACE_POKEDATA, pid, page, (void *)1) ? 4 : 0;
}

static int try(int tracked)
{
	struct rusage used;
	int status, i;
	pid_t pid = fork();

	if (pid < 0)
		return 4;
	if (!pid)
		_exit(tracer(tracked));
	for (i = 0; i < SECONDS * 10; i++) {
		if (waitpid(pid, &status, WNOHANG) == pid)
			return WIFEXITED(status) ? WEXITSTATUS(status) : 4;
		usleep(100000);
	}
	kill(pid, SIGKILL);
	wait4(pid, &status, 0, &used);
	printf("POKEDATA has not returned in %d s, of which it ran %ld.%ld s in the kernel\n",
	       SECONDS, (long)used.ru_stime.tv_sec, (long)used.ru_stime.tv_usec / 100000);
	return 1;
}

int main(void)
{
	int code = try(0);

	if (!code) {
		puts("POKEDATA has returned where soft-dirty is not tracked");
		fflush(stdout);
		code = try(1);
		if (!code)
			puts("and where it is");
	}
	if (code == 4)
		puts("it can't be tried here");
	return code;
}
