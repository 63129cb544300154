// SPDX-License-Identifier: GPL-2.0

#include <linux/errno.h>
#include <linux/fprobe.h>
#include <linux/kprobes.h>
#include <linux/string.h>

#include "helpers.h"
#include "uapi/guplab.h"

/*
 * How a function is watched. A kprobe at its entry leaves interrupts as they are where it is one of
 * ftrace's. Elsewhere it is a breakpoint: the task would answer no IPI while it is delayed, which
 * protects it from what it is to meet. An fprobe is better then; but what is notrace, as every
 * inline that the compiler has not inlined, can take kprobes alone.
 */
#if defined(CONFIG_FPROBE) && !defined(CONFIG_KPROBES_ON_FTRACE)
static struct fprobe probes[GUPLAB_NR_POINTS];
static bool has_fprobe[GUPLAB_NR_POINTS];

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
	has_fprobe[point] = !register_fprobe_syms(fp, &name, 1);
	return has_fprobe[point] ? 0 : guplab_watch_by_kprobe(point, name);
}

void guplab_unwatch_function(unsigned int point)
{
	if (has_fprobe[point])
		unregister_fprobe(&probes[point]);
	else
		guplab_unwatch_by_kprobe(point);
}

unsigned long guplab_missed_calls(unsigned int point)
{
	return has_fprobe[point] ? probes[point].nmissed : guplab_missed_by_kprobe(point);
}
#else
int guplab_watch_function(unsigned int point, const char *name)
{
	return guplab_watch_by_kprobe(point, name);
}

void guplab_unwatch_function(unsigned int point)
{
	guplab_unwatch_by_kprobe(point);
}

unsigned long guplab_missed_calls(unsigned int point)
{
	return guplab_missed_by_kprobe(point);
}
#endif
