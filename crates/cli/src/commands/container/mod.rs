//! Verbs about containers.

mod chosen;
mod commit;
mod duration;
mod flags;
mod foreign;
mod found;
mod inspect;
mod machine;
mod mount;
mod proxies;
mod ps;
mod refused;
mod remove;
mod rename;
mod resolving;
mod run;
mod start;

pub(super) use chosen::{Selection, retain, until};
pub(super) use commit::{Commit, subject};
pub(super) use found::{found, missing, newest};
pub(super) use inspect::{ContainerInspect, fill, inspect, show, shown};
use machine::machine_keeping_ids;
pub(super) use machine::{machine, machine_for};
pub(super) use mount::{Mount, Unmount};
pub(super) use ps::List;
pub(super) use refused::Refused;
pub(super) use remove::{Prune, Remove};
pub(super) use rename::Rename;
use run::CANNOT;
pub(super) use run::{Create, Run};
pub(super) use start::{Start, UNATTACHED, to_its_end};

use crate::errors::Failure;
use crate::session::Session;

/// What is said of flags before a verb about containers is asked: `run` has its own way, and its own code.
pub(crate) fn refused(session: &Session<'_>, failure: Failure) -> Failure {
    match session.path.ends_with(" run") {
        true => run::refused(session, failure, CANNOT),
        false => failure,
    }
}
