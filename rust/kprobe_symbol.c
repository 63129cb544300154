// SPDX-License-Identifier: GPL-2.0

#include <linux/kprobes.h>

#include "helpers.h"

bool guplab_function_exists(const char *name)
{
	struct kprobe kp = { .symbol_name = name, .flags = KPROBE_FLAG_DISABLED };

	/* A disabled probe changes no code. */
	if (register_kprobe(&kp))
		return false;
	unregister_kprobe(&kp);
	return true;
}

/*
 * Returns the address of a kernel function that is not exported, or 0 where there is none or it
 * can't be called soundly: with control-flow integrity an indirect call needs a type hash that a
 * module can't know. kallsyms_lookup_name() is not exported either; registering a probe looks the
 * name up, and the probe is gone again.
 */
unsigned long guplab_symbol_address(const char *name)
{
	/* A disabled probe changes no code. */
	struct kprobe kp = { .symbol_name = name, .flags = KPROBE_FLAG_DISABLED };
	unsigned long addr;

	if (IS_ENABLED(CONFIG_CFI) || IS_ENABLED(CONFIG_CFI_CLANG))
		return 0;
	if (register_kprobe(&kp))
		return 0;
	addr = (unsigned long)kp.addr;
	unregister_kprobe(&kp);
#ifdef CONFIG_X86_KERNEL_IBT
	/* The probe sits behind the ENDBR at which an indirect call has to land. */
	if (*(u32 *)(addr - 4) == gen_endbr())
		addr -= 4;
#endif
	return addr;
}
