//! Rights for containers: root's, or a user namespace.

use std::ffi::OsString;
use std::path::PathBuf;

use dhow_ops::container::{self, KeptIds, Machine, Record, user_namespace};
use user_namespace::Users;

use crate::errors::{Failure, Outcome};
use crate::session::Session;

/// What this process may do. Who is not root becomes root in a user namespace: the program starts anew there, with the same arguments,
/// and this does not return. So it comes before anything is opened or printed.
///
/// # Errors
/// Where users may make no namespaces.
pub(in crate::commands) fn machine(session: &Session<'_>) -> Outcome<Machine> {
    let environment = &session.environment;
    if let Some(has_users) = environment.in_user_namespace {
        return Ok(Machine { in_user_namespace: true, has_users, kept_ids: environment.keeps_ids.then(KeptIds::own) });
    }
    if environment.user == 0 {
        // Root of a namespace that somebody else made has no more rights than in one of its own.
        let around = user_namespace::around();
        return Ok(Machine { in_user_namespace: around.is_some(), has_users: around.unwrap_or(true), kept_ids: None });
    }
    container::forget_ended(&session.local_context()?)?;
    let users = users(session);
    if users == Users::One {
        tracing::info!("there is one user in containers: no newuidmap, or no ranges in /etc/subuid and /etc/subgid");
    }
    enter(session, &users)
}

/// As [`machine`], in a namespace in which the caller has these numbers.
///
/// # Errors
/// As [`machine`]; where the caller's ranges are too short.
pub(super) fn machine_keeping_ids(session: &Session<'_>, ids: KeptIds) -> Outcome<Machine> {
    let environment = &session.environment;
    match environment.in_user_namespace {
        Some(has_users) if environment.keeps_ids => {
            return Ok(Machine { in_user_namespace: true, has_users, kept_ids: Some(KeptIds::own()) });
        }
        None if environment.user != 0 => {}
        // To root everybody is who he is already, as with podman 5.
        None => return machine(session),
        _ => return Err(Failure::Client("keep-id is only supported in rootless mode".to_owned())),
    }
    container::forget_ended(&session.local_context()?)?;
    let users = users(session).keeping(ids).ok_or_else(|| {
        let message =
            format!("--userns keep-id takes newuidmap, and ranges of {} users and groups", ids.uid.max(ids.gid));
        Failure::Client(format!("{message} in /etc/subuid and /etc/subgid"))
    })?;
    enter(session, &users)
}

fn users(session: &Session<'_>) -> Users {
    let environment = &session.environment;
    user_namespace::users_of(environment.user, environment.user_name.as_deref(), &environment.search_path)
}

/// Becomes this program anew in a user namespace.
fn enter(session: &Session<'_>, users: &Users) -> Outcome<Machine> {
    let kind = match users {
        Users::Many { .. } => "many",
        Users::Kept { .. } => "kept",
        Users::One => "one",
    };
    let arguments: Vec<OsString> = std::env::args_os().collect();
    let variables = variables(session.store_root()?, kind);
    match user_namespace::enter(&arguments, &variables, users, &session.environment.search_path)? {}
}

/// As [`machine`], for a container that may run: its user namespace is joined then, since only who is in it may look into it. One that does
/// not run gets a namespace as it was made in, or that of the container which it joins.
///
/// # Errors
/// As [`machine`]; when the container has just ended.
pub(in crate::commands) fn machine_for(session: &Session<'_>, record: &Record) -> Outcome<Machine> {
    let environment = &session.environment;
    if environment.user == 0 || environment.in_user_namespace.is_some() {
        return machine(session);
    }
    let kept = container::kept_ids(record)?;
    if !record.container.is_running() {
        if let Some(other) = container::whose_users_has(&session.local_context()?, record)? {
            return machine_for(session, &other);
        }
        return kept.map_or_else(|| machine(session), |ids| machine_keeping_ids(session, ids));
    }
    let context = session.local_context()?;
    let Some(process) = container::process_of(&context, &record.container.id) else { return machine(session) };
    let root = session.store_root()?;
    let arguments: Vec<OsString> = std::env::args_os().collect();
    match user_namespace::join(&process, &arguments, |has_users| {
        variables(
            root.clone(),
            if kept.is_some() {
                "kept"
            } else if has_users {
                "many"
            } else {
                "one"
            },
        )
    })? {}
}

/// What this program is told when it starts anew.
fn variables(root: PathBuf, kind: &str) -> Vec<(&'static str, OsString)> {
    vec![("DHOW_ROOT", root.into_os_string()), ("DHOW_IN_USER_NAMESPACE", OsString::from(kind))]
}
