// SPDX-License-Identifier: GPL-2.0

#include <linux/highmem.h>
#include <linux/mm.h>
#include <linux/pgtable.h>
#include <linux/userfaultfd_k.h>

#include "helpers.h"

/* Linux 7.3 renamed them, when the bit got a second meaning. */
#ifdef pgtable_supports_uffd
#define pmd_uffd_wp pmd_uffd
#define pte_uffd_wp pte_uffd
#endif

GUPLAB_INLINE pgd_t *guplab_pgd_offset(struct mm_struct *mm, unsigned long addr)
{
	return pgd_offset(mm, addr);
}

GUPLAB_INLINE pgd_t guplab_pgdp_get(pgd_t *pgdp)
{
	return pgdp_get(pgdp);
}

GUPLAB_INLINE bool guplab_pgd_present(pgd_t pgd)
{
	return pgd_present(pgd);
}

GUPLAB_INLINE p4d_t *guplab_p4d_offset(pgd_t *pgdp, pgd_t *pgd, unsigned long addr)
{
	return p4d_offset_lockless(pgdp, *pgd, addr);
}

GUPLAB_INLINE p4d_t guplab_p4dp_get(p4d_t *p4dp)
{
	return p4dp_get(p4dp);
}

GUPLAB_INLINE bool guplab_p4d_present(p4d_t p4d)
{
	return p4d_present(p4d);
}

GUPLAB_INLINE pud_t *guplab_pud_offset(p4d_t *p4dp, p4d_t *p4d, unsigned long addr)
{
	return pud_offset_lockless(p4dp, *p4d, addr);
}

GUPLAB_INLINE pud_t guplab_pudp_get(pud_t *pudp)
{
	return pudp_get(pudp);
}

GUPLAB_INLINE unsigned long guplab_pud_addr_end(unsigned long addr, unsigned long end)
{
	return pud_addr_end(addr, end);
}

GUPLAB_INLINE unsigned long guplab_pmd_addr_end(unsigned long addr, unsigned long end)
{
	return pmd_addr_end(addr, end);
}

GUPLAB_INLINE u64 guplab_pud_val(pud_t pud)
{
	return pud_val(pud);
}

GUPLAB_INLINE bool guplab_pud_present(u64 pud)
{
	return pud_present(__pud(pud));
}

GUPLAB_INLINE bool guplab_pud_leaf(u64 pud)
{
	return pud_leaf(__pud(pud));
}

GUPLAB_INLINE unsigned long guplab_pud_pfn(u64 pud)
{
	return pud_pfn(__pud(pud));
}

GUPLAB_INLINE bool guplab_pud_write(u64 pud)
{
	return pud_write(__pud(pud));
}

/* Not every architecture has these two of PUDs; hugetlb reads entries of all sizes as PTEs. */
GUPLAB_INLINE bool guplab_pud_dirty(u64 pud)
{
	return pte_dirty(__pte(pud));
}

GUPLAB_INLINE bool guplab_pud_young(u64 pud)
{
	return pte_young(__pte(pud));
}

GUPLAB_INLINE bool guplab_pud_none(u64 pud)
{
	return pud_none(__pud(pud));
}

GUPLAB_INLINE bool guplab_pud_special(u64 pud)
{
	return pud_special(__pud(pud));
}

GUPLAB_INLINE bool guplab_pud_access_permitted(u64 pud, bool write)
{
	return pud_access_permitted(__pud(pud), write);
}

GUPLAB_INLINE pmd_t *guplab_pmd_offset(pud_t *pudp, pud_t *pud, unsigned long addr)
{
	return pmd_offset_lockless(pudp, *pud, addr);
}

GUPLAB_INLINE u64 guplab_pmdp_get_lockless(pmd_t *pmdp)
{
	return pmd_val(pmdp_get_lockless(pmdp));
}

GUPLAB_INLINE bool guplab_pmd_present(u64 pmd)
{
	return pmd_present(__pmd(pmd));
}

GUPLAB_INLINE bool guplab_pmd_leaf(u64 pmd)
{
	return pmd_leaf(__pmd(pmd));
}

GUPLAB_INLINE bool guplab_pmd_none(u64 pmd)
{
	return pmd_none(__pmd(pmd));
}

GUPLAB_INLINE unsigned long guplab_pmd_pfn(u64 pmd)
{
	return pmd_pfn(__pmd(pmd));
}

GUPLAB_INLINE bool guplab_pmd_write(u64 pmd)
{
	return pmd_write(__pmd(pmd));
}

GUPLAB_INLINE bool guplab_pmd_dirty(u64 pmd)
{
	return pmd_dirty(__pmd(pmd));
}

GUPLAB_INLINE bool guplab_pmd_young(u64 pmd)
{
	return pmd_young(__pmd(pmd));
}

GUPLAB_INLINE bool guplab_pmd_protnone(u64 pmd)
{
	return pmd_protnone(__pmd(pmd));
}

GUPLAB_INLINE bool guplab_pmd_special(u64 pmd)
{
	return pmd_special(__pmd(pmd));
}

GUPLAB_INLINE bool guplab_pmd_uffd_wp(u64 pmd)
{
	return pmd_uffd_wp(__pmd(pmd));
}

GUPLAB_INLINE bool guplab_pmd_soft_dirty(u64 pmd)
{
	return pmd_soft_dirty(__pmd(pmd));
}

GUPLAB_INLINE bool guplab_pmd_access_permitted(u64 pmd, bool write)
{
	return pmd_access_permitted(__pmd(pmd), write);
}

/*
 * pte_offset_map() and pte_unmap() without their RCU, and without a look at what the entry points
 * to: that is the caller's.
 */
GUPLAB_INLINE pte_t *guplab_pte_map(u64 pmd, unsigned long addr)
{
	pmd_t entry = __pmd(pmd);

#ifdef CONFIG_HIGHPTE
	return (pte_t *)kmap_local_page(pmd_page(entry)) + pte_index(addr);
#else
	return pte_offset_kernel(&entry, addr);
#endif
}

GUPLAB_INLINE void guplab_pte_unmap(pte_t *ptep)
{
#ifdef CONFIG_HIGHPTE
	kunmap_local(ptep);
#endif
}

GUPLAB_INLINE u64 guplab_ptep_get_lockless(pte_t *ptep)
{
	return pte_val(ptep_get_lockless(ptep));
}

/* Half of an entry of 64 bits, the low one first: what ptep_get_lockless() must not do. */
GUPLAB_INLINE u32 guplab_ptep_half(pte_t *ptep, unsigned int half)
{
	return READ_ONCE(((u32 *)ptep)[half]);
}

GUPLAB_INLINE bool guplab_pte_present(u64 pte)
{
	return pte_present(__pte(pte));
}

GUPLAB_INLINE bool guplab_pte_none(u64 pte)
{
	return pte_none(__pte(pte));
}

GUPLAB_INLINE unsigned long guplab_pte_pfn(u64 pte)
{
	return pte_pfn(__pte(pte));
}

GUPLAB_INLINE bool guplab_pte_write(u64 pte)
{
	return pte_write(__pte(pte));
}

GUPLAB_INLINE bool guplab_pte_dirty(u64 pte)
{
	return pte_dirty(__pte(pte));
}

GUPLAB_INLINE bool guplab_pte_young(u64 pte)
{
	return pte_young(__pte(pte));
}

GUPLAB_INLINE bool guplab_pte_protnone(u64 pte)
{
	return pte_protnone(__pte(pte));
}

GUPLAB_INLINE bool guplab_pte_special(u64 pte)
{
	return pte_special(__pte(pte));
}

GUPLAB_INLINE bool guplab_pte_uffd_wp(u64 pte)
{
	return pte_uffd_wp(__pte(pte));
}

GUPLAB_INLINE bool guplab_pte_soft_dirty(u64 pte)
{
	return pte_soft_dirty(__pte(pte));
}

GUPLAB_INLINE bool guplab_pte_access_permitted(u64 pte, bool write)
{
	return pte_access_permitted(__pte(pte), write);
}

/* The entry without what the MMU sets by itself, and without soft-dirty. */
GUPLAB_INLINE u64 guplab_pte_untouched(u64 pte)
{
	return pte_val(pte_mkold(pte_mkclean(pte_clear_soft_dirty(__pte(pte)))));
}

GUPLAB_INLINE u64 guplab_pte_next_pfn(u64 pte)
{
	return pte_val(pte_next_pfn(__pte(pte)));
}
