// SPDX-License-Identifier: GPL-2.0

#include <linux/errno.h>
#include <linux/kprobes.h>
#include <linux/ptrace.h>
#include <linux/string.h>

#include "helpers.h"
#include "uapi/guplab.h"

/*
 * One return probe for each delay point. Registering and calling back is all that is done here;
 * what is delayed, and for how long, is decided in delay/.
 */
#ifdef CONFIG_KRETPROBES
static struct kretprobe probes[GUPLAB_NR_POINTS];

static int entered(struct kretprobe_instance *ri, struct pt_regs *regs)
{
	unsigned int point = get_kretprobe(ri) - probes;
	unsigned long args[GUPLAB_POINT_ARGS];
	unsigned int i;

	for (i = 0; i < GUPLAB_POINT_ARGS; i++)
		args[i] = regs_get_kernel_argument(regs, i);
	return !guplab_point_entered(point, args, (u32 *)ri->data);
}

NOKPROBE_SYMBOL(entered);

static int left(struct kretprobe_instance *ri, struct pt_regs *regs)
{
	guplab_point_left(get_kretprobe(ri) - probes, (u32 *)ri->data);
	return 0;
}

NOKPROBE_SYMBOL(left);

int guplab_watch_by_kprobe(unsigned int point, const char *name)
{
	struct kretprobe *rp = &probes[point];

	memset(rp, 0, sizeof(*rp));
	rp->kp.symbol_name = name;
	rp->entry_handler = entered;
	rp->handler = left;
	rp->data_size = GUPLAB_POINT_WATCHERS * sizeof(u32);
	return register_kretprobe(rp);
}

void guplab_unwatch_by_kprobe(unsigned int point)
{
	unregister_kretprobe(&probes[point]);
}

unsigned long guplab_missed_by_kprobe(unsigned int point)
{
	return probes[point].nmissed;
}
#else
int guplab_watch_by_kprobe(unsigned int point, const char *name)
{
	return -EOPNOTSUPP;
}

void guplab_unwatch_by_kprobe(unsigned int point)
{
}

unsigned long guplab_missed_by_kprobe(unsigned int point)
{
	return 0;
}
#endif /* CONFIG_KRETPROBES */
