// SPDX-License-Identifier: GPL-2.0

#include <linux/err.h>
#include <linux/mmu_notifier.h>
#include <linux/slab.h>

#include "helpers.h"

/*
 * Subscriptions to the MMU notifiers of an address space. In C, for the kernel's own bindings have
 * mmu_notifier.h only where something else includes it.
 */
#ifdef CONFIG_MMU_NOTIFIER
struct subscription {
	struct mmu_notifier notifier;
	size_t slot;
};

static size_t slot_of(struct mmu_notifier *notifier)
{
	return container_of(notifier, struct subscription, notifier)->slot;
}

static int start(struct mmu_notifier *notifier, const struct mmu_notifier_range *range)
{
	guplab_range_started(slot_of(notifier), range->mm, range->start, range->end);
	return 0;
}

static void end(struct mmu_notifier *notifier, const struct mmu_notifier_range *range)
{
	guplab_range_ended(slot_of(notifier), range->mm, range->start, range->end);
}

static const struct mmu_notifier_ops ops = {
	.invalidate_range_start = start,
	.invalidate_range_end = end,
};

void *guplab_mmu_notifier_register(struct mm_struct *mm, size_t slot)
{
	struct subscription *new = kzalloc(sizeof(*new), GFP_KERNEL);
	int ret;

	if (!new)
		return ERR_PTR(-ENOMEM);
	new->notifier.ops = &ops;
	new->slot = slot;
	ret = mmu_notifier_register(&new->notifier, mm);
	if (!ret)
		return new;
	kfree(new);
	return ERR_PTR(ret);
}

void guplab_mmu_notifier_unregister(void *subscription)
{
	struct subscription *old = subscription;

	/* The registration keeps the address space. No callback runs any more when this returns. */
	mmu_notifier_unregister(&old->notifier, old->notifier.mm);
	kfree(old);
}
#else
void *guplab_mmu_notifier_register(struct mm_struct *mm, size_t slot)
{
	return ERR_PTR(-EOPNOTSUPP);
}

void guplab_mmu_notifier_unregister(void *subscription)
{
}
#endif /* CONFIG_MMU_NOTIFIER */
