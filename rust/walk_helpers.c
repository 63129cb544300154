// SPDX-License-Identifier: GPL-2.0

#include <linux/fs.h>
#include <linux/irqflags.h>
#include <linux/magic.h>
#include <linux/memremap.h>
#include <linux/mm.h>
#include <linux/pagemap.h>
#include <linux/preempt.h>
#include <linux/rcupdate.h>
#include <linux/seqlock.h>
#include <linux/shmem_fs.h>
#include <linux/vmstat.h>

#include "helpers.h"

/* What is in force while a walk reads page tables. */
GUPLAB_INLINE unsigned long guplab_local_irq_save(void)
{
	unsigned long flags;

	local_irq_save(flags);
	return flags;
}

GUPLAB_INLINE void guplab_local_irq_restore(unsigned long flags)
{
	local_irq_restore(flags);
}

GUPLAB_INLINE void guplab_rcu_read_lock(void)
{
	rcu_read_lock();
}

GUPLAB_INLINE void guplab_rcu_read_unlock(void)
{
	rcu_read_unlock();
}

GUPLAB_INLINE void guplab_preempt_disable(void)
{
	preempt_disable();
}

GUPLAB_INLINE void guplab_preempt_enable(void)
{
	preempt_enable();
}

/* The address space. */
GUPLAB_INLINE bool guplab_gup_fast_permitted(unsigned long start, unsigned long end)
{
#ifdef gup_fast_permitted
	return gup_fast_permitted(start, end);
#else
	return true;
#endif
}

GUPLAB_INLINE void guplab_mm_set_has_pinned(struct mm_struct *mm)
{
	/* Looked at first, so that the cache line is not written for nothing (mm/gup.c). */
	if (!mm_flags_test(MMF_HAS_PINNED, mm))
		mm_flags_set(MMF_HAS_PINNED, mm);
}

GUPLAB_INLINE unsigned int guplab_write_protect_seq(struct mm_struct *mm)
{
	return raw_read_seqcount(&mm->write_protect_seq);
}

GUPLAB_INLINE bool guplab_write_protect_retry(struct mm_struct *mm, unsigned int seq)
{
	return read_seqcount_retry(&mm->write_protect_seq, seq);
}

/* Pages, of which nothing is held yet. */
GUPLAB_INLINE struct page *guplab_pfn_to_page(unsigned long pfn)
{
	return pfn_to_page(pfn);
}

GUPLAB_INLINE bool guplab_pfn_valid(unsigned long pfn)
{
	return pfn_valid(pfn);
}

GUPLAB_INLINE struct folio *guplab_page_folio(struct page *page)
{
	return page_folio(page);
}

GUPLAB_INLINE bool guplab_is_zero_page(const struct page *page)
{
	return is_zero_page(page);
}

GUPLAB_INLINE bool guplab_is_pci_p2pdma_page(const struct page *page)
{
	return is_pci_p2pdma_page(page);
}

GUPLAB_INLINE bool guplab_folio_ref_try_add(struct folio *folio, int nr)
{
	return folio_ref_try_add(folio, nr);
}

/* Folios that are referenced. */
GUPLAB_INLINE unsigned long guplab_folio_nr_pages(const struct folio *folio)
{
	return folio_nr_pages(folio);
}

GUPLAB_INLINE void guplab_folio_ref_add(struct folio *folio, int nr)
{
	folio_ref_add(folio, nr);
}

GUPLAB_INLINE void guplab_folio_put_refs(struct folio *folio, int nr)
{
	folio_put_refs(folio, nr);
}

GUPLAB_INLINE bool guplab_folio_has_pincount(struct folio *folio)
{
	return folio_has_pincount(folio);
}

GUPLAB_INLINE void guplab_folio_pincount_add(struct folio *folio, int nr)
{
	atomic_add(nr, &folio->_pincount);
}

GUPLAB_INLINE void guplab_smp_mb_after_atomic(void)
{
	/* Pairs with folio_try_share_anon_rmap_*() and others: walk/grab.rs. */
	smp_mb__after_atomic();
}

GUPLAB_INLINE void guplab_smp_rmb(void)
{
	/* Pairs with folio_try_share_anon_rmap_*(): walk/folio.rs. */
	smp_rmb();
}

GUPLAB_INLINE struct pglist_data *guplab_folio_pgdat(const struct folio *folio)
{
	return folio_pgdat(folio);
}

GUPLAB_INLINE void guplab_foll_pin_acquired(struct pglist_data *pgdat, long nr)
{
	mod_node_page_state(pgdat, NR_FOLL_PIN_ACQUIRED, nr);
}

GUPLAB_INLINE void guplab_foll_pin_released(struct pglist_data *pgdat, long nr)
{
	mod_node_page_state(pgdat, NR_FOLL_PIN_RELEASED, nr);
}

GUPLAB_INLINE bool guplab_folio_is_longterm_pinnable(struct folio *folio)
{
	return folio_is_longterm_pinnable(folio);
}

GUPLAB_INLINE bool guplab_folio_test_anon(struct folio *folio)
{
	return folio_test_anon(folio);
}

GUPLAB_INLINE bool guplab_folio_test_large(struct folio *folio)
{
	return folio_test_large(folio);
}

GUPLAB_INLINE bool guplab_folio_test_hugetlb(struct folio *folio)
{
	return folio_test_hugetlb(folio);
}

GUPLAB_INLINE bool guplab_page_anon_exclusive(const struct page *page)
{
	return PageAnonExclusive(page);
}

GUPLAB_INLINE bool guplab_make_folio_accessible(struct folio *folio)
{
	return !arch_make_folio_accessible(folio);
}

GUPLAB_INLINE void guplab_folio_set_referenced(struct folio *folio)
{
	/* Looked at first: it is set most of the time, and setting it is an atomic operation. */
	if (!folio_test_referenced(folio))
		folio_set_referenced(folio);
}

/* Read once: truncation sets it to NULL at any time. */
GUPLAB_INLINE unsigned long guplab_folio_mapping(const struct folio *folio)
{
	return (unsigned long)READ_ONCE(folio->mapping);
}

GUPLAB_INLINE bool guplab_shmem_mapping(unsigned long mapping)
{
	return shmem_mapping((struct address_space *)mapping);
}

/* secretmem_mapping() needs a symbol that is not exported; its filesystem has nothing else. */
GUPLAB_INLINE bool guplab_secretmem_mapping(unsigned long mapping)
{
	const struct inode *host = ((struct address_space *)mapping)->host;

	return host && host->i_sb->s_magic == SECRETMEM_MAGIC;
}
