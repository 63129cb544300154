/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What bindgen can't see through, inline functions and macros, made callable. Each is one
 * expression and named for the C function that it stands for.
 */
#ifndef _GUPLAB_HELPERS_H
#define _GUPLAB_HELPERS_H

#include <linux/mm_types.h>
#include <linux/pgtable.h>
#include <linux/types.h>

/*
 * Where clang and rustc have the same LLVM, pgtable_helpers.c and walk_helpers.c are compiled to
 * bitcode as well, and become part of the Rust code (Kbuild), as rust/helpers/ does in the kernel
 * with CONFIG_RUST_INLINE_HELPERS. "always" is needed: the two sides' target attributes differ by
 * name, and the inliner would refuse.
 */
#ifdef GUPLAB_BITCODE
#define GUPLAB_INLINE __always_inline
#else
#define GUPLAB_INLINE
#endif

struct dentry;
struct file_operations;
struct module;
struct page;
struct folio;
struct mm_struct;
struct vm_area_struct;

/* Found by name: kprobe_symbol.c. */
unsigned long guplab_symbol_address(const char *name);
bool guplab_function_exists(const char *name);

/* Kernel functions, watched at entry and return. */
#define GUPLAB_POINT_ARGS	4
#define GUPLAB_POINT_WATCHERS	4

int guplab_watch_function(unsigned int point, const char *name);
void guplab_unwatch_function(unsigned int point);
unsigned long guplab_missed_calls(unsigned int point);
int guplab_watch_by_kprobe(unsigned int point, const char *name);
void guplab_unwatch_by_kprobe(unsigned int point);
unsigned long guplab_missed_by_kprobe(unsigned int point);
/*
 * Called for each entry and return; written in Rust. The first fills in the names of the delays
 * whose tasks are inside now, 0 for none, and says whether there are any.
 */
bool guplab_point_entered(unsigned int point, const unsigned long *args, u32 *ids);
void guplab_point_left(unsigned int point, const u32 *ids);

/*
 * MMU notifiers: notifier.c. For each range that the kernel changes there it calls the other two,
 * which are written in Rust.
 */
void *guplab_mmu_notifier_register(struct mm_struct *mm, size_t slot);
void guplab_mmu_notifier_unregister(void *subscription);
void guplab_range_started(size_t slot, struct mm_struct *mm, unsigned long start,
			  unsigned long end);
void guplab_range_ended(size_t slot, struct mm_struct *mm, unsigned long start, unsigned long end);

/* What has a different name in every other version of the kernel crate. */
struct module *guplab_this_module(void);

/* Tasks and time. */
s64 guplab_ktime_to_us(s64 kt);
u64 guplab_div_rem(u64 dividend, u32 divisor, u32 *remainder);
bool guplab_fatal_signal_pending(void);
bool guplab_in_task(void);
bool guplab_irqs_disabled(void);
void guplab_cpu_relax(void);
void guplab_cond_resched(void);
unsigned long guplab_rlimit_memlock(void);
unsigned long guplab_task_size_max(void);

/* What a function was told: whose memory, and which address. */
struct mm_struct *guplab_vma_mm(const struct vm_area_struct *vma);
unsigned long guplab_vma_start(const struct vm_area_struct *vma);
unsigned long guplab_vma_end(const struct vm_area_struct *vma);

/* What is in force during a walk, and the address space that is walked. */
unsigned long guplab_local_irq_save(void);
void guplab_local_irq_restore(unsigned long flags);
void guplab_rcu_read_lock(void);
void guplab_rcu_read_unlock(void);
void guplab_preempt_disable(void);
void guplab_preempt_enable(void);
bool guplab_gup_fast_permitted(unsigned long start, unsigned long end);
void guplab_mm_set_has_pinned(struct mm_struct *mm);
unsigned int guplab_write_protect_seq(struct mm_struct *mm);
bool guplab_write_protect_retry(struct mm_struct *mm, unsigned int seq);

/* The mmap lock, for a task that may be killed meanwhile. */
int guplab_mmap_read_lock_killable(struct mm_struct *mm);
void guplab_mmap_read_unlock(struct mm_struct *mm);

/* Files in debugfs, without the proxy that a module can do without: their operations own it. */
struct dentry *guplab_debugfs_lookup(const char *name);
struct dentry *guplab_debugfs_create_file(const char *name, struct dentry *parent,
					  const struct file_operations *fops);
void guplab_debugfs_remove(struct dentry *dentry);

/* mm->pinned_vm. */
u64 guplab_pinned_vm_add(struct mm_struct *mm, unsigned long nr_pages);
void guplab_pinned_vm_sub(struct mm_struct *mm, unsigned long nr_pages);

/* Pages and folios. */
struct page *guplab_pfn_to_page(unsigned long pfn);
unsigned long guplab_page_to_pfn(const struct page *page);
bool guplab_pfn_valid(unsigned long pfn);
bool guplab_is_zero_pfn(unsigned long pfn);
struct folio *guplab_page_folio(struct page *page);
bool guplab_is_zero_page(const struct page *page);
bool guplab_is_pci_p2pdma_page(const struct page *page);
bool guplab_folio_try_get(struct folio *folio);
bool guplab_folio_ref_try_add(struct folio *folio, int nr);
void guplab_folio_ref_add(struct folio *folio, int nr);
void guplab_folio_put_refs(struct folio *folio, int nr);
void guplab_folio_pincount_add(struct folio *folio, int nr);
void guplab_smp_mb_after_atomic(void);
void guplab_smp_rmb(void);
unsigned long guplab_folio_nr_pages(const struct folio *folio);
struct pglist_data *guplab_folio_pgdat(const struct folio *folio);
void guplab_foll_pin_acquired(struct pglist_data *pgdat, long nr);
void guplab_foll_pin_released(struct pglist_data *pgdat, long nr);
bool guplab_make_folio_accessible(struct folio *folio);
void guplab_folio_set_referenced(struct folio *folio);
unsigned long guplab_folio_mapping(const struct folio *folio);
bool guplab_shmem_mapping(unsigned long mapping);
bool guplab_secretmem_mapping(unsigned long mapping);
void guplab_folio_put(struct folio *folio);
int guplab_folio_ref_count(struct folio *folio);
bool guplab_folio_has_pincount(struct folio *folio);
int guplab_folio_pincount(struct folio *folio);
int guplab_folio_mapcount(struct folio *folio);
unsigned int guplab_folio_order(struct folio *folio);
unsigned long guplab_folio_page_idx(const struct folio *folio, const struct page *page);
int guplab_folio_nid(struct folio *folio);
bool guplab_folio_test_anon(struct folio *folio);
bool guplab_page_anon_exclusive(const struct page *page);
bool guplab_folio_maybe_dma_pinned(struct folio *folio);
bool guplab_folio_test_large(struct folio *folio);
bool guplab_folio_test_hugetlb(struct folio *folio);
bool guplab_folio_test_ksm(struct folio *folio);
bool guplab_folio_test_swapcache(struct folio *folio);
bool guplab_folio_test_lru(struct folio *folio);
bool guplab_folio_test_clear_referenced(struct folio *folio);
bool guplab_folio_test_dirty(struct folio *folio);
bool guplab_is_zero_folio(struct folio *folio);
bool guplab_folio_is_longterm_pinnable(struct folio *folio);
void guplab_memcpy_to_page(struct page *page, size_t offset, const char *from, size_t len);
void guplab_memcpy_from_page(char *to, struct page *page, size_t offset, size_t len);

/*
 * Page tables, read locklessly. An entry is read once, into a value, and everything is asked of
 * that value. Where a level is folded, what the *_offset() of the level below returns points into
 * that value: it has to outlive the walk.
 */
pgd_t *guplab_pgd_offset(struct mm_struct *mm, unsigned long addr);
pgd_t guplab_pgdp_get(pgd_t *pgdp);
bool guplab_pgd_present(pgd_t pgd);
p4d_t *guplab_p4d_offset(pgd_t *pgdp, pgd_t *pgd, unsigned long addr);
p4d_t guplab_p4dp_get(p4d_t *p4dp);
bool guplab_p4d_present(p4d_t p4d);
pud_t *guplab_pud_offset(p4d_t *p4dp, p4d_t *p4d, unsigned long addr);
pud_t guplab_pudp_get(pud_t *pudp);
unsigned long guplab_pud_addr_end(unsigned long addr, unsigned long end);
unsigned long guplab_pmd_addr_end(unsigned long addr, unsigned long end);
u64 guplab_pud_val(pud_t pud);
bool guplab_pud_none(u64 pud);
bool guplab_pud_special(u64 pud);
bool guplab_pud_access_permitted(u64 pud, bool write);
bool guplab_pud_present(u64 pud);
bool guplab_pud_leaf(u64 pud);
unsigned long guplab_pud_pfn(u64 pud);
bool guplab_pud_write(u64 pud);
bool guplab_pud_dirty(u64 pud);
bool guplab_pud_young(u64 pud);
pmd_t *guplab_pmd_offset(pud_t *pudp, pud_t *pud, unsigned long addr);
u64 guplab_pmdp_get_lockless(pmd_t *pmdp);
bool guplab_pmd_present(u64 pmd);
bool guplab_pmd_leaf(u64 pmd);
bool guplab_pmd_none(u64 pmd);
unsigned long guplab_pmd_pfn(u64 pmd);
bool guplab_pmd_write(u64 pmd);
bool guplab_pmd_dirty(u64 pmd);
bool guplab_pmd_young(u64 pmd);
bool guplab_pmd_protnone(u64 pmd);
bool guplab_pmd_special(u64 pmd);
bool guplab_pmd_uffd_wp(u64 pmd);
bool guplab_pmd_soft_dirty(u64 pmd);
bool guplab_pmd_access_permitted(u64 pmd, bool write);
pte_t *guplab_pte_map(u64 pmd, unsigned long addr);
void guplab_pte_unmap(pte_t *ptep);
u64 guplab_ptep_get_lockless(pte_t *ptep);
u32 guplab_ptep_half(pte_t *ptep, unsigned int half);
bool guplab_pte_present(u64 pte);
bool guplab_pte_none(u64 pte);
unsigned long guplab_pte_pfn(u64 pte);
bool guplab_pte_write(u64 pte);
bool guplab_pte_dirty(u64 pte);
bool guplab_pte_young(u64 pte);
bool guplab_pte_protnone(u64 pte);
bool guplab_pte_special(u64 pte);
bool guplab_pte_uffd_wp(u64 pte);
bool guplab_pte_soft_dirty(u64 pte);
bool guplab_pte_access_permitted(u64 pte, bool write);
u64 guplab_pte_untouched(u64 pte);
u64 guplab_pte_next_pfn(u64 pte);

#endif /* _GUPLAB_HELPERS_H */
