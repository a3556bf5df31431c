//! Options of docker's that `create` and `run` refuse, and what there is instead of them.

use clap::Args;
use dhow_ops::container::KeptIds;
use dhow_ops::strconv::parse_uint;

use crate::errors::{Failure, Outcome};
use crate::personality::Personality;

/// Options of docker's that a container engine is needed for.
#[derive(Args, Debug)]
pub(super) struct Engine {
    #[arg(short, long, hide = true)]
    detach: bool,
    #[arg(long, hide = true, value_name = "string")]
    restart: Option<String>,
    #[arg(long, hide = true, value_name = "string")]
    userns: Option<String>,
}

impl Engine {
    /// Whom the caller is in the container's user namespace, if that is said and understood.
    pub(super) fn kept_ids(&self) -> Option<KeptIds> {
        self.userns.as_deref().and_then(|mode| kept_ids(mode)?.ok())
    }

    /// The mode of users that are another container's.
    pub(super) fn joined_users(&self) -> Option<&str> {
        self.userns.as_deref().filter(|mode| mode.starts_with("container:"))
    }

    /// Refuses what docker's client takes for no restart policy; podman's does not look.
    ///
    /// # Errors
    /// In docker's words.
    pub(super) fn check_restart(&self, personality: Personality) -> Outcome {
        let Some((policy, count)) = self.restart.as_deref().and_then(|text| text.split_once(':')) else {
            return Ok(());
        };
        let why = match () {
            () if personality == Personality::Podman => return Ok(()),
            () if policy.is_empty() => "no policy provided before colon",
            () if !count.is_empty() && count.parse::<i64>().is_err() => "maximum retry count must be an integer",
            () => return Ok(()),
        };
        Err(Failure::Client(format!("invalid restart policy format: {why}")))
    }

    /// Refuses a policy for a container that is removed when it ends, as docker's client does.
    ///
    /// # Errors
    /// In docker's words.
    pub(super) fn check_removed(&self, personality: Personality) -> Outcome {
        let policy = self.restart.as_deref().and_then(|text| text.split(':').next()).unwrap_or_default();
        let restarts = !matches!(policy, "" | "no");
        match restarts && personality != Personality::Podman {
            true => Err(Failure::Client("conflicting options: cannot specify both --restart and --rm".to_owned())),
            false => Ok(()),
        }
    }

    /// Refuses what is given, and says what there is instead.
    ///
    /// # Errors
    /// For the first of them.
    pub(super) fn check(&self, personality: Personality) -> Outcome {
        let refuse = |flag: &str, why: &str| Err(Failure::Client(format!("{flag} is not supported: {why}")));
        let services = "it is for a container engine that runs services; dhow runs containers in the foreground";
        match () {
            () if self.detach => refuse("--detach", services),
            () if self.restart.as_deref().is_some_and(|policy| !matches!(policy, "" | "no")) => {
                refuse("--restart", services)
            }
            () => match self.userns.as_deref() {
                Some(mode) => check_users(personality, mode),
                None => Ok(()),
            },
        }
    }
}

/// Refuses what there is not of user namespaces.
fn check_users(personality: Personality, mode: &str) -> Outcome {
    let refuse = |flag: &str, why: &str| Err(Failure::Client(format!("{flag} is not supported: {why}")));
    match (personality, mode) {
        (Personality::Docker | Personality::Docker29, "" | "host") => Ok(()),
        (Personality::Docker | Personality::Docker29, _) => {
            Err(Failure::Client("--userns: invalid USER mode".to_owned()))
        }
        (Personality::Podman, "" | "host") => Ok(()),
        (Personality::Podman, "private") => {
            let message = "must provide at least one UID or GID mapping to configure a user namespace";
            Err(Failure::Client(message.to_owned()))
        }
        // Looked for when the container is made.
        (_, mode) if mode.starts_with("container:") => Ok(()),
        (_, mode) if kept_ids(mode).is_some() => kept_ids(mode).map_or(Ok(()), |ids| ids.map(drop)),
        (_, mode) if is_known(mode) => refuse(
            &format!("--userns {mode}"),
            "root's containers have no user namespace of their own, those of other users have the caller's ranges; keep-id keeps the \
             caller's numbers",
        ),
        (Personality::Podman, mode) => Err(Failure::Client(format!("unrecognized namespace mode {mode} passed"))),
        _ => refuse("--userns", "root's containers have none, those of other users always have one"),
    }
}

/// Whether podman knows such a user namespace.
fn is_known(mode: &str) -> bool {
    match mode.split_once(':') {
        None => matches!(mode, "auto" | "nomap" | "private"),
        Some((kind, _)) => matches!(kind, "auto" | "ns"),
    }
}

/// Reads podman's `keep-id` and `keep-id:uid=1000,gid=1000`; nothing for what is not that.
fn kept_ids(mode: &str) -> Option<Outcome<KeptIds>> {
    let options = match mode.strip_prefix("keep-id")? {
        "" => "",
        options => options.strip_prefix(':')?,
    };
    let mut ids = KeptIds::own();
    for option in options.split(',').filter(|option| !option.is_empty()) {
        let (name, value) = option.split_once('=').unwrap_or((option, ""));
        let number = match name {
            "uid" => &mut ids.uid,
            "gid" => &mut ids.gid,
            name => return Some(Err(Failure::Client(format!("unknown option specified: {name:?}")))),
        };
        match parse_uint(value) {
            Ok(read) => *number = read,
            Err(why) => return Some(Err(Failure::Client(why))),
        }
    }
    Some(Ok(ids))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_kept_or_given() {
        let own = KeptIds::own();
        let check = |mode: &str, expected: Option<Result<KeptIds, &str>>| {
            let read = kept_ids(mode).map(|read| match read {
                Ok(ids) => Ok(ids),
                Err(Failure::Client(message)) => Err(message),
                Err(other) => panic!("{other:?}"),
            });
            assert_eq!(read, expected.map(|read| read.map_err(str::to_owned)), "{mode}");
        };
        check("keep-id", Some(Ok(own)));
        check("keep-id:", Some(Ok(own)));
        check("keep-id:uid=5,gid=6", Some(Ok(KeptIds { uid: 5, gid: 6 })));
        check("keep-id:gid=7", Some(Ok(KeptIds { gid: 7, ..own })));
        check("keep-id:uid=x", Some(Err("strconv.ParseUint: parsing \"x\": invalid syntax")));
        check("keep-id:odd=1", Some(Err("unknown option specified: \"odd\"")));
        check("keep-idle", None);
        check("host", None);
    }
}
