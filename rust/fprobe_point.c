// SPDX-License-Identifier: GPL-2.0

#include <linux/fprobe.h>
#include <linux/kprobes.h>
#include <linux/string.h>

#include "helpers.h"
#include "uapi/guplab.h"

/*
 * kprobe_point.c with fprobes, for where a kprobe at a function's entry is a breakpoint: that would
 * have the task answer no IPI while it is delayed, and protect it from what it is to meet.
 */
static struct fprobe probes[GUPLAB_NR_POINTS];

static int entered(struct fprobe *fp, unsigned long entry_ip, unsigned long ret_ip,
		   struct ftrace_regs *fregs, void *data)
{
	unsigned int point = fp - probes;
	unsigned long args[GUPLAB_POINT_ARGS];
	unsigned int i;

	for (i = 0; i < GUPLAB_POINT_ARGS; i++)
		args[i] = ftrace_regs_get_argument(fregs, i);
	return !guplab_point_entered(point, args, data);
}

NOKPROBE_SYMBOL(entered);

static void left(struct fprobe *fp, unsigned long entry_ip, unsigned long ret_ip,
		 struct ftrace_regs *fregs, void *data)
{
	guplab_point_left(fp - probes, data);
}

NOKPROBE_SYMBOL(left);

int guplab_watch_function(unsigned int point, const char *name)
{
	struct fprobe *fp = &probes[point];

	memset(fp, 0, sizeof(*fp));
	fp->entry_handler = entered;
	fp->exit_handler = left;
	fp->entry_data_size = GUPLAB_POINT_WATCHERS * sizeof(u32);
	return register_fprobe_syms(fp, &name, 1);
}

void guplab_unwatch_function(unsigned int point)
{
	unregister_fprobe(&probes[point]);
}

unsigned long guplab_missed_calls(unsigned int point)
{
	return probes[point].nmissed;
}
