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

pub(super) use chosen::{Selection, retain};
pub(super) use commit::{Commit, subject};
pub(super) use found::{found, missing, newest};
pub(super) use inspect::{ContainerInspect, document, inspect, show};
use machine::machine_keeping_ids;
pub(super) use machine::{machine, machine_for};
pub(super) use mount::{Mount, Unmount};
pub(super) use ps::List;
pub(super) use refused::Refused;
pub(super) use remove::{Prune, Remove};
pub(super) use rename::Rename;
pub(super) use run::{Create, Run};
pub(super) use start::{Start, UNATTACHED, to_its_end};
