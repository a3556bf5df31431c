//! Options of docker's that `create` and `run` refuse, and what there is instead of them.

use clap::Args;
use dhow_ops::container::KeptIds;

use crate::errors::{Failure, Outcome};
use crate::personality::Personality;

/// Options of docker's that a container engine is needed for.
#[derive(Args, Debug)]
pub(super) struct Engine {
    #[arg(short, long, hide = true)]
    detach: bool,
    #[arg(short, long, hide = true, value_name = "list")]
    publish: Vec<String>,
    #[arg(short = 'P', long, hide = true)]
    publish_all: bool,
    #[arg(long, hide = true, value_name = "string")]
    restart: Option<String>,
    #[arg(long, hide = true)]
    privileged: bool,
    #[arg(long, hide = true, value_name = "string")]
    userns: Option<String>,
}

impl Engine {
    /// Whom the caller is in the container's user namespace, if that is said and understood.
    pub(super) fn kept_ids(&self) -> Option<KeptIds> {
        self.userns.as_deref().and_then(|mode| kept_ids(mode)?.ok())
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
            () if self.publish_all || !self.publish.is_empty() => refuse(
                "--publish",
                "a container has this machine's network, where its ports are open as they are, or none",
            ),
            () if self.privileged => {
                refuse("--privileged", "name what is needed with --cap-add, --device and --security-opt")
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
        Some((kind, _)) => matches!(kind, "auto" | "container" | "ns"),
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
        let Ok(read) = value.parse() else {
            let message = format!("strconv.ParseUint: parsing {value:?}: invalid syntax");
            return Some(Err(Failure::Client(message)));
        };
        *number = read;
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
