// SPDX-License-Identifier: GPL-2.0

#include <linux/debugfs.h>
#include <linux/highmem.h>
#include <linux/huge_mm.h>
#include <linux/hugetlb.h>
#include <linux/irqflags.h>
#include <linux/ktime.h>
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/sched/signal.h>

#include "helpers.h"

/* module! has no field for it: this is a test module, and taints the kernel as one. */
MODULE_INFO(test, "Y");

struct module *guplab_this_module(void)
{
	return THIS_MODULE;
}

s64 guplab_ktime_to_us(s64 kt)
{
	return ktime_to_us(kt);
}

u64 guplab_div_rem(u64 dividend, u32 divisor, u32 *remainder)
{
	return div_u64_rem(dividend, divisor, remainder);
}

bool guplab_fatal_signal_pending(void)
{
	return fatal_signal_pending(current);
}

bool guplab_in_task(void)
{
	return in_task();
}

bool guplab_irqs_disabled(void)
{
	return irqs_disabled();
}

void guplab_cpu_relax(void)
{
	cpu_relax();
}

struct mm_struct *guplab_vma_mm(const struct vm_area_struct *vma)
{
	return vma->vm_mm;
}

unsigned long guplab_vma_start(const struct vm_area_struct *vma)
{
	return vma->vm_start;
}

unsigned long guplab_vma_end(const struct vm_area_struct *vma)
{
	return vma->vm_end;
}

void guplab_cond_resched(void)
{
	cond_resched();
}

unsigned long guplab_rlimit_memlock(void)
{
	return rlimit(RLIMIT_MEMLOCK);
}

unsigned long guplab_task_size_max(void)
{
	return TASK_SIZE_MAX;
}

int guplab_mmap_read_lock_killable(struct mm_struct *mm)
{
	return mmap_read_lock_killable(mm);
}

void guplab_mmap_read_unlock(struct mm_struct *mm)
{
	mmap_read_unlock(mm);
}

struct dentry *guplab_debugfs_lookup(const char *name)
{
	return debugfs_lookup(name, NULL);
}

struct dentry *guplab_debugfs_create_file(const char *name, struct dentry *parent,
					  const struct file_operations *fops)
{
	return debugfs_create_file_unsafe(name, 0600, parent, NULL, fops);
}

void guplab_debugfs_remove(struct dentry *dentry)
{
	debugfs_remove(dentry);
}

u64 guplab_pinned_vm_add(struct mm_struct *mm, unsigned long nr_pages)
{
	return atomic64_add_return(nr_pages, &mm->pinned_vm);
}

void guplab_pinned_vm_sub(struct mm_struct *mm, unsigned long nr_pages)
{
	atomic64_sub(nr_pages, &mm->pinned_vm);
}

unsigned long guplab_page_to_pfn(const struct page *page)
{
	return page_to_pfn(page);
}

bool guplab_is_zero_pfn(unsigned long pfn)
{
	return is_zero_pfn(pfn);
}

bool guplab_folio_try_get(struct folio *folio)
{
	return folio_try_get(folio);
}

void guplab_folio_put(struct folio *folio)
{
	folio_put(folio);
}

int guplab_folio_ref_count(struct folio *folio)
{
	return folio_ref_count(folio);
}

int guplab_folio_pincount(struct folio *folio)
{
	return atomic_read(&folio->_pincount);
}

int guplab_folio_mapcount(struct folio *folio)
{
	return folio_mapcount(folio);
}

unsigned int guplab_folio_order(struct folio *folio)
{
	return folio_order(folio);
}

unsigned long guplab_folio_page_idx(const struct folio *folio, const struct page *page)
{
	return folio_page_idx(folio, page);
}

int guplab_folio_nid(struct folio *folio)
{
	return folio_nid(folio);
}

bool guplab_folio_maybe_dma_pinned(struct folio *folio)
{
	return folio_maybe_dma_pinned(folio);
}

bool guplab_folio_test_ksm(struct folio *folio)
{
	return folio_test_ksm(folio);
}

bool guplab_folio_test_swapcache(struct folio *folio)
{
	return folio_test_swapcache(folio);
}

bool guplab_folio_test_lru(struct folio *folio)
{
	return folio_test_lru(folio);
}

bool guplab_folio_test_clear_referenced(struct folio *folio)
{
	return folio_test_clear_referenced(folio);
}

bool guplab_folio_test_dirty(struct folio *folio)
{
	return folio_test_dirty(folio);
}

bool guplab_is_zero_folio(struct folio *folio)
{
	return is_zero_folio(folio);
}

void guplab_memcpy_to_page(struct page *page, size_t offset, const char *from, size_t len)
{
	memcpy_to_page(page, offset, from, len);
}

void guplab_memcpy_from_page(char *to, struct page *page, size_t offset, size_t len)
{
	memcpy_from_page(to, page, offset, len);
}
