// SPDX-License-Identifier: GPL-2.0
//! check_vma_flags().

use crate::slow_path::{Asked, End, Refusal};
use crate::vma::{Backing, Vma};

/// Whether GUP goes on, with the checks in the kernel's order. Protection keys are no part of it:
/// what they allow is not in the VMA.
pub(super) fn check(asked: Asked, vma: &Vma) -> Result<(), End> {
    let fail = |refusal| Err(End::Fails(refusal));
    if vma.has("io") || vma.has("pf") {
        return fail(Refusal::Io);
    }
    if asked.is_longterm() && vma.backing == Backing::Dax {
        return fail(Refusal::FsDax);
    }
    if vma.backing == Backing::Secret {
        return fail(Refusal::Secret);
    }
    if asked.is_write() {
        let is_tracked = vma.backing.is_dirty_tracked();
        // vma_is_shared_writable()
        let matters = asked.is_longterm() && !asked.get && vma.is_writable() && vma.has("sh");
        if matters && is_tracked == Some(true) {
            return fail(Refusal::DirtyTracked);
        }
        if !vma.is_writable() || vma.has("ss") {
            if !asked.is_forced() {
                return fail(Refusal::NotWritable);
            }
            if !vma.is_cow() {
                return fail(Refusal::NotForced);
            }
        }
        if matters && is_tracked.is_none() {
            return Err(End::DependsOnDriver);
        }
    } else if !vma.has("rd") {
        if !asked.is_forced() {
            return fail(Refusal::NotReadable);
        }
        if !vma.has("mr") {
            return fail(Refusal::MayNotRead);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys;
    use crate::vma::tests::vma;

    fn refused(flags: u32, names: &str, backing: Backing) -> Option<End> {
        check(Asked { flags, get: false }, &vma(names, backing)).err()
    }

    const WRITE: u32 = sys::GUPLAB_PIN_WRITE;
    const LONGTERM: u32 = sys::GUPLAB_PIN_LONGTERM;
    const FORCE: u32 = sys::GUPLAB_PIN_FORCE;

    #[test]
    fn what_is_not_memory_is_refused() {
        let io = refused(0, "rd wr sh mr mw pf", Backing::Driver);
        assert_eq!(io, Some(End::Fails(Refusal::Io)));
        let secret = refused(0, "rd wr sh mr mw lo", Backing::Secret);
        assert_eq!(secret, Some(End::Fails(Refusal::Secret)));
    }

    #[test]
    fn files_take_no_long_term_pin_for_writing() {
        let shared = "rd wr sh mr mw ms";
        let of = |flags, backing| refused(flags, shared, backing);
        let tracked = Some(End::Fails(Refusal::DirtyTracked));
        assert_eq!(of(WRITE | LONGTERM, Backing::File), tracked);
        assert_eq!(of(WRITE | LONGTERM, Backing::Shmem), None);
        assert_eq!(of(WRITE, Backing::File), None);
        assert_eq!(of(LONGTERM, Backing::File), None);
        let driver = of(WRITE | LONGTERM, Backing::Driver);
        assert_eq!(driver, Some(End::DependsOnDriver));
        let private = refused(WRITE | LONGTERM, "rd wr mr mw", Backing::File);
        assert_eq!(private, None);
        let dax = Some(End::Fails(Refusal::FsDax));
        assert_eq!(of(LONGTERM, Backing::Dax), dax);
    }

    #[test]
    fn force_writes_to_private_memory_only() {
        let anon = |flags, names| refused(flags, names, Backing::Anonymous);
        let not = Some(End::Fails(Refusal::NotWritable));
        assert_eq!(anon(WRITE, "rd mr mw"), not);
        assert_eq!(anon(WRITE | FORCE, "rd mr mw"), None);
        let never = Some(End::Fails(Refusal::NotForced));
        assert_eq!(refused(WRITE | FORCE, "rd mr mw sh", Backing::Shmem), never);
        assert_eq!(anon(WRITE | FORCE, "rd mr"), never);
        assert_eq!(anon(WRITE, "rd wr mr mw ss"), not);
    }

    #[test]
    fn reading_needs_the_right() {
        let anon = |flags, names| refused(flags, names, Backing::Anonymous);
        let not = Some(End::Fails(Refusal::NotReadable));
        assert_eq!(anon(0, "mr mw"), not);
        assert_eq!(anon(0, "wr mr mw"), not);
        assert_eq!(anon(FORCE, "mr mw"), None);
        assert_eq!(anon(FORCE, "mw"), Some(End::Fails(Refusal::MayNotRead)));
    }
}
