//! Options of docker's that `create` and `run` refuse, and what there is instead of them.

use clap::Args;

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
    pid: Option<String>,
    #[arg(long, hide = true, value_name = "string")]
    ipc: Option<String>,
    #[arg(long, hide = true, value_name = "string")]
    userns: Option<String>,
}

impl Engine {
    /// Whether the caller is who it is outside in the container's user namespace.
    pub(super) fn keeps_ids(&self) -> bool {
        self.userns.as_deref() == Some("keep-id")
    }

    /// Refuses what is given, and says what there is instead.
    ///
    /// # Errors
    /// For the first of them.
    pub(super) fn check(&self, personality: Personality, removes: bool) -> Outcome {
        let is_docker = matches!(personality, Personality::Docker | Personality::Docker29);
        let refuse = |flag: &str, why: &str| Err(Failure::Client(format!("{flag} is not supported: {why}")));
        let services = "it is for a container engine that runs services; dhow runs containers in the foreground";
        match () {
            () if self.detach => refuse("--detach", services),
            () if self.restart.as_deref().is_some_and(|policy| policy != "no") => refuse("--restart", services),
            () if self.publish_all || !self.publish.is_empty() => refuse(
                "--publish",
                "a container has this machine's network, where its ports are open as they are, or none",
            ),
            () if self.privileged => {
                refuse("--privileged", "name what is needed with --cap-add, --device and --security-opt")
            }
            () if self.pid.is_some() => refuse("--pid", "a container sees its own processes"),
            () if self.ipc.as_deref().is_some_and(|mode| mode != "private") => {
                refuse("--ipc", "a container shares no memory with others")
            }
            () if self.keeps_ids() && !is_docker && !removes => {
                refuse("--userns keep-id without --rm", "nobody would know afterwards whose files are whose")
            }
            () if self.keeps_ids() && !is_docker => Ok(()),
            () if self.userns.as_deref().is_some_and(|mode| mode.starts_with("keep-id:")) && !is_docker => refuse(
                "--userns keep-id with numbers",
                "keep-id keeps the caller's own; --user says who the program is",
            ),
            () if self.userns.as_deref().is_some_and(|mode| mode != "host" || personality != Personality::Podman) => {
                refuse("--userns", "root's containers have none, those of other users always have one")
            }
            () => Ok(()),
        }
    }
}
