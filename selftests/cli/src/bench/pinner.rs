// SPDX-License-Identifier: GPL-2.0
//! One pass of each contestant: pinning all pages of a range for writing, then unpinning them.

use anyhow::Context;
use guplab::gup_test::{GupTest, Whose};
use guplab::{Hammer, Mapping, Session, sys};

use super::report::Contestant;

/// Pages of a mapping.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Span {
    pub(super) first: usize,
    pub(super) pages: usize,
}

/// How long a pass took.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Took {
    pub(super) get_ns: u64,
    pub(super) put_ns: u64,
}

/// What a thread pins through. Each thread has its own, so that threads meet in the mm only.
#[derive(Debug)]
pub(super) struct Pinner {
    session: Session,
    in_tree: Option<GupTest>,
    guplab: GupTest,
}

impl Pinner {
    /// Opens everything.
    pub(super) fn open() -> anyhow::Result<Pinner> {
        let session = Session::open()?;
        let in_tree = match session.has(sys::GUPLAB_FEATURE_IN_TREE_GUP_TEST) {
            true => Some(open(Whose::Usual)?),
            false => None,
        };
        Ok(Pinner {
            session,
            in_tree,
            guplab: open(Whose::Guplab)?,
        })
    }

    pub(super) fn session(&self) -> &Session {
        &self.session
    }

    /// gup_test, the kernel's own or guplab's. None where the kernel has none.
    pub(super) fn gup_test(&self, whose: Contestant) -> Option<&GupTest> {
        match whose {
            Contestant::InTree => self.in_tree.as_ref(),
            _ => Some(&self.guplab),
        }
    }

    /// Who takes part.
    pub(super) fn contestants(&self) -> Vec<Contestant> {
        let mut all = Contestant::ALL.to_vec();
        all.retain(|&who| self.in_tree.is_some() || who != Contestant::InTree);
        all
    }

    /// Makes one pass, in one ioctl.
    pub(super) fn pass(
        &self,
        who: Contestant,
        mapping: &Mapping,
        span: Span,
        pages_per_call: u32,
    ) -> anyhow::Result<Took> {
        match who {
            Contestant::Hammer => {
                self.hammer(sys::GUPLAB_WAY_PIN_FAST, mapping, span, pages_per_call)
            }
            Contestant::Walk => self.hammer(sys::GUPLAB_WAY_WALK, mapping, span, pages_per_call),
            Contestant::InTree | Contestant::GupTest => {
                let gup_test = self.gup_test(who).context("the kernel has no gup_test")?;
                let deltas = gup_test
                    .pin_fast_part(mapping, span.first, span.pages, pages_per_call)
                    .context("PIN_FAST_BENCHMARK")?
                    .with_context(|| format!("{} did not pin all pages", who.name()))?;
                Ok(Took {
                    get_ns: deltas.get_usec * 1000,
                    put_ns: deltas.put_usec * 1000,
                })
            }
        }
    }

    fn hammer(
        &self,
        way: sys::guplab_way,
        mapping: &Mapping,
        span: Span,
        pages_per_call: u32,
    ) -> anyhow::Result<Took> {
        let mut request = request(way, mapping, span, pages_per_call);
        request.flags = sys::GUPLAB_HAMMER_TIME_UNPIN;
        self.session
            .hammer(mapping, &mut request)
            .context("HAMMER")?;
        anyhow::ensure!(
            request.pages == span.pages as u64,
            "HAMMER pinned {} of {} pages only",
            request.pages,
            span.pages
        );
        Ok(Took {
            get_ns: request.elapsed_ns - request.unpin_ns,
            put_ns: request.unpin_ns,
        })
    }
}

fn open(whose: Whose) -> anyhow::Result<GupTest> {
    GupTest::open(whose).with_context(|| format!("{} (needs root and debugfs)", whose.path()))
}

/// HAMMER pins the whole range and then unpins it, as gup_test does.
pub(super) fn request(
    way: sys::guplab_way,
    mapping: &Mapping,
    span: Span,
    pages_per_call: u32,
) -> Hammer {
    let pages = span.pages as u32;
    let batch = pages_per_call.min(pages);
    let calls = pages.div_ceil(batch);
    Hammer {
        addr: mapping.page_addr(span.first) as u64,
        nr_pages: pages,
        batch,
        // Where the last call is a smaller one, a range as large as can be is unpinned in two goes.
        hold: calls.min(sys::GUPLAB_MAX_BATCH / batch),
        way,
        pin_flags: sys::GUPLAB_PIN_WRITE,
        max_calls: calls.into(),
        ..Default::default()
    }
}
