//! Finding a container by what the user calls it.

use dhow_base::{Error, Kind};
use dhow_ops::Context;
use dhow_ops::container::{self, Record};

use crate::errors::{Failure, Outcome};
use crate::personality::Personality;
use crate::session::Session;

/// Finds a container.
///
/// # Errors
/// As [`container::find`], in podman's words for who knows it as podman.
pub(in crate::commands) fn found(session: &Session<'_>, context: &Context, name: &str) -> Outcome<Record> {
    Ok(container::find(context, name).map_err(|error| missing(session.personality, name, error))?)
}

/// The container that was made last.
///
/// # Errors
/// In podman's words, if there is none.
pub(in crate::commands) fn newest(context: &Context) -> Outcome<Record> {
    let newest = container::list(context)?.into_iter().next();
    newest.ok_or_else(|| Failure::Client("no such container".to_owned()))
}

/// What is said of a container that is not there.
pub(in crate::commands) fn missing(personality: Personality, name: &str, error: Error) -> Error {
    match (personality, error.kind()) {
        (Personality::Podman, Kind::NotFound) => {
            Error::new(Kind::NotFound, format!("no container with name or ID {name:?} found: no such container"))
        }
        _ => error,
    }
}

/// What is said of a name that a container has already.
pub(super) fn taken(personality: Personality, context: &Context, name: Option<&str>, error: Error) -> Failure {
    let holder = name.filter(|_| personality == Personality::Podman && error.kind() == Kind::Conflict);
    match holder.and_then(|name| Some((name, container::find(context, name).ok()?))) {
        Some((name, holder)) => {
            let what = format!("the container name {name:?} is already in use by {}", holder.container.id);
            let way_out =
                "You have to remove that container to be able to reuse that name: that name is already in use";
            Failure::Engine(Error::new(Kind::Conflict, format!("creating container storage: {what}. {way_out}")))
        }
        None => error.into(),
    }
}
