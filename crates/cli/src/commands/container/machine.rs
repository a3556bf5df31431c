//! Rights for containers: root's, or a user namespace.

use std::ffi::OsString;

use dhow_ops::container::{Machine, user_namespace};
use user_namespace::Users;

use crate::errors::Outcome;
use crate::session::Session;

/// What this process may do. Who is not root becomes root in a user namespace: the program starts anew there, with the same arguments,
/// and this does not return. So it comes before anything is opened or printed.
///
/// # Errors
/// Where users may make no namespaces.
pub(in crate::commands) fn machine(session: &Session<'_>) -> Outcome<Machine> {
    let environment = &session.environment;
    if let Some(has_users) = environment.in_user_namespace {
        return Ok(Machine { in_user_namespace: true, has_users });
    }
    if environment.user == 0 {
        return Ok(Machine { in_user_namespace: false, has_users: true });
    }
    let users = user_namespace::users_of(environment.user, environment.user_name.as_deref(), &environment.search_path);
    if users == Users::One {
        tracing::info!("there is one user in containers: no newuidmap, or no ranges in /etc/subuid and /etc/subgid");
    }
    let kind = if users == Users::One { "one" } else { "many" };
    let root = session.store_root()?;
    let variables = [("DHOW_ROOT", root.into_os_string()), ("DHOW_IN_USER_NAMESPACE", OsString::from(kind))];
    let arguments: Vec<OsString> = std::env::args_os().collect();
    match user_namespace::enter(&arguments, &variables, &users, &environment.search_path)? {}
}
