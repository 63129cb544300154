// SPDX-License-Identifier: GPL-2.0
//! Without the parameter unsafe_walks=1 the module lets nobody, and not even root, have walks that
//! protect themselves less than fast GUP does.
//!
//! Where the module was loaded with it, as for the other tests, there is nothing to be seen.

use std::process::ExitCode;

use guplab::walk::{Exclusion, Step};
use guplab::{Errno, Protocol, Session, sys};
use guplab_tests::{Not, Test, Tested, While, ensure_eq, open, run_all, skip};

fn main() -> ExitCode {
    run_all(&[
        Test::new("no step can be left out", || {
            all_refused(Step::ALL.map(|step| Protocol {
                steps_off: step.into(),
                ..Protocol::default()
            }))
        }),
        Test::new("no other exclusion can be had", || {
            let less = Exclusion::ALL.into_iter().map(|exclusion| Protocol {
                exclusion,
                ..Protocol::default()
            });
            all_refused(less.filter(|protocol| !protocol.is_safe()))
        }),
        Test::new("what is as safe as fast GUP can be had", safe_ones),
    ])
}

/// A session of a module as it is loaded without a parameter.
fn session() -> Result<Session, Not> {
    let session = open()?;
    if session.has(sys::GUPLAB_FEATURE_UNSAFE_WALKS) {
        skip!("the module was loaded with unsafe_walks=1");
    }
    Ok(session)
}

fn all_refused(protocols: impl IntoIterator<Item = Protocol>) -> Tested {
    let session = session()?;
    for protocol in protocols {
        let refused = session.set_walk(&protocol);
        ensure_eq!(refused, Err(Errno::PERM), format!("WALK {protocol}"));
        let (told, _) = session.walk().while_("WALK")?;
        ensure_eq!(told, Protocol::default(), "the protocol afterwards");
    }
    Ok(())
}

fn safe_ones() -> Tested {
    let session = session()?;
    for singly in [true, false] {
        let protocol = Protocol {
            singly,
            ..Protocol::default()
        };
        session
            .set_walk(&protocol)
            .while_(&format!("WALK {protocol}"))?;
        let (told, _) = session.walk().while_("WALK")?;
        ensure_eq!(told, protocol, "the protocol");
    }
    Ok(())
}
