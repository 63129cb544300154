// SPDX-License-Identifier: GPL-2.0

#include <linux/errno.h>
#include <linux/irqflags.h>
#include <linux/kprobes.h>
#include <linux/preempt.h>
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

/*
 * A kprobe that is not one of ftrace's is a breakpoint, or a jump in the place of one, and has
 * interrupts off: a task that is delayed there would answer no IPI, and be protected from what it
 * is to meet. Where the exception is not like an NMI, they are what they were for the function.
 * The probe is this CPU's, so preemption is off; what an interrupt runs into meanwhile is missed,
 * as it is with ftrace.
 */
static bool has_irqs_on(struct pt_regs *regs)
{
#ifdef CONFIG_ARM
	return irqs_disabled() && interrupts_enabled(regs);
#else
	return false;
#endif
}

static unsigned long argument(struct pt_regs *regs, unsigned int n)
{
#ifdef CONFIG_HAVE_FUNCTION_ARG_ACCESS_API
	return regs_get_kernel_argument(regs, n);
#else
	/* 32-bit ARM: r0 to r3. No function of delay/point.rs has anything wider before these. */
	return regs_get_register(regs, n * sizeof(long));
#endif
}

static int entered(struct kretprobe_instance *ri, struct pt_regs *regs)
{
	unsigned int point = get_kretprobe(ri) - probes;
	bool irqs_on = has_irqs_on(regs);
	unsigned long args[GUPLAB_POINT_ARGS];
	unsigned int i;
	bool inside;

	for (i = 0; i < GUPLAB_POINT_ARGS; i++)
		args[i] = argument(regs, i);
	if (irqs_on) {
		preempt_disable();
		local_irq_enable();
	}
	inside = guplab_point_entered(point, args, (u32 *)ri->data);
	if (irqs_on) {
		local_irq_disable();
		preempt_enable();
	}
	return !inside;
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
