// SPDX-License-Identifier: GPL-2.0
//! Where a duel takes place: two CPUs, and delay points that work only while both actors do.

use guplab::{Duel, Rng, Session, Span, cpu, duel};

use crate::trial::Context;
use crate::{Stop, Trial};

/// What a duel needs of a trial, which its sides borrow meanwhile.
#[derive(Debug)]
pub struct Ring<'s> {
    session: &'s Session,
    cpus: (usize, usize),
    rng: Rng,
}

impl<'s> Trial<'s> {
    /// A CPU that is neither actor's, for a third one; a skip where there is none.
    pub fn third_cpu(&self) -> Result<usize, Stop> {
        let (one, other) = self.cpus;
        let all = cpu::allowed().context("sched_getaffinity(2)")?;
        let mut free = all.into_iter().filter(|&cpu| cpu != one && cpu != other);
        free.next()
            .ok_or_else(|| Stop::Skip("three actors need three CPUs".into()))
    }

    /// The place for a duel.
    pub fn ring(&mut self) -> Ring<'s> {
        Ring {
            session: self.session,
            cpus: self.cpus,
            rng: self.rng.fork(),
        }
    }
}

impl Ring<'_> {
    /// Runs a duel: [`duel()`]. What prepares and judges a round passes the windows of the
    /// trial, too: it is neither delayed there nor counted.
    pub fn duel<D: Duel<Error = Stop>>(
        mut self,
        sides: &mut D,
        right: impl FnMut(&D::Task) -> (D::Right, Span) + Send,
    ) -> Result<(), Stop> {
        let session = self.session;
        let mut sides = Rounds { session, sides };
        duel(self.cpus, &mut self.rng, &mut sides, right)
    }
}

struct Rounds<'d, D> {
    session: &'d Session,
    sides: &'d mut D,
}

impl<D: Duel<Error = Stop>> Duel for Rounds<'_, D> {
    type Task = D::Task;
    type Left = D::Left;
    type Right = D::Right;
    type Error = Stop;

    fn prepare(&mut self) -> Result<Option<D::Task>, Stop> {
        self.session.pause_delays().context("DELAY")?;
        let task = self.sides.prepare()?;
        self.session.resume_delays().context("DELAY")?;
        Ok(task)
    }

    fn left(&mut self, task: &D::Task) -> (D::Left, Span) {
        self.sides.left(task)
    }

    fn judge(
        &mut self,
        task: D::Task,
        left: (D::Left, Span),
        right: (D::Right, Span),
    ) -> Result<bool, Stop> {
        self.session.pause_delays().context("DELAY")?;
        self.sides.judge(task, left, right)
    }
}
